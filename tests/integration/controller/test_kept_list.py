"""The mirror's list of profiles is asked for anew when something changed, when it is old, and when nobody watches."""

import pytest

from controller.errors import UnavailableError
from controller.mirror.kept_list import KeptList
from tools.fakes.profile_resources import MemoryResources

SPEC = {"canonicalModel": "np-dms-ocr"}


class Counted(MemoryResources):
    """Counts how often it was asked, and may tell of a change meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = 0
        self.meanwhile = lambda: None

    async def list_profiles(self, namespace):
        self.lists += 1
        found = await super().list_profiles(namespace)
        self.meanwhile()
        return found


class World:
    def __init__(self) -> None:
        self.now, self.is_watched = 100.0, True
        self.resources = Counted()
        self.kept = KeptList(self.resources, "ocr", 30, lambda: self.is_watched, lambda: self.now)

    async def names(self):
        return [body["metadata"]["name"] for body in await self.kept.list_profiles("ocr")]


@pytest.fixture
def world():
    return World()


def manifest(name):
    return {"metadata": {"name": name, "namespace": "ocr"}, "spec": SPEC}


async def test_at_rest_it_is_asked_once(world):
    for _ in range(5):
        assert await world.names() == []
    assert world.resources.lists == 1


async def test_what_changed_is_seen(world):
    assert await world.names() == []
    await world.resources.apply_profile(manifest("a"), "somebody")
    world.kept.note_change()
    assert await world.names() == ["a"]


async def test_a_change_while_it_is_being_asked_makes_it_stale(world):
    world.resources.meanwhile = world.kept.note_change
    await world.names()
    world.resources.meanwhile = lambda: None
    await world.resources.apply_profile(manifest("a"), "somebody")
    assert await world.names() == ["a"]


async def test_what_was_written_through_it_is_seen(world):
    assert await world.names() == []
    await world.kept.apply_profile(manifest("a"), "ocr-mirror")
    (body,) = await world.kept.list_profiles("ocr")
    await world.kept.delete_profile("ocr", "a", body["metadata"]["uid"])
    assert await world.names() == []
    assert world.resources.lists == 3


async def test_without_a_watch_it_is_asked_each_time(world):
    await world.names()
    world.is_watched = False
    await world.resources.apply_profile(manifest("a"), "somebody")
    assert await world.names() == ["a"]


async def test_what_a_watch_missed_is_seen_when_the_list_is_old(world):
    await world.names()
    await world.resources.apply_profile(manifest("a"), "somebody")
    assert await world.names() == []
    world.now += 30
    assert await world.names() == ["a"]


async def test_what_failed_is_not_kept(world):
    world.resources.failing = UnavailableError("away")
    with pytest.raises(UnavailableError):
        await world.names()
    world.resources.failing = None
    await world.resources.apply_profile(manifest("a"), "somebody")
    assert await world.names() == ["a"]


async def test_what_a_pass_asked_for_is_kept_for_the_mirror(world):
    await world.names()
    await world.resources.apply_profile(manifest("a"), "somebody")
    assert [body["metadata"]["name"] for body in await world.kept.list_anew("ocr")] == ["a"]
    assert await world.names() == ["a"]
    assert world.resources.lists == 2


async def test_a_change_while_a_pass_asks_makes_it_stale_for_the_mirror(world):
    world.resources.meanwhile = world.kept.note_change
    await world.kept.list_anew("ocr")
    world.resources.meanwhile = lambda: None
    await world.names()
    assert world.resources.lists == 2


async def test_of_other_namespaces_nothing_is_kept(world):
    for _ in range(2):
        await world.kept.list_profiles("other")
        await world.kept.list_anew("other")
    assert world.resources.lists == 4
