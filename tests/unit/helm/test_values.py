"""Every value is documented where it stands, is in the schema, and changes what is rendered."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tools.charts.cases import CASES, PEER
from tools.charts.helm import Chart, ChartError
from tools.charts.rendering import CHART, chart, merge, parse, render, texts

TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
VALUES = yaml.safe_load(TEXT)
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
OVERLAYS = ("k3d", "gpu", "api-key", "jobs")

Path = tuple[str, ...]


def resolve(schema: Any) -> dict[str, Any]:
    """Follow a reference."""
    if isinstance(schema, dict) and "$ref" in schema:
        return SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema if isinstance(schema, dict) else {}


def is_fixed(schema: dict[str, Any]) -> bool:
    """Tell whether an object has keys of the chart's, not of the user's."""
    return bool(schema.get("properties")) and schema.get("additionalProperties") is False


def leaves(schema: Any = SCHEMA, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every value by its path: what has no keys of the chart's below it."""
    schema = resolve(schema)
    if path != () and (not is_fixed(schema) or path in WHOLE):
        yield path, schema
        return
    for name, inner in schema["properties"].items():
        yield from leaves(inner, (*path, name))


WHOLE = {
    ("sidecar", "strategy"),
    ("sidecar", "resources"),
    ("ollama", "inPod", "resources"),
    ("modelLoader", "resources"),
    ("controller", "resources"),
    ("exampleProfile", "spec"),
    ("autoscaling", "behavior"),
    ("autoscaling", "keda", "authenticationRef"),
    ("podSecurityContext",),
    ("containerSecurityContext",),
}
"""Values whose shape is Kubernetes' or the CRD's: documented and tried as one."""
OF_PARENTS: set[Path] = {("global",), ("enabled",)}
"""What Helm hands to a chart that is part of another one; this one makes nothing of it."""
LEAVES = {path: schema for path, schema in leaves() if path not in OF_PARENTS}


def at(values: Any, path: Path) -> Any:
    for part in path:
        values = values[part]
    return values


def with_value(path: Path, value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return value


# ── documented ────────────────────────────────────────────────────────────────────────────────────────────────────


def commented(text: str) -> dict[Path, str]:
    """The comment right above each key of a YAML text, by the key's path."""
    found: dict[Path, str] = {}
    stack: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"( *)# ?(.*)", line):
            comment.append(match[2])
        elif match := re.match(r"( *)([\w./-]+):", line):
            stack = [one for one in stack if one[0] < len(match[1])] + [(len(match[1]), match[2])]
            found[tuple(name for _, name in stack)] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_value_has_its_comment(path):
    comment = commented(TEXT)[path]
    assert comment.startswith("-- ")
    assert comment.endswith("."), comment
    assert len(comment) > 12


def test_values_and_schema_have_the_same_keys():
    def keys(values: Any, path: Path = ()) -> set[Path]:
        if path in LEAVES:
            return {path}
        return {leaf for name, inner in values.items() for leaf in keys(inner, (*path, name))}

    assert keys(VALUES) == set(LEAVES)


def test_the_defaults_are_valid():
    chart().validate_schema({})


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────────────


def fixed_objects(schema: Any = SCHEMA, path: Path = ()) -> Iterator[Path]:
    schema = resolve(schema)
    if is_fixed(schema):
        yield path
        for name, inner in schema["properties"].items():
            yield from fixed_objects(inner, (*path, name))


@pytest.mark.parametrize("path", list(fixed_objects()), ids=lambda path: ".".join(path) or "(top)")
def test_a_name_that_is_none_is_refused(path):
    with pytest.raises(ChartError, match="additional properties 'tyop' not allowed"):
        chart().render(with_value((*path, "tyop"), 1))


def objects_without_a_bound(schema: Any, path: str = "") -> Iterator[str]:
    match schema:
        case {"type": "object"} if not {"additionalProperties", "propertyNames"} & set(schema):
            yield path
    if isinstance(schema, dict):
        for name, inner in schema.items():
            yield from objects_without_a_bound(inner, f"{path}/{name}")


def test_only_what_is_kubernetes_own_is_left_open():
    allowed = {"affinity", "valueFrom", "matchExpressions", "list", "global"}
    allowed |= {"podSecurityContext", "containerSecurityContext", "selectors"}
    names = {path.removesuffix("/items").rpartition("/")[2] for path in objects_without_a_bound(SCHEMA)}
    assert names == allowed


@pytest.mark.parametrize(
    "values",
    [
        {"auth": {"mode": "none"}},
        {"ollama": {"url": "ollama:11434"}},
        {"ollama": {"url": "http://user:password@ollama:11434"}},
        {"modelServer": {"urls": ["vllm:8000/v1"]}},
        {"modelServer": {"urls": ["http://key@vllm:8000/v1"]}},
        {"modelServer": {"urls": ["http://a/v1,http://b/v1"]}},
        {"modelServer": {"kind": "sglang"}},
        {"networkPolicy": {"callers": [{}]}},
        {"networkPolicy": {"callers": [{"podSelektor": {}}]}},
        {"networkPolicy": {"callers": [{"podSelector": {"matchLabel": {}}}]}},
        {"networkPolicy": {"apiServer": {"ports": []}}},
        {"networkPolicy": {"modelLoader": {"ports": []}}},
        {"networkPolicy": {"callers": None}},
        {"sidecar": {"podLabels": {"app.kubernetes.io/name": "ocr-controller"}}},
        {"controller": {"podLabels": {"app.kubernetes.io/instance": "x"}}},
        {"commonLabels": {"helm.sh/chart": "x"}},
        {"sidecar": {"settings": {"OCR_HOST": "127.0.0.1"}}},
        {"sidecar": {"settings": {"OCR_SIDECAR_API_KEY": "never in values"}}},
        {"controller": {"settings": {"DATABASE_URL": "never in values"}}},
        {"sidecar": {"replicas": -1}},
        {"sidecar": {"replicas": "2"}},
        {"gpu": {"sidecar": "both"}},
        {"retrieval": {"storage": {"accessModes": ["ReadWriteOncePod"]}}},  # the loader needs it, too
        {"listenAddress": "127.0.0.1"},
        {"jobs": {"url": "nats.nats.svc:4222"}},
        {"jobs": {"url": "nats://user:password@nats.nats.svc"}},
        {"jobs": {"url": "nats://nats.nats.svc, nats://other"}},
        {"jobs": {"url": "embedded,nats://nats.nats.svc"}},
        {"jobs": {"replicas": 2}},
        {"jobs": {"callbacks": {"hosts": ["https://backend.example.org/done"]}}},
        {"jobs": {"callbacks": {"hosts": ["ftp://backend.example.org"]}}},
        {"jobs": {"callbacks": {"hosts": ["user:password@backend.example.org"]}}},
        {"jobs": {"callbacks": {"hosts": ["a.example.org,b.example.org"]}}},
        {"autoscaling": {"keda": {"natsMonitoring": "http://nats-headless.nats.svc:8222"}}},
        {"autoscaling": {"keda": {"natsMonitoring": "nats-headless.nats.svc"}}},
        {"sidecar": {"settings": {"OCR_JOBS": "embedded"}}},
        {"sidecar": {"settings": {"OCR_JOBS_DIR": "/tmp"}}},
        {"sidecar": {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}},
    ],
    ids=str,
)
def test_values_that_would_do_harm_are_refused(values):
    with pytest.raises(ChartError):
        chart().validate_schema(values)


def test_the_chart_can_be_part_of_another_one(tmp_path):
    """Helm then hands it `global`, and keeps the condition `enabled` among its values."""
    shutil.copytree(CHART, tmp_path / "charts" / "ocr-sidecar")
    depends = {"name": "ocr-sidecar", "version": "0.1.0", "condition": "ocr-sidecar.enabled"}
    parent = {"apiVersion": "v2", "name": "documents", "version": "1.0.0", "dependencies": [depends]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(parent), encoding="utf-8")
    values = {"global": {"team": "documents"}, "ocr-sidecar": {"enabled": True, "sidecar": {"replicas": 2}}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    rendered = Chart(tmp_path).render({}, name="documents", namespace="ocr")
    text = next(text for path, text in rendered.items() if path.endswith("sidecar-deployment.yaml"))
    (deployment,) = [one for one in parse(text) if one["kind"] == "Deployment"]
    assert deployment["spec"]["replicas"] == 2


# ── used ──────────────────────────────────────────────────────────────────────────────────────────────────────────

OTHER: dict[Path, Any] = {
    ("auth", "existingSecret"): "other-secret",
    ("sidecar", "uploads", "mountPath"): "/mnt/other",
    ("sidecar", "uploads", "supplementalGroups"): [4000],
    ("sidecar", "strategy"): {"type": "Recreate"},
    ("ollama", "url"): "http://10.9.9.9:1",
    ("modelServer", "urls"): ["http://10.9.9.8:1/v1"],
    ("jobs", "url"): "nats://10.9.9.7:1",
    ("jobs", "callbacks", "hosts"): ["10.9.9.6"],
    ("jobs", "storage", "accessModes"): ["ReadWriteMany"],
    ("autoscaling", "keda", "natsMonitoring"): "nats:1",
    ("networkPolicy", "apiServer", "ports"): [7443],
    ("networkPolicy", "modelLoader", "ports"): [8443],
    ("metrics", "serviceMonitor", "interval"): "17s",
    ("exampleProfile", "spec"): {"canonicalModel": "np-dms-ocr", "temperature": 0.7},
    ("ollama", "inPod", "storage", "accessModes"): ["ReadWriteMany"],
    ("retrieval", "storage", "accessModes"): ["ReadWriteMany"],
    ("imagePullSecrets",): [{"name": "other"}],
    ("podSecurityContext",): {"fsGroupChangePolicy": "Always"},
    ("containerSecurityContext",): {"seccompProfile": {"type": "RuntimeDefault"}},
    ("sidecar", "image", "digest"): "sha256:" + "f" * 64,
    ("controller", "image", "digest"): "sha256:" + "f" * 64,
    ("ollama", "inPod", "image", "digest"): "sha256:" + "f" * 64,
    ("service", "ipFamilies"): ["IPv6"],
    ("extraObjects",): [{"kind": "Secret"}],
    ("autoscaling", "behavior"): {"scaleDown": {"selectPolicy": "Disabled"}},
    ("autoscaling", "keda", "authenticationRef"): {"name": "other"},
    ("gpu", "perNode"): 2,
}
"""Values other than the default, where the schema alone does not give one."""

NOT_SEEN_ALONE = {
    ("networkPolicy", "external"): "it only lets networkPolicy.enabled be false in network mode, tried here",
}


def other_value(path: Path, schema: dict[str, Any]) -> list[Any]:
    """Give values that are not the default."""
    default = at(VALUES, path)
    if path in OTHER:
        return [OTHER[path]]
    if "enum" in schema:
        return [one for one in schema["enum"] if one != default]
    return [{"limits": {"cpu": "3", "memory": "9Gi"}} if path in WHOLE else another(default, schema)]


def another(default: Any, schema: dict[str, Any]) -> Any:
    """Give another value of the same kind."""
    of_lists = {"peers": [PEER | {"namespaceSelector": {}}], "env": [{"name": "OTHER", "value": "one"}]}
    for name, value in of_lists.items():
        if schema == SCHEMA["$defs"][name]:
            return value
    match default:
        case bool():
            return not default
        case int():
            return default + 1
        case str():
            return "other"
        case list():
            return ["other"] if resolve(schema.get("items")).get("type") == "string" else [{"key": "other"}]
    return {"other": "one"}


def shown(values: Mapping[str, Any]) -> str:
    """What is rendered, or the sentence that refuses it."""
    try:
        return json.dumps(render(values))
    except ChartError as exc:
        return str(exc)


def depth(values: Any, path: Path) -> int:
    """How far values go along a path."""
    return 1 + depth(values[path[0]], path[1:]) if path and isinstance(values, dict) and path[0] in values else 0


def likeliest(path: Path) -> list[Mapping[str, Any]]:
    """Give the cases, and those first that speak of a value: there it is used. A whole is merged: not over another."""
    return sorted(CASES.values(), key=lambda case: -depth(case, path[:-1] if path in WHOLE else path))


@pytest.mark.parametrize("path", sorted(set(LEAVES) - set(NOT_SEEN_ALONE)), ids=".".join)
def test_every_value_changes_what_is_rendered(path):
    for value in other_value(path, LEAVES[path]):
        assert at(VALUES, path) != value
        for values in likeliest(path):
            changed = shown(merge(values, with_value(path, value)))
            assert "additional properties" not in changed
            assert "values don't meet the specifications" not in changed, changed
            if changed != shown(values):
                break
        else:
            pytest.fail(f"{'.'.join(path)} = {value} changes nothing")


def test_a_policy_of_ones_own_is_a_reason_to_switch_ours_off():
    assert "anybody could call" in shown({"networkPolicy": {"enabled": False}})
    assert texts({"networkPolicy": {"enabled": False, "external": True}})


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_files_for_an_occasion_say_only_what_differs(name):
    said = yaml.safe_load((CHART / f"values-{name}.yaml").read_text(encoding="utf-8"))

    def check(values: Any, path: Path) -> None:
        for key, value in values.items():
            here = (*path, key)
            if here in LEAVES or not isinstance(value, dict):
                assert at(VALUES, here) != value, f"{'.'.join(here)} is the default"
            else:
                check(value, here)

    check(said, ())
