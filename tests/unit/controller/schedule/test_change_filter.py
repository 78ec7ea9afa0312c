import copy

import pytest

from controller.publish.config_map import plan_entries, render_config_map
from controller.resource.mirror_state import STATE_ANNOTATION
from controller.resource.sidecar_pod import parse_loaded, read_pod
from controller.resource.spec import read_resource
from controller.schedule.change_filter import ChangeFilter
from tests.unit.controller.bodies import body


def pod(**changes):
    metadata = {"name": "sidecar-1", "namespace": "ocr", "uid": "u1", "annotations": {}}
    status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": metadata | changes.pop("metadata", {}), "status": status | changes}


# ── profiles ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_spec_is_news_and_a_status_is_none():
    news = ChangeFilter()
    assert news.is_news("ocrprofiles", None, body())
    assert not news.is_news("ocrprofiles", "MODIFIED", body(status={"revision": "x"}))
    assert news.is_news("ocrprofiles", "MODIFIED", body(generation=2))
    assert news.is_news("ocrprofiles", "MODIFIED", body(generation=2, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert news.is_news("ocrprofiles", "DELETED", body(generation=2))
    assert news.is_news("ocrprofiles", "ADDED", body(uid="another"))


def test_something_amiss_with_its_row_is_news():
    news = ChangeFilter()
    news.is_news("ocrprofiles", None, body(annotations={STATE_ANNOTATION: "{}"}))
    assert news.is_news(
        "ocrprofiles", "MODIFIED", body(annotations={STATE_ANNOTATION: '{"warnings": ["RowInvalid: x"]}'})
    )
    assert not news.is_news(
        "ocrprofiles", "MODIFIED", body(annotations={STATE_ANNOTATION: '{"warnings": ["RowInvalid: x"]}', "a": "b"})
    )


# ── the ConfigMap ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_config_map_is_news_when_it_is_not_what_was_written():
    news = ChangeFilter()
    live = render_config_map("ocr", plan_entries([read_resource(body())], {}))
    assert news.is_news("configmaps", None, live), "nothing is known yet"
    news.expect_config_map("ocr", live)
    assert not news.is_news("configmaps", "MODIFIED", copy.deepcopy(live))
    assert news.is_news("configmaps", "DELETED", live)
    assert news.is_news("configmaps", "MODIFIED", live | {"data": {}})


# ── pods ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("event", "change", "is_news"),
    [
        ("MODIFIED", {}, False),
        ("MODIFIED", {"startTime": "2026-01-01T00:00:00Z"}, False),
        ("MODIFIED", {"podIP": "10.0.0.2"}, True),
        ("MODIFIED", {"conditions": []}, True),
        ("MODIFIED", {"phase": "Failed"}, True),
        ("MODIFIED", {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, True),
        ("MODIFIED", {"metadata": {"annotations": {"ocr.np-dms.work/profiles-hash": "x"}}}, True),
        ("ADDED", {"metadata": {"uid": "u2"}}, True),
        ("DELETED", {}, True),
    ],
)
def test_a_pod_is_news_when_it_comes_goes_or_changes_what_matters(event, change, is_news):
    news = ChangeFilter()
    news.expect_sidecars("ocr", [read_pod(pod())])
    assert news.is_news("pods", event, pod(**change)) is is_news


@pytest.mark.parametrize(
    ("status", "is_ready"),
    [({}, True), ({"podIP": ""}, False), ({"conditions": None}, False)],
)
def test_a_pod_is_ready_when_it_says_so_and_has_an_address(status, is_ready):
    assert read_pod(pod(**status)).is_ready is is_ready


# ── what a sidecar answers ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"profiles": [{"name": "a", "revision": "r", "loadedAt": 1}]}', ({"a": "r"}, {})),
        (b'{"profiles": [{"name": "a", "revision": "r", "contentRevision": "c"}]}', ({"a": "c"}, {})),
        (b'{"profiles": [], "refused": [{"name": "b", "reason": "no"}, 7]}', ({}, {"b": "no"})),
        (b'{"profiles": [], "refused": [{"file": "b.json", "error": "no"}]}', ({}, {"b": "no"})),
        (b'{"profiles": [], "refused": null}', ({}, {})),
        (b"{}", None),
        (b"[]", None),
        (b"null", None),
        (b"", None),
        (b"\xff", None),
        (b'{"profiles": [{"name": "a"}]}', None),
        (b"[" * 100_000, None),
    ],
)
def test_answers_are_parsed_or_refused_as_a_whole(content, expected):
    assert parse_loaded(content) == expected
