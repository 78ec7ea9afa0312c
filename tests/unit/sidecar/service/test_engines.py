"""The registry: which engine reads, which may stand in, and that no name decides anything below it."""

import ast
import itertools

import pytest

from sidecar.api.app_keys import READER
from sidecar.cli.doctor import examine
from sidecar.ocr.engine import EngineTraits, RequestedOptions
from sidecar.service.app import build_app
from sidecar.service.engines import ENGINES, accepted_engines, accepted_fallbacks, accepted_seconds, check_engines
from sidecar.settings import SettingsError, parse_settings
from tests.unit.test_docs import ROOT

TRAITS = [factory.traits for factory in ENGINES]
PIXELS = EngineTraits("pixels", takes_parameters=True)
URL = {"OLLAMA_API_URL": "http://ollama:11434"}


@pytest.mark.parametrize(
    ("environ", "engine"),
    [
        ({}, "tesseract"),
        (URL, "np-dms-ocr"),
        ({"OLLAMA_API_URL": "  "}, "tesseract"),
        ({"OCR_ENGINE": "tesseract"} | URL, "tesseract"),
        ({"OCR_ENGINE": "np-dms-ocr"}, "np-dms-ocr"),
    ],
)
async def test_auto_falls_to_the_engine_that_is_set_else_to_the_first_that_is_configured(environ, engine):
    app = build_app(parse_settings({"OCR_AUTH_MODE": "network", "BGE_M3_MODEL": "", "RERANKER_MODEL": ""} | environ))
    assert app[READER].policy.default_engine == engine


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("OCR_ENGINE", "easyocr", accepted_engines(TRAITS)),
        ("OCR_ENGINE", "auto", accepted_engines(TRAITS)),
        ("OCR_ENGINE", "Tesseract", accepted_engines(TRAITS)),
        ("OCR_FALLBACK_ENGINE", "off", accepted_fallbacks(TRAITS)),
        ("OCR_FALLBACK_ENGINE", "np-dms-ocr", accepted_fallbacks(TRAITS)),
        ("OCR_SECOND_ENGINE", "tesseract", accepted_seconds(TRAITS)),
    ],
)
def test_a_setting_that_names_no_engine_is_refused_by_service_and_doctor(name, value, accepted):
    said = f"{name} is {value}: accepted are {', '.join(accepted)}"
    with pytest.raises(SettingsError) as refused:
        check_engines(parse_settings({name: value}), TRAITS)
    assert str(refused.value) == said
    finding = next(examine({name: value, "OCR_AUTH_MODE": "network"}))
    assert (finding.what, finding.ok, finding.detail) == ("settings", False, said)
    with pytest.raises(SettingsError, match=f"^{name} is {value}"):
        build_app(parse_settings({name: value, "OCR_AUTH_MODE": "network"}))


@pytest.mark.parametrize(
    "environ", [{}, {"OCR_ENGINE": "pixels"}, {"OCR_FALLBACK_ENGINE": "pixels"}, {"OCR_FALLBACK_ENGINE": "none"}]
)
def test_an_engine_that_is_registered_is_accepted(environ):
    check_engines(parse_settings(environ), [*TRAITS, PIXELS])


def test_what_needs_the_gpu_may_read_but_is_no_fallback():
    engines = [EngineTraits("graphic", on_gpu=True), PIXELS]
    assert accepted_engines(engines) == ["graphic", "pixels"]
    assert accepted_fallbacks(engines) == ["pixels", "none"]


CLOSED = {"OLLAMA_API_URL": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("environ", "languages", "ollama"),
    [
        ({}, True, False),
        (CLOSED, True, False),
        ({"OCR_ENGINE": "tesseract"} | CLOSED, True, False),
        ({"OCR_FALLBACK_ENGINE": "none"}, True, False),
        ({"OCR_FALLBACK_ENGINE": "none", "OCR_ENGINE": "tesseract"} | CLOSED, True, False),
        ({"OCR_FALLBACK_ENGINE": "none"} | CLOSED, False, True),
        ({"OCR_FALLBACK_ENGINE": "none", "OCR_ENGINE": "np-dms-ocr"}, False, True),
    ],
)
def test_the_doctor_needs_what_those_engines_need_that_read_by_these_settings(environ, languages, ollama):
    found = {one.what: one.needed for one in examine({"OCR_AUTH_MODE": "network", "OCR_LANGUAGES": "eng"} | environ)}
    assert (found["language eng"], found["Ollama"]) == (languages, ollama)


def test_no_two_engines_have_one_name():
    assert len({one.name for one in TRAITS}) == len(TRAITS)


@pytest.mark.parametrize("room", ["ocr", "wire"])
def test_what_knows_engines_by_their_traits_writes_no_engine_s_name(room):
    strings = {
        f"{path.name}:{node.lineno}: {node.value}"
        for path in (ROOT / "sidecar" / room).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert strings
    named = itertools.product(strings, TRAITS)
    assert [text for text, one in named if one.name in text.partition(": ")[2].lower()] == []


ALL = EngineTraits("a", takes_prompt=True, takes_parameters=True, on_gpu=True)


@pytest.mark.parametrize(
    ("requested", "readers", "met"),
    [
        (RequestedOptions(), [], True),
        (RequestedOptions(parameters=True), [], False),
        (RequestedOptions(parameters=True), [PIXELS], True),
        (RequestedOptions(prompt=True), [PIXELS], False),
        (RequestedOptions(prompt=True, parameters=True), [PIXELS, EngineTraits("b", takes_prompt=True)], True),
        (RequestedOptions(profile=True), [PIXELS], True),
        (RequestedOptions(profile=True), [EngineTraits("b")], False),
        (RequestedOptions(residency=True), [PIXELS], False),
        (RequestedOptions(True, True, True, True), [EngineTraits("b"), ALL], True),
    ],
)
def test_an_option_is_met_if_an_engine_that_read_takes_it(requested, readers, met):
    assert requested.met_by(readers) is met
