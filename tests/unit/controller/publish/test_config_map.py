import functools
import json

import pytest

from controller.publish.config_map import (
    MAX_DATA_BYTES,
    Publication,
    good_payload,
    is_in_place,
    plan_entries,
    render_config_map,
    surplus_of,
)
from controller.resource.spec import read_resource
from sidecar.profiles.payload import parse_profile
from tests.unit.controller.bodies import body


def plan(*bodies, last_good=None):
    return plan_entries([read_resource(one) for one in bodies], last_good or {})


def payload_text(**spec):
    return plan(body(spec=spec)).data["ocr-extract.json"]


def big(name, created, characters=9_000):
    return body(name, {"prompt": {"systemPrompt": "ก" * characters}}, creationTimestamp=created)


def test_every_active_profile_has_its_key_in_stable_order():
    first, second = body("b"), body("a")
    desired = plan(first, second)
    assert list(desired.data) == ["a.json", "b.json"]
    assert desired.hash == plan(second, first).hash
    assert json.loads(desired.data["a.json"])["revision"] == desired.entries["a"].revision
    assert json.loads(desired.data["a.json"]) == json.loads(json.dumps(json.loads(desired.data["a.json"])))


@pytest.mark.parametrize(
    ("changes", "publication"),
    [
        ({}, Publication.PUBLISHED),
        ({"isActive": False}, Publication.INACTIVE),
        ({"isActive": False, "temperature": 9}, Publication.INACTIVE),
        ({"canonicalModel": "np-dms-ai"}, Publication.OTHER_MODEL),
        ({"canonicalModel": "np-dms-ai", "isActive": False}, Publication.OTHER_MODEL),
        ({"temperature": 9}, Publication.INVALID),
    ],
)
def test_what_becomes_of_a_profile(changes, publication):
    desired = plan(body(spec=changes))
    assert desired.entries["ocr-extract"].publication is publication
    assert bool(desired.data) == (publication is Publication.PUBLISHED)


def test_an_invalid_profile_keeps_its_last_good_payload_and_takes_no_other_down():
    good = payload_text()
    desired = plan(body(spec={"temperature": 9}), body("other"), last_good={"ocr-extract": good})
    assert desired.data["ocr-extract.json"] == good
    entry = desired.entries["ocr-extract"]
    assert (entry.publication, entry.revision) == (
        Publication.LAST_GOOD,
        parse_profile(good.encode(), "ocr-extract").revision,
    )
    assert "other.json" in desired.data


def test_an_invalid_profile_that_is_switched_off_is_withdrawn():
    desired = plan(body(spec={"temperature": 9, "isActive": False}), last_good={"ocr-extract": payload_text()})
    assert desired.data == {}


def test_a_deleted_profile_is_gone_even_while_a_finalizer_holds_it():
    assert plan(body(deletionTimestamp="2026-01-02T00:00:00Z")).entries == {}


def test_over_900_kib_the_newest_are_refused_and_the_rest_is_served():
    many = [big(f"p{number:02}", f"2026-01-01T00:00:{number:02}Z") for number in range(40)]
    desired = plan(*reversed(many))
    served = [name for name, entry in desired.entries.items() if entry.publication is Publication.PUBLISHED]
    refused = [name for name, entry in desired.entries.items() if entry.publication is Publication.TOO_LARGE]
    assert served == [f"p{number:02}" for number in range(len(served))]
    assert refused == [f"p{number:02}" for number in range(len(served), 40)]
    size = sum(len(key) + len(text.encode()) for key, text in desired.data.items())
    assert size <= MAX_DATA_BYTES < size + len(desired.data["p00.json"].encode()) + len("p00.json")


def test_a_small_profile_does_not_slip_in_behind_a_refused_one():
    many = [big(f"p{number:02}", f"2026-01-01T00:00:{number:02}Z") for number in range(40)]
    desired = plan(*many, body("small", creationTimestamp="2026-01-02T00:00:00Z"))
    assert desired.entries["small"].publication is Publication.TOO_LARGE


# ── who stays when there is no room ───────────────────────────────────────────────────────────────────────────────


def crowd(count):
    return [big(f"p{number:03}", f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z", 800) for number in range(count)]


@functools.cache
def as_many_as_fit():
    publications = [entry.publication for entry in plan(*crowd(450)).entries.values()]
    return publications.index(Publication.TOO_LARGE)


def full(growth=0):
    """As many profiles as fit; the oldest may have a longer prompt."""
    oldest, *others = crowd(as_many_as_fit())
    return [big("p000", "2026-01-01T00:00:00Z", 800 + growth) if growth else oldest, *others]


def publications(desired):
    return {name: entry.publication for name, entry in desired.entries.items()}


def served_by(desired):
    return {name: entry.payload for name, entry in desired.entries.items() if entry.payload is not None}


def test_a_profile_that_grows_withdraws_no_healthy_one_and_keeps_what_it_had():
    before = plan(*full())
    after = plan(*full(growth=5_000), last_good=served_by(before))
    assert set(publications(before).values()) == {Publication.PUBLISHED}
    assert publications(after) == publications(before) | {"p000": Publication.CHANGE_TOO_LARGE}
    assert (after.data, after.entries["p000"].revision) == (before.data, before.entries["p000"].revision)


def test_the_change_is_published_as_soon_as_it_fits():
    before = plan(*full())
    fewer = full(growth=500)[:-1]
    assert set(publications(plan(*fewer, last_good=served_by(before))).values()) == {Publication.PUBLISHED}


def test_what_is_new_takes_no_place_of_what_is_served_however_old_it_says_it_is():
    before = plan(*full())
    after = plan(big("ancient", "2020-01-01T00:00:00Z"), *full(), last_good=served_by(before))
    assert after.entries["ancient"].publication is Publication.TOO_LARGE
    assert after.data == before.data


def test_one_that_shrinks_may_do_so_in_a_map_that_is_already_too_full():
    """The limit of a later version may be lower than what an earlier one published."""
    crowded = {name: payload_of(one) for one in crowd(450) for name in [one["metadata"]["name"]]}
    smaller = [big("p000", "2026-01-01T00:00:00Z", 10), *crowd(450)[1:]]
    assert plan(*smaller, last_good=crowded).entries["p000"].publication is Publication.PUBLISHED


def payload_of(one):
    return next(iter(plan(one).data.values()))


# ── what can be trusted of a ConfigMap that hands were at ─────────────────────────────────────────────────────────


def changed(text, **values):
    return json.dumps(json.loads(text) | values)


@pytest.mark.parametrize(
    ("published", "known", "is_good"),
    [
        (payload_text(), "its own", True),
        (payload_text(), None, True),
        (payload_text(), "another", False),
        (changed(payload_text(), keepAliveSeconds=9), None, False),
        (changed(payload_text(), name="other"), None, False),
        ("{", None, False),
        ("", None, False),
        (None, None, False),
    ],
    ids=["ours", "status lost", "older or newer", "edited", "renamed", "no JSON", "empty", "gone"],
)
def test_only_our_own_payload_is_taken_for_the_last_good_one(published, known, is_good):
    revision = json.loads(payload_text())["revision"] if known == "its own" else known
    resource = read_resource(body(spec={"temperature": 9}, status={"revision": revision} if revision else {}))
    assert good_payload(resource, published) == (published if is_good else None)


# ── what is in place ──────────────────────────────────────────────────────────────────────────────────────────────


def manifest():
    return render_config_map("ocr", plan(body()))


def test_a_manifest_is_in_place_when_the_cluster_holds_it_and_more_metadata():
    live = manifest()
    live["metadata"]["labels"]["team"] = "ocr"
    live["metadata"]["resourceVersion"] = "7"
    assert is_in_place(live, manifest())


@pytest.mark.parametrize(
    "change",
    [
        lambda live: live["data"].update({"ocr-extract.json": "{}"}),
        lambda live: live["data"].update({"foreign.json": "{}"}),
        lambda live: live["data"].clear(),
        lambda live: live.pop("data"),
        lambda live: live.update(binaryData={"x": "AA=="}),
        lambda live: live.update(immutable=True),
        lambda live: live["metadata"]["labels"].clear(),
        lambda live: live["metadata"].pop("annotations"),
    ],
)
def test_any_change_by_hand_is_seen(change):
    live = manifest()
    change(live)
    assert not is_in_place(live, manifest())


def test_no_config_map_is_not_in_place_even_for_no_profiles():
    assert not is_in_place(None, render_config_map("ocr", plan()))
    empty = render_config_map("ocr", plan())
    del empty["data"]  # the API server leaves an empty map out
    assert is_in_place(empty, render_config_map("ocr", plan()))


def test_surplus_is_what_others_put_in():
    live = manifest()
    assert surplus_of(live, manifest()) == {}
    live["data"]["foreign.json"] = "{}"
    live["binaryData"] = {"x": "AA=="}
    assert surplus_of(live, manifest()) == {"data": {"foreign.json": None}, "binaryData": None}
