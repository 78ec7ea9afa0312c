"""Helm 3 and Helm 4 install, upgrade, go back and uninstall on a real API server, as docs/deploy.md says.

There is no kubelet, so nothing waits for pods.
"""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.controller.cluster_under_test import CRD, Admin, write_kubeconfig
from tests.integration.controller.conftest import load, put_crd
from tests.integration.helm.test_helm_versions import helm
from tools.charts import release as kept
from tools.charts.binaries import PACKAGES, program
from tools.charts.rendering import CHART

pytestmark = pytest.mark.envtest

__all__ = ["helm"]  # the fixture
PROFILE = "/apis/ocr.np-dms.work/v1beta1/namespaces/{}/ocrprofiles/ocr-extract"


class Release:
    """One release in a namespace of its own."""

    def __init__(self, admin: Admin, token: str, folder: Path) -> None:
        self.admin, self.folder = admin, folder
        self.kubeconfig = write_kubeconfig(folder / "kubeconfig", admin.url, token, admin.namespace)

    async def run(self, helm: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [helm, "--kubeconfig", self.kubeconfig, "--namespace", self.admin.namespace, *words]
        environ = {"HOME": str(self.folder), "HELM_CACHE_HOME": str(self.folder), "PATH": "/usr/bin:/bin"}
        return await asyncio.to_thread(
            subprocess.run, command, env=environ, capture_output=True, text=True, timeout=120, check=False
        )

    async def ok(self, helm: Path, *words: str | Path) -> str:
        done = await self.run(helm, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def deployment(self, name: str = "ocr-sidecar") -> dict[str, Any]:
        return await self.admin.ask("GET", f"/apis/apps/v1/namespaces/{self.admin.namespace}/deployments/{name}")

    async def revisions(self, helm: Path) -> list[str]:
        return [one["status"] for one in json.loads(await self.ok(helm, "history", "ocr-sidecar", "--output", "json"))]


@pytest.fixture
def release(admin: Admin, api_server, tmp_path: Path) -> Release:
    return Release(admin, api_server.admin_token, tmp_path)


async def test_install_upgrade_back_and_uninstall(helm, release):
    await release.ok(helm, "install", "ocr-sidecar", CHART)
    before = await release.deployment()
    await release.ok(helm, "upgrade", "ocr-sidecar", CHART, "--set", "sidecar.workers=3")
    environ = (await release.deployment())["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "OCR_WORKERS", "value": "3"} in environ
    await release.ok(helm, "rollback", "ocr-sidecar", "1")
    assert (await release.deployment())["spec"] == before["spec"]
    assert await release.revisions(helm) == ["superseded", "superseded", "deployed"]
    await release.ok(helm, "uninstall", "ocr-sidecar")
    profile = await release.admin.ask("GET", PROFILE.format(release.admin.namespace))
    assert profile["spec"]["canonicalModel"] == "np-dms-ocr", "docs/deploy.md: Helm keeps it"


async def test_an_upgrade_with_the_same_values_writes_no_object_anew(helm, release):
    await release.ok(helm, "install", "ocr-sidecar", CHART)
    before = [await release.deployment(name) for name in ("ocr-sidecar", "ocr-controller")]
    await release.ok(helm, "upgrade", "ocr-sidecar", CHART)
    after = [await release.deployment(name) for name in ("ocr-sidecar", "ocr-controller")]
    assert [one["metadata"]["generation"] for one in after] == [one["metadata"]["generation"] for one in before]


async def test_a_release_of_helm_3_goes_on_with_helm_4_and_back(release):
    three, four = (program(major) for major in PACKAGES)
    if not (three.is_file() and four.is_file()):
        pytest.skip("make helm-programs brings both")
    await release.ok(three, "install", "ocr-sidecar", CHART)
    await release.ok(four, "upgrade", "ocr-sidecar", CHART, "--set", "sidecar.workers=3")
    await release.ok(three, "upgrade", "ocr-sidecar", CHART, "--set", "sidecar.workers=4")
    await release.ok(four, "rollback", "ocr-sidecar", "1")
    assert (await release.revisions(four))[-1] == "deployed"


async def test_without_the_new_crd_an_upgrade_is_refused_and_changes_nothing(helm, release):
    """Helm never upgrades a CRD: who forgets that step finds everything as it was."""
    old = kept.last_without("v1beta1")
    try:
        await put_crd(release.admin, kept.read(old)[0])
        # Helm 4 refuses to install where somebody else applied another CRD.
        await release.ok(helm, "install", "ocr-sidecar", CHART, "--skip-crds", "--set", "exampleProfile.enabled=false")
        before = await release.deployment()
        done = await release.run(helm, "upgrade", "ocr-sidecar", CHART, "--set", "sidecar.workers=3")
        assert (done.returncode != 0, 'no matches for kind "OcrProfile"' in done.stderr) == (True, True), done.stderr
        assert (await release.deployment())["metadata"]["generation"] == before["metadata"]["generation"]
        await put_crd(release.admin, load(CRD))
        await release.ok(helm, "upgrade", "ocr-sidecar", CHART, "--set", "sidecar.workers=3")
        assert await release.admin.ask("GET", PROFILE.format(release.admin.namespace))
    finally:
        await put_crd(release.admin, load(CRD))
