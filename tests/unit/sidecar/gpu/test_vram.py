"""Models' names, compared as Ollama compares them."""

import pytest

from sidecar.gpu.vram import full_name, same_model


@pytest.mark.parametrize(
    "name",
    [
        "np-dms-ocr",
        "np-dms-ocr:latest",
        "NP-DMS-OCR:Latest",
        "library/np-dms-ocr",
        "registry.ollama.ai/library/np-dms-ocr:latest",
    ],
)
def test_names_of_one_model_are_the_same(name):
    assert same_model(name, "np-dms-ocr:latest")


@pytest.mark.parametrize("name", ["np-dms-ocr:2", "np-dms-ai", "host:5000/np-dms-ocr", "somebody/np-dms-ocr"])
def test_names_of_others_are_not(name):
    assert not same_model(name, "np-dms-ocr")


def test_the_port_of_a_registry_is_no_tag():
    assert full_name("host:5000/a") == "host:5000/a:latest"
