"""The client's values hold what the wire holds, and outlive other versions of it."""

import json
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest

from sidecar.client import answers, jobs
from sidecar.client.failures import BusyError, NotConfiguredError, ServiceError, UnauthorizedError, parse_error
from sidecar.client.retries import next_pause_s
from sidecar.wire import jobs as jobs_wire
from sidecar.wire import ocr, retrieval, status
from sidecar.wire.receipts import provenance, receipt, sureness

PAGE = {"event": "page", "page": 3, "text": "a"}


PAIRS = [
    (answers.Block, ocr.BlockBody),
    (answers.Cell, ocr.CellBody),
    (answers.Image, ocr.ImageBody),
    (answers.Line, ocr.LineBody),
    (answers.Word, ocr.WordBody),
    (answers.Attempt, ocr.AttemptBody),
    (answers.Correction, ocr.CorrectionBody),
    (answers.Disagreement, sureness.DisagreementBody),
    (answers.Document, ocr.DocumentBody),
    (answers.Embedding, retrieval.EmbeddingBody),
    (answers.Embeddings, retrieval.EmbedManyBody),
    (answers.Opened, ocr.DocumentEvent),
    (answers.Page, ocr.PageBody),
    (answers.PageReceipt, receipt.PageReceiptBody),
    (answers.ProfileUsed, ocr.ProfileBody),
    (answers.Provenance, provenance.ProvenanceBody),
    (answers.Quality, sureness.QualityBody),
    (answers.Ranking, retrieval.RerankBody),
    (answers.Reader, provenance.ReaderBody),
    (answers.Receipt, receipt.ReceiptBody),
    (answers.Residency, ocr.ResidencyBody),
    (answers.SparseVector, retrieval.SparseBody),
    (answers.Summary, ocr.SummaryBody),
    (answers.TextLayer, ocr.TextLayerBody),
    (answers.Verification, sureness.VerificationBody),
    (answers.Health, status.HealthBody),
    (jobs.Call, jobs_wire.CallBody),
    (jobs.Callback, jobs_wire.CallbackBody),
    (jobs.Job, jobs_wire.JobBody),
    (jobs.JobFailure, jobs_wire.JobErrorBody),
    (jobs.JobList, jobs_wire.JobsBody),
]
THEIRS = dict(PAIRS)
EACH_PAIR = pytest.mark.parametrize(("ours", "wires"), PAIRS, ids=lambda kind: kind.__name__)


@EACH_PAIR
def test_every_field_of_the_wire_is_there(ours, wires):
    not_repeated = {"event", "rankedIndices", "learned_needs"}
    assert set(ours.model_fields) == set(wires.model_fields) - not_repeated


@EACH_PAIR
def test_every_field_takes_what_the_wire_may_hold(ours, wires):
    """Of one type, null among its values; only we may take null where the wire has none: an older service's."""
    taken = {name: variants(field.annotation) for name, field in ours.model_fields.items()}
    held = {name: variants(wires.model_fields[name].annotation) for name in taken}
    assert {name: kinds - {type(None)} for name, kinds in taken.items()} == {
        name: kinds - {type(None)} for name, kinds in held.items()
    }
    assert [name for name in taken if not held[name] <= taken[name]] == []


def variants(annotation: object) -> set[object]:
    """What a value may be, our kinds by the wire's; of names, that they are text."""
    if get_origin(annotation) is Literal:
        return {type(one) for one in get_args(annotation)}
    if isinstance(annotation, type) and issubclass(annotation, str):
        return {str}
    if get_origin(annotation) in {Union, UnionType}:
        return set().union(*map(variants, get_args(annotation)))
    if get_origin(annotation) is Annotated:
        return variants(get_args(annotation)[0])
    if get_origin(annotation) is list:
        return {("list", frozenset(variants(get_args(annotation)[0])))}
    return {THEIRS.get(annotation, annotation)}


def test_what_an_older_service_lacks_has_a_default_and_what_a_newer_one_adds_is_kept():
    page = answers.parse_line(json.dumps(PAGE | {"mood": "good", "attempts": [{"engine": "e", "new": 1}]}).encode())
    assert isinstance(page, answers.Page)
    assert (page.page, page.error, page.attempts[0].verdict) == (3, None, "")
    assert page.as_json() == {"page": 3, "text": "a", "mood": "good", "attempts": [{"engine": "e", "new": 1}]}


def test_an_event_that_is_not_known_is_passed_over():
    assert answers.parse_line(b'{"event": "weather"}') is None


@pytest.mark.parametrize(
    "line",
    [
        b"<html>\n",
        b"\xff\n",
        b"{",
        b"[1]",
        b"null",
        b'"page"',
        b"{}",
        b'{"event": "page"}',
        b'{"event": "page", "page": "x", "text": "a"}',
        b'{"event": "error", "detail": "d"}',
        b'{"event": ["page"]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_event_is_told_apart(line):
    with pytest.raises(answers.NotOursError):
        answers.parse_line(line)


def test_the_last_line_may_be_an_error():
    line = b'{"event": "error", "status": 413, "code": "page_too_large", "detail": "d", "requestId": "r"}'
    with pytest.raises(ServiceError) as raised:
        answers.parse_line(line)
    assert (raised.value.status, raised.value.code, raised.value.request_id) == (413, "page_too_large", "r")
    assert str(raised.value) == "d (413 page_too_large)"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, UnauthorizedError), (403, UnauthorizedError), (429, BusyError), (503, BusyError), (502, ServiceError)],
)
def test_the_status_tells_the_kind(status, kind):
    assert type(parse_error(status, b"")) is kind


def test_what_the_service_was_not_set_up_for_is_no_matter_of_time():
    body = json.dumps({"code": "not_configured", "detail": "the embed model is not there"}).encode()
    assert type(parse_error(503, body)) is NotConfiguredError
    assert next_pause_s(parse_error(503, body, 1.0), patience_s=120, chance=0) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"detail": 1, "code": []}', b"\xff", b"[" * 100_000])
def test_an_error_without_a_reason_has_its_status(body):
    assert str(parse_error(502, body)) == "the service answered with status 502"


def test_a_detail_does_not_steer_the_terminal_and_does_not_fill_it():
    error = parse_error(422, json.dumps({"detail": "\x1b[2Jx" + "y" * 5000, "code": "c"}).encode())
    assert error.detail.startswith(" [2Jxyyy")
    assert len(error.detail) == 1000
