"""Marks the further members of a family of cases: the first ones run always, the others with ``make test-matrix``."""

from collections.abc import Sequence
from typing import Any

import pytest


def first(always: int, cases: Sequence[Any]) -> list[Any]:
    """Return the cases for ``parametrize``, all but the first so many with the marker ``matrix``."""
    return [*cases[:always], *(_further(case) for case in cases[always:])]


def _further(case: Any) -> Any:
    if hasattr(case, "marks"):
        return pytest.param(*case.values, id=case.id, marks=(*case.marks, pytest.mark.matrix))
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.matrix)
