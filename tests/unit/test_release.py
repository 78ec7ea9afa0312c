"""What a release must have, and what is read of the changelog and of what a push said."""

import json
import re

import pytest
import yaml

import sidecar
from tests.unit.test_docs import ROOT
from tools.charts import release as kept
from tools.release.changelog import Section, parse, released
from tools.release.digest import digest_of
from tools.release.previous import previous
from tools.release.ready import missing

TEXT = """# Changelog

## [Unreleased]

## [0.2.0] - 2027-01-31

### Added

- A thing.

## [0.1.0] - 2026-11-28

- The first.
"""
CHART = {"version": "0.2.0", "appVersion": "0.2.0"}
SUM = "sha256:" + "a" * 64


def problems(tag="v0.2.0", code="0.2.0", chart=CHART, text=TEXT, rendered=("0.1.0", "0.2.0")):
    return list(missing(tag, code, chart, parse(text), list(rendered)))


def test_a_release_that_has_all_can_be_made():
    assert problems() == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"tag": "0.2.0"}, "the tag is '0.2.0'"),
        ({"tag": "v0.3.0"}, "sidecar/__init__.py says 0.2.0, the tag 0.3.0"),
        ({"code": "0.1.0"}, "sidecar/__init__.py says 0.1.0"),
        ({"chart": CHART | {"version": "0.1.0"}}, "helm/Chart.yaml says version 0.1.0"),
        ({"chart": CHART | {"appVersion": "0.1.0"}}, "helm/Chart.yaml says appVersion 0.1.0"),
        ({"text": TEXT.replace("[0.2.0]", "[0.9.0]")}, "no section [0.2.0]"),
        ({"text": TEXT.replace("2027-01-31", "unreleased")}, "dates [0.2.0] unreleased"),
        ({"text": TEXT.replace(" - 2027-01-31", "")}, "dates [0.2.0] not at all"),
        ({"text": TEXT.replace("### Added\n\n- A thing.", "")}, "says nothing of [0.2.0]"),
        ({"text": TEXT.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n")}, "still has something"),
        ({"rendered": ["0.1.0"]}, "no rendering of 0.2.0"),
    ],
    ids=str,
)
def test_what_is_missing_is_told(change, word):
    assert any(word in one for one in problems(**change)), problems(**change)


def test_the_sections_are_read_with_their_text():
    assert parse(TEXT)[1] == Section("0.2.0", "2027-01-31", "### Added\n\n- A thing.")
    assert released(parse(TEXT)) == ["0.2.0", "0.1.0"]


@pytest.mark.parametrize(
    ("versions", "current", "wanted"),
    [
        (["0.2.0", "0.1.0"], "0.2.0", "0.1.0"),
        (["0.1.0"], "0.2.0", "0.1.0"),
        (["0.1.0"], "0.1.0", ""),
        ([], "0.1.0", ""),
    ],
)
def test_the_release_before_is_the_newest_other_one(versions, current, wanted):
    assert previous(versions, current) == wanted


def test_the_digest_is_what_was_pushed():
    assert digest_of(json.dumps({"containerimage.digest": SUM})) == SUM
    assert digest_of(f"Pushed: registry.example/charts/ocr-sidecar:0.2.0\nDigest: {SUM}\n") == SUM


@pytest.mark.parametrize("said", ["", "{}", "Digest: sha256:short\n", f"Digest: {SUM}\nDigest: {SUM}\n"])
def test_without_one_digest_nothing_is_signed(said):
    with pytest.raises(ValueError, match="digests"):
        digest_of(said)


def test_code_and_chart_have_one_version_and_the_changelog_knows_it():
    chart = yaml.safe_load((ROOT / "helm" / "Chart.yaml").read_text(encoding="utf-8"))
    sections = parse((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert {chart["version"], chart["appVersion"]} == {sidecar.__version__}
    assert sidecar.__version__ in [one.version for one in sections]
    assert released(sections), "there is a dated release"
    assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", one.date) for one in sections if one.date)


def test_every_release_s_rendering_is_kept():
    sections = parse((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert set(released(sections)) <= set(kept.versions())
