"""Whoever answers in the API server's or a sidecar's place: each answer costs its call, with a reason, and no more."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from controller.errors import ClusterError, UnavailableError
from controller.kube.api_client import MAX_ANSWER_BYTES as MAX_CLUSTER_BYTES
from controller.kube.api_client import Cluster, open_cluster
from controller.kube.sidecar_client import SidecarClient
from controller.resource.event import Event
from controller.resource.sidecar_pod import Sidecar
from tests.integration.controller.cluster_under_test import until, write_kubeconfig
from tools.fakes.kube import RefusalError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OBJECT = {"metadata": {"name": "a", "namespace": "ocr", "uid": "1"}}


class Stranger:
    """A server that answers everything in one way, which a test may change."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answer: Handler | None = None
        self.asked: list[str] = []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        return await self.answer(request)


@pytest.fixture
async def stranger(aiohttp_server) -> Stranger:
    found = Stranger(0)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.serve)
    found.port = (await aiohttp_server(app)).port
    return found


@pytest.fixture
async def cluster(stranger, tmp_path, request) -> AsyncIterator[Cluster]:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{stranger.port}", "token", "ocr")
    opened = await open_cluster(str(kubeconfig), getattr(request, "param", 0.5), lambda *_: None)
    yield opened
    await opened.close()


def says(body: object, status: int = 200, kind: str = "application/json", **headers: str) -> Handler:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=raw, status=status, content_type=kind, headers=headers)

    return answer


async def redirects(request: web.Request) -> web.StreamResponse:
    if request.path == "/login":
        return web.json_response(OBJECT | {"items": []})
    raise web.HTTPTemporaryRedirect("/login")


async def never_ends(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"items": [')
    await asyncio.sleep(5)
    return response


async def breaks_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"items": [')
    request.transport.abort()
    return response


async def floods(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 2**20)
    except ConnectionError:
        return response


def with_metadata(**metadata: object) -> dict[str, object]:
    return {"metadata": OBJECT["metadata"] | metadata}


HTML = b"<!doctype html><title>Sign in</title>"
ANSWERS = {
    "HTML": (says(HTML, kind="text/html"), "the answer is text/html, not JSON"),
    "HTML that claims to be JSON": (says(HTML), "the answer's 37 bytes are not JSON"),
    "half JSON": (says(b'{"items": [{"metad'), "the answer's 18 bytes are not JSON"),
    "deep JSON": (says(b"[" * 100_000), "are not JSON"),
    "not UTF-8": (says(b'{"items": ["\xff"]}'), "are not JSON"),
    "an endless number": (says(b'{"items": ' + b"9" * 5000 + b"}"), "are not JSON"),
    "JSON of another type": (says({"items": []}, kind="text/plain"), "the answer is text/plain, not JSON"),
    "null": (says(None), "not what was asked for"),
    "a list": (says([]), "not what was asked for"),
    "a string": (says("ok"), "not what was asked for"),
    "an empty object": (says({}), "not what was asked for"),
    "nothing": (says(b""), "the answer's 0 bytes are not JSON"),
    "204": (says(b"", 204), "not JSON"),
    "a redirect": (redirects, "307, a redirect, which is not followed"),
    "304": (says(b"", 304), "304, a redirect"),
    "500 in HTML": (says(HTML, 500, "text/html"), "500 <!doctype html>"),
    "a message that is no text": (says({"message": {"a": 1}}, 503), '503 {"message"'),
    "gzip that is none": (says(b"{}", **{"Content-Encoding": "gzip"}), "Error"),
    "half gzip": (says(gzip.compress(b'{"items": []}' * 99)[:-9], **{"Content-Encoding": "gzip"}), ""),
    "a body that never ends": (never_ends, "TimeoutError"),
    "a body that breaks off": (breaks_off, "Error"),
}
LISTS = {
    "items that are null": ({"items": None}, "items"),
    "items that are an object": ({"items": {}}, "items"),
    "an item that is null": ({"items": [None]}, "items.0"),
    "an item without metadata": ({"items": [{}]}, "items.0.metadata"),
    "an item without a name": ({"items": [{"metadata": {"namespace": "ocr", "uid": "1"}}]}, "items.0.metadata.name"),
    "a name that is a number": ({"items": [with_metadata(name=7)]}, "items.0.metadata.name"),
    "labels that are a list": ({"items": [with_metadata(labels=["a"])]}, "items.0.metadata.labels"),
    "annotations that are text": ({"items": [with_metadata(annotations="a")]}, "items.0.metadata.annotations"),
    "a generation that is text": ({"items": [with_metadata(generation="1")]}, "items.0.metadata.generation"),
    "a status that is a list": ({"items": [OBJECT | {"status": []}]}, "items.0.status"),
    "conditions without a type": (
        {"items": [OBJECT | {"status": {"conditions": [{"status": "True"}]}}]},
        "items.0.status.conditions.0.type",
    ),
}
EVENT = Event("e", "Normal", "Reason", "message")
CALLS: dict[str, Callable[[Cluster], Awaitable[object]]] = {
    "list profiles": lambda cluster: cluster.list_profiles(None),
    "apply a profile": lambda cluster: cluster.apply_profile(OBJECT, "m"),
    "delete a profile": lambda cluster: cluster.delete_profile("ocr", "a", "1"),
    "apply a status": lambda cluster: cluster.apply_status("ocr", "a", {}),
    "get the ConfigMap": lambda cluster: cluster.get_config_map("ocr"),
    "apply the ConfigMap": lambda cluster: cluster.apply_config_map(OBJECT),
    "trim the ConfigMap": lambda cluster: cluster.trim_config_map("ocr", {}),
    "delete the ConfigMap": lambda cluster: cluster.delete_config_map("ocr"),
    "list pods": lambda cluster: cluster.list_pods("ocr", "a=b"),
    "annotate a pod": lambda cluster: cluster.annotate_pod("ocr", "a", "1", {}),
    "tell an event": lambda cluster: cluster.emit_event(
        {"apiVersion": "v1", "kind": "Pod", **OBJECT}, EVENT, "c", "2026-01-01T00:00:00Z"
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_answers_a_call_costs_that_call_with_a_reason(cluster, stranger, answer):
    stranger.answer, why = ANSWERS[answer]
    with pytest.raises(UnavailableError, match="list ocrprofiles /apis/") as refused:
        await cluster.list_profiles(None)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 500
    assert "/login" not in stranger.asked


@pytest.mark.parametrize("answer", LISTS)
async def test_a_list_of_another_shape_is_refused_where_it_differs(cluster, stranger, answer):
    body, place = LISTS[answer]
    stranger.answer = says(body)
    with pytest.raises(UnavailableError) as refused:
        await cluster.list_profiles(None)
    assert re.search(rf"not what was asked for: {place}(:| is missing)", str(refused.value))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", ["HTML", "half JSON", "null", "a list", "204", "a redirect"])
async def test_every_call_refuses_what_is_no_answer(cluster, stranger, call, answer):
    stranger.answer, _ = ANSWERS[answer]
    with pytest.raises(ClusterError):
        await CALLS[call](cluster)


@pytest.mark.parametrize("cluster", [20], indirect=True)
async def test_a_body_that_would_fill_the_memory_is_cut_off(cluster, stranger):
    stranger.answer = floods
    with pytest.raises(UnavailableError, match=f"has more than {MAX_CLUSTER_BYTES} bytes"):
        await cluster.list_profiles(None)


async def test_a_packed_answer_is_an_answer(cluster, stranger):
    body = gzip.compress(json.dumps({"items": [OBJECT]}).encode())
    stranger.answer = says(body, **{"Content-Encoding": "gzip"})
    assert await cluster.list_profiles(None) == [OBJECT]


# ── the controller as a whole ─────────────────────────────────────────────────────────────────────────────────────


class ForeignAnswerError(RefusalError):
    """What a proxy says in the API server's place."""

    def __init__(self, status: int, kind: str, body: bytes) -> None:
        super().__init__(status, "", "")
        self.kind, self.body = kind, body

    def response(self) -> web.Response:
        return web.Response(body=self.body, status=self.code, content_type=self.kind)


@pytest.mark.parametrize(
    "answer",
    [
        ForeignAnswerError(200, "text/html", HTML),
        ForeignAnswerError(200, "application/json", b'{"items": [{'),
        ForeignAnswerError(200, "application/json", b'{"items": null}'),
        ForeignAnswerError(200, "application/json", b'{"items": [{"metadata": {}}]}'),
        ForeignAnswerError(204, "application/json", b""),
    ],
    ids=["HTML", "half", "null", "no metadata", "204"],
)
async def test_a_proxy_that_answers_for_a_while_ends_nothing_and_withdraws_nothing(fake, run_controller, answer):
    fake.fake.rules.clear()
    fake.fake.rules.append({"apiGroups": ["", GROUP], "resources": EVERYTHING, "verbs": ["list", "watch", *VERBS]})
    controller = await run_controller(fake, WATCH_NAMESPACE="*", CONTROLLER_RESYNC_SECONDS="0.2")
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    await until(controller.readiness, lambda seen: seen == (200, []))
    refused = []

    def fault(call):
        if call.verb == "list" and call.resource == "ocrprofiles":
            refused.append(call)
            return answer
        return None

    fake.fake.faults.append(fault)
    await until(lambda: seen_cluster_wide(refused))
    await until(controller.readiness, lambda seen: seen == (503, ["reconcile-failing"]))
    fake.fake.faults.clear()
    await until(controller.readiness, lambda seen: seen == (200, []))
    assert set(await fake.admin.payloads()) == {"a"}


GROUP = "ocr.np-dms.work"
EVERYTHING = ["configmaps", "pods", "events", "ocrprofiles", "ocrprofiles/status"]
VERBS = ["get", "create", "patch", "delete"]


async def seen_cluster_wide(calls):
    """Whether the list of all namespaces, which no pass makes, has met the proxy twice: it outlived the first."""
    return len([call for call in calls if call.namespace == ""]) >= 2


# ── a sidecar ─────────────────────────────────────────────────────────────────────────────────────────────────────

LOADED = {"profiles": [{"name": "a", "revision": "1"}], "refused": []}


async def padded(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(json.dumps(LOADED).encode())
    try:
        while True:
            await response.write(b" " * 2**20)
    except ConnectionError:
        return response


SIDECARS = {
    "500": says(LOADED, 500),
    "404": says(LOADED, 404),
    "201": says(LOADED, 201),
    "another type": says(LOADED, kind="text/html"),
    "HTML": says(HTML, kind="text/html"),
    "a redirect": redirects,
    "a body that never ends": never_ends,
    "a body that breaks off": breaks_off,
    "a body that is too long": padded,
    "names that are numbers": says({"profiles": {"a": 1}}),
    "gzip that is none": says(json.dumps(LOADED).encode(), **{"Content-Encoding": "gzip"}),
}


async def ask(stranger: Stranger) -> Sidecar:
    client = SidecarClient(stranger.port, 3)
    try:
        (asked,) = await client.ask_all([Sidecar("sidecar-1", "1", "127.0.0.1", is_ready=True, stamped=None)])
    finally:
        await client.close()
    return asked


@pytest.mark.parametrize("answer", SIDECARS)
async def test_only_a_whole_answer_of_a_sidecar_is_believed(stranger, answer):
    stranger.answer = SIDECARS[answer]
    assert (await ask(stranger)).loaded is None


async def test_a_good_answer_of_a_sidecar_is_believed_packed_or_not(stranger):
    stranger.answer = says(LOADED)
    assert (await ask(stranger)).loaded == {"a": "1"}
    stranger.answer = says(gzip.compress(json.dumps(LOADED).encode()), **{"Content-Encoding": "gzip"})
    assert (await ask(stranger)).loaded == {"a": "1"}


async def test_a_reason_that_is_half_a_character_is_told_as_text(stranger):
    stranger.answer = says(b'{"profiles": [], "refused": [{"name": "a", "reason": "\\ud83d"}]}')
    assert (await ask(stranger)).refused == {"a": "?"}
