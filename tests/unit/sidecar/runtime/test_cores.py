"""How many cores a process may use, beside control groups of both versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.runtime.cores import GROUPS, CoreLedger, read_quota, usable_cores

HALF_A_CORE = ("50000", "100000")


@pytest.fixture
def groups(tmp_path):
    """Make files of control groups; give the quota that is read of them."""

    def make(membership: str, files: dict[str, str]) -> float | None:
        for name, content in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "membership").write_text(membership)
        return read_quota(tmp_path / "groups", tmp_path / "membership")

    return make


V2 = "0::/kubepods/pod-1/one\n"
V1 = "5:devices:/x\n2:cpu,cpuacct:/kubepods/pod-1\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        (V2, {}, None),
        (V2, {"kubepods/pod-1/one/cpu.max": "max 100000\n"}, None),
        (V2, {"kubepods/pod-1/one/cpu.max": "250000 100000\n"}, 2.5),
        (V2, {"kubepods/pod-1/one/cpu.max": "max 100000\n", "kubepods/pod-1/cpu.max": "200000 100000\n"}, 2),
        (V2, {"kubepods/pod-1/one/cpu.max": "400000 100000\n", "kubepods/cpu.max": "300000 100000\n"}, 3),
        (V2, {"cpu.max": "150000 100000\n"}, 1.5),  # a container: its own group is the root, the path is the host's
        (V2, {"other/cpu.max": "100000 100000\n"}, None),
        (V2, {"cpu.max": "nonsense\n"}, None),
        (V2, {"cpu.max": "0 0\n"}, None),
        ("0::/\n", {"cpu.max": "100000 50000\n"}, 2),
        ("0::/../outside\n", {"cpu.max": "100000 100000\n"}, 1),
        (
            V1,
            {
                "cpu,cpuacct/kubepods/pod-1/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/kubepods/pod-1/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, None),
        (V1, {"devices/cpu.cfs_quota_us": "100000\n", "devices/cpu.cfs_period_us": "100000\n"}, None),
        ("", {"cpu.max": "100000 100000\n"}, None),
    ],
)
def test_the_smallest_quota_of_the_groups_counts(groups, membership, files, quota):
    assert groups(membership, files) == quota


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert read_quota(tmp_path, tmp_path / "absent") is None


@pytest.fixture
def small_group():
    """Make a real control group of half a core, of either version; give the file that takes its members."""
    for top, files in ((GROUPS / "cpu", ("cpu.cfs_quota_us", "cpu.cfs_period_us")), (GROUPS, ("cpu.max",))):
        group = top / f"ocr-sidecar-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if all((group / name).exists() for name in files):
                (group / files[0]).write_text(" ".join(HALF_A_CORE[: 3 - len(files)]))
                yield group / "cgroup.procs"
                return
        finally:
            group.rmdir()
    pytest.skip("no control group can be made here: that takes root, and a writable /sys/fs/cgroup")


def test_in_a_real_group_with_a_quota_fewer_cores_are_usable(small_group: Path):
    count = "from sidecar.runtime.cores import usable_cores; print(usable_cores())"
    join = f"open({str(small_group)!r}, 'w').write('0'); "
    assert subprocess.check_output([sys.executable, "-c", join + count], text=True) == "1\n"
    assert usable_cores() >= 1


class User:
    def __init__(self, *held_cores, waiting=0):
        self.held_cores = held_cores
        self.waiting = waiting
        self.woken = 0

    def wake(self):
        self.woken += 1


def test_a_ledger_counts_pages_and_the_batches_of_every_model():
    ledger = CoreLedger(8, lambda: 3)
    embedder, reranker = User(1, 1), User()
    ledger.join(embedder)
    ledger.join(reranker)
    assert ledger.idle_for(reranker) == 3
    embedder.waiting = 5
    assert (ledger.idle_for(reranker), ledger.idle_for(embedder)) == (2, 3)
    embedder.held_cores = (1,) * 7
    assert ledger.idle_for(reranker) == 0


def test_only_a_batch_on_several_cores_has_them_for_itself():
    ledger = CoreLedger(8, lambda: 0)
    embedder, reranker = User(1, 1), User(4)
    ledger.join(embedder)
    ledger.join(reranker)
    assert ledger.claimed_beside(embedder) == 4
    assert ledger.claimed_beside(reranker) == 0


def test_cores_given_back_wake_the_others():
    ledger = CoreLedger(8, lambda: 0)
    embedder, reranker = User(), User()
    ledger.join(embedder)
    ledger.join(reranker)
    ledger.given_back(embedder)
    assert (embedder.woken, reranker.woken) == (0, 1)
