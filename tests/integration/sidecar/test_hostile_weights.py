"""Weights are data: whoever can write a model's folder can make the model lie, and not run code in the service."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from sidecar.retrieval.bge.loading import LoadOptions
from sidecar.retrieval.bge.models import Embedder, Reranker
from tests.matrix import first

CODE = "import pathlib\npathlib.Path({!r}).touch()\nfrom transformers import XLMRobertaModel as Model"


class Touch:
    """What a pickle of this runs when it is loaded, if the loader lets it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


@pytest.fixture
def trace(tmp_path):
    """A file that is there once hostile code has run."""
    return tmp_path / "code-ran"


def copied(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "model"))


def test_the_pickle_of_these_tests_runs_code_where_it_is_let(trace):
    pickle.loads(pickle.dumps(Touch(trace)))
    assert trace.exists()


@pytest.mark.parametrize("name", ["colbert_linear.pt", "sparse_linear.pt", "pytorch_model.bin"])
@pytest.mark.parametrize("protocol", first(1, [2, 4]))
def test_a_pickle_among_the_weights_runs_nothing_and_is_no_model(models, tmp_path, trace, name, protocol):
    folder = copied(models.embedder, tmp_path)
    if name == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Touch(trace), protocol))

    with pytest.raises(Exception, match=r"."):
        Embedder(folder, LoadOptions("float32"))

    assert not trace.exists()


@pytest.mark.parametrize("kind", ["embedder", "reranker"])
def test_code_beside_the_weights_is_not_run(models, tmp_path, trace, kind):
    folder = copied(getattr(models, kind), tmp_path)
    (folder / "theirs.py").write_text(CODE.format(str(trace)), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = dict.fromkeys(("AutoModel", "AutoModelForSequenceClassification"), "theirs.Model")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")

    {"embedder": Embedder, "reranker": Reranker}[kind](folder, LoadOptions("float32"))

    assert not trace.exists()
