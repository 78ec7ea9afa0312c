"""The environment that the chart gives is one that the real settings take: no misspelt name ships."""

from typing import Any

import pytest

from controller.settings import environment_names as controller_names
from controller.settings import parse_settings as parse_controller_settings
from sidecar.cli.commands import _parser
from sidecar.settings import environment_names, parse_settings
from tools.charts.cases import CASES
from tools.charts.rendering import chart, containers_of, find, objects, pods

OF_LIBRARIES = {
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "TZ",
    "HTTPS_PROXY",
    "SSL_CERT_FILE",
}
MIB = {"Mi": 1, "Gi": 1024}


def containers(case: str, name: str) -> list[dict[str, Any]]:
    every = [one for _, pod in pods(objects(CASES[case])) for one in containers_of(pod)]
    return [one for one in every if one["name"] == name]


def environment(container: dict[str, Any]) -> dict[str, str]:
    """What the container finds, with what the kubelet puts in."""
    names = [one["name"] for one in container["env"]]
    assert len(names) == len(set(names)), "a name that is set twice"
    return {one["name"]: one.get("value", from_elsewhere(one, container)) for one in container["env"]}


def from_elsewhere(one: dict[str, Any], container: dict[str, Any]) -> str:
    match one.get("valueFrom"):
        case {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}:
            return container["resources"]["limits"]["cpu"]
        case {"secretKeyRef": {}}:
            return "mysql+aiomysql://reader:password@database/lcbp3"
        case {"configMapKeyRef": {}} | None:
            return ""
    raise AssertionError(f"nobody knows what {one} gives")


@pytest.mark.parametrize("case", CASES)
def test_the_sidecar_takes_its_environment(case):
    (container,) = containers(case, "sidecar")
    found = environment(container)
    assert set(found) <= set(environment_names()) | OF_LIBRARIES
    settings = parse_settings(found)
    assert settings.host == ("::" if case in ("callers elsewhere", "IPv6 only") else "0.0.0.0")
    assert settings.profile_dir is not None


@pytest.mark.parametrize("case", sorted(set(CASES) - {"no controller"}))
def test_the_controller_takes_its_environment(case):
    (container,) = containers(case, "controller")
    found = environment(container)
    assert set(found) <= set(controller_names())
    settings = parse_controller_settings(found)
    assert settings.host == ("::" if case in ("callers elsewhere", "IPv6 only") else "0.0.0.0")
    assert settings.mirrors == ("mirror" in case)
    assert settings.cluster_wide == ("cluster-wide" in case)


@pytest.mark.parametrize("case", sorted(set(CASES) - {"no controller"}))
def test_both_are_told_the_same_of_what_both_are_told(case):
    (sidecar,), (controller,) = containers(case, "sidecar"), containers(case, "controller")
    one, other = environment(sidecar), environment(controller)
    assert {name: one[name] for name in ("OCR_AUTH_MODE", "OCR_MODEL")} == {
        name: other[name] for name in ("OCR_AUTH_MODE", "OCR_MODEL")
    }


@pytest.mark.parametrize("case", CASES)
def test_ports_and_selector_are_the_defaults_that_the_chart_relies_on(case):
    sidecar, controller = parse_settings({"OCR_AUTH_MODE": "network"}), parse_controller_settings({})
    assert (sidecar.port, sidecar.ops_port, controller.ops_port) == (8765, 9090, 8080)
    key, _, value = controller.sidecar_selector.partition("=")
    for title, pod in pods(objects(CASES[case])):
        is_sidecar = pod["metadata"]["labels"].get(key) == value
        assert is_sidecar == (title.startswith("Deployment/") and title.split("/")[1] in ("ocr-sidecar", "reader"))


def test_what_the_chart_sets_itself_is_refused_among_the_settings():
    schema = chart().schema["properties"]
    for part, name in (("sidecar", "sidecar"), ("controller", "controller")):
        refused = set(schema[part]["properties"]["settings"]["propertyNames"]["not"]["enum"])
        given = {one for case in CASES for each in containers(case, name) for one in environment(each)}
        said = {one for case in CASES for one in CASES[case].get(part, {}).get("settings", {})}
        extra = {"TZ", "SSL_CERT_FILE", "RETRIEVAL_THREADS", "CONTROLLER_ISOLATION_SECONDS"}
        assert given - said - extra <= refused


def test_large_numbers_stay_whole():
    (container,) = containers("everything said", "sidecar")
    found = environment(container)
    assert found["OCR_MAX_DOCUMENT_BYTES"] == "104857600"
    assert found["OCR_PRESSURE_WAIT_SECONDS"] == "0.5"


def mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * MIB[quantity[-2:]]


@pytest.mark.parametrize("case", ["default", "k3d", "gpu", "api-key"])
def test_the_memory_limit_has_room_for_the_workers(case):
    (container,) = containers(case, "sidecar")
    settings = parse_settings(environment(container))
    room = mebibytes(container["resources"]["limits"]["memory"])
    models = 2 * 2400 if settings.bge_m3_model else 0
    assert room >= settings.workers * settings.worker_memory_mb + 1024 + models


@pytest.mark.parametrize("case", CASES)
def test_the_pod_outlives_its_own_shutdown(case):
    for _, pod in pods(objects(CASES[case])):
        for container in containers_of(pod):
            if container["name"] == "sidecar":
                assert (
                    pod["spec"]["terminationGracePeriodSeconds"]
                    >= parse_settings(environment(container)).shutdown_s + 5
                )


@pytest.mark.parametrize("case", CASES)
def test_the_spool_has_room_for_what_the_setting_lets_in(case):
    for _, pod in pods(objects(CASES[case])):
        for container in containers_of(pod):
            if container["name"] == "sidecar":
                (spool,) = [one for one in pod["spec"]["volumes"] if one["name"] == "spool"]
                used = parse_settings(environment(container)).max_spool_bytes
                assert mebibytes(spool["emptyDir"]["sizeLimit"]) * 1048576 > used


def test_the_spools_size_is_in_mebibytes():
    (container,) = containers("k3d", "sidecar")
    assert parse_settings(environment(container)).max_spool_bytes == 512 * 1024 * 1024


def test_the_spool_is_a_folder_of_the_services_own():
    (container,) = containers("default", "sidecar")
    (volume,) = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "spool"]
    assert environment(container)["OCR_SPOOL_DIR"].startswith(f"{volume}/"), "the volume itself is root's"


@pytest.mark.parametrize("case", ["gpu", "ollama fills itself"])
def test_the_weights_lie_where_the_sidecar_looks(case):
    (sidecar,), (loader,) = containers(case, "sidecar"), containers(case, "weights")
    names = ("HF_HOME", "BGE_M3_MODEL", "RERANKER_MODEL")
    assert [environment(sidecar)[name] for name in names] == [environment(loader)[name] for name in names]
    mounts = [{one["name"]: one for one in each["volumeMounts"]}["models"] for each in (sidecar, loader)]
    assert [one["mountPath"] for one in mounts] == ["/models", "/models"]
    assert mounts[0]["readOnly"], "a sidecar that was broken into does not change the weights"
    assert "HF_HUB_OFFLINE" not in environment(loader)


def test_the_loader_runs_a_command_that_there_is():
    (loader,) = containers("gpu", "weights")
    assert loader["command"][:3] == ["python", "-m", "sidecar"]
    assert _parser().parse_args(loader["command"][3:]).command == "fetch"


def test_ollama_and_its_loader_share_the_models():
    one, other = containers("ollama fills itself", "ollama")
    assert {part["name"]: part["mountPath"] for part in one["volumeMounts"]}.items() >= {"ollama": "/ollama"}.items()
    assert environment(one)["OLLAMA_MODELS"] == environment(other)["OLLAMA_MODELS"] == "/ollama/models"
    assert environment(one)["OLLAMA_HOST"].startswith("127.0.0.1"), "nobody else reaches it"


def test_the_pods_own_ollama_is_asked_at_its_own_port():
    (sidecar,) = containers("gpu", "sidecar")
    (ollama,) = containers("gpu", "ollama")
    assert environment(sidecar)["OLLAMA_API_URL"] == f"http://{environment(ollama)['OLLAMA_HOST']}"
    assert environment(sidecar)["OCR_PARALLEL_PAGES"] == environment(ollama)["OLLAMA_NUM_PARALLEL"]


def test_one_gpu_does_for_the_pod_unless_it_is_asked_for_twice():
    def asked(case: str) -> list[str]:
        return [
            one["name"]
            for _, pod in pods(objects(CASES[case]))
            for one in containers_of(pod)
            if "nvidia.com/gpu" in one["resources"]["limits"]
        ]

    assert asked("gpu") == ["ollama"]
    assert asked("a GPU asked for twice") == ["sidecar"]
    (sidecar,) = containers("gpu", "sidecar")
    assert environment(sidecar)["NVIDIA_VISIBLE_DEVICES"] == "all"
    (sidecar,) = containers("a GPU for Ollama alone", "sidecar")
    assert environment(sidecar)["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_a_claimed_gpu_is_the_same_for_all_containers_and_asked_for_in_no_other_way():
    rendered = objects(CASES["a GPU of a claim"])
    template = find(rendered, "ResourceClaimTemplate", "ocr-sidecar-gpu")
    spec = find(rendered, "Deployment", "ocr-sidecar")["spec"]["template"]["spec"]
    assert spec["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": template["metadata"]["name"]}]
    assert "runtimeClassName" not in spec
    for name in ("sidecar", "ollama"):
        (container,) = containers("a GPU of a claim", name)
        assert container["resources"]["claims"] == [{"name": "gpu"}]
        assert "nvidia.com/gpu" not in container["resources"]["limits"]
        assert "NVIDIA_VISIBLE_DEVICES" not in environment(container)
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    assert (request["exactly"]["count"], request["exactly"]["deviceClassName"]) == (1, "gpu.nvidia.com")
    assert request["exactly"]["selectors"]
    assert not any(one["kind"] == "ResourceClaimTemplate" for one in objects(CASES["gpu"]))


def test_one_sidecar_a_gpu_by_the_device_plugin_asks_for_one_each():
    rendered = objects(CASES["a GPU each by the device plugin"])
    assert find(rendered, "Deployment", "ocr-sidecar")["spec"]["replicas"] == 4
    (sidecar,) = containers("a GPU each by the device plugin", "sidecar")
    assert sidecar["resources"]["limits"]["nvidia.com/gpu"] == 1
