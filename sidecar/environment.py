"""Settings from the environment: unknown names are refused, Kubernetes' service links ignored. Pure.

Shared with the controller: a setting is spelt, left out and refused in the same way on both sides.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sidecar.validation import explain, explain_all

S = TypeVar("S", bound=BaseModel)

# Kubernetes puts the address of every Service of the namespace into every pod: NAME_SERVICE_HOST, NAME_SERVICE_PORT,
# NAME_PORT=tcp://…, NAME_PORT_8765_TCP_ADDR and so on. A Service called ocr-sidecar makes them start with OCR_.
_SERVICE_LINK_NAME = re.compile(r".+_SERVICE_(HOST|PORT(_.+)?)|.+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
_SERVICE_PORT_VALUE = re.compile(r"(tcp|udp|sctp)://.+")


class SettingsError(Exception):
    """The environment holds something this process will not start with; the text says what and what is accepted."""


def names_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return every setting by its name in the environment, which is its alias."""
    return {field.alias: field for field in model.model_fields.values() if field.alias}


def parse_environment(
    model: type[S], environ: Mapping[str, str], *, prefixes: tuple[str, ...], may_be_empty: Iterable[str] = ()
) -> S:
    """Build settings from an environment; a variable with an empty value counts as unset.

    Args:
        model: its fields' aliases are the names.
        environ: the environment, or any mapping.
        prefixes: a variable that begins so and is no setting is a mistake.
        may_be_empty: settings for which an empty value has a meaning.

    Raises:
        SettingsError: an unknown name with one of the prefixes (the nearest known one is named), or values that are not
            accepted, all of them. No value that may hold a secret is shown.
    """
    known = names_of(model)
    for name, value in environ.items():
        if name.startswith(prefixes):
            _check_name(name, value, known)
    given = {name: environ[name].strip() for name in known if name in environ}
    values = {name: value for name, value in given.items() if value or name in may_be_empty}
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        raise SettingsError(explain_all(exc, lambda problem: _explain(problem, values), most=len(known))) from None


def _check_name(name: str, value: str, known: Mapping[str, FieldInfo]) -> None:
    is_port_link = name.endswith("_PORT") and _SERVICE_PORT_VALUE.fullmatch(value) is not None
    if name in known:
        if is_port_link:
            raise SettingsError(
                f"{name} is {value}: Kubernetes set it for a Service whose name clashes with this setting. "
                "Set enableServiceLinks: false on the pod"
            )
        return
    if is_port_link or _SERVICE_LINK_NAME.fullmatch(name):
        return
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
    raise SettingsError(f"{name} is not a setting; the nearest one is {nearest[0]}")


def _explain(problem: ErrorDetails, values: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    is_address = "URL" in name or "://" in str(values.get(name, ""))  # which may hold a password
    is_secret = name.endswith(("KEY", "KEY_FILE")) or is_address
    shown = "(hidden)" if is_secret else values.get(name, "unset")
    return explain(problem, name, f" is {shown}")
