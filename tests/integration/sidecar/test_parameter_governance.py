"""Parameters: exactly what request and profile say goes over the wire, and the answer says what went."""

import ast
from pathlib import Path

import pytest

from tests.conftest import until
from tests.integration.sidecar.model import PAGE, pages
from tools.fakes.ollama import Answer
from tools.fakes.ollama_wire import digest

SIDECAR = Path(__file__).parents[3] / "sidecar"
PROFILE = {"temperature": 0.1, "top_p": 0.5, "repeat_penalty": 1.0, "num_ctx": 8192}


async def test_what_nobody_set_is_not_sent(governed):
    body = await governed.read()

    assert (governed.options, body["parameters"]) == ([{}], {})


async def test_the_profile_says_what_the_request_does_not(govern):
    govern.publish(runtimeParams=PROFILE)
    governed = await govern()

    body = await governed.read(temperature="0", runtimeParams='{"temperature": 2, "max_tokens": 77}')

    assert governed.options == [PROFILE | {"temperature": 0, "num_predict": 77}]
    assert body["parameters"] == governed.options[0]
    assert body["profile"]["name"] == "ocr-extract"
    assert body["warnings"] == []


async def test_zero_is_a_value(governed):
    await governed.read(temperature="0", topP="0", runtimeParams='{"temperature": 1, "top_p": 1}')

    assert governed.options == [{"temperature": 0, "top_p": 0}]


@pytest.mark.parametrize(
    ("field", "value", "option", "sent"),
    [
        ("temperature", "1.5", "temperature", 1.5),
        ("topP", "0.25", "top_p", 0.25),
        ("repeatPenalty", "1.25", "repeat_penalty", 1.25),
        ("maxTokens", "512", "num_predict", 512),
        ("runtimeParams", '{"num_ctx": 16384}', "num_ctx", 16384),
    ],
)
async def test_each_parameter_goes_under_the_name_ollama_knows(governed, field, value, option, sent):
    body = await governed.read(**{field: value})

    assert governed.options == [{option: sent}]
    assert body["parameters"] == {option: sent}


async def test_every_page_of_a_document_is_sent_the_same(governed):
    await governed.read(pages(3), temperature="0.3")

    assert governed.options == [{"temperature": 0.3}] * 3


async def test_a_further_try_has_a_seed_of_its_own_and_a_higher_temperature_and_is_listed(govern):
    retry = {"maxAttempts": 3, "temperatureStep": 0.1}
    govern.publish(runtimeParams=PROFILE, retry=retry)
    governed = await govern()
    governed.fake.script([Answer("half", done_reason="length"), Answer("", chunks=()), Answer("whole")])

    body = await governed.read()

    assert [(options["temperature"], options.get("seed")) for options in governed.options] == [
        (0.1, None),
        (0.2, 2),
        (0.3, 3),
    ]
    (page,) = body["pages"]
    assert [(a["verdict"], a["parameters"]) for a in page["attempts"]] == list(
        zip(["truncated", "empty", "good"], governed.options, strict=True)
    )
    assert (page["text"], page["truncated"], body["engineUsed"]) == ("whole", False, "np-dms-ocr")
    assert body["warnings"] == ["page-truncated", "page-empty", "page-retried"]


async def test_where_no_temperature_is_set_a_further_try_sets_none(govern):
    govern.publish(retry={"maxAttempts": 2, "temperatureStep": 0.5})
    governed = await govern()
    governed.fake.script([Answer("half", done_reason="length")])

    await governed.read()

    assert governed.options == [{}, {"seed": 2}]


async def test_the_temperature_of_further_tries_ends_with_its_range(govern):
    retry = {"maxAttempts": 3, "temperatureStep": 0.4}
    govern.publish(retry=retry)
    governed = await govern()
    governed.fake.script([Answer("half", done_reason="length")] * 2)

    await governed.read(temperature="1.5")

    assert [options["temperature"] for options in governed.options] == [1.5, 1.9, 2.0]


async def test_a_profile_is_asked_for_by_name(govern):
    for name, temperature in (("ocr-extract", 0.1), ("tables", 0.7)):
        govern.publish(name, model=f"{name}-model", runtimeParams={"temperature": temperature})
    governed = await govern()
    governed.fake.install("tables-model")
    watch = governed.service.engine("np-dms-ocr").servers.all[0].watch
    await until(lambda: "tables-model:latest" in watch.digests)

    body = await governed.read(profile="tables")

    assert (body["profile"]["name"], body["modelUsed"]) == ("tables", "tables-model")
    assert body["modelDigest"] == digest("tables-model:latest")
    assert [(call.model, call.options) for call in governed.fake.chats] == [("tables-model", {"temperature": 0.7})]


async def test_a_profile_that_is_not_published_is_refused_by_name(governed):
    status, body = await governed.service.upload(PAGE, profile="tables")

    assert (status, body["code"]) == (422, "unknown_profile")
    assert "'tables'" in body["detail"]
    assert governed.fake.chats == []


async def test_without_the_default_profile_the_answer_warns(governed):
    body = await governed.read()

    assert (body["profile"], body["warnings"]) == (None, ["profile-missing"])


@pytest.mark.parametrize(
    "fields",
    [
        {"keep_alive": "0"},
        {"keepAlive": "5m"},
        {"KEEP-ALIVE": "-1"},
        {"runtimeParams": '{"keep_alive": 1}'},
        {"runtimeParams": '{"options": {"keep_Alive": 1}}'},
        {"dmsTags": '{"keepalive": true}'},
    ],
)
async def test_no_caller_chooses_how_long_the_model_stays(governed, fields):
    status, body = await governed.service.upload(PAGE, engine="np-dms-ocr", **fields)

    assert (status, body["code"]) == (400, "keep_alive_refused")
    assert governed.fake.chats == []


async def test_the_fake_refuses_what_ollama_would_ignore_and_nothing_we_send_is_refused(governed):
    await governed.read(temperature="1", topP="1", repeatPenalty="1", maxTokens="9", runtimeParams='{"num_ctx": 4096}')

    assert governed.fake.refusals == []


SAMPLING = {"temperature", "top_p", "top_k", "repeat_penalty", "max_tokens", "num_predict", "num_ctx", "seed"}


def literals_for_sampling(source: str) -> list[int]:
    """Lines that give a sampling parameter a number: by keyword, by dictionary, by assignment or as a default."""
    found = []
    for node in ast.walk(ast.parse(source)):
        pairs = []
        match node:
            case ast.keyword(arg=str(name), value=value):
                pairs = [(name, value)]
            case ast.Dict(keys=keys, values=values):
                pairs = [(key.value, value) for key, value in zip(keys, values, strict=True) if is_name(key)]
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                pairs = [(name, value)]
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str(name)))], value=value):
                pairs = [(name, value)]
        found += [node.lineno if hasattr(node, "lineno") else 0 for name, value in pairs if is_set(name, value)]
    return found


def is_name(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and isinstance(key.value, str)


def is_set(name: str, value: ast.expr | None) -> bool:
    is_number = isinstance(value, ast.Constant) and isinstance(value.value, int | float)
    return name.lower() in SAMPLING and is_number and not isinstance(value.value, bool)


@pytest.mark.parametrize(
    "source", ["f(temperature=0.1)", "x = {'top_p': 1}", "num_ctx: int = 8192", "o['seed'] = 7", "TEMPERATURE = 0"]
)
def test_the_search_for_hardcoded_parameters_finds_them(source):
    assert literals_for_sampling(source) == [1]


def test_no_sampling_parameter_is_hardcoded_anywhere():
    modules = sorted(SIDECAR.rglob("*.py"))
    assert len(modules) > 40
    found = {module.name: lines for module in modules if (lines := literals_for_sampling(module.read_text()))}
    assert found == {}
