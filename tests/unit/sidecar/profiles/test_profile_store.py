"""The published profiles, from real directories: as editors, kubelets and accidents leave them."""

import asyncio
import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sidecar.profiles.store import FOLDER, MAX_FILE_BYTES, Profiles, ProfileStore
from tests.conftest import until

NOBODY = 65_534
OPEN_FILES = Path("/proc/self/fd")


def payload(temperature: float = 0.1, **fields: object) -> str:
    return json.dumps({"runtimeParams": {"temperature": temperature}} | fields)


def temperatures(store: ProfileStore) -> dict[str, float | None]:
    return {name: one.profile.runtime_params.temperature for name, one in store.current.loaded.items()}


def looked(folder: Path, **options) -> ProfileStore:
    store = ProfileStore(folder, **options)
    store.look()
    return store


class ConfigMap:
    """A mounted ConfigMap: each key is a link through ``..data``, which the kubelet swaps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = itertools.count()

    def swap(self, files: dict[str, str]) -> None:
        version = self.folder / f"..{next(self._count)}"
        version.mkdir(parents=True)
        for name, content in files.items():
            (version / name).write_text(content)
        before = (self.folder / "..data").readlink() if (self.folder / "..data").is_symlink() else None
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").replace(self.folder / "..data")
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for link in self.folder.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        if before:
            shutil.rmtree(self.folder / before)


# ── what is loaded ────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_folder_there_are_no_profiles():
    store = ProfileStore(None)
    store.look()
    assert store.current == Profiles()


def test_each_file_is_the_profile_of_its_name(tmp_path):
    (tmp_path / "ocr-extract.json").write_text(payload(0.1, keepAliveSeconds=30))
    (tmp_path / "a.b.json").write_text(payload(0.2, name="a.b"))
    store = looked(tmp_path)
    assert temperatures(store) == {"ocr-extract": 0.1, "a.b": 0.2}
    assert (store.current.get("ocr-extract").keep_alive_seconds, store.current.get("none")) == (30, None)
    assert store.current.refused == {}


@pytest.mark.parametrize("name", [".hidden.json", "..data", "a.json~", ".a.json.swp", "a.txt", "README"])
def test_what_is_no_profile_s_file_is_not_looked_at(tmp_path, name):
    (tmp_path / name).write_text("{")
    assert looked(tmp_path).current == Profiles()


def test_what_was_taken_never_changes(tmp_path):
    (tmp_path / "a.json").write_text(payload(0.1))
    store = looked(tmp_path)
    taken = store.current
    (tmp_path / "a.json").write_text(payload(0.25))
    (tmp_path / "b.json").write_text(payload())
    store.look()
    assert [taken.get("a").runtime_params.temperature, taken.get("b")] == [0.1, None]
    assert store.current.get("a").runtime_params.temperature == 0.25


def test_a_hand_edit_shows_in_the_revision_of_the_content(tmp_path):
    (tmp_path / "a.json").write_text(payload(0.1))
    honest = looked(tmp_path).current.loaded["a"].content_revision
    (tmp_path / "a.json").write_text(payload(0.2, revision=honest))
    edited = looked(tmp_path).current.loaded["a"]
    assert edited.profile.revision == honest
    assert edited.content_revision != honest


def test_the_time_of_loading_is_that_of_the_last_change(tmp_path):
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    store = ProfileStore(tmp_path, lambda: now[0])
    (tmp_path / "a.json").write_text(payload(0.1))
    (tmp_path / "b.json").write_text(payload(0.1))
    store.look()
    now[0] += timedelta(hours=1)
    (tmp_path / "a.json").write_text(payload(0.25))
    store.look()
    loaded = store.current.loaded
    assert (loaded["a"].loaded_at.hour, loaded["b"].loaded_at.hour) == (1, 0)


# ── how files change ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_is_renamed_into_place_is_read(tmp_path):
    (tmp_path / "a.json").write_text(payload(0.1))
    store = looked(tmp_path)
    (tmp_path / "new").write_text(payload(0.2))
    (tmp_path / "new").replace(tmp_path / "a.json")
    store.look()
    assert temperatures(store) == {"a": 0.2}


def test_a_configmap_is_swapped_as_a_whole(tmp_path):
    mounted = ConfigMap(tmp_path)
    mounted.swap({"a.json": payload(0.1), "b.json": payload(0.1), "c.json": payload(0.1)})
    store = looked(tmp_path)
    mounted.swap({"a.json": payload(0.2), "b.json": payload(0.2), "d.json": payload(0.2)})
    store.look()
    assert temperatures(store) == {"a": 0.2, "b": 0.2, "d": 0.2}
    assert store.current.refused == {}


def test_a_swap_in_the_middle_of_a_look_is_never_seen_by_halves(tmp_path):
    mounted = ConfigMap(tmp_path)
    names = [f"p{n}.json" for n in range(20)]
    mounted.swap(dict.fromkeys(names, payload(generation=0)))
    store = looked(tmp_path)
    over = threading.Event()

    def swap() -> None:
        for generation in itertools.count(1):
            if over.is_set():
                return
            mounted.swap(dict.fromkeys(names, payload(generation=generation)))

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    try:
        ends_s = time.monotonic() + 0.7
        while time.monotonic() < ends_s:
            store.look()
            seen.add(tuple(sorted({one.profile.generation for one in store.current.loaded.values()})))
    finally:
        over.set()
        swapping.join()
    assert len(seen) > 1
    assert [generations for generations in seen if len(generations) > 1] == []


def test_a_file_that_goes_away_is_withdrawn(tmp_path):
    (tmp_path / "a.json").write_text(payload())
    (tmp_path / "b.json").write_text("{")
    store = looked(tmp_path)
    (tmp_path / "a.json").unlink()
    (tmp_path / "b.json").unlink()
    store.look()
    assert store.current == Profiles()


def test_a_half_written_file_keeps_the_last_good_version_until_it_is_whole(tmp_path):
    file, content = tmp_path / "a.json", payload(0.2)
    file.write_text(payload(0.1))
    store = looked(tmp_path)
    for end in (0, 1, len(content) // 2, len(content) - 1):
        file.write_text(content[:end])
        store.look()
        assert (temperatures(store), dict(store.current.refused)) == ({"a": 0.1}, {"a.json": "it is not JSON"})
    file.write_text(content)
    store.look()
    assert (temperatures(store), store.current.refused) == ({"a": 0.2}, {})


def test_a_broken_file_is_told_and_takes_no_other_down(tmp_path):
    (tmp_path / "a.json").write_text(payload(9))
    (tmp_path / "b.json").write_text(payload(0.2))
    store = looked(tmp_path)
    assert temperatures(store) == {"b": 0.2}
    assert list(store.current.refused) == ["a.json"]
    assert "runtimeParams.temperature" in store.current.refused["a.json"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"prompt": {"promptType": "\\ud800"}}',
        b'{"systemPrompt": "\\ud800"}',
        b'{"dmsTags": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b"\xff\xfe",
        b"",
        b"[]",
        b"9" * 5000,
        b"[" * 200_000,
    ],
)
def test_whatever_a_file_holds_it_takes_no_other_down(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    (tmp_path / "b.json").write_text(payload(0.2))
    store = looked(tmp_path)
    assert temperatures(store) == {"b": 0.2}
    assert list(store.current.refused) == ["a.json"]


def test_a_file_that_names_another_profile_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(payload(name="b"))
    store = looked(tmp_path)
    assert dict(store.current.refused) == {"a.json": "name is 'b', the file is that of 'a'"}
    assert temperatures(store) == {}


@pytest.mark.parametrize(
    "name", [b"\xff.json", b"A.json", b"a b.json", "ก.json".encode(), b"-.json", b"a" * 250 + b".json"]
)
def test_a_name_that_no_resource_can_have_is_refused_or_loaded_but_never_in_the_way(tmp_path, name):
    (tmp_path / "b.json").write_text(payload(0.2))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text(payload(0.1))
    store = looked(tmp_path)
    assert temperatures(store)["b"] == 0.2
    assert len(store.current.loaded) + len(store.current.refused) == 2


def test_a_file_is_told_in_unicode_whatever_its_name(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.json")).write_text(payload())
    refused = looked(tmp_path).current.refused
    assert "".join(refused).encode()


# ── the folder ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_that_is_not_there_is_told(tmp_path):
    store = looked(tmp_path / "none")
    assert dict(store.current.loaded) == {}
    assert dict(store.current.refused) == {FOLDER: "the folder cannot be read: No such file or directory"}


def test_a_folder_that_goes_away_leaves_what_was_good_and_comes_back_with_what_it_holds(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "a.json").write_text(payload(0.1))
    store = looked(folder)
    folder.rename(tmp_path / "away")
    store.look()
    assert temperatures(store) == {"a": 0.1}
    assert list(store.current.refused) == [FOLDER]
    (tmp_path / "away").rename(folder)
    store.look()
    assert (temperatures(store), store.current.refused) == ({"a": 0.1}, {})


def test_a_folder_that_comes_back_empty_withdraws_all(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "a.json").write_text(payload(0.1))
    store = looked(folder)
    shutil.rmtree(folder)
    store.look()
    folder.mkdir()
    store.look()
    assert store.current == Profiles()


def test_a_file_where_the_folder_should_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert list(looked(tmp_path / "file").current.refused) == [FOLDER]


# ── what is no file ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pipe_nobody_writes_to_holds_nothing_up(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "b.json").write_text(payload(0.2))
    store = looked(tmp_path)
    assert temperatures(store) == {"b": 0.2}
    assert dict(store.current.refused) == {"a.json": "it is not a regular file"}


def test_a_device_is_refused(tmp_path):
    (tmp_path / "a.json").symlink_to("/dev/zero")
    assert dict(looked(tmp_path).current.refused) == {"a.json": "it is not a regular file"}


@pytest.mark.parametrize("target", ["nowhere", "a.json"])
def test_a_link_to_nothing_and_one_to_itself_are_told(tmp_path, target):
    (tmp_path / "a.json").symlink_to(target)
    assert list(looked(tmp_path).current.refused) == ["a.json"]


def test_a_link_to_nothing_is_read_once_there_is_something(tmp_path):
    (tmp_path / "a.json").symlink_to("later")
    store = looked(tmp_path)
    (tmp_path / "later").write_text(payload(0.3))
    store.look()
    assert (temperatures(store), store.current.refused) == ({"a": 0.3}, {})


def test_a_folder_of_a_profile_s_name_is_refused(tmp_path):
    (tmp_path / "a.json").mkdir()
    assert list(looked(tmp_path).current.refused) == ["a.json"]


def test_no_look_leaves_a_file_open(tmp_path):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "broken.json").write_text("{")
    os.mkfifo(tmp_path / "pipe.json")
    store = looked(tmp_path)
    before = len(list(OPEN_FILES.iterdir()))
    for n in range(10):
        (tmp_path / "a.json").write_text(payload(n / 10))
        store.look()
    assert len(list(OPEN_FILES.iterdir())) == before


def test_a_file_may_be_as_large_as_a_configmap_and_no_larger(tmp_path):
    (tmp_path / "fits.json").write_text(payload().ljust(MAX_FILE_BYTES))
    (tmp_path / "huge.json").write_text(payload().ljust(MAX_FILE_BYTES + 1))
    store = looked(tmp_path)
    assert list(store.current.loaded) == ["fits"]
    assert dict(store.current.refused) == {"huge.json": "it has more than 1048576 bytes"}


@pytest.mark.alone
def test_a_file_of_gigabytes_costs_no_more_than_its_beginning(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(64 << 30)
    started_s = time.monotonic()
    assert list(looked(tmp_path).current.refused) == ["a.json"]
    assert time.monotonic() - started_s < 1


def test_the_longest_prompt_fits(tmp_path):
    (tmp_path / "a.json").write_text(payload(systemPrompt="ก" * 10_000))
    assert len(looked(tmp_path).current.get("a").system_prompt) == 10_000


@contextmanager
def unprivileged_folder() -> Iterator[Path]:
    """A folder of somebody who is not allowed everything."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    finally:
        os.seteuid(was)


def test_a_file_that_may_not_be_read_keeps_the_last_good_version_and_is_told():
    with unprivileged_folder() as folder:
        file = folder / "a.json"
        file.write_text(payload(0.1))
        store = looked(folder)
        file.write_text(payload(0.25))
        file.chmod(0)
        store.look()
        assert temperatures(store) == {"a": 0.1}
        assert dict(store.current.refused) == {"a.json": "it cannot be read: Permission denied"}


def test_a_file_that_may_be_read_at_last_is_read():
    with unprivileged_folder() as folder:
        file = folder / "a.json"
        file.write_text(payload(0.1))
        file.chmod(0)
        store = looked(folder)
        file.chmod(0o644)
        store.look()
        assert (temperatures(store), store.current.refused) == ({"a": 0.1}, {})


def test_a_folder_that_may_not_be_read_is_told():
    with unprivileged_folder() as folder:
        folder.chmod(0)
        assert list(looked(folder).current.refused) == [FOLDER]
        folder.chmod(0o700)


# ── many, and for long ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def thousands(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("thousands")
    for n in range(2000):
        (folder / f"p{n}.json").write_text("{}")
    return folder


@pytest.mark.alone
def test_thousands_of_files_are_bounded(thousands):
    started_s = time.monotonic()
    store = looked(thousands)
    assert len(store.current.loaded) == 2000
    store.look()
    assert time.monotonic() - started_s < 5


def test_files_that_are_too_many_are_told(thousands):
    current = looked(thousands, max_files=1000).current
    assert (len(current.loaded), current.refused) == (1000, {FOLDER: "it holds 2000 files, the limit is 1000"})


@pytest.mark.alone
async def test_it_looks_again_and_again_and_survives_whatever_it_finds(tmp_path):
    store = ProfileStore(tmp_path)
    task = asyncio.create_task(store.keep_loading())
    try:
        (tmp_path / "a.json").write_text(payload(0.1))
        await until(lambda: temperatures(store) == {"a": 0.1}, 2)
        (tmp_path / "a.json").write_text("{")
        await until(lambda: store.current.refused, 2)
        (tmp_path / "a.json").write_text(payload(0.25))
        await until(lambda: temperatures(store) == {"a": 0.25} and not store.current.refused, 2)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.alone
async def test_without_a_folder_the_looking_ends_at_once():
    async with asyncio.timeout(1):
        await ProfileStore(None).keep_loading()


@pytest.mark.alone
async def test_what_nobody_thought_of_ends_no_looking(tmp_path):
    times = iter([RuntimeError(), datetime(2026, 1, 1, tzinfo=UTC)])

    def now() -> datetime:
        time_or_error = next(times)
        if isinstance(time_or_error, Exception):
            raise time_or_error
        return time_or_error

    (tmp_path / "a.json").write_text(payload(0.1))
    store = ProfileStore(tmp_path, now)
    task = asyncio.create_task(store.keep_loading())
    try:
        await until(lambda: temperatures(store) == {"a": 0.1}, 2)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_a_data_link_that_points_to_itself_is_told(tmp_path):
    (tmp_path / "..data").symlink_to("..data")
    store = looked(tmp_path)
    assert list(store.current.refused) == [FOLDER]


def test_a_file_that_could_not_be_read_is_read_again_though_nothing_changed(tmp_path):
    (tmp_path / "a.json").symlink_to(tmp_path / "elsewhere")
    store = looked(tmp_path)
    assert list(store.current.refused) == ["a.json"]
    assert store._stamps is None
