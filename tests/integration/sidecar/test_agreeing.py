"""`retrieval check` on small models: what it prints, its exit status, and what it refuses."""

import pytest

from sidecar.cli.commands import main
from sidecar.retrieval.bge import openvino_runtime
from tests.integration.sidecar.retrieving import Models
from tests.matrix import first
from tools.fakes import model_texts

pytestmark = pytest.mark.skipif(not openvino_runtime.is_installed(), reason="the extra openvino is not installed")


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(model_texts.texts(30, 5, 30)) + "\n\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of this file's own: OpenVINO's exports stay beside the weights, where another test would find them."""
    return Models.make(tmp_path_factory.mktemp("models"))


@pytest.fixture
def environ(models, tmp_path):
    caches = {"RETRIEVAL_CACHE_DIR": str(tmp_path)}
    return {"BGE_M3_MODEL": str(models.embedder), "RERANKER_MODEL": str(models.reranker)} | caches


def test_it_tells_how_far_they_agree(texts, environ, capsys):
    assert main(["retrieval", "check", "--dtype", "float32", str(texts)], environ) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "30 texts, float32 in OpenVINO beside float32 in torch"
    assert [line.partition(":")[0] for line in lines[1:]] == ["embed embedder", "rerank reranker"]
    assert all(line.endswith(": enough") and "recall@10 1.0000, rank correlation 1.0000" in line for line in lines[1:])


@pytest.mark.parametrize("dtype", first(1, [["--dtype", "float32"], []]))
def test_less_than_asked_for_is_a_failure(texts, environ, capsys, dtype):
    assert main(["retrieval", "check", "--correlation", "1.1", *dtype, str(texts)], environ) == 1
    assert "too little: 0.95 and 1.1 are asked for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read as text"),
        (b"\xff\xfe", "cannot be read as text"),
        (b"one\none\n", "there are 1 different"),
    ],
)
def test_what_is_no_set_of_texts_is_refused_before_anything_is_loaded(tmp_path, capsys, content, said):
    file = tmp_path / "texts"
    if content is not None:
        file.write_bytes(content)
    assert main(["retrieval", "check", str(file)], {"BGE_M3_MODEL": "/no/such/folder"}) == 2
    assert said in capsys.readouterr().err


def test_a_model_that_is_not_there_is_a_failure(texts, capsys):
    environ = {"BGE_M3_MODEL": "/no/such/folder", "RERANKER_MODEL": ""}
    assert main(["retrieval", "check", str(texts)], environ) == 1
    assert "embed folder: model-missing" in capsys.readouterr().out
