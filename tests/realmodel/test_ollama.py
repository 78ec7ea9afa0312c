"""The client with a real Ollama: OLLAMA_TEST_URL names one, OLLAMA_TEST_MODEL a vision model that it has."""

import base64
import os

import pytest

from sidecar.engines.servers.chat import ChatTimeouts
from sidecar.engines.servers.ollama import Ollama
from sidecar.errors import EngineRefusedError, ModelMissingError
from tests.integration.sidecar.model import PAGE

URL, MODEL = os.environ.get("OLLAMA_TEST_URL", ""), os.environ.get("OLLAMA_TEST_MODEL", "")
TIMEOUTS = ChatTimeouts(5, 300, 300)
pytestmark = [
    pytest.mark.skipif(not (URL and MODEL), reason="OLLAMA_TEST_URL and OLLAMA_TEST_MODEL name none"),
    pytest.mark.timeout(600),
]


def request(**options: object):
    user = {"role": "user", "content": "Extract all text.", "images": [base64.b64encode(PAGE).decode()]}
    kept = {"keep_alive": 60, "truncate": False, "shift": False, "think": False}
    return {"model": MODEL, "messages": [user], "stream": True, "options": options} | kept


@pytest.fixture
async def ollama():
    one = Ollama(URL, 5)
    async with one.open():
        yield one


async def test_it_has_the_model_and_its_digest(ollama):
    installed = await ollama.installed()
    assert ollama.missing(MODEL, installed) is None
    assert any(installed.values())


async def test_a_page_ends_and_its_model_is_resident(ollama):
    stream = await ollama.chat(request(temperature=0.1, num_predict=2000), TIMEOUTS)
    assert stream.done_reason in ("stop", "length", "loop")
    assert any(model.vram_mb or model.name for model in await ollama.resident())


async def test_out_of_tokens_is_length(ollama):
    assert (await ollama.chat(request(num_predict=2), TIMEOUTS)).done_reason == "length"


async def test_a_context_that_is_too_small_refuses_the_page(ollama):
    long = request(num_ctx=2048)
    long["messages"][0]["content"] = "word " * 6000
    with pytest.raises(EngineRefusedError):
        await ollama.chat(long, TIMEOUTS)


async def test_a_model_that_it_does_not_have_is_missing(ollama):
    with pytest.raises(ModelMissingError):
        await ollama.chat(request() | {"model": "no-such-model"}, TIMEOUTS)
