"""What pydantic refuses, as one sentence each, for the author of the input. Pure; it shows no value by itself."""

from collections.abc import Callable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

SHOWN_PROBLEMS = 5


def explain_all(
    refused: ValidationError, explain_one: Callable[[ErrorDetails], str], most: int = SHOWN_PROBLEMS
) -> str:
    """Explain the first problems, each once."""
    problems = refused.errors(include_url=False, include_context=False)[:most]
    return "; ".join(dict.fromkeys(explain_one(problem) for problem in problems))


def explain(problem: ErrorDetails, name: str, verdict: str = "") -> str:
    """Explain one problem.

    Args:
        problem: as pydantic tells it. Its ``input`` may be a secret, or a caller's text, and is not shown.
        name: what the field is called by whoever wrote it; empty: the problem is about all of it.
        verdict: what follows the name, such as `` is 9``. After one that ends with ``accepted``, nothing but what is
            accepted is said.
    """
    match problem["type"]:
        case "extra_forbidden":
            return f"{name} is not a field that is known here"
        case "missing":
            return f"{name} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if not name:
        return message
    if verdict.endswith("accepted"):
        return f"{name}{verdict}: {message.removeprefix('Input should be ')}"
    said = message if message[1:2].isupper() else message[0].lower() + message[1:]  # "URL" stays as it is
    return f"{name}{verdict}: {said}"
