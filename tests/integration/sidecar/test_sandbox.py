"""What a worker process cannot do, whatever a document makes its libraries do; each tried in a worker of the pool."""

import concurrent.futures
import errno
import multiprocessing
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.runtime.workers import sandbox
from tests.integration.sidecar import misdeeds

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
"""Where Linux writes the numbers down; that of aarch64 is the one that new architectures share."""
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


# ── the filter alone, which must do without Landlock ──────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def filtered():
    """Run a function in a process that has only the filter."""
    with concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), sandbox.confine, ([sandbox.SECCOMP],)
    ) as pool:
        yield lambda function, *args: pool.submit(function, *args).result(60)


@needs[sandbox.SECCOMP]
@pytest.mark.parametrize(
    "misdeed",
    [
        misdeeds.signal_the_service,
        misdeeds.signal_the_group,
        misdeeds.signal_by_a_descriptor,
        misdeeds.queue_a_signal_to_the_service,
        misdeeds.queue_a_signal_to_a_thread_of_the_service,
        misdeeds.fork,
        misdeeds.become_another_user,
        misdeeds.enter_a_user_namespace,
        misdeeds.slow_down_the_service,
        misdeeds.move_the_service,
        misdeeds.pair_sockets,
    ],
)
def test_the_filter_keeps_a_worker_to_itself(filtered, misdeed):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
        filtered(misdeed)

    assert caught.value.errno == errno.EPERM


@needs[sandbox.SECCOMP]
def test_a_call_that_no_filter_can_judge_is_absent_so_that_libraries_make_threads_by_another(filtered):
    with pytest.raises(OSError, match="clone3") as caught:
        filtered(misdeeds.begin_something_unseen)

    assert caught.value.errno == errno.ENOSYS


@needs[sandbox.SECCOMP]
def test_the_filter_lets_no_file_be_opened_to_all(filtered, tmp_path):
    path = tmp_path / "spooled"
    path.touch(0o600)
    with pytest.raises(PermissionError):
        filtered(misdeeds.open_a_file_to_all, path)

    assert path.stat().st_mode & 0o777 == 0o600


def test_the_filter_allows_threads_and_what_a_process_does_to_itself(filtered):
    assert filtered(misdeeds.do_what_libraries_do, signal.SIGUSR1) == ["a thread", "a signal", "a signal"]


# ── what is in force ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_worker_tells_what_confines_it(make_pool):
    pool = make_pool()
    assert pool.confined_by is None
    await pool.run(misdeeds.pid, deadline_s=30)

    assert pool.confined_by == sandbox.available()
    assert sandbox.in_force() == (), "the service itself is not confined"


@needs[sandbox.SECCOMP]
@needs[sandbox.LANDLOCK]
@pytest.mark.parametrize(
    ("refused", "left"),
    [((sandbox.SECCOMP,), (sandbox.LANDLOCK,)), ((sandbox.LANDLOCK,), (sandbox.SECCOMP,)), (sandbox.available(), ())],
)
def test_what_the_kernel_has_but_refuses_is_not_in_force(refused, left):
    with concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), misdeeds.hold_back_the_sandbox, (refused,)
    ) as pool:
        pool.submit(sandbox.confine).result(60)

        assert pool.submit(sandbox.available).result(60) == sandbox.available()
        assert pool.submit(sandbox.in_force).result(60) == left


@needs[sandbox.SECCOMP]
def test_the_doctor_says_what_the_kernel_refuses():
    code = (
        "import sys; from tests.integration.sidecar import misdeeds; misdeeds.hold_back_the_sandbox(('seccomp',)); "
        "from sidecar.cli.doctor import doctor; doctor({'OCR_AUTH_MODE': 'network'})"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout

    assert "absent   sandbox of the workers: landlock; the kernel refuses seccomp" in out


def test_what_a_worker_says_never_reaches_the_service_s_outputs():
    code = (
        "import asyncio; from sidecar.runtime.workers.pool import WorkerLimits, WorkerPool; "
        "from tests.integration.sidecar import misdeeds; pool = WorkerPool(WorkerLimits(1, 1 << 30, 9, 5)); "
        "asyncio.run(pool.run(misdeeds.say_something, deadline_s=30)); pool.stop()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("", "")


# ── the numbers ───────────────────────────────────────────────────────────────────────────────────────────────────


def numbers_of(machine: sandbox.Machine) -> dict[str, int]:
    column = list(sandbox.MACHINES.values()).index(machine)
    tables = (machine.refused, machine.to_itself, machine.for_itself, machine.threads, machine.in_memory)
    commands = [sandbox.parse_calls(text, column) for text in sandbox.COMMANDS]
    return {name: number for table in (*tables, *commands) for name, number in table.items()}


@pytest.mark.parametrize("machine", sandbox.MACHINES.values(), ids=list(sandbox.MACHINES))
def test_no_call_is_listed_twice_and_the_filter_fits(machine):
    tables = (machine.refused, machine.to_itself, machine.for_itself, machine.threads, machine.in_memory)
    listed = [number for table in tables for number in table.values()] + list(machine.commands)

    assert len(set(listed)) == len(listed) == len(numbers_of(machine))
    assert len(sandbox.filter_program(machine, 1)) // 8 < 4096


@pytest.mark.parametrize("name", sandbox.MACHINES)
def test_the_numbers_are_those_of_the_kernel_s_headers(name):
    if not HEADERS[name].exists():
        pytest.skip(f"no {HEADERS[name]}: the package linux-libc-dev has it")
    text = HEADERS[name].read_text()
    defined = {
        call: int(number) for call, number in re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", text, re.MULTILINE)
    }
    numbers = numbers_of(sandbox.MACHINES[name]) | {"seccomp": sandbox.MACHINES[name].seccomp}
    numbers["landlock_create_ruleset"] = sandbox.LANDLOCK_CREATE
    newer = {call: number for call, number in numbers.items() if number > max(defined.values())}

    assert len(numbers) - len(newer) > 100
    assert {call: defined.get(call) for call in numbers.keys() - newer.keys()} == {
        call: number for call, number in numbers.items() if call not in newer
    }


@pytest.mark.parametrize("name", sandbox.MACHINES)
def test_what_is_refused_on_one_machine_is_refused_on_the_other_unless_it_has_no_such_call(name):
    if not HEADERS[name].exists():
        pytest.skip(f"no {HEADERS[name]}: the package linux-libc-dev has it")
    defined = set(re.findall(r"^#define __NR(?:3264)?_(\w+)", HEADERS[name].read_text(), re.MULTILINE))
    everywhere = {call for machine in sandbox.MACHINES.values() for call in numbers_of(machine)}

    assert (everywhere & defined) <= numbers_of(sandbox.MACHINES[name]).keys()
