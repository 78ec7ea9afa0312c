"""The documentation holds what the code holds: each thing has its line, and no line is about a thing that is not.

The habit is simonw/datasette's (tests/test_docs.py). A line that is missing or wrong is shown as it should be.
"""

import argparse
import ast
import inspect
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from sidecar import errors
from sidecar.api import middleware
from sidecar.api.app_keys import METRICS
from sidecar.api.dialects.registry import DIALECTS
from sidecar.api.jobs.routes import ROUTES as JOB_ROUTES
from sidecar.cli.commands import _parser
from sidecar.engines import model_servers, model_watch
from sidecar.engines.answers.model_answer import BROKEN, CUT, DEADLINE, LENGTH, LOOP, STOP, TOO_LONG
from sidecar.gpu import residency_policy
from sidecar.jobs.record import State
from sidecar.mcp import folder, results, tools
from sidecar.ocr import health
from sidecar.ocr.warning_codes import WarningCode
from sidecar.profiles.payload import ProfileError, parse_profile
from sidecar.retrieval import bge, keeper, placement_policy, retriever
from sidecar.service import engines
from sidecar.service.app import API_ROUTES, OPS_ROUTES, build_app
from sidecar.settings import Settings, environment_names, parse_settings
from sidecar.telemetry import Metrics
from sidecar.wire import cohere, jobs, ocr, openai, retrieval, status, tei, vllm
from sidecar.wire.dialects import docling, mistral, open_webui
from tools.clients import cases, document_cases, recipes
from tools.clients.table import Row

ROOT = Path(__file__).parents[2]
INFINITY_ROWS = [Row("infinity_client", f"`{name}.sync` at the base URL", print) for name in ("embeddings", "rerank")]
"""Its module imports a client that is not here."""
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
API, CONFIGURATION, OPERATIONS = (ROOT / "docs" / f"{name}.md" for name in ("api", "configuration", "operations"))
DEPLOY, THREATS, CRITIQUES = (ROOT / "docs" / f"{name}.md" for name in ("deploy", "threat-model", "critiques"))
ARCHITECTURE, COMMANDS, PROFILES, MCP = (
    ROOT / "docs" / f"{name}.md" for name in ("architecture", "command-line", "profiles", "mcp")
)
PAGES = [README, ROOT / "README.th.md", CONTRIBUTING, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

Row = tuple[str, ...]


def rows(page: Path, heading: str) -> list[Row]:
    """Cells of the first table below a heading, without code marks."""
    lines = page.read_text(encoding="utf-8").splitlines()
    below = iter(lines[lines.index(heading) + 1 :])
    table = []
    for line in below:
        if line.startswith("#") or (table and not line.startswith("|")):
            break
        if line.startswith("|"):
            table.append(tuple(cell.strip().replace("`", "") for cell in line.strip("|").split("|")))
    return table[2:]


def columns(page: Path, heading: str, count: int = 1) -> list[Row]:
    """The first columns of a table, sorted; twice the same line stays twice."""
    return sorted(row[:count] for row in rows(page, heading))


def wire_names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def accepted(schema_of_field: dict[str, Any]) -> str:
    """Say what a setting or field accepts, from its JSON schema."""
    kinds = [kind for kind in schema_of_field.get("anyOf", [schema_of_field]) if kind.get("type") != "null"]
    match kinds[0] if "enum" not in schema_of_field else schema_of_field:
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"exclusiveMinimum": low, "maximum": high}:
            return f"above {low}, up to {high:g}"
        case {"minimum": low, "maximum": high} | {"ge": low, "le": high}:  # pydantic writes either
            return f"{low} to {high}"
        case {"minimum": low}:
            return f"{low} and more"
        case {"format": "path"}:
            return "path"
    return "text"


# ── settings ──────────────────────────────────────────────────────────────────────────────────────────────────────


TRAITS = [factory.traits for factory in engines.ENGINES]
ENGINE_SETTINGS = {
    "OCR_ENGINE": engines.accepted_engines(TRAITS),
    "OCR_FALLBACK_ENGINE": engines.accepted_fallbacks(TRAITS),
    "OCR_SECOND_ENGINE": engines.accepted_seconds(TRAITS),
}
"""What a setting accepts that names an engine is the registry's to say."""


def setting_lines() -> list[str]:
    """The lines of docs/configuration.md, as they must be: name, default, what is accepted, unit and meaning."""
    lines = []
    for name, schema in Settings.model_json_schema(by_alias=True)["properties"].items():
        known = schema | ({"enum": ENGINE_SETTINGS[name]} if name in ENGINE_SETTINGS else {})
        default = known.get("default")
        shown = "unset" if default in (None, "") else f"`{default}`"
        lines.append(f"| `{name}` | {shown} | {accepted(known)} | {known['description']} |")
    return lines


def test_every_setting_has_its_line_with_its_default():
    of_the_service = CONFIGURATION.read_text(encoding="utf-8").partition("\n# The controller\n")[0]
    documented = [line for line in of_the_service.splitlines() if line.startswith("| `")]
    assert sorted(documented) == sorted(setting_lines())


SETTING_LIKE = r"\b(?:OCR|OLLAMA|TESSDATA|GPU|VRAM|MAX|BGE|RERANKER|RETRIEVAL)_[A-Z0-9_]*[A-Z]\b"
OLLAMAS_OWN = {(OPERATIONS.name, name) for name in ("OLLAMA_NUM_PARALLEL", "OLLAMA_KEEP_ALIVE", "OLLAMA_MAX_QUEUE")}
OLLAMAS_OWN |= {(CONFIGURATION.name, "OLLAMA_NUM_PARALLEL")}
"""Settings of the model server, named where ours have to fit them."""
STREAMS = {(OPERATIONS.name, f"OCR_{name}") for name in ("TURNS", "DUE", "BLOBS", "ENDED", "CALLBACKS", "PARKED")}
STREAMS |= {("scale.md", "OCR_DUE")}
"""Where jobs lie in NATS."""
SWITCHED = {(page, name) for page in ("switch.md", "switch.th.md") for name in ("OCR_API_URL", "OCR_LANG")}
"""The backend's own setting, and some of the service that ours replaces."""


def test_settings_named_anywhere_in_the_documentation_exist():
    named = {(page.name, name) for page in PAGES for name in re.findall(SETTING_LIKE, page.read_text(encoding="utf-8"))}
    assert len(named) > len(environment_names())
    assert {
        (page, name) for page, name in named if name not in environment_names()
    } - OLLAMAS_OWN - STREAMS - SWITCHED == set()


def test_every_setting_looks_like_one_to_these_tests():
    assert [name for name in environment_names() if not re.fullmatch(SETTING_LIKE, name)] == []


def example_environment() -> list[Row]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return [tuple(line.removeprefix("#").split("=", 1)) for line in lines if re.match(r"#?[A-Z]", line)]


def test_example_environment_holds_every_setting_commented_out():
    assert sorted(name for name, _ in example_environment()) == sorted(environment_names())
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_example_environment_parses_to_the_defaults():
    assert parse_settings(dict(example_environment())) == parse_settings({})


# ── the API ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_route_has_its_line():
    served = [("API", route.method, route.path, route.path not in middleware.OPEN_PATHS) for route in API_ROUTES]
    served += [("API", one.described.method, one.described.path, True) for of in DIALECTS for one in of.routes]
    served += [("API", one.described.method, one.described.path, True) for one in JOB_ROUTES]
    served += [("ops", route.method, route.path, False) for route in OPS_ROUTES]
    expected = [(port, method, path, "yes" if key else "no") for port, method, path, key in served]
    assert columns(API, "## Routes", 4) == sorted(expected)


def test_every_request_field_has_its_line():
    expected = wire_names(ocr.OcrPathRequest) | {"file"}
    assert columns(API, "### Fields") == sorted((name,) for name in expected)


def test_every_model_parameter_has_its_line_and_its_range():
    known = ocr.RuntimeParams.model_json_schema()["properties"]
    assert columns(API, "### runtimeParams", 2) == sorted((name, accepted(field)) for name, field in known.items())


def test_ranges_of_request_fields_are_those_of_the_code():
    known = ocr.OcrPathRequest.model_json_schema(by_alias=True)["properties"]
    documented = dict(columns(API, "### Fields", 2))
    ranges = {name: accepted(known[name]) for name in ("temperature", "topP", "repeatPenalty", "maxTokens")}
    assert {name: documented[name] for name in ranges} == ranges


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("### Answer", ocr.DocumentBody),
        ("### Pages", ocr.PageBody),
        ("### Attempts", ocr.AttemptBody),
        ("### Residency", ocr.ResidencyBody),
        ("### GET /health", status.HealthBody),
        ("### GET /profiles", status.LoadedProfileBody),
        ("### PUT /process: Open WebUI", open_webui.PageMetadata),
        ("### POST /v1/convert/file: docling-serve", docling.ConvertForm),
        ("### POST /v1/convert/source: docling-serve", docling.ConvertSourceRequest),
        ("### POST /v1/convert/file, POST /v1/convert/source: answer", docling.ConvertBody),
        ("### POST /v1/ocr: Mistral", mistral.OcrRequest),
        ("### POST /v1/ocr: answer", mistral.OcrBody),
        ("### POST /v1/files: answer", mistral.FileBody),
        ("### POST /v1/jobs: fields", jobs.Submission),
        ("### A job", jobs.JobBody),
    ],
)
def test_every_field_of_an_answer_has_its_line(heading, model):
    assert columns(API, heading) == sorted((name,) for name in wire_names(model))


def test_every_event_has_its_line():
    events = (ocr.DocumentEvent, ocr.PageEvent, ocr.DoneEvent, ocr.ErrorEvent)
    assert columns(API, "## Streamed answer") == sorted((event.model_fields["event"].default,) for event in events)


def test_every_error_code_has_its_line():
    ours = [kind for kind in errors.error_classes().values() if kind.__module__ == errors.__name__]
    expected = [(kind.code, str(kind.status), "yes" if kind.retryable else "no") for kind in ours]
    framework = re.findall(r'_json_error\(request, (\d+), "(\w+)"', inspect.getsource(middleware))
    expected += [(code, status, "no") for status, code in framework]
    assert columns(API, "## Errors", 3) == sorted(expected)


@pytest.mark.parametrize(("page", "heading"), [(API, "## Warnings"), (OPERATIONS, "## Warnings: cause and remedy")])
def test_every_warning_has_its_line(page, heading):
    assert columns(page, heading) == sorted((code.value,) for code in WarningCode)


def test_every_state_of_a_job_has_its_line():
    assert columns(API, "### States") == sorted((state.value,) for state in State)


def test_every_way_a_stream_can_end_has_its_line():
    ends = {STOP, LENGTH, CUT, LOOP, DEADLINE, BROKEN, TOO_LONG, "blank"}
    assert columns(API, "### How a page ended") == sorted((end,) for end in ends)


# ── operations ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_metric_has_its_line_with_type_and_labels():
    environ = {"OCR_AUTH_MODE": "network", "OLLAMA_API_URL": "http://127.0.0.1:9"}
    environ |= {
        "OCR_ON_PRESSURE": "lease",
        "OCR_STATE_DIR": "/nowhere",
        "OCR_AUDIT_FILE": "/nowhere/audit",
        "OCR_JOBS": "embedded",
    }
    metrics = build_app(parse_settings(environ))[METRICS]
    labels = {one._name: one._labelnames for one in metrics.registry._collector_to_names}
    expected = [
        (
            metric.name + ("_total" if metric.type == "counter" else ""),
            metric.type,
            ", ".join(labels.get(metric.name, ())),
        )
        for metric in metrics.registry.collect()
    ]
    assert len(expected) > len(list(Metrics().registry.collect())), "what app watches is missing"
    assert columns(OPERATIONS, "## Metrics", 3) == sorted(expected)


def log_messages() -> Iterator[str]:
    for module in (ROOT / "sidecar").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log" | "access_log")), args=[ast.Constant(str(text))]):
                    yield text
                case ast.Call(func=ast.Attribute(ast.Name("log"), "log"), args=[_, ast.Constant(str(text))]):
                    yield text


def test_every_log_line_has_its_line():
    assert columns(OPERATIONS, "## Log lines") == sorted((text,) for text in log_messages())


def readiness_reasons() -> set[str]:
    engine_modules = sorted(Path(model_watch.__file__).parent.rglob("*.py"))
    sources = "".join(path.read_text(encoding="utf-8") for path in (Path(health.__file__), *engine_modules))
    reasons = set(re.findall(r'Capability\("\w+", f?"([a-z-]+)', sources))
    reasons |= set(re.findall(r'self\.failure = .*"([a-z-]+)"', sources))
    states = (model_watch.STARTING, model_watch.MISSING, *(f"{model_watch.SERVER}{one}" for one in errors.ServerState))
    used = {name for name in vars(model_watch) if vars(model_watch)[name] in states}
    assert used == {"STARTING", "LOADING", "UNREACHABLE", "MISSING"}, "what this test looks for is no longer called so"
    return reasons.union(states, (model_servers.CIRCUIT_OPEN,))


def constants(module, pattern: str) -> set[str]:
    """Words in capitals that a module gives a value of lower-case words joined by hyphens."""
    found = {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    return {value for value in found if re.fullmatch(pattern, value)}


def test_every_reason_for_not_embedding_has_its_line():
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(bge.__file__).parent.glob("*.py"))
    raised = set(re.findall(r'(?:ModelLoadError\(|missing = )f?"([a-z-]+): ', sources))
    reasons = constants(retriever, r"[a-z]+(-[a-z]+)+") | constants(keeper, r"[a-z]+(-[a-z]+)+") | raised
    assert {"model-missing", "model-unusable", "worker-died"} <= reasons
    assert columns(OPERATIONS, "### Ready or not") == sorted((reason,) for reason in reasons)


def test_every_reason_for_a_device_has_its_line():
    reasons = constants(placement_policy, r"[a-z]+(-[a-z]+)+")
    assert columns(OPERATIONS, "### Where it runs") == sorted((reason,) for reason in reasons)


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("### POST /embed: fields", retrieval.EmbedRequest),
        ("### POST /embed: answer", retrieval.EmbedBody),
        ("### POST /rerank: fields", retrieval.RerankRequest),
        ("### POST /rerank: answer", retrieval.RerankBody),
        ("### POST /v1/embeddings: fields", openai.EmbeddingsRequest),
        ("### POST /v1/embeddings: answer", openai.EmbeddingsBody),
        ("### POST /v1/rerank: fields", cohere.RerankV1Request),
        ("### POST /v1/rerank: answer", cohere.RerankV1Body),
        ("### inputs: fields", tei.InputsRequest),
        ("### texts: fields", tei.TextsRerankRequest),
        ("### POST /score: fields", vllm.ScoreRequest),
        ("### POST /score: answer", vllm.ScoreBody),
        ("### GET /info", tei.InfoBody),
    ],
)
def test_every_field_of_embedding_and_reranking_has_its_line(heading, model):
    assert columns(API, heading) == sorted((name,) for name in wire_names(model))


def test_every_client_that_is_tried_has_its_line_and_works():
    tried = [(one.package, one.call.replace("`", "")) for one in (*cases.ROWS, *recipes.ROWS, *INFINITY_ROWS)]
    documented = rows(ROOT / "docs" / "integrations.md", "# Clients")
    assert sorted((client.split(" ")[0], call) for client, call, _ in documented) == sorted(tried)
    assert {works for *_, works in documented} == {"yes"}


def test_every_client_of_a_dialect_that_is_tried_has_its_line_and_works():
    tried = [(one.package, one.call.replace("`", "")) for one in document_cases.ROWS]
    documented = rows(API, "### Clients of dialects")
    assert sorted((client.split(" ")[0], call) for client, call, _ in documented) == sorted(tried)
    assert {works for *_, works in documented} == {"yes"}


def test_every_reason_for_not_being_ready_has_its_line():
    assert columns(OPERATIONS, "## Probes") == sorted((reason,) for reason in readiness_reasons())


def test_every_reason_of_residency_has_its_line():
    reasons = {
        vars(residency_policy)[name]
        for name in re.findall(r"OcrResidencyDecision\(.*, (\w+)\)", inspect.getsource(residency_policy))
    }
    assert len(reasons) >= 4, "what this test looks for is no longer written so"
    assert columns(OPERATIONS, "### How long the OCR model stays") == sorted((reason,) for reason in reasons)


def json_examples(page: Path) -> list[str]:
    return re.findall(r"^```json\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_example_of_a_profile_is_one():
    profile = parse_profile(json_examples(OPERATIONS)[0].encode(), "ocr-extract")
    payload = json.loads(json_examples(OPERATIONS)[0])
    names = {field.alias or name for name, field in type(profile).model_fields.items()}
    assert set(payload) | {"revision"} == names, "the example shows every field"
    assert columns(OPERATIONS, "### The payload") == sorted((name,) for name in names)


def test_profiles_that_are_tried_are_such():
    written = re.findall(r"^echo '(\{.*\})' >", code_of(PROFILES), re.MULTILINE)
    good, broken = written[:-1], written[-1]
    assert [parse_profile(content.encode(), "ocr-extract").name for content in good] == ["ocr-extract"] * len(good)
    assert len(good) == 2
    with pytest.raises(ProfileError):
        parse_profile(broken.encode(), "ocr-extract")


# ── the command line, make, and what the pages point to ───────────────────────────────────────────────────────────


def commands() -> dict[str, argparse.ArgumentParser]:
    return next(action.choices for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))


def test_every_command_has_its_line():
    documented = sorted(row[0].split()[0] for row in rows(COMMANDS, "## Sidecar"))
    assert documented == sorted(commands())


def test_every_option_of_ocr_has_its_line():
    known = {name for action in commands()["ocr"]._actions for name in action.option_strings}
    assert columns(COMMANDS, "### Options of `ocr`") == sorted((name,) for name in known - {"-h", "--help"})


def test_every_option_of_jobs_submit_has_its_line():
    (kinds,) = (one.choices for one in commands()["jobs"]._actions if isinstance(one, argparse._SubParsersAction))
    known = {name for action in kinds["submit"]._actions for name in action.option_strings}
    assert columns(COMMANDS, "### Options of `jobs submit`") == sorted((name,) for name in known - {"-h", "--help"})


def test_every_option_and_tool_of_mcp_has_its_line():
    known = {name for action in commands()["mcp"]._actions for name in action.option_strings}
    assert columns(MCP, "## Options") == sorted((name,) for name in known - {"-h", "--help"})
    registered = re.findall(r"async def ([a-z]\w+)\(", inspect.getsource(tools))
    assert columns(MCP, "# Tools of a language model") == sorted((name,) for name in registered)
    assert f"at most {results.MAX_CHARS:,} characters" in MCP.read_text(encoding="utf-8")
    assert f"({folder.MAX_LISTED} at most)" in MCP.read_text(encoding="utf-8")


def code_of(page: Path) -> str:
    """What a page shows as code: fenced blocks and marked words."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)
    return "\n".join(fenced + re.findall(r"`[^`\n]+`", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z0-9-]+)", code_of(page))) <= targets


def test_readme_shows_the_two_commands():
    assert {"demo", "test", "run"} <= set(re.findall(r"\bmake ([a-z-]+)", code_of(README)))


def test_readme_is_for_the_first_hour_and_leads_to_every_page():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 125
    linked = {README.parent / link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)}
    assert {page for page in PAGES if page != README} - linked == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_routes_called_exist_on_the_default_ports(page):
    called = set(re.findall(r"http://127\.0\.0\.1:(\d+)(/[\w./-]*)", code_of(page)))
    settings = parse_settings({})
    served = {(str(settings.port), route.path) for route in API_ROUTES}
    served |= {(str(settings.port), one.described.path) for of in DIALECTS for one in of.routes}
    served |= {(str(settings.ops_port), route.path) for route in OPS_ROUTES}
    assert called or page not in {README, PROFILES}
    assert called <= served


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_documents_named_are_there(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    local = [link for link in links if not link.startswith("https://")]
    for link in local:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings}
    named = set(re.findall(r"tests/data/[\w.-]*\w", text))
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_named_are_there(page):
    folders = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0].isalpha()))
    named = set(re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text(encoding="utf-8")))
    absent = {name for name in named if not (ROOT / name).exists()}
    assert absent <= {"build/image", "tests/e2e"}, "the former is made, of the latter it is said that there is none"


# ── the threat model ──────────────────────────────────────────────────────────────────────────────────────────────


def threats() -> list[Row]:
    """The tables of threats: threat, what stops it, where that is tested, what remains."""
    headings = [line for line in THREATS.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    tables = [rows(THREATS, heading) for heading in headings]
    found = [row for table in tables for row in table if len(row) == 4]
    assert len(found) > 20, "what this test looks for is no longer written so"
    return found


def test_modules_and_tests_that_the_threat_model_names_are_there():
    tracked = [str(path.relative_to(ROOT)) for path in tracked_files()]
    named = set(re.findall(r"`([^`\n]+\.(?:py|yaml|toml|lock))`", THREATS.read_text(encoding="utf-8")))
    assert len(named) > 40
    short = [path.rpartition("/")[2] for path in tracked]
    counts = {name: (tracked if "/" in name else short).count(name) for name in named}
    assert {name: count for name, count in counts.items() if count != 1} == {}


def test_what_stops_a_threat_is_tested_or_what_remains_is_told():
    assert [row for row in threats() if not (row[2] or row[3])] == []


def test_what_the_controllers_token_may_do_is_what_its_role_allows():
    *_, role, _ = yaml.safe_load_all((ROOT / "manifests/rbac/controller.yaml").read_text(encoding="utf-8"))
    allowed = [(kind, ", ".join(sorted(rule["verbs"]))) for rule in role["rules"] for kind in rule["resources"]]
    table = rows(THREATS, "### The controller's token")
    told = [(kind, ", ".join(sorted(verbs.split(", ")))) for kind, verbs, _ in table]
    assert sorted(told) == sorted(allowed)


# ── every file ────────────────────────────────────────────────────────────────────────────────────────────────────

PATHS_OF_ONE_MACHINE = re.compile(rb"(?<![\w.}])/(?:" + b"|".join([b"work", b"farm", b"root"]) + rb")/")


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_path_of_one_machine():
    texts = {path: content for path in tracked_files() if b"\0" not in (content := path.read_bytes())}
    assert len(texts) > len(PAGES)
    found = {path.name: match[0] for path, content in texts.items() if (match := PATHS_OF_ONE_MACHINE.search(content))}
    assert found == {}
