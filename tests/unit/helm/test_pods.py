"""What the pods mount, what the kubelet asks of them, and how they come and go."""

from typing import Any

import pytest

from controller.names import CONFIG_MAP
from sidecar.service.app import OPS_ROUTES
from sidecar.service.server import CLOSING_S
from tools.charts.cases import CASES
from tools.charts.rendering import find, merge, objects, objects_of_the_next_version, pods

PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def spec_of(case: str, name: str) -> dict[str, Any]:
    return find(objects(CASES[case]), "Deployment", name)["spec"]["template"]["spec"]


def files_of(spec: dict[str, Any], container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The volumes that a container finds, by the folder they are mounted at."""
    volumes = {one["name"]: one for one in spec["volumes"]}
    return {one["mountPath"]: volumes[one["name"]] | one for one in container["volumeMounts"]}


def value(container: dict[str, Any], name: str) -> str:
    (found,) = [one["value"] for one in container["env"] if one["name"] == name]
    return found


@pytest.mark.parametrize("name", ["ocr-sidecar", "ocr-controller"])
def test_the_kubelet_asks_the_ops_port_for_what_is_there(name):
    (container,) = spec_of("default", name)["containers"]
    asked = {probe: container[probe]["httpGet"] for probe in PROBES}
    assert asked == {probe: {"path": path, "port": "ops"} for probe, path in PROBES.items()}
    assert set(PROBES.values()) <= {route.path for route in OPS_ROUTES}


def test_a_start_may_take_longer_than_a_life_may_be_still():
    (container,) = spec_of("default", "ocr-sidecar")["containers"]
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 60


def test_the_profiles_are_what_the_controller_publishes_even_before_it_does():
    spec = spec_of("default", "ocr-sidecar")
    container = spec["containers"][0]
    volume = files_of(spec, container)[value(container, "OCR_PROFILE_DIR")]
    assert volume["configMap"] == {"name": CONFIG_MAP, "optional": True}
    assert "subPath" not in volume, "it would never change"


def test_the_keys_are_a_mounted_folder_of_the_secret():
    spec = spec_of("api-key", "ocr-sidecar")
    container = spec["containers"][0]
    folder, _, file = value(container, "OCR_SIDECAR_API_KEY_FILE").rpartition("/")
    secret = files_of(spec, container)[folder]["secret"]
    assert secret["secretName"] == "ocr-api-keys"
    assert secret["items"] == [{"key": "keys", "path": file}]
    assert secret["defaultMode"] == 0o440, "the group, which is the pod's, reads it; nobody else does"


def test_no_key_and_no_password_is_ever_a_value():
    for case in CASES:
        for one in objects(CASES[case]):
            assert one["kind"] != "Secret"
    mirror = spec_of("the mirror", "ocr-controller")["containers"][0]
    (url,) = [one for one in mirror["env"] if one["name"] == "DATABASE_URL"]
    assert url["valueFrom"] == {"secretKeyRef": {"name": "ocr-database", "key": "url"}}


def test_the_shared_volume_is_read_only_twice():
    spec = spec_of("everything said", "reader")
    container = spec["containers"][0]
    volume = files_of(spec, container)[value(container, "OCR_SIDECAR_UPLOAD_BASE")]
    assert volume["persistentVolumeClaim"] == {"claimName": "uploads", "readOnly": True}
    assert volume["readOnly"] is True
    assert spec["securityContext"]["supplementalGroups"] == [3000]


def test_the_controller_is_one_and_never_two():
    spec = find(objects(), "Deployment", "ocr-controller")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_a_new_sidecar_is_ready_before_an_old_one_goes_unless_it_holds_what_the_new_one_needs():
    def strategy(case: str) -> dict[str, Any]:
        return find(objects(CASES[case]), "Deployment", "ocr-sidecar")["spec"]["strategy"]["rollingUpdate"]

    assert strategy("default") == {"maxUnavailable": 0, "maxSurge": 1}
    assert strategy("gpu") == strategy("a GPU asked for twice") == {"maxUnavailable": 1, "maxSurge": 0}
    assert strategy("models on a volume") == {"maxUnavailable": 1, "maxSurge": 0}
    assert strategy("models on a volume for all") == {"maxUnavailable": 0, "maxSurge": 1}
    assert strategy("replaced as said") == {"maxUnavailable": 0, "maxSurge": 2}


@pytest.mark.parametrize("case", ["default", "gpu", "everything said"])
def test_a_chart_that_changes_nothing_of_a_pod_replaces_none(tmp_path, case):
    """Its version and the code's are no reason: an image that is to be another has another tag."""
    pinned = {"image": {"tag": "1.2.3"}}
    values = merge(CASES[case], {"sidecar": pinned, "controller": pinned})

    def templates(rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one["spec"]["template"] for one in rendered if one["kind"] == "Deployment"]

    first = templates(objects(values))
    assert len(first) == 2
    assert templates(objects_of_the_next_version(tmp_path, values)) == first


def test_ollama_is_there_for_as_long_as_the_sidecar_is():
    """A container of the kind that starts before the others and ends after them: pages in work are still read."""
    spec = spec_of("gpu", "ocr-sidecar")
    (ollama,) = spec["initContainers"]
    assert (ollama["name"], ollama["restartPolicy"]) == ("ollama", "Always")
    assert [one["name"] for one in spec["containers"]] == ["sidecar"]


@pytest.mark.parametrize("case", ["scaled by an adapter", "scaled by KEDA"])
def test_who_is_scaled_has_no_number_of_its_own(case):
    assert "replicas" not in find(objects(CASES[case]), "Deployment", "ocr-sidecar")["spec"]
    assert find(objects(), "Deployment", "ocr-sidecar")["spec"]["replicas"] == 1


def test_the_first_profile_stays_when_it_is_switched_off():
    profile = find(objects(), "OcrProfile", "ocr-extract")
    assert profile["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_models_stay_when_the_release_goes():
    claims = [one for one in objects(CASES["gpu"]) if one["kind"] == "PersistentVolumeClaim"]
    assert len(claims) == 2
    assert all(one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for one in claims)


def test_metrics_of_a_pod_that_is_not_ready_are_read_all_the_same():
    for name in ("ocr-sidecar-ops", "ocr-controller-ops"):
        assert find(objects(), "Service", name)["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in find(objects(), "Service", "ocr-sidecar")["spec"]


@pytest.mark.parametrize(("case", "there"), [("default", 1), ("the mirror", 0)])
def test_the_example_profile_is_left_out_where_the_database_decides(case, there):
    profiles = [one for one in objects(CASES[case]) if one["kind"] == "OcrProfile"]
    assert len(profiles) == there


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_kubelet_waits_for_all_phases_of_the_sidecar_s_end(case):
    specs = [pod["spec"] for _, pod in pods(objects(CASES[case]))]
    spec, container = next((one, c) for one in specs for c in one["containers"] if c["name"] == "sidecar")
    before_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    in_work_s = float(value(container, "OCR_SHUTDOWN_SECONDS"))
    assert before_s + in_work_s + CLOSING_S <= spec["terminationGracePeriodSeconds"]
