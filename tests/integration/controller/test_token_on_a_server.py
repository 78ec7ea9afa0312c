"""A real API server lets the controller's real token set the hash of a pod, and nothing else."""

import itertools

import pytest

from tests.integration.controller.cluster_under_test import Admin, ApiRefusalError, until
from tools.charts.rendering import objects

pytestmark = pytest.mark.envtest
GROUP = "/apis/admissionregistration.k8s.io/v1"
PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
HASH = {"metadata": {"annotations": {"ocr.np-dms.work/profiles-hash": "0123456789abcdef"}}}
STRATEGIC = "application/strategic-merge-patch+json"


async def test_the_token_sets_the_hash_and_no_image(real):
    await real.admin.create_pod("sidecar-1", "127.0.0.1")
    for one in objects(namespace=real.admin.namespace):
        if plural := PLURALS.get(one["kind"]):
            await real.admin.ask("POST", f"{GROUP}/{plural}", one)
    controller = Admin(real.url, real.token, "controller")
    controller.namespace = real.admin.namespace
    path = controller.path("pods", "sidecar-1")

    images = (f"example.invalid/theirs:{number}" for number in itertools.count())

    async def refusal() -> str:
        """Try another image each time: one that was set before the policy was in force would be no change."""
        image = {"spec": {"containers": [{"name": "sidecar", "image": next(images)}]}}
        try:
            await controller.ask("PATCH", path, image, STRATEGIC)
        except ApiRefusalError as refused:
            return refused.message
        return ""

    try:
        assert "may not change the spec" in await until(refusal, seconds=20)  # a policy is in force a moment later
        await controller.ask("PATCH", path, HASH, "application/merge-patch+json")
        with pytest.raises(ApiRefusalError, match="annotation"):
            await controller.ask("PATCH", path, {"metadata": {"annotations": {"other": "x"}}}, STRATEGIC)
        assert await real.admin.stamp("sidecar-1") == "0123456789abcdef"
    finally:
        await controller.close()
