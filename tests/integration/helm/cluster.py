"""How objects of the chart are brought to an API server."""

from tests.integration.controller.cluster_under_test import Admin, ApiRefusalError
from tools.charts.rendering import Object

OF_OTHERS = {"monitoring.coreos.com/v1", "keda.sh/v1alpha1", "cilium.io/v2", "gateway.networking.k8s.io/v1"}
"""Kinds whose CRDs belong to other projects; their shape is checked in tests/unit/helm."""
PLURALS = {
    "NetworkPolicy": "networkpolicies",
    "Ingress": "ingresses",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
}
OF_THE_CLUSTER = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def path_of(one: Object) -> str:
    version, kind, name = one["apiVersion"], one["kind"], one["metadata"]["name"]
    group = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = PLURALS.get(kind, kind.lower() + "s")
    where = "" if kind in OF_THE_CLUSTER else f"/namespaces/{one['metadata']['namespace']}"
    return f"{group}{where}/{plural}/{name}"


async def apply(admin: Admin, one: Object, **query: str) -> Object:
    """Apply on the server's side, as `kubectl apply --server-side` does; unknown fields are refused."""
    options = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"} | query
    return await admin.ask("PATCH", path_of(one), one, "application/apply-patch+yaml", **options)


async def make_sure(admin: Admin, path: str, body: Object) -> None:
    try:
        await admin.ask("POST", path, body)
    except ApiRefusalError as refusal:
        if refusal.status != 409:  # it is there already
            raise


def ours(rendered: list[Object]) -> list[Object]:
    """Those whose kinds the API server knows."""
    return [one for one in rendered if one["apiVersion"] not in OF_OTHERS]
