"""The only client of the API server: list, apply, patch, delete, emit. Decides nothing; kopf has its own watches."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, list_kube_config_contexts, load_incluster_config, load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_TOKEN_FILENAME

from controller import names
from controller.errors import (
    BusyError,
    ClusterError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RefusedError,
    TerminatingError,
    UnavailableError,
)
from controller.kube.answer import (
    JSON,
    AnswerError,
    Manifest,
    is_terminating,
    message_of,
    parse_list,
    parse_object,
    parse_outcome,
)
from controller.resource.event import Event
from controller.settings import SettingsError

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
BUSY_ATTEMPTS = 4
"""Most attempts of one call while the API server is busy; then the whole pass is tried again later."""
MAX_RETRY_AFTER_S = 5.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""1,000 profiles with the longest prompts in Thai are 30 MiB; ``kubectl apply`` keeps a copy of each."""
SHOWN_ANSWER_CHARS = 300

A = TypeVar("A")
Count = Callable[[str, str, str], None]
"""Called for every call: verb, kind of object, HTTP status (or ``none``)."""


# ── how to reach it ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach the API server, for kopf, which has a client of its own."""

    server: str
    ca_path: str | None
    insecure: bool
    scheme: str | None
    token: str | None
    certificate_path: str | None
    private_key_path: str | None


async def open_cluster(kubeconfig: str | None, timeout_s: float, count: Count) -> "Cluster":
    """Find the API server: by the pod's service account, else by a kubeconfig. The caller closes it.

    Args:
        kubeconfig: path of one; None: that of the pod, or else the user's.
        timeout_s: deadline of one call.
        count: called for every call.

    Raises:
        SettingsError: there is neither.
    """
    configuration = Configuration()
    token_file = Path(SERVICE_TOKEN_FILENAME)

    async def read_pod() -> None:
        await asyncio.to_thread(load_incluster_config, configuration)

    async def read_kubeconfig() -> None:
        await load_kube_config(kubeconfig, client_configuration=configuration, persist_config=False)

    try:
        if kubeconfig is None and await asyncio.to_thread(token_file.exists):
            await read_pod()
            own = await asyncio.to_thread(token_file.with_name("namespace").read_text, encoding="utf-8")
            return Cluster(configuration, own.strip(), timeout_s, count, read_pod)
        await read_kubeconfig()
        _, active = list_kube_config_contexts(kubeconfig)
    except (ConfigException, OSError) as exc:
        raise SettingsError(f"no API server is known: {exc}; set KUBECONFIG, or run in a pod") from exc
    return Cluster(configuration, active["context"].get("namespace") or "default", timeout_s, count, read_kubeconfig)


# ── what is asked of it ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Call:
    verb: str
    kind: str
    path: str
    body: object = None
    content_type: str = JSON
    query: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.verb} {self.kind} {self.path}"


class Cluster:
    """The API server, with a deadline for every call.

    Every method may raise a ``ClusterError``; whatever the reconcile repeats is safe to repeat.
    """

    def __init__(
        self,
        configuration: Configuration,
        own_namespace: str,
        timeout_s: float,
        count: Count,
        renew: Callable[[], Awaitable[None]],
    ) -> None:
        configuration.retries = None  # the reconcile tries again, with the state of that time
        configuration.client_session_kwargs = {"middlewares": (_follow_nothing,)}
        self.own_namespace = own_namespace
        self._client = ApiClient(configuration)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._count = count
        self._version = names.VERSIONS[0]
        self._renew = renew
        """Reads the credentials again. The library does so once a minute, and a token may be revoked before that."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def credentials(self) -> Credentials:
        """Return the credentials as they are now; a service account's token changes every hour."""
        await self._read_credentials()
        configuration = self._client.configuration
        header = await configuration.get_api_key_with_prefix("BearerToken") or ""
        scheme, _, token = header.rpartition(" ")
        return Credentials(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )

    async def _read_credentials(self) -> None:
        with suppress(Exception):  # the file may be written just now, whatever the library makes of half of it
            await self._renew()

    @property
    def version(self) -> str:
        """The version of OcrProfiles in which the latest list was answered; all other calls use it."""
        return self._version

    async def list_profiles(self, namespace: str | None) -> list[Manifest]:
        """List the OcrProfiles of one namespace, or of all, in whichever version the API server serves.

        Raises:
            NotFoundError: it serves none that is known here.
        """
        missing: list[NotFoundError] = []
        for version in sorted(names.VERSIONS, key=lambda one: one != self._version):
            try:
                found = await self._ask(_Call("list", names.PLURAL, _profiles(version, namespace)), parse_list)
            except NotFoundError as exc:
                missing.append(exc)
            else:
                self._version = version
                return found
        raise missing[0]

    async def apply_profile(self, manifest: Mapping[str, Any], manager: str) -> Manifest:
        """Apply a profile's manifest; fields that this manager set earlier and no longer sets are removed."""
        metadata = manifest["metadata"]
        path = _profiles(self._version, metadata["namespace"], metadata["name"])
        body = {**manifest, "apiVersion": f"{names.GROUP}/{self._version}"}
        return await self._ask(_Call("patch", names.PLURAL, path, body, APPLY, _forced(manager)), parse_object)

    async def delete_profile(self, namespace: str, name: str, uid: str) -> None:
        """Delete exactly this profile, not a newer one of its name; one already deleted is fine."""
        body = {"preconditions": {"uid": uid}}
        try:
            path = _profiles(self._version, namespace, name)
            await self._ask(_Call("delete", names.PLURAL, path, body), parse_outcome)
        except NotFoundError:
            return

    async def apply_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> Manifest:
        """Write only the status of a profile."""
        manifest = {
            "apiVersion": f"{names.GROUP}/{self._version}",
            "kind": names.KIND,
            "metadata": {"name": name, "namespace": namespace},
            "status": status,
        }
        path = _profiles(self._version, namespace, name) + "/status"
        query = _forced(names.CONTROLLER_MANAGER)
        return await self._ask(_Call("patch", "ocrprofiles/status", path, manifest, APPLY, query), parse_object)

    async def get_config_map(self, namespace: str) -> Manifest | None:
        """Read the ConfigMap; None if there is none."""
        try:
            return await self._ask(_Call("get", "configmaps", _config_map(namespace)), parse_object)
        except NotFoundError:
            return None

    async def apply_config_map(self, manifest: Mapping[str, Any]) -> Manifest:
        """Apply the ConfigMap's manifest; keys of other managers stay."""
        path = _config_map(manifest["metadata"]["namespace"])
        query = _forced(names.CONTROLLER_MANAGER)
        return await self._ask(_Call("patch", "configmaps", path, manifest, APPLY, query), parse_object)

    async def trim_config_map(self, namespace: str, patch: Mapping[str, Any]) -> Manifest:
        """Remove keys of other managers."""
        query = {"fieldManager": names.CONTROLLER_MANAGER}
        asked = _Call("patch", "configmaps", _config_map(namespace), patch, MERGE, query)
        return await self._ask(asked, parse_object)

    async def delete_config_map(self, namespace: str) -> None:
        """Delete the ConfigMap, because somebody made it immutable; one already deleted is fine."""
        try:
            await self._ask(_Call("delete", "configmaps", _config_map(namespace)), parse_outcome)
        except NotFoundError:
            return

    async def list_pods(self, namespace: str, selector: str) -> list[Manifest]:
        """List the pods with these labels."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        return await self._ask(_Call("list", "pods", path, query={"labelSelector": selector}), parse_list)

    async def annotate_pod(self, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> None:
        """Annotate exactly this pod. With its uid in the patch, a later pod of that name is a conflict."""
        patch = {"metadata": {"uid": uid, "annotations": dict(annotations)}}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        query = {"fieldManager": names.CONTROLLER_MANAGER}
        await self._ask(_Call("patch", "pods", path, patch, MERGE, query), parse_object)

    async def get_lease(self, namespace: str) -> Manifest | None:
        """Read the Lease; None if there is none."""
        try:
            return await self._ask(_Call("get", "leases", _leases(namespace, names.LEASE)), parse_object)
        except NotFoundError:
            return None

    async def put_lease(self, manifest: Mapping[str, Any]) -> Manifest:
        """Create the Lease, or replace the version that its metadata names; another version is a ConflictError."""
        metadata = manifest["metadata"]
        if "resourceVersion" not in metadata:
            return await self._ask(_Call("create", "leases", _leases(metadata["namespace"]), manifest), parse_object)
        path = _leases(metadata["namespace"], metadata["name"])
        return await self._ask(_Call("update", "leases", path, manifest), parse_object)

    async def emit_event(self, about: Mapping[str, Any], event: Event, component: str, now: str) -> None:
        """Create an event about an object; if an event of that name exists, nothing is done."""
        metadata = about["metadata"]
        namespace = metadata["namespace"]
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": event.name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "namespace": namespace,
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._ask(_Call("create", "events", f"/api/v1/namespaces/{namespace}/events", body), parse_object)
        except ConflictError:
            return

    # ── how it is asked ───────────────────────────────────────────────────────────────────────────────────────

    async def _ask(self, asked: _Call, parse: Callable[[str, bytes], A]) -> A:
        content_type, content = await self._call(asked)
        try:
            return parse(content_type, content)
        except AnswerError as exc:
            raise UnavailableError(f"{asked}: {exc}") from None

    async def _call(self, asked: _Call) -> tuple[str, bytes]:
        """Call until the API server is not busy; return the answer's content type and body, unchecked."""
        for _ in range(BUSY_ATTEMPTS - 1):
            try:
                return await self._call_once(asked)
            except BusyError as exc:
                await asyncio.sleep(min(exc.retry_after_s, MAX_RETRY_AFTER_S))
        return await self._call_once(asked)

    async def _call_once(self, asked: _Call) -> tuple[str, bytes]:
        try:
            response = await self._send(asked)
            async with response:
                content = await _read(response)
        except (aiohttp.ClientError, ConfigException, TimeoutError, OSError) as exc:
            self._count(asked.verb, asked.kind, "none")
            raise UnavailableError(f"{asked}: {_reason(exc)}") from exc
        self._count(asked.verb, asked.kind, str(response.status))
        if response.status == 401:
            await self._read_credentials()
        if response.status >= 300:
            raise _error(str(asked), response.status, response.headers, content)
        return response.headers.get("Content-Type", ""), content

    async def _send(self, asked: _Call) -> aiohttp.ClientResponse:
        request = await self._client.param_serialize(
            METHODS[asked.verb],
            asked.path,
            query_params=list((asked.query or {}).items()),
            header_params={"Accept": JSON, "Content-Type": asked.content_type},
            body=asked.body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(*request[:5], _request_timeout=self._timeout)
        response: aiohttp.ClientResponse = answer.response
        return response


class _AnswerRefusedError(aiohttp.ClientError):
    """An answer that is not read completely; the text says why."""


async def _follow_nothing(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Refuse redirects: an API server sends none, and no other server may get what is written here."""
    response = await send(request)
    if 300 <= response.status < 400:
        _refuse(response, f"{response.status}, a redirect, which is not followed")
    return response


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            _refuse(response, f"the answer has more than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


def _refuse(response: aiohttp.ClientResponse, why: str) -> NoReturn:
    response.close()
    raise _AnswerRefusedError(why)


def _reason(exc: Exception) -> str:
    return str(exc) if isinstance(exc, _AnswerRefusedError) else type(exc).__name__


METHODS = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}


def _profiles(version: str, namespace: str | None, name: str = "") -> str:
    where = f"/namespaces/{namespace}" if namespace is not None else ""
    return f"/apis/{names.GROUP}/{version}{where}/{names.PLURAL}" + (f"/{name}" if name else "")


def _leases(namespace: str, name: str = "") -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases" + (f"/{name}" if name else "")


def _config_map(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{names.CONFIG_MAP}"


def _forced(manager: str) -> dict[str, str]:
    return {"fieldManager": manager, "force": "true"}


STATUSES: dict[int, type[ClusterError]] = {
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: UnavailableError,  # the list took so long that its continue token expired
}


def _error(asked: str, status: int, headers: Mapping[str, str], content: bytes) -> ClusterError:
    text = f"{asked}: {status} {message_of(content)[:SHOWN_ANSWER_CHARS]}"
    if status == 429:
        return BusyError(text, _seconds(headers.get("Retry-After")))
    if status == 403 and is_terminating(content):
        return TerminatingError(text)
    if kind := STATUSES.get(status):
        return kind(text)
    return UnavailableError(text) if status >= 500 else RefusedError(text)


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 1))
    except ValueError:  # it may be a date; then one second will do
        return 1.0
