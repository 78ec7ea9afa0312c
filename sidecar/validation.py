"""What pydantic refuses, as one sentence each, for the author of the input. Pure; it shows no value by itself."""

import json
from collections.abc import Callable

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import ErrorDetails

SHOWN_PROBLEMS = 5
SHOWN_VALUE_CHARS = 80
NOT_ONE = "Input should be "
"""How pydantic begins to say what a field accepts."""
ACCEPTED = {
    "string_type": "text",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
"""What a field accepts, where pydantic's words are those of a program."""


def accepting(words: str) -> WrapValidator:
    """Let a field that accepts several forms say so in these words, whatever is wrong with it."""

    def validate(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(words) from None

    return WrapValidator(validate)


def explain_all(
    refused: ValidationError, explain_one: Callable[[ErrorDetails], str], most: int = SHOWN_PROBLEMS
) -> str:
    """Explain the first problems, each once."""
    problems = refused.errors(include_url=False)[:most]
    return "; ".join(dict.fromkeys(explain_one(problem) for problem in problems))


def explain_value(problem: ErrorDetails, name: str) -> str:
    """Explain one problem with the value that was given, which is no secret."""
    return explain(problem, name, f" is {_shown(problem['input'])[:SHOWN_VALUE_CHARS]}, accepted")


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
    message = _message(problem)
    if not name:
        return message
    if verdict.endswith("accepted"):
        return f"{name}{verdict}: {message.removeprefix(NOT_ONE)}"
    said = message if message[1:2].isupper() else message[0].lower() + message[1:]  # "URL" stays as it is
    return f"{name}{verdict}: {said}"


def _message(problem: ErrorDetails) -> str:
    if words := ACCEPTED.get(problem["type"]):
        return NOT_ONE + words.format_map(problem.get("ctx", {}))
    return problem["msg"].removeprefix("Value error, ")


def _shown(value: object) -> str:
    """Return a value as its author wrote it: text in quotes, all else as JSON has it."""
    if isinstance(value, str):
        return repr(value)
    return json.dumps(value, ensure_ascii=False, default=str)
