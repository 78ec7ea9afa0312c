"""From v1alpha1 of the OcrProfile to v1beta1 and back, while profiles are served: nothing is lost or withdrawn."""

import asyncio

import pytest

from controller import names
from tests.integration.controller.cluster_under_test import CRD, Admin, ApiRefusalError, Object, until
from tests.integration.controller.conftest import Kube, load, put_crd
from tests.integration.controller.test_controller_cli import running
from tools.charts import release as kept

OLD = kept.last_without("v1beta1")
"""The release without v1beta1."""
BOTH = [*names.VERSIONS]
ROUTE = "/apis/ocr.np-dms.work/{version}/namespaces/{namespace}/ocrprofiles"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ocrprofiles.ocr.np-dms.work"


def old_crd():
    return kept.read(OLD)[0]


async def serve(kube: Kube, versions: list[str]) -> None:
    """Have the API server serve these versions; what is stored must be among them."""
    if kube.fake is not None:
        kube.fake.served = versions
        return
    stored = versions[-1]
    await store_anew(kube.admin, stored)
    await put_crd(kube.admin, crd_with(versions, stored))


def crd_with(versions: list[str], stored: str) -> Object:
    """The CRD with these versions."""
    crd = load(CRD)
    crd["spec"]["versions"] = [
        one | {"storage": one["name"] == stored} for one in crd["spec"]["versions"] if one["name"] in versions
    ]
    return crd


async def store_anew(admin: Admin, version: str) -> None:
    """Store all profiles in this version, as docs/operations.md says, so that the other can be left out of the CRD."""
    await put_crd(admin, crd_with(BOTH, version))
    everywhere = "/apis/ocr.np-dms.work/v1beta1/ocrprofiles"
    # The API server makes its storage anew for a changed CRD, and answers 429 meanwhile.
    for profile in (await until(lambda: listed(admin, everywhere), seconds=20))["items"]:
        where = ROUTE.format(version="v1beta1", namespace=profile["metadata"]["namespace"])
        await admin.ask("PUT", f"{where}/{profile['metadata']['name']}", profile)
    status = {"status": {"storedVersions": [version]}}
    await admin.ask("PATCH", f"{CRDS}/status", status, "application/merge-patch+json")


async def listed(admin: Admin, path: str) -> Object | None:
    try:
        return await admin.ask("GET", path)
    except ApiRefusalError as refusal:
        if refusal.status != 429:
            raise
        return None


async def profile_in(kube: Kube, version: str, name: str = "a"):
    return await kube.admin.ask("GET", ROUTE.format(version=version, namespace=kube.admin.namespace) + f"/{name}")


async def create_in(kube: Kube, version: str, name: str = "a"):
    body = {
        "apiVersion": f"ocr.np-dms.work/{version}",
        "kind": "OcrProfile",
        "metadata": {"name": name},
        "spec": {"canonicalModel": "np-dms-ocr", "temperature": 0.25},
    }
    return await kube.admin.ask("POST", ROUTE.format(version=version, namespace=kube.admin.namespace), body)


async def is_told(kube: Kube, version: str, name: str = "a"):
    """Give the status, once it says something of the present spec."""
    found = await profile_in(kube, version, name)
    status = found.get("status") or {}
    return status if status.get("observedGeneration") == found["metadata"]["generation"] else None


@pytest.mark.parametrize("served", [["v1alpha1"], BOTH, ["v1beta1"]], ids="+".join)
async def test_the_controller_speaks_any_version_that_is_served(kube, run_controller, served):
    try:
        await serve(kube, served)
        await create_in(kube, served[-1])
        controller = await run_controller(kube)
        await until(kube.admin.payloads, lambda seen: set(seen) == {"a"}, seconds=20)
        status = await until(lambda: is_told(kube, served[-1]), seconds=20)
        assert status["conditions"]
        await until(controller.readiness, lambda seen: seen == (200, []), seconds=20)
        merge = ("application/merge-patch+json",)
        path = ROUTE.format(version=served[-1], namespace=kube.admin.namespace) + "/a"
        await kube.admin.ask("PATCH", path, {"spec": {"temperature": 0.75}}, *merge)
        await until(kube.admin.payloads, lambda seen: seen["a"]["runtimeParams"]["temperature"] == 0.75, seconds=20)
    finally:
        await serve(kube, BOTH)


async def test_a_profile_is_the_same_in_every_version(kube, run_controller):
    await create_in(kube, "v1alpha1")
    await run_controller(kube)
    await until(lambda: is_told(kube, "v1beta1"), seconds=20)
    old, new = [await profile_in(kube, version) for version in ("v1alpha1", "v1beta1")]
    assert [one["apiVersion"].rpartition("/")[2] for one in (old, new)] == ["v1alpha1", "v1beta1"]
    assert (old["spec"], old["status"]) == (new["spec"], new["status"])


@pytest.mark.matrix
async def test_a_version_that_is_no_longer_served_ends_the_process_and_the_next_speaks_the_other(fake):
    """Its watches fail for ever, so it has to be started anew; passes go on meanwhile, in the other version."""
    await create_in(fake, "v1alpha1")
    async with running(fake, "run", CONTROLLER_WATCH_SECONDS="1", CONTROLLER_OPS_PORT="0") as process:
        await until(fake.admin.payloads, seconds=20)
        fake.fake.served = ["v1alpha1"]
        async with asyncio.timeout(60):
            assert await process.wait() != 0
    await create_in(fake, "v1alpha1", "b")
    async with running(fake, "run", CONTROLLER_OPS_PORT="0") as process:
        await until(fake.admin.payloads, lambda seen: set(seen) == {"a", "b"}, seconds=20)
        assert process.returncode is None


@pytest.mark.envtest
async def test_the_way_from_the_last_release_and_back(real, run_controller):
    """The steps of docs/operations.md: new CRD, new controller; back: old controller, old CRD. No pass writes anew."""
    await put_crd(real.admin, old_crd())
    try:
        await create_in(real, "v1alpha1")
        controller = await run_controller(real)  # one that was upgraded before its CRD
        before = await until(real.admin.payloads, seconds=20)
        status = await until(lambda: is_told(real, "v1alpha1"), seconds=20)
        await controller.stop()
        await put_crd(real.admin, load(CRD))
        assert (await profile_in(real, "v1beta1"))["status"] == status
        controller = await run_controller(real)
        await until(controller.readiness, lambda seen: seen == (200, []), seconds=20)
        assert await controller.writes() == 0, "what was published and told in v1alpha1 is so in v1beta1"
        await create_in(real, "v1beta1", "b")
        await until(real.admin.payloads, lambda seen: set(seen) == {"a", "b"}, seconds=20)
        await until(lambda: is_told(real, "v1beta1", "b"), seconds=20)
        await controller.stop()
        await put_crd(real.admin, old_crd())
        kept_profile = await profile_in(real, "v1alpha1", "b")
        assert kept_profile["spec"]["temperature"] == 0.25
        controller = await run_controller(real)
        await until(controller.readiness, lambda seen: seen == (200, []), seconds=20)
        assert await controller.writes() == 0
        assert (await real.admin.payloads())["a"] == before["a"]
    finally:
        await put_crd(real.admin, load(CRD))
