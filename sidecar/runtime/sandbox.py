"""What a worker process may no longer do once it reads documents: the kernel's seccomp filter and Landlock.

Both need no privilege and cannot be undone. One that the kernel or the machine does not have is left out;
:func:`available` reports which there are. https://docs.kernel.org/userspace-api/seccomp_filter.html, …/landlock.html.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass

SECCOMP, LANDLOCK = "seccomp", "landlock"

PR_SET_NO_NEW_PRIVS, PR_GET_SECCOMP = 38, 21  # linux/prctl.h
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1  # linux/seccomp.h
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD_WORD, JUMP_EQUAL, JUMP_GREATER_OR_EQUAL, RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
AT_NUMBER, AT_ARCHITECTURE, AT_FIRST_ARGUMENT = 0, 4, 16  # struct seccomp_data
X32_BIT = 0x40000000

LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446  # the same number on every architecture
LANDLOCK_VERSION, LANDLOCK_PATH_BENEATH = 1, 1
WRITES_BY_VERSION = ((1, 0x1FF2), (2, 0x2000), (3, 0x4000), (5, 0x8000))
"""LANDLOCK_ACCESS_FS_*: whatever changes a file or a folder; reading and running stay out of it."""
WRITES_TO_A_FILE = 0x4002
"""Writing and truncating."""
TCP, SCOPES = 0x3, 0x3
"""Binding and connecting (since version 4); signals and abstract sockets to others (since version 6)."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The numbers of one architecture: its own, of seccomp(2), of calls refused always, and unless on oneself."""

    audit: int
    seccomp: int
    refused: tuple[int, ...]
    on_itself: tuple[int, ...]


# In order: socket, connect, accept, accept4, bind, listen; execve, execveat; ptrace, process_vm_readv and _writev;
# mount, umount2, pivot_root, chroot, unshare, setns; bpf, perf_event_open, userfaultfd, io_uring_setup (which would do
# all of the above); add_key, request_key, keyctl; open_by_handle_at; pidfd_send_signal, pidfd_open, pidfd_getfd;
# init_module, finit_module, delete_module, kexec_load, kexec_file_load; tkill. On itself: kill, tgkill, prlimit64.
MACHINES = {
    "x86_64": Machine(
        0xC000003E,
        317,
        (
            *(41, 42, 43, 288, 49, 50, 59, 322, 101, 310, 311, 165, 166, 155, 161, 272, 308, 321, 298, 323, 425),
            *(248, 249, 250, 304, 424, 434, 438, 175, 313, 176, 246, 320, 200),
        ),
        (62, 234, 302),
    ),
    "aarch64": Machine(
        0xC00000B7,
        277,
        (
            *(198, 203, 202, 242, 200, 201, 221, 281, 117, 270, 271, 40, 39, 41, 51, 97, 268, 280, 241, 282, 425),
            *(217, 218, 219, 265, 424, 434, 438, 105, 273, 106, 104, 294, 130),
        ),
        (129, 131, 261),
    ),
}


def available() -> tuple[str, ...]:
    """Name what this kernel and machine have of the two."""
    if sys.platform != "linux":
        return ()
    has_seccomp = platform.machine() in MACHINES and ctypes.CDLL(None).prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0
    return (*([SECCOMP] if has_seccomp else []), *([LANDLOCK] if _landlock_version() > 0 else []))


def confine() -> None:
    """Give up what a worker does not need: sockets, other programs, other processes, writing files.

    What cannot be given up here is kept; a worker that cannot read documents would be worse.
    """
    names = available()
    if names:
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if LANDLOCK in names:
        _forbid_writing(_landlock_version())
    if SECCOMP in names:
        _filter_calls(MACHINES[platform.machine()], os.getpid())


def filter_program(machine: Machine, own_pid: int) -> bytes:
    """Assemble the filter: each call that is refused fails with EPERM, all others pass."""
    refuse, allow = _step(RETURN, RET_ERRNO | errno.EPERM), _step(RETURN, RET_ALLOW)
    steps = [
        _step(LOAD_WORD, AT_ARCHITECTURE),
        _step(JUMP_EQUAL, machine.audit, yes=1),
        refuse,  # another architecture's calls have other numbers
        _step(LOAD_WORD, AT_NUMBER),
        _step(JUMP_GREATER_OR_EQUAL, X32_BIT, no=1),
        refuse,
    ]
    for number in machine.refused:
        steps += [_step(JUMP_EQUAL, number, no=1), refuse]
    for number in machine.on_itself:
        steps += [
            _step(JUMP_EQUAL, number, no=5),
            _step(LOAD_WORD, AT_FIRST_ARGUMENT),
            _step(JUMP_EQUAL, own_pid, yes=2),
            _step(JUMP_EQUAL, 0, yes=1),
            refuse,
            allow,
        ]
    return b"".join([*steps, allow])


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _filter_calls(machine: Machine, own_pid: int) -> None:
    program = filter_program(machine, own_pid)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    _call(machine.seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, header)


def _forbid_writing(version: int) -> None:
    writes = sum(access for since, access in WRITES_BY_VERSION if version >= since)
    rules = struct.pack("=Q", writes)
    rules += struct.pack("=Q", TCP) if version >= 4 else b""
    rules += struct.pack("=Q", SCOPES) if version >= 6 else b""
    ruleset = _call(LANDLOCK_CREATE, rules, len(rules), 0)
    nowhere = os.open(os.devnull, os.O_PATH)
    allowed = struct.pack("=Qi", writes & WRITES_TO_A_FILE, nowhere)
    # Tesseract sends what it has to say to /dev/null, and crashes where it cannot open it.
    if ruleset >= 0 and _call(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PATH_BENEATH, allowed, 0) == 0:
        _call(LANDLOCK_RESTRICT, ruleset, 0)
    os.close(nowhere)
    if ruleset >= 0:
        os.close(ruleset)


def _landlock_version() -> int:
    return _call(LANDLOCK_CREATE, None, 0, LANDLOCK_VERSION)


def _call(number: int, *args: int | bytes | None) -> int:
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in args]
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), *wide))
