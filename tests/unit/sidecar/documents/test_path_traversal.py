"""Paths that a caller names: what leads out of the upload folder is refused, all with 403 (T007, T011-T013, SC-001)."""

import os
import socket
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from sidecar.documents.upload_paths import open_upload
from sidecar.errors import PathForbiddenError, UploadNotFoundError
from tests.unit.sidecar.documents.path_attacks import ATTACKS

SECRET = b"outside: nobody may read this"
PLAIN = b"%PDF-1.7 inside"
RACE_S = 30.0
"""How long the race may take to show itself on a busy machine; it needs half a second."""
READS = 2000


@pytest.fixture
def base(tmp_path):
    folder = tmp_path / "uploads"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "plain.pdf").write_bytes(PLAIN)
    (folder / "sub" / "plain.pdf").write_bytes(PLAIN)
    (tmp_path / "uploads-evil").mkdir()
    for outside in (tmp_path, tmp_path / "uploads-evil"):
        (outside / "secret.pdf").write_bytes(SECRET)
    return folder


def read(requested, base):
    with os.fdopen(open_upload(str(requested), base), "rb") as file:
        return file.read()


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_there_are_at_least_60_attacks():
    assert len(set(ATTACKS)) >= 60


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: ascii(attack)[:60])
def test_a_path_that_leads_outside_is_forbidden_whether_or_not_anything_is_there(base, attack):
    requested = attack.replace("{base}", str(base)).replace("{parent}", str(base.parent))
    answers = []
    for _ in ("there", "gone"):
        with pytest.raises(PathForbiddenError) as caught:
            open_upload(requested, base)
        answers.append((caught.value.status, caught.value.detail))
        (base.parent / "secret.pdf").unlink(missing_ok=True)
        (base.parent / "uploads-evil" / "secret.pdf").unlink(missing_ok=True)
    assert answers[0] == answers[1]
    assert answers[0][0] == 403
    assert str(base) not in answers[0][1]


def make_socket(path):
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")  # the whole path may be too long for a socket's name
    os.close(folder)


def make_device(path):
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("making a device takes the capability CAP_MKNOD")


def make_chain(path):
    (path.parent / "second").symlink_to("../secret.pdf")
    path.symlink_to("second")


def make_loop(path):
    (path.parent / "other").symlink_to(path)
    path.symlink_to("other")


def make_link_to_fifo(path):
    os.mkfifo(path.parent / "fifo")
    path.symlink_to("fifo")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (os.mkfifo, "thing"),
        (os.mkdir, "thing"),
        (make_device, "thing"),
        (make_socket, "thing"),
        (make_link_to_fifo, "thing"),
        (lambda path: path.symlink_to("../secret.pdf"), "thing"),
        (lambda path: path.symlink_to(path.parent.parent / "secret.pdf"), "thing"),
        (lambda path: path.symlink_to("../nothing-there.pdf"), "thing"),
        (lambda path: path.symlink_to("../uploads-evil"), "thing/secret.pdf"),
        (lambda path: path.symlink_to("../uploads-evil"), "thing/nothing-there.pdf"),
        (lambda path: path.symlink_to("../uploads-evil"), "thing/../secret.pdf"),
        (lambda path: path.symlink_to("sub/deep"), "thing/../../plain.pdf"),
        (lambda path: path.symlink_to("sub/deep"), "thing/../../../secret.pdf"),
        (lambda path: path.symlink_to(".."), "thing/secret.pdf"),
        (lambda path: path.symlink_to("."), "thing"),
        (lambda path: path.symlink_to("sub"), "thing"),
        (lambda path: path.symlink_to("/"), "thing/etc/passwd"),
        (lambda path: path.symlink_to("/dev/zero"), "thing"),
        (lambda path: path.symlink_to("/proc/self/environ"), "thing"),
        (lambda path: path.symlink_to("/proc/self/fd"), "thing/0"),
        (make_chain, "thing"),
        (make_loop, "thing"),
        (make_loop, "thing/plain.pdf"),
        (lambda path: path.symlink_to(path), "thing"),
    ],
)
def test_what_is_no_regular_file_of_the_folder_is_forbidden(base, make, name):
    make(base / "thing")
    with pytest.raises(PathForbiddenError):
        open_upload(str(base / name), base)


@pytest.mark.parametrize(
    "name",
    [
        "new.pdf",
        "sub/deep/new.pdf",
        "หนังสือนำส่ง เลขที่ ๔๒ (น้ำ).pdf",
        "100%.pdf",
        "50% off.pdf",
        "a%20b.pdf",
        "%41.pdf",
        "..hidden.pdf",
        "...",
        "a..b.pdf",
        " spaces .pdf",
        "two\nlines.pdf",
        "back\\slash.pdf",
        "no-suffix",
        "a" * 255,
    ],
)
def test_a_file_of_the_folder_is_opened_under_its_very_name(base, name):
    (base / name).write_bytes(name.encode())
    assert read(base / name, base) == name.encode()


@pytest.mark.parametrize("requested", ["sub/../plain.pdf", "./plain.pdf", "sub//deep/../plain.pdf", "/plain.pdf"])
def test_a_path_may_wander_inside(base, requested):
    assert read(f"{base}/{requested}", base) == PLAIN


@pytest.mark.parametrize(
    ("target", "requested"),
    [("plain.pdf", "link"), ("sub", "link/plain.pdf"), ("sub/deep", "link/../plain.pdf"), (".", "link/plain.pdf")],
)
def test_a_link_that_stays_inside_is_followed(base, target, requested):
    (base / "link").symlink_to(target)
    assert read(f"{base}/{requested}", base) == PLAIN


def test_the_folder_itself_may_be_a_link(base):
    link = base.parent / "mounted"
    link.symlink_to(base)
    assert read(link / "sub" / "plain.pdf", link) == PLAIN
    with pytest.raises(PathForbiddenError):
        open_upload(f"{link}/../secret.pdf", link)


@pytest.mark.parametrize("name", ["absent.pdf", "sub/absent.pdf", "absent/absent.pdf", "sub/../absent.pdf", "dangling"])
def test_a_file_that_is_absent_inside_is_absent(base, name):
    (base / "dangling").symlink_to("nothing-there.pdf")
    with pytest.raises(UploadNotFoundError) as caught:
        open_upload(str(base / name), base)
    assert str(base) not in caught.value.detail


def test_nothing_is_found_while_the_folder_is_missing(tmp_path):
    with pytest.raises((UploadNotFoundError, PathForbiddenError)):
        open_upload(str(tmp_path / "uploads" / "plain.pdf"), tmp_path / "uploads")


def test_no_descriptor_is_left_open_and_none_is_inherited(base):
    os.mkfifo(base / "fifo")
    (base / "link").symlink_to("../secret.pdf")
    before = open_descriptors()
    for name in ("sub/absent.pdf", "absent/a/b", "fifo", "link", "sub", "sub/deep", "../secret.pdf", "plain.pdf/x"):
        with pytest.raises((UploadNotFoundError, PathForbiddenError)):
            open_upload(str(base / name), base)
    descriptor = open_upload(str(base / "sub" / "plain.pdf"), base)
    assert open_descriptors() == before + 1
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


SWAP = """
import os, sys
folder, link = sys.argv[1:]
print("swapping", flush=True)
while True:
    os.rename(folder, folder + "-away"); os.rename(link, folder)
    os.rename(folder, link); os.rename(folder + "-away", folder)
"""


@pytest.fixture
def swapper(base):
    """Another process that swaps a folder for a link to outside and back, as fast as it can."""
    link = base / "link"
    (base.parent / "uploads-evil" / "plain.pdf").write_bytes(SECRET)
    link.symlink_to("../uploads-evil")
    with subprocess.Popen([sys.executable, "-c", SWAP, base / "sub", link], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"swapping\n"
            yield process
        finally:
            process.kill()


def test_a_folder_swapped_for_a_link_meanwhile_never_shows_what_is_outside(base, swapper):
    seen = Counter()
    end = time.monotonic() + RACE_S
    while (seen.total() < READS or min(seen[PLAIN], seen[PathForbiddenError]) == 0) and time.monotonic() < end:
        try:
            seen[read(base / "sub" / "plain.pdf", base)] += 1
        except (UploadNotFoundError, PathForbiddenError) as error:
            seen[type(error)] += 1
    assert SECRET not in seen
    assert seen.total() >= READS
    assert min(seen[PLAIN], seen[PathForbiddenError]) > 0, "the race did not take place"
    assert swapper.poll() is None
