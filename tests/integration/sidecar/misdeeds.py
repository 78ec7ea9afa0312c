"""Functions for worker processes that do what bad documents do to libraries."""

import ctypes
import fcntl
import os
import platform
import resource
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path

from sidecar.runtime.workers import sandbox

CLONE_NEWUSER = 0x10000000


def pid() -> int:
    return os.getpid()


def blocked_signals() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def hang() -> None:
    while True:
        time.sleep(60)


def mark(flag: Path) -> None:
    """Tell the test something; a worker can write no file, but may change a file's time."""
    os.utime(flag, (1, 1))


def is_marked(flag: Path) -> bool:
    return flag.stat().st_mtime == 1


def hang_at(flag: Path) -> None:
    mark(flag)
    hang()


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_once(flag: Path) -> str:
    if not is_marked(flag):
        mark(flag)
        crash()
    return "second try"


def hang_once(flag: Path) -> str:
    if not is_marked(flag):
        hang_at(flag)
    return "second try"


def swallow(mebibytes: int) -> int:
    return len(bytearray(mebibytes * 1024 * 1024))


def connect(family: int) -> None:
    socket.socket(family).close()


def run_a_program() -> None:
    os.execv("/bin/true", ["true"])


def write_a_file(folder: Path) -> None:
    (folder / "written").write_text("by a worker")


def remove_a_file(path: Path) -> None:
    path.unlink()


def signal_the_service() -> None:
    os.kill(os.getppid(), 0)


def take_the_service_s_descriptors() -> None:
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (10, 10))


def call(name: str, *args: int | bytes) -> int:
    """Make a call of the kernel by its name in the sandbox's tables."""
    machine = sandbox.MACHINES[platform.machine()]
    numbers = {**machine.refused, **machine.to_itself, **machine.threads, **machine.in_memory}
    library = ctypes.CDLL(None, use_errno=True)
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in args]
    result = library.syscall(ctypes.c_long(numbers[name]), *wide)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _siginfo() -> bytes:
    return struct.pack("=iii", 0, 0, -1).ljust(128, b"\0")


def queue_a_signal_to_the_service() -> None:
    call("rt_sigqueueinfo", os.getppid(), 0, _siginfo())


def queue_a_signal_to_a_thread_of_the_service() -> None:
    call("rt_tgsigqueueinfo", os.getppid(), os.getppid(), 0, _siginfo())


def signal_the_group() -> None:
    os.kill(0, 0)


def signal_by_a_descriptor() -> None:
    ours, _ = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETOWN, os.getppid())


def become_another_user() -> None:
    if call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


def enter_a_user_namespace() -> None:
    call("unshare", CLONE_NEWUSER)


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def begin_something_unseen() -> None:
    """By a call whose arguments no filter can read; they are wrong here, so that it begins nothing."""
    call("clone3", bytes(64), 0)


def slow_down_the_service() -> None:
    os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)


def move_the_service() -> None:
    os.sched_setaffinity(os.getppid(), os.sched_getaffinity(0))


def pair_sockets() -> None:
    """A datagram from one of a pair may go to any socket that has a path."""
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


def open_a_file_to_all(path: Path) -> None:
    path.chmod(0o666)


def do_what_libraries_do(signal_number: int) -> list[str]:
    """Start a thread, choose cores, limit and signal itself."""
    seen = []
    thread = threading.Thread(target=lambda: seen.append("a thread"))
    thread.start()
    thread.join()
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.sched_setaffinity(os.getpid(), os.sched_getaffinity(0))
    resource.prlimit(0, resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal_number, lambda *_: seen.append("a signal"))
    signal.raise_signal(signal_number)
    os.kill(os.getpid(), signal_number)
    return seen


def say_something() -> None:
    os.write(1, b"by a library\n")


def hold_back_the_sandbox(names: tuple[str, ...] = (sandbox.SECCOMP, sandbox.LANDLOCK)) -> None:
    """Have the kernel refuse this process the calls that confine, as a container's own filter may."""
    machine = sandbox.MACHINES[platform.machine()]
    calls = {sandbox.SECCOMP: machine.seccomp, sandbox.LANDLOCK: sandbox.LANDLOCK_RESTRICT}
    refused = {name: calls[name] for name in names}
    lenient = sandbox.Machine(machine.audit, machine.seccomp, refused, {}, {}, {}, {}, {})
    ctypes.CDLL(None).prctl(sandbox.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    assert sandbox.install_filter(lenient, sandbox.filter_program(lenient, 1))


def modules() -> list[str]:
    return sorted(sys.modules)
