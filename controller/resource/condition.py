"""One condition of a resource's status. Pure."""

from dataclasses import dataclass
from typing import Literal

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, less its times."""

    type: str
    status: Truth
    reason: str
    message: str
