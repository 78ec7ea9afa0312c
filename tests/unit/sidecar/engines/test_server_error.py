import pytest

from sidecar.engines.servers.server_error import Meaning, meaning_of, refusal
from sidecar.errors import (
    EngineFailedError,
    EngineRefusedError,
    GpuOutOfMemoryError,
    ModelMissingError,
)

OVERFLOW = '{"error":{"code":400,"message":"request (9120 tokens) exceeds the available context size (8192 tokens)",'
OVERFLOW += '"type":"exceed_context_size_error","n_prompt_tokens":9120,"n_ctx":8192}}'


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory", Meaning.OUT_OF_MEMORY),
        ("llama-server process has terminated: exit status 2: cudaMalloc failed: out of memory", Meaning.OUT_OF_MEMORY),
        ("model requires more system memory: insufficient memory", Meaning.OUT_OF_MEMORY),
        ("llama runner process has terminated: signal: aborted (core dumped)", Meaning.RUNNER_GONE),
        ("llama runner process has terminated: exit status 2", Meaning.RUNNER_GONE),
        ('an error was encountered while running the model: Post "http://127.0.0.1:1/": EOF', Meaning.RUNNER_GONE),
        ("prediction aborted, token repeat limit reached", Meaning.REPEATS_ITSELF),
        ("model generated a repeated token", Meaning.REPEATS_ITSELF),
        ("image input is not supported - hint: you may need to provide the mmproj", Meaning.NO_VISION),
        ("model runner has unexpectedly stopped, this may be due to resource limitations", Meaning.RUNNER_GONE),
        ("something else", Meaning.OTHER),
        ("", Meaning.OTHER),
    ],
)
def test_the_words_tell_what_happened(said, meaning):
    assert meaning_of(said) is meaning


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (404, "model not found", ModelMissingError),
        (404, None, EngineRefusedError),
        (400, "invalid options", EngineRefusedError),
        (429, "too many requests", EngineFailedError),
        (500, "an error", EngineFailedError),
        (503, None, EngineFailedError),
        (302, None, EngineFailedError),
        (500, "cudaMalloc failed: out of memory", GpuOutOfMemoryError),
        (500, "llama runner process has terminated: exit status 2", EngineFailedError),
        (500, "image input is not supported", EngineRefusedError),
    ],
)
def test_a_status_and_its_words_become_an_error(status, said, error):
    assert type(refusal(status, said, "m")) is error


@pytest.mark.parametrize(
    ("said", "is_lost"), [("llama runner process has terminated: exit status 2", True), ("another failure", False)]
)
def test_a_runner_that_ended_is_told_apart(said, is_lost):
    assert refusal(500, said, "m").is_lost is is_lost


@pytest.mark.parametrize("said", [OVERFLOW, OVERFLOW.replace('"', '\\"')])
def test_an_overflow_says_how_large_the_context_must_be(said):
    told = refusal(400, said, "m")
    assert type(told) is EngineRefusedError
    assert str(told.detail) == "the page and its prompt take 9120 tokens: num_ctx must be larger than that"


@pytest.mark.parametrize(
    "said",
    [
        "the prompt is longer than the context length currently available to the model; shorten the prompt",
        "the input length exceeds the context length",
    ],
)
def test_an_overflow_without_a_number_is_told_as_one(said):
    assert "num_ctx must be larger" in refusal(400, said, "m").detail
