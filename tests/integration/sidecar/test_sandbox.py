"""What a worker process cannot do, whatever a document makes its libraries do; each tried in a worker of the pool."""

import errno
import socket
import subprocess
import sys

import pytest

from sidecar.runtime import sandbox
from tests.integration.sidecar import misdeeds

needs = {
    name: pytest.mark.skipif(name not in sandbox.available(), reason=f"this kernel or machine has no {name}")
    for name in (sandbox.SECCOMP, sandbox.LANDLOCK)
}


async def refusal(pool, function, *args) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
        await pool.run(function, *args, deadline_s=30)
    return caught.value.errno


@needs[sandbox.SECCOMP]
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK])
async def test_a_worker_has_no_network(make_pool, family):
    assert await refusal(make_pool(), misdeeds.connect, family) == errno.EPERM


@needs[sandbox.SECCOMP]
@pytest.mark.parametrize(
    "misdeed", [misdeeds.run_a_program, misdeeds.signal_the_service, misdeeds.take_the_service_s_descriptors]
)
async def test_a_worker_starts_no_program_and_touches_no_other_process(make_pool, misdeed):
    assert await refusal(make_pool(), misdeed) == errno.EPERM


@needs[sandbox.LANDLOCK]
async def test_a_worker_changes_no_file(make_pool, tmp_path):
    (tmp_path / "other").touch()
    pool = make_pool()

    assert await refusal(pool, misdeeds.write_a_file, tmp_path) == errno.EACCES
    assert await refusal(pool, misdeeds.remove_a_file, tmp_path / "other") == errno.EACCES
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


async def test_the_service_itself_gives_up_nothing(make_pool, tmp_path):
    await make_pool().run(misdeeds.pid, deadline_s=30)

    misdeeds.connect(socket.AF_INET)
    misdeeds.write_a_file(tmp_path)
    assert subprocess.run([sys.executable, "-c", ""], check=True).returncode == 0


@pytest.mark.parametrize("machine", sandbox.MACHINES.values(), ids=list(sandbox.MACHINES))
def test_no_call_is_listed_twice_and_the_filter_fits(machine):
    numbers = machine.refused + machine.on_itself

    assert len(set(numbers)) == len(numbers) == 37
    assert len(sandbox.filter_program(machine, 1)) // 8 < 4096
