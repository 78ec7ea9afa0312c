"""The CRD says what the code says, and keeps the rules that the API server has for schemas."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller import names
from controller.publish.config_map import plan_entries
from controller.publish.status import Surroundings, next_status
from controller.resource.spec import MAX_NAME_CHARS, ProfileSpec, read_resource
from sidecar.profiles.payload import MAX_TAGS, TAG_NAME
from tests.unit.controller.bodies import body
from tools.charts import release as kept

MANIFESTS = Path(__file__).parents[3] / "manifests"
CRD = yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8"))
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
LIMITS = {"minimum", "exclusiveMinimum", "maximum", "minLength", "maxLength", "enum", "default"}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            yield from nodes(schema[part], f"{path}[]")


def limits_of_crd(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {path: {k: v for k, v in node.items() if k in LIMITS} for path, node in nodes(schema) if "type" in node}


def _as_in_openapi_3_0(node: dict[str, Any]) -> dict[str, Any]:
    """Say in the words of a CRD what pydantic says in those of a newer JSON schema."""
    exclusive = {"minimum": node["exclusiveMinimum"], "exclusiveMinimum": True} if "exclusiveMinimum" in node else {}
    return node | exclusive | ({"enum": [node["const"]]} if "const" in node else {})


def limits_of_model() -> dict[str, dict[str, Any]]:
    """Give the limits of the pydantic model by the path that the CRD has."""
    schema = ProfileSpec.model_json_schema(by_alias=True)

    def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        optional = [one for one in node.get("anyOf", ()) if one.get("type") != "null"]
        full = {**node, **(optional[0] if optional else {})}
        if "$ref" in full:
            full = {
                **schema["$defs"][full["$ref"].rpartition("/")[2]],
                **{k: v for k, v in full.items() if k != "$ref"},
            }
        kept = {k: v for k, v in _as_in_openapi_3_0(full).items() if k in LIMITS and not (k == "default" and v is None)}
        yield path, kept
        for name, inner in full.get("properties", {}).items():
            yield from walk(inner, f"{path}.{name}")
        if isinstance(full.get("additionalProperties"), dict):
            yield from walk(full["additionalProperties"], f"{path}[]")

    return dict(walk(schema, ""))


def test_the_crd_has_the_fields_ranges_and_defaults_of_the_code():
    assert limits_of_crd(SCHEMA["properties"]["spec"]) == limits_of_model()
    assert SCHEMA["properties"]["spec"]["required"] == ["canonicalModel"]


def test_the_rules_have_the_numbers_of_the_code():
    tags = SCHEMA["properties"]["spec"]["properties"]["prompt"]["properties"]["dmsTags"]
    assert tags["maxProperties"] == MAX_TAGS
    assert f"^{TAG_NAME.pattern}$" in tags["x-kubernetes-validations"][0]["rule"]
    assert SCHEMA["x-kubernetes-validations"][0]["rule"] == f"size(self.metadata.name) <= {MAX_NAME_CHARS}"


def test_names_are_those_of_the_code():
    assert (CRD["spec"]["group"], VERSION["name"], CRD["spec"]["names"]["kind"], CRD["spec"]["names"]["plural"]) == (
        names.GROUP,
        names.VERSIONS[0],
        names.KIND,
        names.PLURAL,
    )
    assert CRD["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"
    assert CRD["spec"]["names"]["shortNames"] == ["ocrp"]


def test_all_versions_are_served_and_have_one_schema_so_that_none_needs_a_webhook():
    versions = CRD["spec"]["versions"]
    assert tuple(one["name"] for one in versions if one["served"]) == names.VERSIONS
    assert CRD["spec"]["conversion"] == {"strategy": "None"}
    for one in versions:
        assert {key: one[key] for key in ("schema", "subresources", "additionalPrinterColumns")} == {
            key: VERSION[key] for key in ("schema", "subresources", "additionalPrinterColumns")
        }
        assert one.get("deprecated", False) == (one["name"] != names.VERSIONS[0])


def test_what_is_stored_is_what_the_last_release_serves():
    """Else the CRD of that release would be refused, and no way would lead back."""
    (stored,) = [one["name"] for one in CRD["spec"]["versions"] if one["storage"]]
    for release in kept.versions():
        crd, _ = kept.read(release)
        assert stored in [one["name"] for one in crd["spec"]["versions"] if one["served"]], release


def test_columns_are_those_that_kubectl_shows():
    columns = [(column["name"].upper(), column.get("priority", 0)) for column in VERSION["additionalPrinterColumns"]]
    assert [name for name, priority in columns if priority == 0] == [
        "MODEL",
        "ACTIVE",
        "REVISION",
        "SIDECARS",
        "READY",
        "AGE",
    ]
    assert [name for name, priority in columns if priority] == ["TEMP", "TOP_P", "CTX", "PROMPT"]


def test_every_field_of_the_status_is_in_the_schema():
    resource = read_resource(body())
    entry = plan_entries([resource], {}).entries[resource.name]
    status = next_status(resource, entry, Surroundings("ocr-profiles", (), {}, {}, None, is_fresh=False, now="now"))
    known = SCHEMA["properties"]["status"]["properties"]
    assert set(status) == set(known)
    assert set(status["sidecars"]) == set(known["sidecars"]["properties"])
    assert {key for one in status["conditions"] for key in one} == set(known["conditions"]["items"]["properties"])
    assert VERSION["subresources"] == {"status": {}}


def test_the_schema_is_structural_and_keeps_nothing_unknown():
    for path, node in nodes(SCHEMA):
        assert "type" in node, path
        assert not {"x-kubernetes-preserve-unknown-fields", "anyOf", "$ref"} & set(node), path


def test_what_the_rules_look_at_is_bounded():
    for path, node in nodes(SCHEMA["properties"]["spec"], ".spec"):
        if node["type"] == "string" and "enum" not in node:
            assert "maxLength" in node, path
        if node["type"] == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


# ── rights ────────────────────────────────────────────────────────────────────────────────────────────────────────


def documents(name: str) -> dict[str, dict[str, Any]]:
    text = (MANIFESTS / "rbac" / name).read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_cluster_wide_rights_are_the_same_rights():
    assert documents("controller-cluster.yaml")["ClusterRole"]["rules"] == documents("controller.yaml")["Role"]["rules"]


@pytest.mark.parametrize("name", ["controller.yaml", "controller-cluster.yaml"])
def test_rights_name_every_verb_and_nothing_with_a_star(name):
    text = (MANIFESTS / "rbac" / name).read_text(encoding="utf-8")
    assert "*" not in text.replace("WATCH_NAMESPACE=*", "")
    kind = "ClusterRole" if "cluster" in name else "Role"
    assert all(rule["verbs"] for rule in documents(name)[kind]["rules"])


@pytest.mark.parametrize("name", ["controller.yaml", "controller-cluster.yaml"])
def test_every_rule_has_its_reason(name):
    lines = (MANIFESTS / "rbac" / name).read_text(encoding="utf-8").splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("  - apiGroups")]
    assert rules
    assert all(lines[number - 1].startswith("  # ") for number in rules)


@pytest.mark.parametrize("name", ["controller.yaml", "controller-cluster.yaml"])
def test_the_role_is_bound_to_the_service_account(name):
    found = documents(name)
    account = found["ServiceAccount"]["metadata"]["name"]
    binding = found.get("RoleBinding") or found["ClusterRoleBinding"]
    role = found.get("Role") or found["ClusterRole"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "ocr"}]
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (role["kind"], role["metadata"]["name"])
