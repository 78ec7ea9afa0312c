"""Helm's own library, in a process of its own: its Go runtime crashes in a process that has loaded OpenVINO."""

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any


class ChartError(Exception):
    """Helm refuses a chart or its values; its words."""


class Chart:
    """A chart in a folder. Each method is that of helm_python's Chart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def render(self, values: Mapping[str, Any], **options: Any) -> dict[str, str]:
        """Return each template's output by its path."""
        return _ask(_render, self._folder, dict(values), options)

    def validate_schema(self, values: Mapping[str, Any]) -> None:
        """Raise ChartError if the values do not fit the chart's schema."""
        _ask(_validate, self._folder, dict(values))

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """What Chart.yaml says."""
        return _ask(_read, self._folder, "metadata")

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """What values.schema.json says."""
        return _ask(_read, self._folder, "schema")

    @functools.cached_property
    def crds(self) -> list[Any]:
        """The files of its folder crds."""
        return _ask(_read, self._folder, "crds")


def lint(folder: Path, values: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    """Return what `helm lint` says."""
    return _ask(_lint, folder, dict(values), strict)


@functools.cache
def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"))  # a fork would inherit what Go cannot live with


def _ask(function: Callable[..., Any], *args: Any) -> Any:
    return _process().submit(function, *args).result()


# ── in the process ────────────────────────────────────────────────────────────────────────────────────────────────


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Raise what can be sent to another process."""

    @functools.wraps(function)
    def told(*args: Any) -> Any:
        from helm_python import HelmError  # noqa: PLC0415 - not where the asking process would load it

        try:
            return function(*args)
        except HelmError as exc:
            raise ChartError(str(exc)) from None

    return told


@functools.cache
def _chart(folder: Path) -> Any:
    from helm_python import Chart as Loaded  # noqa: PLC0415 - as above

    return Loaded.load(folder)


@_told
def _render(folder: Path, values: dict[str, Any], options: dict[str, Any]) -> dict[str, str]:
    return dict(_chart(folder).render(values, **options))


@_told
def _validate(folder: Path, values: dict[str, Any]) -> None:
    _chart(folder).validate_schema(values)


@_told
def _read(folder: Path, name: str) -> Any:
    return getattr(_chart(folder), name)


@_told
def _lint(folder: Path, values: dict[str, Any], strict: bool) -> dict[str, Any]:
    from helm_python import lint as ask  # noqa: PLC0415 - as above

    return dict(ask(folder, values, strict=strict))
