"""OpenVINO computes what torch does: the same vectors, scores, cuts and cancellations, from an export that is kept."""

import asyncio
import contextlib
import mmap
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from sidecar.api.app_keys import EMBEDDER, RERANKER
from sidecar.retrieval.bge import openvino_runtime
from sidecar.retrieval.bge.export import ENCODER, FOLDER, exported
from sidecar.retrieval.bge.loading import LoadOptions, OpenVinoMeans
from sidecar.retrieval.bge.models import Embedder
from sidecar.retrieval.model import AbandonedError, ModelLoadError
from tests.conftest import start_service
from tests.integration.sidecar.retrieving import Models, loaded, post
from tests.integration.sidecar.test_embedding import TEXTS, THAI, cosine
from tests.matrix import first
from tests.unit.test_docs import ROOT
from tools.fakes import model_texts, tiny_models

pytestmark = pytest.mark.skipif(not openvino_runtime.is_installed(), reason="the extra openvino is not installed")


@pytest.fixture
def copied(tmp_path, models):
    """Models of this test alone, without exports."""
    folders = Models(tmp_path / "embedder", tmp_path / "reranker")
    for theirs, ours in ((models.embedder, folders.embedder), (models.reranker, folders.reranker)):
        shutil.copytree(theirs, ours, ignore=shutil.ignore_patterns(FOLDER))
    return folders


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of this file's own: OpenVINO's exports stay beside the weights, where another test would find them."""
    return Models.make(tmp_path_factory.mktemp("models"))


@pytest.fixture
def means(tmp_path):
    return OpenVinoMeans(tmp_path / "caches", 2, required=True)


def environment(models, **more):
    return models.environment | {"RETRIEVAL_BACKEND": "openvino", **more}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_openvino(tmp_path_factory, models):
    """One service for the tests that change nothing in it."""
    running = await start_service(tmp_path_factory.mktemp("openvino"), **environment(models))
    yield await loaded(running)
    await running.stop()


@pytest.mark.parametrize(
    ("dtype", "least_cosine", "most_off", "score_off"),
    first(2, [("float32", 0.99999, 1e-4, 1e-4), ("int8", 0.99, 0.1, 0.2), ("bfloat16", 0.999, 0.03, 0.05)]),
)
async def test_it_gives_what_torch_gives(start, retrieving, models, dtype, least_cosine, most_off, score_off):
    running = await loaded(await start(**environment(models, RETRIEVAL_DTYPE=dtype)))
    (_, theirs), (status, ours) = [await post(one, "/embed", {"texts": TEXTS}) for one in (retrieving, running)]
    assert status == 200
    for one, other in zip(theirs["embeddings"], ours["embeddings"], strict=True):
        assert cosine(one["dense"], other["dense"]) >= least_cosine
        weights, found = (dict(zip(*each["sparse"].values(), strict=True)) for each in (one, other))
        assert (
            max((abs(weights.get(i, 0) - found.get(i, 0)) for i in weights.keys() | found.keys()), default=0)
            <= most_off
        )
    body = {"query": THAI, "chunks": TEXTS}
    (_, theirs), (status, ours) = [await post(one, "/rerank", body) for one in (retrieving, running)]
    assert ours["scores"] == pytest.approx(theirs["scores"], abs=score_off)
    every = [(await post(one, "/embed_all", {"inputs": TEXTS[:3]}))[1] for one in (retrieving, running)]
    for one, other in zip(*every, strict=True):
        assert min(cosine(a, b) for a, b in zip(one, other, strict=True)) >= least_cosine


@pytest.mark.asyncio(loop_scope="module")
async def test_texts_that_are_too_long_are_cut_alike(shared_retrieving, shared_openvino):
    long = " ".join(model_texts.words(1, 5) * 600)
    answers = [
        await post(one, "/rerank", {"query": "a", "chunks": [long, "b"]})
        for one in (shared_retrieving, shared_openvino)
    ]
    assert [(status, answer["truncated"]) for status, answer in answers] == [(200, True)] * 2
    assert answers[0][1]["scores"] == pytest.approx(answers[1][1]["scores"], abs=1e-4)
    refused = [
        await post(one, "/rerank", {"query": "a", "chunks": [long], "truncate": False})
        for one in (shared_retrieving, shared_openvino)
    ]
    assert refused[0][0] == refused[1][0] == 422


@pytest.mark.asyncio(loop_scope="module")
async def test_a_text_that_gives_no_numbers_or_fails_is_told(shared_openvino):
    for text in (model_texts.NAN_TOKEN, model_texts.POISON_TOKEN):
        status, answer = await post(shared_openvino, "/embed", {"texts": ["good", text]})
        assert (status, answer["code"]) == (502, "engine_failed")
        assert "text 1 of the request" in answer["detail"]
    assert (await post(shared_openvino, "/embed", {"text": "good"}))[0] == 200


def test_what_nobody_waits_for_is_not_computed_to_its_end(copied, means):
    model = Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    batch = model.tokenize(["long " * 8000])
    asked = []
    with pytest.raises(AbandonedError):
        model.cpu.run(batch, lambda: asked.append(1))
    assert asked
    assert model.cpu.run(model.tokenize(["short"]), lambda: True)[0] is not None, "the next one is computed"


async def test_a_batch_takes_one_core_and_several_run_beside_each_other(start, models):
    running = await loaded(await start(**environment(models, RETRIEVAL_THREADS="2")))
    embedder = running.service.api[EMBEDDER]
    assert (embedder.limits().cores, embedder.limits().idle) == (2, 1)
    answers = await asyncio.gather(*(post(running, "/embed", {"texts": TEXTS}) for _ in range(4)))
    assert [status for status, _ in answers] == [200] * 4
    assert all(
        one == answers[0]
        or np.allclose(one[1]["embeddings"][0]["dense"], answers[0][1]["embeddings"][0]["dense"], atol=1e-4)
        for one in answers
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_which_library_computes_is_told(shared_retrieving, shared_openvino):
    for service, backend in ((shared_retrieving, "torch"), (shared_openvino, "openvino")):
        async with service.client.post(f"{service.url}/embed", json={"text": "a"}) as response:
            assert response.headers["X-Retrieval-Backend"] == backend
        async with service.client.get(f"{service.url}/info") as response:
            assert (await response.json())["backend"] == backend
        async with service.client.get(f"{service.ops}/metrics") as response:
            metrics = await response.text()
        assert f'retrieval_on_openvino{{model="embed"}} {float(backend == "openvino")}' in metrics


async def test_without_a_choice_it_computes_where_no_gpu_does(start, models):
    running = await loaded(await start(**environment(models, RETRIEVAL_BACKEND="auto")))
    assert running.service.api[EMBEDDER].keeper.model.backend == "openvino"
    assert running.service.api[RERANKER].keeper.model.backend == "openvino"


async def test_a_released_model_comes_back_in_it(start, models):
    running = await loaded(await start(**environment(models)))
    before = await post(running, "/rerank", {"query": "a", "chunks": ["b"]})
    await post(running, "/bge/unload", {})
    assert await post(running, "/rerank", {"query": "a", "chunks": ["b"]}) == before


def mapped(path):
    """Tell how much of a file is mapped, and how much of that is in memory, in KiB."""
    found, ours = [0, 0], False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if "-" in line.split()[0]:
            ours = line.endswith(str(path))
        elif ours and line.startswith(("Size:", "Rss:")):
            found[line.startswith("Rss:")] += int(line.split()[1])
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_weights_that_were_copied_leave_memory_with_their_file(tmp_path, means):
    """Their file, mapped, was there a second time: 580 MiB beside 717."""
    folder = tiny_models.make_embedder(tmp_path / "wide model", model_texts.Shape(hidden=256, heads=4, positions=514))
    model = Embedder(folder, LoadOptions("float32", openvino=means))
    (name,) = exports(folder)
    whole, in_memory = mapped((folder / FOLDER / name / ENCODER).with_suffix(".bin"))
    assert whole > 6000
    assert in_memory < 500
    again = Embedder(folder, LoadOptions("float32"))
    for ours, torch_s in zip(*(one.cpu.run(one.tokenize(TEXTS), lambda: True) for one in (model, again)), strict=True):
        assert cosine(ours.dense, torch_s.dense) >= 0.99999


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="advises Linux")
def test_a_file_that_is_mapped_to_be_written_stays_in_memory(tmp_path):
    path = tmp_path / "ours"
    path.write_bytes(bytes(mmap.PAGESIZE))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as memory:
        memory[:4] = b"kept"
        openvino_runtime.drop_mapped(path)
        assert memory[:4] == b"kept"


class Failing:
    """A request of OpenVINO that fails, as one in thousands does beside another."""

    def start_async(self, *_args, **_more):
        raise RuntimeError("Failed to broadcast-merge input shapes")


@pytest.mark.parametrize(("failures", "is_answered"), [(1, True), (2, False)])
def test_a_batch_that_fails_is_computed_once_more(copied, means, failures, is_answered):
    model = Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    batch = model.tokenize(TEXTS[:2])
    expected = model.cpu.run(batch, lambda: True)
    model.cpu.encoder._requests.get_nowait()
    for _ in range(failures):
        model.cpu.encoder._requests.put(Failing())
    if not is_answered:
        with pytest.raises(RuntimeError, match="broadcast-merge"):
            model.cpu.run(batch, lambda: True)
        return
    found = model.cpu.run(batch, lambda: True)
    assert [cosine(one.dense, other.dense) for one, other in zip(found, expected, strict=True)] == pytest.approx([1, 1])


# ── the export ────────────────────────────────────────────────────────────────────────────────────────────────────


def exports(folder):
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def test_it_is_made_once_beside_the_weights_and_known_by_their_content(copied, means):
    Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    (first,) = exports(copied.embedder)
    (copied.embedder / FOLDER / first / ENCODER).touch()
    made_at = (copied.embedder / FOLDER / first / ENCODER).stat().st_mtime_ns
    Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    assert (copied.embedder / FOLDER / first / ENCODER).stat().st_mtime_ns == made_at
    Embedder(copied.embedder, LoadOptions("int8", openvino=means))
    assert len(exports(copied.embedder)) == 2
    weights = copied.embedder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    assert len(exports(copied.embedder)) == 3


def test_it_is_kept_elsewhere_where_the_folder_cannot_be_written(copied, means):
    (copied.embedder / FOLDER).touch()  # as a folder that cannot be made; root may write everywhere
    Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    assert len(exports(means.caches)) == 1


def test_it_is_made_each_time_where_nothing_can_be_written(copied, means):
    (copied.embedder / FOLDER).touch()
    means.caches.touch()
    model = Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    assert model.cpu.run(model.tokenize(["still there"]), lambda: True)[0] is not None


def test_one_that_is_broken_is_made_again(copied, means):
    Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    (name,) = exports(copied.embedder)
    (copied.embedder / FOLDER / name / ENCODER).write_text("<net")
    model = Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    assert model.backend == "openvino"
    assert exports(copied.embedder) == [name]


def test_what_fails_half_way_leaves_nothing(copied, means):
    class Broken:
        def __init__(self):
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"), exported(copied.embedder, means.caches, "float32", Broken):
        pytest.fail("there is none")
    assert not (copied.embedder / FOLDER).exists()


def test_a_model_that_it_cannot_take_is_told():
    import torch  # noqa: PLC0415 - seconds, in each process that collects tests

    class Odd(torch.nn.Module):
        """An encoder with something that OpenVINO has no word for."""

        def forward(self, ids, attention_mask):  # noqa: ARG002 - as encoders are called
            return (torch.linalg.eigvals(ids.float() @ ids.float().T).real,)

    with pytest.raises(openvino_runtime.OpenVinoError):
        openvino_runtime.convert(Odd(), "float32")


@pytest.mark.parametrize("required", [True, False])
def test_it_is_an_error_where_it_was_asked_for_and_else_torch_s(copied, means, required, monkeypatch):
    """Here there is no room for an export, not even for a while."""
    monkeypatch.setattr(tempfile, "tempdir", str(means.caches))
    (copied.embedder / FOLDER).touch()
    means.caches.touch()
    means = OpenVinoMeans(means.caches, 2, required)
    with pytest.raises(ModelLoadError) if required else contextlib.nullcontext():
        model = Embedder(copied.embedder, LoadOptions("float32", openvino=means))
    assert required or model.backend == "torch"


FIRST_USE = """
import sys, threading
import numpy as np
from sidecar.retrieval.bge import openvino_runtime

def use():
    together.wait()
    openvino = openvino_runtime.library()
    openvino.Type.i64.to_dtype()
    openvino.Tensor(np.zeros((1, 2), np.int64), shared_memory=True).data

import openvino  # takes a second; without it the threads come one after the other
sys.setswitchinterval(1e-6)
together = threading.Barrier(8)
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_that_use_the_library_first_at_the_same_time_do_not_stand_still():
    """Without a lock a third of these processes stood still for ever, with all their threads."""
    started = [subprocess.Popen([sys.executable, "-c", FIRST_USE], cwd=ROOT) for _ in range(8)]
    try:
        assert [one.wait(60) for one in started] == [0] * 8
    finally:
        for one in started:
            one.kill()
            one.wait()
