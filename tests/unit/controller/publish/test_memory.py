"""What is remembered of a namespace is used only while all that it came from is the same."""

from dataclasses import replace

from controller.publish.config_map import plan_entries
from controller.publish.memory import Memory, versions_of
from controller.publish.status import Surroundings
from controller.resource.condition import Condition
from controller.resource.sidecar_pod import Sidecar
from controller.resource.spec import read_resource
from tests.unit.controller.bodies import body

AROUND = Surroundings("ocr-profiles", (), {}, {}, None, is_fresh=False, now="2026-11-28T12:00:00Z")
SIDECAR = Sidecar("one", "u", "10.0.0.1", is_ready=True, stamped="h")


def of(version: str | None, uid: str = "u"):
    return {"metadata": {"uid": uid, "resourceVersion": version}}


def test_versions_are_of_every_profile_and_the_config_map():
    assert versions_of([of("1", "a"), of("2", "b")], of("3", "c")) == {"a": "1", "b": "2", "c": "3"}
    assert versions_of([of("1", "a")], None) == {"a": "1"}


def test_without_a_version_nothing_is_known():
    assert versions_of([of(None)], None) is None
    memory = Memory()
    memory.remember(None, [], plan_entries([], {}))
    memory.note_told(None, AROUND)
    assert (memory.plan(None), memory.has_told(None, AROUND)) == (None, False)


def test_a_plan_is_of_its_versions_alone():
    memory, resource = Memory(), read_resource(body())
    desired = plan_entries([resource], {})
    memory.remember({"a": "1"}, [resource], desired)
    assert memory.plan({"a": "1"}) == ([resource], desired)
    for other in ({"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"}, {}):
        assert memory.plan(other) is None


def test_what_was_told_is_told_of_the_same_whatever_the_time():
    memory = Memory()
    memory.note_told({"a": "1"}, AROUND)
    assert memory.has_told({"a": "1"}, replace(AROUND, now="2026-11-28T13:00:00Z"))
    assert not memory.has_told({"a": "2"}, AROUND)


def test_what_changes_around_is_told():
    memory = Memory()
    memory.note_told({"a": "1"}, AROUND)
    proof = Condition("IsolationEnforced", "False", "ConnectionAccepted", "open")
    for change in (
        {"sidecars": (SIDECAR,)},
        {"conflicts": {"a": "of numCtx"}},
        {"mirrored": {"a": [("RowGone", "it is gone")]}},
        {"isolation": proof},
        {"is_fresh": True},
    ):
        assert not memory.has_told({"a": "1"}, replace(AROUND, **change)), change
