"""A small API server on a real socket, for the controller's tests.

Why not kmock: kmock 0.8 generates no uid, no resourceVersion and no generation, merges every PATCH alike, and has no
status subresource, so "nothing was written", server-side apply and a watch that resumes from a version cannot be tested
with it. This server has only what those need: defaulting, pruning and ranges from the CRD, field managers, conflicts,
selectors, watches with bookmarks, and the rights of a Role. CEL is not here; the tests marked envtest run on a real API
server for that.
"""

import asyncio
import bisect
import contextlib
import copy
import itertools
import json
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

Object = dict[str, Any]
PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>status))?"
)
CONTROLLER, ADMIN = "controller-token", "admin-token"
GROUP = "ocr.np-dms.work"
KINDS = {
    "configmaps": ("", "v1", "ConfigMap"),
    "pods": ("", "v1", "Pod"),
    "events": ("", "v1", "Event"),
    "namespaces": ("", "v1", "Namespace"),
    "leases": ("coordination.k8s.io", "v1", "Lease"),
    "ocrprofiles": (GROUP, "v1beta1", "OcrProfile"),
}
WITH_GENERATION = frozenset({"ocrprofiles"})
WRITES = frozenset({"create", "patch", "update", "delete"})


@dataclass(frozen=True)
class Call:
    """A request, as the authoriser sees it."""

    user: str
    verb: str
    group: str
    resource: str
    """With its subresource: ``ocrprofiles/status``."""
    namespace: str
    name: str
    selector: str = ""
    """Of labels."""

    @property
    def is_write(self) -> bool:
        return self.verb in WRITES


class RefusalError(Exception):
    def __init__(
        self, code: int, reason: str, message: str, headers: dict[str, str] | None = None, cause: str = ""
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.headers, self.cause = code, reason, message, headers or {}, cause

    def response(self) -> web.Response:
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": self.reason}
        body |= {"details": {"causes": [{"reason": self.cause}]}} if self.cause else {}
        return web.json_response(
            body | {"message": self.message, "code": self.code}, status=self.code, headers=self.headers
        )


NO_SUCH_RESOURCE = RefusalError(404, "NotFound", "the server could not find the requested resource")


@dataclass
class Stored:
    """One object, and who owns which of its leaves."""

    body: Object
    owned: dict[tuple[str, str], set[tuple[str, ...]]] = field(default_factory=dict)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], Any]]:
    """Every leaf by its path; the items of ``conditions`` are identified by their type, other lists are leaves."""
    if isinstance(value, list) and path[-1:] == ("conditions",):
        value = {f"type={item['type']}": item for item in value}
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield path, value


def merge(into: Any, patch: Any, *, by_type: bool = False) -> Any:
    """Merge as JSON merge patch does; with ``by_type``, conditions one by one, as server-side apply does."""
    if by_type and isinstance(patch, list) and patch and isinstance(into, list) and "type" in patch[0]:
        known = {item["type"]: item for item in into}
        known.update({item["type"]: merge(known.get(item["type"], {}), item) for item in patch})
        return list(known.values())
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(into) if isinstance(into, dict) else {}
    for key, value in patch.items():
        if value is None and not by_type:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value, by_type=by_type)
    return merged


def remove(body: Object, path: tuple[str, ...]) -> None:
    """Remove a leaf, and parents that become empty."""
    head, *rest = path
    if head.startswith("type="):
        return  # the controller under test only ever replaces a condition
    if not rest:
        body.pop(head, None)
    elif isinstance(body.get(head), dict):
        remove(body[head], tuple(rest))
        if not body[head]:
            del body[head]


def shape(value: Any, schema: Object, path: str) -> Any:
    """Prune, default and check a value according to a structural schema."""
    if value is None and schema.get("nullable"):
        return None
    kind = schema.get("type")
    accepted = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    if not isinstance(value, accepted[kind]) or (kind in ("integer", "number") and isinstance(value, bool)):
        raise RefusalError(422, "Invalid", f"{path}: Invalid value: {value!r}: must be of type {kind}")
    if kind == "object" and "properties" in schema:
        known = schema["properties"]
        value = {k: v for k, v in value.items() if k in known and not (v is None and not known[k].get("nullable"))}
        for name, inner in known.items():
            if name not in value and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
        for name in schema.get("required", ()):
            if name not in value:
                raise RefusalError(422, "Invalid", f"{path}.{name}: Required value")
        return {k: shape(v, known[k], f"{path}.{k}") for k, v in value.items()}
    if kind == "array":
        return [shape(item, schema["items"], f"{path}[{number}]") for number, item in enumerate(value)]
    limits = [
        value < schema.get("minimum", value) if kind in ("integer", "number") else False,
        value > schema.get("maximum", value) if kind in ("integer", "number") else False,
        kind == "string" and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)),
        kind == "string" and value not in schema.get("enum", [value]),
    ]
    if any(limits):
        raise RefusalError(422, "Invalid", f"{path}: Invalid value: {value!r}: outside its range")
    return value


def in_version_of(request: web.Request, answer: Object) -> Object:
    """Return objects in the version that was asked for; a real API server converts them so, by the strategy None."""
    match = PATH.fullmatch(request.path)
    wanted = f"{match['group']}/{match['version']}" if match and match["version"] else None
    if wanted is None or answer.get("apiVersion") in (None, wanted):
        return answer
    items = {"items": [in_version_of(request, one) for one in answer["items"]]} if "items" in answer else {}
    return {**answer, **items, "apiVersion": wanted}


class FakeKube:
    """The server. Tests inspect it and make it fail through its fields; the controller uses only HTTP."""

    def __init__(self, crd: Object, rules: list[Object]) -> None:
        self.schema: Object | None = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        self.served = [one["name"] for one in crd["spec"]["versions"] if one["served"]]
        """Versions of the CRD, which all have one schema."""
        self.is_crd_there = True
        self.rules = rules
        self.objects: dict[tuple[str, str, str], Stored] = {}
        self.calls: list[Call] = []
        self.written: list[Call] = []
        """Calls that changed something."""
        self.refused: list[Call] = []
        """Calls that no rule allows."""
        self.faults: list[Callable[[Call], RefusalError | None]] = []
        self.on_call: Callable[[Call, str], None] = lambda _call, _when: None
        """Called for every call of the controller, ``before`` and ``after`` it is done."""
        self.silent = False
        """Watches that run while this is true stay silent and never end, as when a router lost a connection."""
        self.bookmark_s = 1.0
        self.tokens = {CONTROLLER: CONTROLLER, ADMIN: ADMIN}
        """Users by their token; one that is taken out is revoked. Watches that run go on, as with a real one."""
        self.unknown_users: Counter[str] = Counter()
        """How many calls came with a token that nobody has, by their verb."""
        self.terminating: set[str] = set()
        """Namespaces that are being deleted: nothing new can be made there."""
        self._versions = itertools.count(1001)
        self._version = 1000
        self._history: list[tuple[int, str, str, Object]] = []
        self._news = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._closing = False
        self.port = 0

    # ── life ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; once started, always on the same port."""
        self._closing = False
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop, and close all connections; stored objects stay."""
        self._closing = True
        self._wake()
        if self._runner is not None:
            await self._runner.cleanup()

    # ── requests ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            if (found := self._discovery(request.path)) is not None:
                return web.json_response(found)
            return await self._answer(request, self._call(request))
        except RefusalError as refusal:
            return refusal.response()

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        self._authorise(call)
        if call.resource.startswith("ocrprofiles") and not self.is_crd_there:
            raise NO_SUCH_RESOURCE
        if call.user == CONTROLLER:
            self.calls.append(call)
            self.on_call(call, "before")
            for fault in self.faults:
                if (refusal := fault(call)) is not None:
                    raise refusal
        if call.verb == "watch":
            return await self._watch(request, call)
        body = await request.json() if request.can_read_body and request.content_length else {}
        before = self._version
        answer = self._do(request, call, body)
        if call.user == CONTROLLER:
            if self._version != before:
                self.written.append(call)
            self.on_call(call, "after")
        return web.json_response(in_version_of(request, answer), status=201 if call.verb == "create" else 200)

    def _call(self, request: web.Request) -> Call:
        match = PATH.fullmatch(request.path)
        if match is None or match["resource"] not in KINDS or match["version"] not in (None, "v1", *self.served):
            raise NO_SUCH_RESOURCE
        methods = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete", "GET": "get"}
        verb, name = methods[request.method], match["name"] or ""
        if verb == "get" and not name:
            verb = "watch" if request.query.get("watch") in ("true", "1") else "list"
            selected = re.fullmatch(r"metadata\.name=(.+)", request.query.get("fieldSelector", ""))
            name = selected[1] if selected else ""
        token = request.headers.get("Authorization", "").rpartition(" ")[2]
        user = self.tokens.get(token)
        if user is None:
            self.unknown_users[verb] += 1
            raise RefusalError(401, "Unauthorized", "Unauthorized")
        resource = match["resource"] + (f"/{match['sub']}" if match["sub"] else "")
        selector = request.query.get("labelSelector", "")
        return Call(user, verb, match["group"] or "", resource, match["namespace"] or "", name, selector)

    def _authorise(self, call: Call, verb: str | None = None) -> None:
        verb = verb or call.verb
        for rule in self.rules if call.user == CONTROLLER else []:
            names = rule.get("resourceNames")
            if (
                call.group in rule["apiGroups"]
                and call.resource in rule["resources"]
                and verb in rule["verbs"]
                and (names is None or call.name in names)
            ):
                rule.setdefault("used", set()).add(verb)
                return
        if call.user != ADMIN:
            self.refused.append(call)
            raise RefusalError(403, "Forbidden", f"{call.user} cannot {verb} resource {call.resource!r} {call.name!r}")

    def _discovery(self, path: str) -> Object | None:
        versions = [{"groupVersion": f"{GROUP}/{version}", "version": version} for version in self.served]
        resources = {"/api/v1": [(name, kind) for name, (group, _, kind) in KINDS.items() if group == ""]} | {
            f"/apis/{GROUP}/{version}": [(name, kind) for name, (group, _, kind) in KINDS.items() if group == GROUP]
            for version in self.served
        }
        if path in resources:
            verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
            return {
                "kind": "APIResourceList",
                "resources": [
                    {"name": name, "singularName": "", "namespaced": name != "namespaces", "kind": kind, "verbs": verbs}
                    for name, kind in resources[path]
                ],
            }
        return {
            "/version": {"major": "1", "minor": "34"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {
                "kind": "APIGroupList",
                "groups": [{"name": GROUP, "versions": versions, "preferredVersion": versions[0]}] if versions else [],
            },
        }.get(path)

    # ── what is stored ────────────────────────────────────────────────────────────────────────────────────────

    def find(self, resource: str, namespace: str, name: str) -> Object | None:
        """Return an object for a test."""
        stored = self.objects.get((resource, namespace, name))
        return copy.deepcopy(stored.body) if stored else None

    def _do(self, request: web.Request, call: Call, body: Object) -> Object:
        match call.verb:
            case "list":
                return self._list(request, call)
            case "get":
                return self._stored(call).body
            case "create":
                return self._create(call, body, {})
            case "delete":
                return self._delete(call, body)
            case "update":
                self._check_version(call, body)
                return self._write(call, self._stored(call), body, {})
        return self._patch(request, call, body)

    def _list(self, request: web.Request, call: Call) -> Object:
        kind = KINDS[call.resource]
        items = [stored.body for stored in self.objects.values() if self._selects(request, call, stored.body)]
        return {
            "kind": f"{kind[2]}List",
            "apiVersion": "/".join(filter(None, kind[:2])),
            "metadata": {"resourceVersion": str(self._version)},
            "items": items,
        }

    def _selects(self, request: web.Request, call: Call, body: Object) -> bool:
        metadata = body["metadata"]
        if body["kind"] != KINDS[call.resource][2] or call.namespace not in ("", metadata.get("namespace", "")):
            return False
        labels = metadata.get("labels") or {}
        wanted = [pair.split("=") for pair in request.query.get("labelSelector", "").split(",") if pair]
        return call.name in ("", metadata["name"]) and all(labels.get(key) == value for key, value in wanted)

    def _stored(self, call: Call) -> Stored:
        key = (call.resource.partition("/")[0], call.namespace, call.name)
        if key not in self.objects:
            raise RefusalError(404, "NotFound", f"{call.resource} {call.name!r} not found")
        return self.objects[key]

    def _create(self, call: Call, body: Object, owned: dict[tuple[str, str], set[tuple[str, ...]]]) -> Object:
        name = body["metadata"]["name"]
        key = (call.resource, call.namespace, name)
        if key in self.objects:
            raise RefusalError(409, "AlreadyExists", f"{call.resource} {name!r} already exists")
        if call.namespace in self.terminating:
            why = f"unable to create new content in namespace {call.namespace} because it is being terminated"
            raise RefusalError(403, "Forbidden", why, cause="NamespaceTerminating")
        number = next(self._versions)
        metadata = {
            **body["metadata"],
            "uid": f"00000000-0000-4000-8000-{number:012}",
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if call.namespace:
            metadata["namespace"] = call.namespace
        if call.resource in WITH_GENERATION:
            metadata["generation"] = 1
            body = {key: value for key, value in body.items() if key != "status"}
        kind = KINDS[call.resource]
        body = {**body, "apiVersion": "/".join(filter(None, kind[:2])), "kind": kind[2], "metadata": metadata}
        stored = Stored(self._shaped(call, body), owned)
        self.objects[key] = stored
        self._store(stored, "ADDED", call.resource)
        return stored.body

    def _shaped(self, call: Call, body: Object) -> Object:
        if call.resource.startswith("ocrprofiles") and self.schema is not None:
            metadata = body["metadata"]
            return {**shape(body, self.schema, "OcrProfile"), "metadata": metadata}
        return body

    def _check_version(self, call: Call, body: Object) -> None:
        metadata = self._stored(call).body["metadata"]
        if body["metadata"].get("resourceVersion", metadata["resourceVersion"]) != metadata["resourceVersion"]:
            raise RefusalError(409, "Conflict", "the object has been modified")

    def _delete(self, call: Call, body: Object) -> Object:
        stored = self._stored(call)
        uid = (body.get("preconditions") or {}).get("uid")
        if uid not in (None, stored.body["metadata"]["uid"]):
            raise RefusalError(409, "Conflict", "the uid in the precondition does not match")
        if stored.body["metadata"].get("finalizers"):
            stored.body = merge(stored.body, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
            self._store(stored, "MODIFIED", call.resource)
            return stored.body
        del self.objects[call.resource, call.namespace, call.name]
        self._store(stored, "DELETED", call.resource)
        return {"kind": "Status", "status": "Success"}

    def _patch(self, request: web.Request, call: Call, body: Object) -> Object:
        kind = request.headers["Content-Type"]
        manager = request.query.get("fieldManager", "unknown")
        if kind == "application/merge-patch+json":
            stored = self._stored(call)
            if (body.get("metadata") or {}).get("uid", stored.body["metadata"]["uid"]) != stored.body["metadata"][
                "uid"
            ]:
                raise RefusalError(409, "Conflict", "the uid in the patch does not match")
            owned = copy.deepcopy(stored.owned)
            return self._write(call, stored, merge(stored.body, body), owned)
        if kind != "application/apply-patch+yaml":
            raise RefusalError(415, "UnsupportedMediaType", kind)
        return self._apply(call, body, manager, is_forced=request.query.get("force") == "true")

    def _apply(self, call: Call, body: Object, manager: str, *, is_forced: bool) -> Object:
        wanted = {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
        wanted["metadata"] = {k: v for k, v in body["metadata"].items() if k in ("labels", "annotations")}
        mine = {path for path, _ in leaves(wanted)}
        owner = (manager, call.resource)
        try:
            stored = self._stored(call)
        except RefusalError:
            if "/" in call.resource:
                raise
            self._authorise(call, "create")
            return self._create(call, body, {owner: mine})
        metadata = stored.body["metadata"]
        if body["metadata"].get("resourceVersion", metadata["resourceVersion"]) != metadata["resourceVersion"]:
            raise RefusalError(409, "Conflict", "the object has been modified")
        owned = copy.deepcopy(stored.owned)
        values, now = dict(leaves(wanted)), dict(leaves(stored.body))
        for other in owned:
            taken = {path for path in owned[other] & mine if other != owner and now.get(path) != values[path]}
            if taken and not is_forced:
                raise RefusalError(409, "Conflict", f"conflict with {other[0]}")
            owned[other] = owned[other] - taken
        merged = merge(stored.body, wanted, by_type=True)
        for path in owned.get(owner, set()) - mine:
            if not any(path in paths for other, paths in owned.items() if other != owner):
                remove(merged, path)
        owned[owner] = mine
        return self._write(call, stored, merged, owned)

    def _write(
        self, call: Call, stored: Stored, body: Object, owned: dict[tuple[str, str], set[tuple[str, ...]]]
    ) -> Object:
        before = stored.body
        if before.get("immutable") and (body.get("data"), body.get("immutable")) != (before.get("data"), True):
            raise RefusalError(422, "Invalid", "data: Forbidden: field is immutable when `immutable` is set")
        if call.resource.endswith("/status"):
            body = {**before, "status": body.get("status")}
        elif call.resource in WITH_GENERATION or call.resource == "pods":
            body = {key: value for key, value in body.items() if key != "status"}
            body |= {"status": before["status"]} if "status" in before else {}
        body = self._shaped(call, body)
        fixed = {key: before["metadata"][key] for key in ("uid", "resourceVersion", "creationTimestamp")}
        body["metadata"] = {**body["metadata"], **fixed}
        if call.resource in WITH_GENERATION and body.get("spec") != before.get("spec"):
            body["metadata"]["generation"] = before["metadata"]["generation"] + 1
        if body == before and owned == stored.owned:
            return before
        if body["metadata"].get("deletionTimestamp") and not body["metadata"].get("finalizers"):
            stored.body = {**body, "metadata": {**body["metadata"], "finalizers": []}}
            return self._delete(call, {})
        stored.body, stored.owned = body, owned
        self._store(stored, "MODIFIED", call.resource.partition("/")[0])
        return stored.body

    def _store(self, stored: Stored, kind: str, resource: str) -> None:
        self._version = next(self._versions)
        stored.body = merge(stored.body, {"metadata": {"resourceVersion": str(self._version)}})
        self._history.append((self._version, kind, resource, stored.body))
        self._wake()

    # ── watches ───────────────────────────────────────────────────────────────────────────────────────────────

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _watch(self, request: web.Request, call: Call) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            async for event in self._events(request, call):
                await response.write(json.dumps(event).encode() + b"\n")
        return response

    def say_to_watches(self, event: Object) -> None:
        """Send something to all current watches of profiles, and end them."""
        self._version = next(self._versions)
        self._history.append((self._version, "LAST", "ocrprofiles", event))
        self._wake()

    async def _events(self, request: web.Request, call: Call) -> AsyncIterator[Object]:
        seen = int(request.query.get("resourceVersion", 0))
        position = bisect.bisect_right(self._history, seen, key=lambda event: event[0])
        ends = time.monotonic() + float(request.query.get("timeoutSeconds", 3600))
        while not self._closing and (left := ends - time.monotonic()) > 0:
            if self.silent:
                ends = time.monotonic() + 3600
                position = sys.maxsize
            news = self._news
            while position < len(self._history):
                _, kind, resource, body = self._history[position]
                position += 1
                if kind == "LAST" and call.resource == resource:
                    yield body
                    return
                if resource == call.resource and kind != "LAST" and self._selects(request, call, body):
                    yield {"type": kind, "object": in_version_of(request, body)}
            try:
                async with asyncio.timeout(min(left, self.bookmark_s)):
                    await news.wait()
            except TimeoutError:
                if position < sys.maxsize and request.query.get("allowWatchBookmarks") == "true":
                    metadata = {"resourceVersion": str(self._version)}
                    yield {"type": "BOOKMARK", "object": {"kind": KINDS[call.resource][2], "metadata": metadata}}
