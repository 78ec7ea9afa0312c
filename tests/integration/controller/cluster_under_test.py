"""What the tests see of an API server, be it the fake or a real one: an administrator's hands, and a way in."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.conftest import PATIENCE_S

ROOT = Path(__file__).parents[3]
CRD = ROOT / "manifests" / "crd.yaml"
ROLE = ROOT / "manifests" / "rbac" / "controller.yaml"
GROUPS = {"ocrprofiles": "/apis/ocr.np-dms.work/v1beta1", "roles": "/apis/rbac.authorization.k8s.io/v1"}
GROUPS["rolebindings"] = GROUPS["roles"]
SPEC = {"canonicalModel": "np-dms-ocr", "temperature": 0.1, "topP": 0.5, "repeatPenalty": 1.0, "numCtx": 8192}
_NUMBERS = itertools.count(1)

Object = dict[str, Any]


class ApiRefusalError(Exception):
    """The API server said no."""

    def __init__(self, status: int, body: Object) -> None:
        super().__init__(f"{status} {body.get('message')}")
        self.status, self.message = status, body.get("message", "")


class Conditions(dict):
    """Status and reason by type; one that is not there yet is nothing."""

    def __missing__(self, kind: str) -> tuple[str, str]:
        return ("", "")


class Admin:
    """Does what an administrator does with kubectl."""

    def __init__(self, url: str, token: str, name: str) -> None:
        self.url, self.name = url, name
        self.namespace = "ocr"
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"}, connector=aiohttp.TCPConnector(ssl=False)
        )

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, method: str, path: str, body: object = None, kind: str = "application/json", **query) -> Object:
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": kind}
        async with self._session.request(method, self.url + path, data=data, headers=headers, params=query) as response:
            text = await response.text()
            if response.status >= 300:
                # Of a group that it does not know yet, an API server says no more than "404 page not found".
                is_status = response.content_type == "application/json"
                raise ApiRefusalError(response.status, json.loads(text) if is_status else {"message": text})
            return json.loads(text)

    def path(self, resource: str, name: str = "") -> str:
        base = f"{GROUPS.get(resource, '/api/v1')}/namespaces/{self.namespace}/{resource}"
        return f"{base}/{name}" if name else base

    async def use_new_namespace(self) -> str:
        """Make a namespace that no other test uses, with the controller's rights in it."""
        self.namespace = f"ocr-{next(_NUMBERS)}-{time.time_ns() % 10**9}"
        await self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        return self.namespace

    # ── profiles ──────────────────────────────────────────────────────────────────────────────────────────────

    async def create_profile(self, name: str, spec: Object | None = None, **metadata: Any) -> Object:
        body = {
            "apiVersion": "ocr.np-dms.work/v1beta1",
            "kind": "OcrProfile",
            "metadata": {"name": name, **metadata},
            "spec": SPEC | (spec or {}),
        }
        return await self.ask("POST", self.path("ocrprofiles"), body)

    async def patch_profile(self, name: str, spec: Object) -> Object:
        return await self.merge("ocrprofiles", name, {"spec": spec})

    async def merge(self, resource: str, name: str, patch: Object, sub: str = "") -> Object:
        return await self.ask("PATCH", self.path(resource, name) + sub, patch, "application/merge-patch+json")

    async def get(self, resource: str, name: str) -> Object | None:
        try:
            return await self.ask("GET", self.path(resource, name))
        except ApiRefusalError as refusal:
            if refusal.status == 404:
                return None
            raise

    async def delete(self, resource: str, name: str) -> None:
        # Without a kubelet nobody ends a pod gracefully, so it is told to go at once.
        await self.ask("DELETE", self.path(resource, name), {"gracePeriodSeconds": 0})

    async def payloads(self) -> dict[str, Object]:
        """Give what the ConfigMap holds, by profile name."""
        found = await self.get("configmaps", "ocr-profiles") or {}
        return {key.removesuffix(".json"): json.loads(text) for key, text in (found.get("data") or {}).items()}

    async def conditions(self, name: str) -> "Conditions":
        """Give status and reason of each condition."""
        status = ((await self.get("ocrprofiles", name)) or {}).get("status") or {}
        return Conditions((one["type"], (one["status"], one["reason"])) for one in status.get("conditions", ()))

    async def message(self, name: str, condition: str) -> str:
        status = (await self.get("ocrprofiles", name))["status"]
        return next(one["message"] for one in status["conditions"] if one["type"] == condition)

    async def events(self) -> list[tuple[str, str, str]]:
        """Give subject, type and reason of each event."""
        items = (await self.ask("GET", self.path("events")))["items"]
        return sorted((one["involvedObject"]["name"], one["type"], one["reason"]) for one in items)

    # ── pods ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def create_pod(self, name: str, address: str, *, app: str = "ocr-sidecar", is_ready: bool = True) -> Object:
        """Make a pod as if a kubelet had started it."""
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": app}},
            "spec": {"containers": [{"name": "sidecar", "image": "example.invalid/sidecar"}]},
        }
        await self.ask("POST", self.path("pods"), body)
        ready = {"type": "Ready", "status": "True" if is_ready else "False"}
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
        return await self.merge("pods", name, {"status": status}, "/status")

    async def stamp(self, pod: str) -> str | None:
        """Give the hash in a pod's annotation."""
        annotations = (await self.get("pods", pod))["metadata"].get("annotations") or {}
        return annotations.get("ocr.np-dms.work/profiles-hash")


def role_rules() -> list[Object]:
    """Give the rules of the controller's Role."""
    documents = yaml.safe_load_all(ROLE.read_text(encoding="utf-8"))
    return next(document["rules"] for document in documents if document["kind"] == "Role")


def write_kubeconfig(path: Path, url: str, token: str, namespace: str) -> Path:
    """Write the controller's way in."""
    cluster = {"server": url} | ({"insecure-skip-tls-verify": True} if url.startswith("https") else {})
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "controller", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "controller", "namespace": namespace}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


async def until(look: Callable[[], Any], wanted: Callable[[Any], object] = bool, seconds: float = PATIENCE_S) -> Any:
    """Look again and again until it is as wanted; fail with the last look when it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        seen = await look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"it did not happen in {seconds} s; last seen: {seen}"
        await asyncio.sleep(0.02)
