"""What a dialect is: a name, and routes with their descriptions; and which ones are on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from sidecar.api.app_keys import LISTS_PROBLEMS
from sidecar.settings import SettingsError
from sidecar.wire.dialects.described import Described

ALL, NONE = "all", "none"


@dataclass(frozen=True, slots=True)
class Route:
    """One route: how it is described, with method and path, and what answers it."""

    described: Described
    handler: Handler


@dataclass(frozen=True, slots=True)
class Dialect:
    """A convention of others. ``prepare`` makes what its routes need as long as the service runs, if anything."""

    name: str
    routes: tuple[Route, ...]
    prepare: Callable[[web.Application], None] | None = None


def answering(route: Route) -> Handler:
    """Return the handler of a route, whose errors are written as its callers' clients read them."""
    if not route.described.lists_problems:
        return route.handler

    async def handler(request: web.Request) -> web.StreamResponse:
        request[LISTS_PROBLEMS] = True
        return await route.handler(request)

    return handler


def chosen(names: str, dialects: Sequence[Dialect]) -> tuple[Dialect, ...]:
    """Return the dialects that a setting names: ``all``, ``none``, or names with commas between them.

    Raises:
        SettingsError: there is no dialect of such a name.
    """
    if names.strip() in (ALL, NONE):
        return tuple(dialects) if names.strip() == ALL else ()
    wanted = {one.strip() for one in names.split(",") if one.strip()}
    known = [one.name for one in dialects]
    if unknown := sorted(wanted.difference(known)):
        raise SettingsError(
            f"OCR_DIALECTS is {names[:80]!r}: {unknown[0][:80]} is unknown, accepted are {ALL}, {NONE}, or some of "
            f"{', '.join(known)}"
        )
    return tuple(one for one in dialects if one.name in wanted)
