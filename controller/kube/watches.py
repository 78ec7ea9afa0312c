"""The only user of kopf: its watches, and the handling of their events. Every event leads to a pass.

kopf only watches: with ``on.event`` handlers alone it writes nothing into any object: no finalizer, no annotation, no
event of its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf

from controller import names
from controller.kube.api_client import Credentials
from controller.settings import Settings

BACKOFFS_S = (0.25, 0.5, 1.0, 2.0)
"""Between attempts of kopf's own requests, in seconds; the last one repeats forever. kopf's default ends after a
minute, and with it the operator; an API server may be away longer, and its return is noticed within 21 s."""
PATIENCE = 1.2
"""The client's watch timeout as a multiple of the server's; after it the connection counts as dead."""
EXIT_S = 25.0
"""kopf kills the process after this, in seconds; the kubelet does so after 30 s."""

CONFIG_MAPS = ("", "v1", "configmaps")
PODS = ("", "v1", "pods")
WATCHED = (names.PLURAL, CONFIG_MAPS[-1], PODS[-1])
"""What is watched, by its plural."""
TOKEN_PATIENCE_S = 5.0
"""How long it is waited, in seconds, for a token other than the one that was refused; then that one is tried again."""
TOKEN_LOOK_S = 0.25

Hear = Callable[[str], None]
"""Called with a plural whenever the API server said something about it: an event, or that it is being watched anew."""
LogIn = Callable[[], Awaitable[Credentials]]
Tell = Callable[[str, str | None, Mapping[str, Any]], None]
"""Called for every event: the plural, what happened (None: listed when the watch begins), and the object."""


class EndlessBackoffs:
    """Endless backoffs; kopf starts a new iteration for every request."""

    def __iter__(self) -> Iterator[float]:
        """Yield all, then the last one forever."""
        yield from BACKOFFS_S
        while True:
            yield BACKOFFS_S[-1]


@dataclass(frozen=True, slots=True)
class Scope:
    """What is watched."""

    namespace: str | None
    """None: all of them."""
    version: str
    """Of OcrProfiles: one that the API server serves. If it no longer does, the watches fail, and the process ends."""


def build_registry(version: str, tell: Tell, hear: Hear, log_in: LogIn) -> kopf.OperatorRegistry:
    """Register one handler for everything watched, and the login."""
    registry = kopf.OperatorRegistry()
    entrance = Entrance(hear, log_in)

    @kopf.on.event(names.GROUP, version, names.PLURAL, registry=registry)
    @kopf.on.event(*CONFIG_MAPS, registry=registry)
    @kopf.on.event(*PODS, registry=registry)
    async def on_event(
        *,
        type: str | None,  # noqa: A002 - kopf calls it so
        body: kopf.Body,
        resource: kopf.Resource,
        **_: Any,  # noqa: ANN401 - whatever else kopf gives
    ) -> None:
        hear(resource.plural)
        tell(resource.plural, type, body)

    @kopf.on.login(registry=registry)
    async def on_login(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - likewise
        return await entrance.open()

    return registry


class Entrance:
    """Lets kopf in, again and again: whenever the API server refuses its credentials.

    Each time with a session of our own: credentials that kopf has seen refused it takes for refused for ever, and ends.
    The session also hears when a watch begins, of which kopf tells nobody.
    """

    def __init__(self, hear: Hear, log_in: LogIn) -> None:
        self._hear, self._log_in = hear, log_in
        self._refused: Credentials | None = None

    async def open(self) -> kopf.AiohttpSession:
        """Wait a little for credentials other than the last ones; return a session with what there is."""
        known = await self._other_credentials()
        self._refused = known
        info = kopf.ConnectionInfo(
            server=known.server,
            ca_path=known.ca_path,
            insecure=known.insecure,
            scheme=known.scheme,
            token=known.token,
            certificate_path=known.certificate_path,
            private_key_path=known.private_key_path,
        )
        tracing = aiohttp.TraceConfig()
        tracing.on_request_end.append(self._on_answer)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            trace_configs=[tracing],
        )
        return kopf.AiohttpSession(server=known.server, aiohttp_session=session)

    async def _other_credentials(self) -> Credentials:
        deadline = time.monotonic() + TOKEN_PATIENCE_S
        known = await self._log_in()
        while known == self._refused and time.monotonic() < deadline:
            await asyncio.sleep(TOKEN_LOOK_S)
            known = await self._log_in()
        return known

    async def _on_answer(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, answer: aiohttp.TraceRequestEndParams
    ) -> None:
        if answer.url.query.get("watch") == "true" and answer.response.status == 200:
            self._hear(answer.url.name)


def build_settings(settings: Settings) -> kopf.OperatorSettings:
    """Configure kopf so that no watch goes silent, and that it needs only the rights to list and watch its kinds."""
    configured = kopf.OperatorSettings()
    configured.watching.server_timeout = settings.watch_s
    configured.watching.client_timeout = settings.watch_s * PATIENCE
    configured.watching.inactivity_timeout = settings.watch_s * PATIENCE
    configured.watching.field_selectors[CONFIG_MAPS] = f"metadata.name={names.CONFIG_MAP}"
    configured.watching.label_selectors[PODS] = settings.sidecar_selector
    configured.networking.error_backoffs = EndlessBackoffs()
    configured.networking.request_timeout = settings.request_timeout_s
    configured.networking.connect_timeout = settings.request_timeout_s
    configured.scanning.disabled = True  # otherwise it lists and watches namespaces and CRDs, cluster-wide
    configured.peering.standalone = True
    configured.posting.enabled = False
    configured.process.ultimate_exiting_timeout = EXIT_S
    return configured


async def watch(settings: Settings, scope: Scope, tell: Tell, hear: Hear, log_in: LogIn) -> None:
    """Watch profiles, the ConfigMap and the sidecar pods until SIGTERM, SIGINT or being cancelled."""
    await kopf.operator(
        registry=build_registry(scope.version, tell, hear, log_in),
        settings=build_settings(settings),
        clusterwide=scope.namespace is None,
        namespaces=[] if scope.namespace is None else [scope.namespace],
        standalone=True,
    )
