"""The only place that knows kopf: its watches, and where their events go. Every event ends in a pass.

kopf is used as the watcher alone: only ``on.event`` handlers, so it writes nothing into any object: no finalizer, no
annotation, no event of its own.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import kopf

from controller import names
from controller.kube.api_client import Credentials
from controller.settings import Settings

BACKOFFS_S = (0.25, 0.5, 1.0, 2.0)
"""Between attempts of kopf's own requests, in seconds; the last one for ever. kopf's own ladder ends after a minute,
and the operator with it; an API server may be away for longer, and be back for 21 s before it is noticed."""
PATIENCE = 1.2
"""How many times as long as the API server the client holds a watch; then the connection is taken for dead."""
EXIT_S = 25.0
"""kopf ends the process the hard way after this; the kubelet does so after 30 s."""

CONFIG_MAPS = ("", "v1", "configmaps")
PODS = ("", "v1", "pods")

LogIn = Callable[[], Awaitable[Credentials]]
Tell = Callable[[str, str | None, Mapping[str, Any]], None]
"""Told of every event: the plural, what happened (None: it is listed when the watch begins), and the object."""


class EndlessBackoffs:
    """Backoffs that never run out; kopf iterates anew for every request."""

    def __iter__(self) -> Iterator[float]:
        """Climb to the last one, and stay."""
        yield from BACKOFFS_S
        while True:
            yield BACKOFFS_S[-1]


def build_registry(tell: Tell, log_in: LogIn) -> kopf.OperatorRegistry:
    """Register one handler for all that is watched, and the login."""
    registry = kopf.OperatorRegistry()

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    @kopf.on.event(*CONFIG_MAPS, registry=registry)
    @kopf.on.event(*PODS, registry=registry)
    async def on_event(
        *,
        type: str | None,  # noqa: A002 - kopf calls it so
        body: kopf.Body,
        resource: kopf.Resource,
        **_: Any,  # noqa: ANN401 - whatever else kopf gives
    ) -> None:
        tell(resource.plural, type, body)

    @kopf.on.login(registry=registry)
    async def on_login(**_: Any) -> kopf.ConnectionInfo:  # noqa: ANN401 - likewise
        known = await log_in()
        return kopf.ConnectionInfo(
            server=known.server,
            ca_path=known.ca_path,
            insecure=known.insecure,
            scheme=known.scheme,
            token=known.token,
            certificate_path=known.certificate_path,
            private_key_path=known.private_key_path,
        )

    return registry


def build_settings(settings: Settings) -> kopf.OperatorSettings:
    """Set kopf so that no watch goes silent, and that it needs no right but to list and watch what it is told to."""
    configured = kopf.OperatorSettings()
    configured.watching.server_timeout = settings.watch_s
    configured.watching.client_timeout = settings.watch_s * PATIENCE
    configured.watching.inactivity_timeout = settings.watch_s * PATIENCE
    configured.watching.field_selectors[CONFIG_MAPS] = f"metadata.name={names.CONFIG_MAP}"
    configured.watching.label_selectors[PODS] = settings.sidecar_selector
    configured.networking.error_backoffs = EndlessBackoffs()
    configured.networking.request_timeout = settings.request_timeout_s
    configured.networking.connect_timeout = settings.request_timeout_s
    configured.scanning.disabled = True  # else it lists and watches namespaces and CRDs, cluster-wide
    configured.peering.standalone = True
    configured.posting.enabled = False
    configured.process.ultimate_exiting_timeout = EXIT_S
    return configured


async def watch(settings: Settings, namespace: str | None, tell: Tell, log_in: LogIn) -> None:
    """Watch profiles, the ConfigMap and the sidecar pods until SIGTERM, SIGINT or being cancelled."""
    await kopf.operator(
        registry=build_registry(tell, log_in),
        settings=build_settings(settings),
        clusterwide=namespace is None,
        namespaces=[] if namespace is None else [namespace],
        standalone=True,
    )
