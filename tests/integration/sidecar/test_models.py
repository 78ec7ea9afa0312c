"""Several models beside each other, chosen by name: what each gives, what it cannot give, and what is none."""

import json
import shutil

import numpy as np
import pytest
import pytest_asyncio

from sidecar.api.app_keys import EMBEDDERS, RERANKERS
from sidecar.retrieval.bge import openvino_runtime
from sidecar.retrieval.bge.dense import DenseEmbedder
from sidecar.retrieval.bge.loading import LoadOptions, OpenVinoMeans
from sidecar.retrieval.bge.models import Reranker
from sidecar.retrieval.model import ModelLoadError
from tests.conftest import start_service, until
from tests.integration.sidecar.retrieving import Models, post, readyz
from tests.integration.sidecar.test_embedding import cosine
from tests.matrix import first
from tools.fakes import model_texts, tiny_models

TEXTS = [*model_texts.texts(6, 1, 60), model_texts.THAI, "a"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of this file's own: OpenVINO's exports stay beside the weights, where another test would find them."""
    return Models.make(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    return {
        "e5": tiny_models.make_dense(folder / "e5"),
        "cls": tiny_models.make_dense(folder / "cls", "cls_token"),
        "qwen": tiny_models.make_decoder(folder / "qwen"),
        "long-reranker": tiny_models.make_reranker(folder / "long-reranker", tiny_models.EMBEDDER),
    }


@pytest.fixture(scope="module")
def named(models, folders):
    kinds = {
        "embed": [models.embedder, folders["e5"], folders["qwen"]],
        "rerank": [models.reranker, folders["long-reranker"]],
    }
    return ",".join(f"{kind}:{folder}" for kind, each in kinds.items() for folder in each)


@pytest.fixture
async def several(start, models, named):
    running = await start(**models.environment | {"RETRIEVAL_MODELS": named})
    assert (await post(running, "/bge/load", {}))[0] == 200
    return running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_several(tmp_path_factory, models, named):
    """One service for the tests that change nothing in it."""
    environment = models.environment | {"RETRIEVAL_MODELS": named}
    running = await start_service(tmp_path_factory.mktemp("several"), **environment)
    assert (await post(running, "/bge/load", {}))[0] == 200
    yield running
    await running.stop()


def expected(folder, pooling):
    """Compute the vectors with transformers alone, each text by itself."""
    import torch  # noqa: PLC0415 - seconds, in each process that collects tests
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 - likewise

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found = []
    for text in TEXTS:
        with torch.inference_mode():
            hidden = model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False))[0][0]
        vector = {"cls": hidden[0], "lasttoken": hidden[-1], "mean": hidden.mean(dim=0)}[pooling]
        found.append((vector / vector.norm()).numpy())
    return found


@pytest.mark.parametrize(("name", "pooling"), [("e5", "mean"), ("cls", "cls"), ("qwen", "lasttoken")])
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_vectors_are_those_of_the_model_in_a_batch_of_any_lengths(folders, tmp_path, name, pooling, backend):
    if backend == "openvino" and not openvino_runtime.is_installed():
        pytest.skip("the extra openvino is not installed")
    means = OpenVinoMeans(tmp_path, 2, required=True) if backend == "openvino" else None
    model = DenseEmbedder(folders[name], LoadOptions("float32", openvino=means))
    assert (model.backend, model.dimensions, model.gives_tokens) == (backend, 32, False)
    ours = model.cpu.run(model.tokenize(TEXTS), lambda: True)
    for one, theirs in zip(ours, expected(folders[name], pooling), strict=True):
        assert cosine(one.dense, theirs) >= 0.99999
        assert np.linalg.norm(one.dense) == pytest.approx(1, abs=1e-5)


def test_long_texts_are_cut_to_what_the_model_can_place(folders):
    model = DenseEmbedder(folders["qwen"], LoadOptions("float32"))
    (long,) = model.tokenize(["word " * 3000])
    assert (model.max_tokens, len(long.ids), long.truncated) == (1024, 1024, True)
    assert long.ids[-1] == 2  # the end token, whose vector it is, is not cut off


@pytest.mark.asyncio(loop_scope="module")
async def test_a_request_chooses_its_model_and_gets_the_first_without_one(shared_several):
    _, first = await post(shared_several, "/v1/embeddings", {"input": "a"})
    assert first["model"] == "embedder"
    for name in ("e5", "qwen", "embedder"):
        status, answer = await post(shared_several, "/v1/embeddings", {"input": "a", "model": name})
        assert (status, answer["model"]) == (200, name)
        assert (answer["data"][0]["embedding"] == first["data"][0]["embedding"]) == (name == "embedder")
    _, short = await post(shared_several, "/v1/rerank", {"query": "a", "documents": ["b " * 700]})
    _, long = await post(
        shared_several, "/v1/rerank", {"query": "a", "documents": ["b " * 700], "model": "long-reranker"}
    )
    assert (short["model"], short["truncated"]) == ("reranker", True)
    assert (long["model"], long["truncated"]) == ("long-reranker", False)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"text": "a"}),
        ("/embed", {"inputs": "a"}),
        ("/embed_sparse", {"inputs": "a"}),
        ("/v1/embeddings", {"input": "a"}),
        ("/tokenize", {"inputs": "a"}),
        ("/tokenize", {"prompt": "a"}),
        ("/rerank", {"query": "a", "chunks": ["b"]}),
        ("/rerank", {"query": "a", "chunks": []}),
        ("/rerank", {"query": "a", "texts": ["b"]}),
        ("/v1/rerank", {"query": "a", "documents": ["b"]}),
        ("/score", {"text_1": "a", "text_2": "b"}),
    ],
)
async def test_a_model_that_there_is_not_is_refused_with_those_that_there_are(shared_several, path, body):
    status, answer = await post(shared_several, path, body | {"model": "gpt-9"})
    there = "embedder, e5, qwen" if "embed" in path or "tokenize" in path else "reranker, long-reranker"
    assert (status, answer["code"]) == (422, "invalid_value")
    assert answer["detail"] == f"model is gpt-9, accepted here: {there}"


async def test_without_the_setting_any_name_is_the_model_there_is(start, models):
    running = await start(**models.environment)
    assert (await post(running, "/bge/load", {}))[0] == 200
    status, answer = await post(running, "/v1/embeddings", {"input": "a", "model": "gpt-9"})
    assert (status, answer["model"]) == (200, "embedder")
    assert (await post(running, "/embed", {"text": "a", "model": "gpt-9"}))[0] == 200


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["/embed_sparse", "/embed_all"])
async def test_what_a_model_cannot_give_is_refused(shared_several, path):
    status, answer = await post(shared_several, path, {"inputs": "a", "model": "e5"})
    assert (status, answer["detail"]) == (422, "e5 gives one dense vector for a text, and nothing else")
    assert (await post(shared_several, path, {"inputs": "a"}))[0] == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_our_own_answer_says_that_there_is_no_sparse_vector(shared_several):
    status, answer = await post(shared_several, "/embed", {"text": "a", "model": "qwen"})
    assert (status, len(answer["dense"]), answer["sparse"]) == (200, 32, None)


async def test_dimensions_are_checked_with_the_model_s_first_call_as_well(several):
    for _ in range(2):
        status, answer = await post(several, "/v1/embeddings", {"input": "a", "model": "e5", "dimensions": 7})
        assert (status, answer["code"]) == (422, "invalid_value")


async def test_the_first_is_loaded_at_the_start_the_others_by_their_first_call(several):
    embedders, rerankers = (several.service.api[key] for key in (EMBEDDERS, RERANKERS))
    assert [one.keeper.model is not None for one in (*embedders.values(), *rerankers.values())] == [
        True,
        False,
        False,
        True,
        False,
    ]
    _, ready = await readyz(several)
    assert [ready[name]["state"] for name in ("embed", "embed:e5", "embed:qwen", "rerank", "rerank:long-reranker")] == [
        "ready"
    ] * 5
    async with several.client.post(f"{several.url}/embed", json={"text": "a", "model": "e5"}) as response:
        assert float(response.headers["X-Model-Load-Seconds"]) > 0
    assert (await post(several, "/bge/unload", {}))[1]["status"] == "unloaded"
    assert not any(one.keeper.model for one in embedders.values())


@pytest.mark.parametrize("backend", first(1, ["torch", "openvino"]))
async def test_each_reads_what_it_can_up_to_the_limit_and_leaves_by_itself(start, models, named, tmp_path, backend):
    if backend == "openvino" and not openvino_runtime.is_installed():
        pytest.skip("the extra openvino is not installed")
    limits = {"RETRIEVAL_MAX_TOKENS": "600", "BGE_KEEP_ALIVE_SECONDS": "0.5"}
    where = {"RETRIEVAL_BACKEND": backend, "RETRIEVAL_CACHE_DIR": str(tmp_path)}
    running = await start(**models.environment | {"RETRIEVAL_MODELS": named} | limits | where)
    assert (await post(running, "/bge/load", {}))[0] == 200
    for name in ("embedder", "e5", "qwen"):
        assert (await post(running, "/embed", {"text": "a", "model": name}))[0] == 200
    for name in ("reranker", "long-reranker"):
        assert (await post(running, "/rerank", {"query": "a", "chunks": ["b"], "model": name}))[0] == 200
    keepers = [one.keeper for key in (EMBEDDERS, RERANKERS) for one in running.service.api[key].values()]
    assert [one.limits.max_tokens for one in keepers] == [600, 600, 600, 512, 600]
    assert {one.limits.backend for one in keepers} == {backend}
    await until(lambda: not any(one.model for one in keepers), 60)


@pytest.mark.asyncio(loop_scope="module")
async def test_all_are_listed(shared_several):
    async with shared_several.client.get(f"{shared_several.url}/v1/models") as response:
        names = [one["id"] for one in (await response.json())["data"]]
    assert names == ["embedder", "e5", "qwen", "reranker", "long-reranker"]


# ── what is no model ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def spoilt(folders, tmp_path):
    return shutil.copytree(folders["e5"], tmp_path / "spoilt")


def rewrite(path, **more):
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def test_a_model_that_does_not_say_how_its_vectors_are_made_is_refused(spoilt):
    (spoilt / "1_Pooling" / "config.json").unlink()
    with pytest.raises(ModelLoadError, match=r"model-unusable: config\.json is missing or no JSON"):
        DenseEmbedder(spoilt, LoadOptions("float32"))


@pytest.mark.parametrize("more", [{"pooling_mode_max_tokens": True}, {"pooling_mode_mean_tokens": False}])
def test_a_way_to_make_vectors_that_is_not_known_is_refused(spoilt, more):
    rewrite(spoilt / "1_Pooling" / "config.json", **more)
    with pytest.raises(ModelLoadError, match="names none of cls, mean, lasttoken"):
        DenseEmbedder(spoilt, LoadOptions("float32"))


def test_a_layer_that_is_not_known_is_refused(spoilt):
    modules = [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Dense"}]
    (spoilt / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelLoadError, match="a layer that is not known here, Dense"):
        DenseEmbedder(spoilt, LoadOptions("float32"))


def test_code_of_a_model_is_never_run(spoilt, tmp_path):
    """As Jina's: its configuration names classes in files beside it."""
    (spoilt / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    names = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    rewrite(spoilt / "config.json", auto_map=names, model_type="never-heard-of")
    with pytest.raises(ModelLoadError, match="needs code of its own"):
        DenseEmbedder(spoilt, LoadOptions("float32"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("make", [tiny_models.make_dense, tiny_models.make_reranker])
def test_weights_of_another_shape_under_a_known_name_are_no_model(make, tmp_path):
    """A model that needs its own code may bear a name that transformers knows; most weights would be made up."""
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    folder = make(tmp_path / "impostor")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name.replace("attention", "mixer"): one for name, one in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    kind = DenseEmbedder if make is tiny_models.make_dense else Reranker
    with pytest.raises(ModelLoadError, match="model-unusable: weights are missing, "):
        kind(folder, LoadOptions("float32"))


@pytest.mark.asyncio(loop_scope="module")
async def test_an_error_about_a_pair_names_the_query(shared_several):
    status, answer = await post(
        shared_several, "/rerank", {"query": f"bad {model_texts.POISON_TOKEN}", "chunks": ["a"]}
    )
    assert (status, answer["detail"]) == (502, "the model failed on the query with text 0 of the request, from 0")
    status, answer = await post(shared_several, "/embed", {"text": f"bad {model_texts.POISON_TOKEN}"})
    assert (status, answer["detail"]) == (502, "the model failed on text 0 of the request, from 0")
