"""How sure a model is of its tokens becomes a page's quality, where the operator has it asked for that."""

import pytest

from tests.integration.sidecar.model import PAGE, Governor
from tools.fakes.ollama_answers import Answer
from tools.fakes.openai import FakeOpenAI


async def test_a_model_that_is_not_asked_tells_nothing(govern, fake):
    governed = await govern()
    fake.script([Answer("some text", logprob=-0.1)])
    (page,) = (await governed.read())["pages"]
    assert page["quality"] is None
    assert "logprobs" not in fake.chats[0].body


@pytest.mark.parametrize(("logprob", "score", "verdict"), [(-0.1, 1.0, "high"), (-2.0, 0.0, "low")])
async def test_ollamas_probabilities_make_a_pages_quality(govern, fake, logprob, score, verdict):
    governed = await govern(OCR_MODEL_LOGPROBS="on")
    fake.script([Answer("some text of a page", logprob=logprob)])
    (page,) = (await governed.read())["pages"]
    assert page["quality"] == {"score": score, "origin": "tokens", "verdict": verdict}


async def test_a_server_that_tells_no_probabilities_is_no_error(govern, fake):
    governed = await govern(OCR_MODEL_LOGPROBS="on")
    fake.script([Answer("some text of a page")])
    (page,) = (await governed.read())["pages"]
    assert (page["text"], page["quality"]) == ("some text of a page", None)


async def test_probabilities_of_the_openai_api_make_a_pages_quality(start, tmp_path):
    async with FakeOpenAI() as fake:
        governed = await Governor(start, fake, tmp_path / "profiles")(OCR_MODEL_LOGPROBS="on")
        fake.script([Answer("some text of a page", logprob=-0.1)])
        (page,) = (await governed.read(PAGE))["pages"]
        assert page["quality"] == {"score": 1.0, "origin": "tokens", "verdict": "high"}
        assert fake.chats[0].body["logprobs"] is True
