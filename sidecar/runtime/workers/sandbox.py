"""What a worker process may no longer do once it reads documents: the kernel's seccomp filter and Landlock.

Both need no privilege and cannot be undone. One that the kernel or the machine does not have is left out;
:func:`available` reports which there are, :func:`in_force` which of them confine this process.
https://docs.kernel.org/userspace-api/seccomp_filter.html, …/landlock.html.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

SECCOMP, LANDLOCK = "seccomp", "landlock"

PR_SET_NO_NEW_PRIVS, PR_GET_SECCOMP = 38, 21  # linux/prctl.h
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1  # linux/seccomp.h
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD_WORD, JUMP_EQUAL, JUMP_GREATER_OR_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
AT_NUMBER, AT_ARCHITECTURE, AT_FIRST_ARGUMENT, AT_SECOND_ARGUMENT = 0, 4, 16, 24  # struct seccomp_data, little-endian
X32_BIT = 0x40000000
CLONE_THREAD = 0x00010000  # linux/sched.h

LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446  # the same number on every architecture
LANDLOCK_VERSION, LANDLOCK_PATH_BENEATH = 1, 1
WRITES_BY_VERSION = ((1, 0x1FF2), (2, 0x2000), (3, 0x4000), (5, 0x8000))
"""LANDLOCK_ACCESS_FS_*: whatever changes a file or a folder; reading and running stay out of it."""
WRITES_TO_A_FILE = 0x4002
"""Writing and truncating."""
TCP, SCOPES = 0x3, 0x3
"""Binding and connecting (since version 4); signals and abstract sockets to others (since version 6)."""

# The kernel's calls: name, number on x86_64, number on aarch64; "-" where the architecture has none.
REFUSED = """
socket 41 198  socketpair 53 199  connect 42 203  accept 43 202  accept4 288 242  bind 49 200  listen 50 201
execve 59 221  execveat 322 281  fork 57 -  vfork 58 -
ptrace 101 117  process_vm_readv 310 270  process_vm_writev 311 271  process_madvise 440 440  process_mrelease 448 448
kcmp 312 272  migrate_pages 256 238  move_pages 279 239  pidfd_open 434 434  pidfd_getfd 438 438
pidfd_send_signal 424 424  tkill 200 130  setpriority 141 140  ioprio_set 251 30
shmget 29 194  shmat 30 196  shmctl 31 195  semget 64 190  semop 65 193  semtimedop 220 192  semctl 66 191
msgget 68 186  msgsnd 69 189  msgrcv 70 188  msgctl 71 187  mq_open 240 180  mq_unlink 241 181
unshare 272 97  setns 308 268  mount 165 40  umount2 166 39  pivot_root 155 41  chroot 161 51  open_tree 428 428
move_mount 429 429  fsopen 430 430  fsconfig 431 431  fsmount 432 432  fspick 433 433  mount_setattr 442 442
chmod 90 -  fchmod 91 52  fchmodat 268 53  fchmodat2 452 452  chown 92 -  fchown 93 55  lchown 94 -  fchownat 260 54
setxattr 188 5  lsetxattr 189 6  fsetxattr 190 7  setxattrat 463 463  file_setattr 469 469
removexattr 197 14  lremovexattr 198 15  fremovexattr 199 16  removexattrat 466 466
mknod 133 -  mknodat 259 33  open_by_handle_at 304 265
bpf 321 280  perf_event_open 298 241  userfaultfd 323 282  io_uring_setup 425 425
add_key 248 217  request_key 249 218  keyctl 250 219
init_module 175 105  finit_module 313 273  delete_module 176 106  kexec_load 246 104  kexec_file_load 320 294
reboot 169 142  swapon 167 224  swapoff 168 225  acct 163 89  quotactl 179 60  quotactl_fd 443 443  syslog 103 116
settimeofday 164 170  clock_settime 227 112  adjtimex 159 171  clock_adjtime 305 266
sethostname 170 161  setdomainname 171 162  vhangup 153 58  iopl 172 -  ioperm 173 -
"""
"""Sockets; other programs and processes, their memory, speed and signals; System V's and POSIX' messages; namespaces
and mounts; owners, modes and attributes of files; what would do all of these (io_uring) or reach into the kernel."""
TO_ITSELF = "kill 62 129  tgkill 234 131  rt_sigqueueinfo 129 138  rt_tgsigqueueinfo 297 240"
"""Signals: to this process alone. 0 as the receiver is the whole group, and the service is in it."""
FOR_ITSELF = """
prlimit64 302 261  sched_setaffinity 203 122  sched_setscheduler 144 119  sched_setparam 142 118  sched_setattr 314 274
"""
"""Limits and cores of this process, which is also 0."""
THREADS = "clone 56 220"
"""Threads alone. What is no thread is a process, perhaps in a user namespace of its own, with all privileges in it."""
IN_MEMORY = "clone3 435 435"
"""A filter cannot see what it asks for. Where the kernel does not have it, C libraries make their threads by clone."""
COMMANDS = {"fcntl 72 25": (8, 15), "ioctl 16 29": (0x5412, 0x8901, 0x8902)}
"""F_SETOWN and F_SETOWN_EX, TIOCSTI, FIOSETOWN and SIOCSPGRP: signals from a descriptor, typing at the terminal."""

Steps = list[bytes]


def parse_calls(text: str, column: int) -> dict[str, int]:
    """Read the numbers of one architecture: column 0 is x86_64, 1 aarch64."""
    words = text.split()
    numbers = zip(words[::3], words[column + 1 :: 3], strict=True)
    return {name: int(number) for name, number in numbers if number != "-"}


@dataclass(frozen=True, slots=True)
class Machine:
    """The numbers of one architecture: its own, of seccomp(2), and of the calls above, by name."""

    audit: int
    seccomp: int
    refused: Mapping[str, int]
    to_itself: Mapping[str, int]
    for_itself: Mapping[str, int]
    threads: Mapping[str, int]
    in_memory: Mapping[str, int]
    commands: Mapping[int, tuple[int, ...]]

    @classmethod
    def of(cls, audit: int, seccomp: int, column: int) -> "Machine":
        """Read the tables above."""
        return cls(
            audit,
            seccomp,
            refused=parse_calls(REFUSED, column),
            to_itself=parse_calls(TO_ITSELF, column),
            for_itself=parse_calls(FOR_ITSELF, column),
            threads=parse_calls(THREADS, column),
            in_memory=parse_calls(IN_MEMORY, column),
            commands={one: values for text, values in COMMANDS.items() for one in parse_calls(text, column).values()},
        )


MACHINES = {"x86_64": Machine.of(0xC000003E, 317, 0), "aarch64": Machine.of(0xC00000B7, 277, 1)}

_in_force: tuple[str, ...] = ()


def available() -> tuple[str, ...]:
    """Name what this kernel and machine have of the two."""
    if sys.platform != "linux":
        return ()
    has_seccomp = platform.machine() in MACHINES and ctypes.CDLL(None).prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0
    return (*([SECCOMP] if has_seccomp else []), *([LANDLOCK] if _landlock_version() > 0 else []))


def in_force() -> tuple[str, ...]:
    """Name what confines this process: of the two, those that :func:`confine` asked for and the kernel granted."""
    return _in_force


def confine(wanted: Collection[str] = (SECCOMP, LANDLOCK)) -> None:
    """Give up what a worker does not need: sockets, other programs, other processes, writing files.

    What cannot be given up here is kept, and missing in :func:`in_force`; a worker that cannot read documents would be
    worse.
    """
    global _in_force  # noqa: PLW0603 - it is the process that is confined, once and forever
    names = [name for name in available() if name in wanted]
    if names:
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    landlock = LANDLOCK in names and _forbid_writing(_landlock_version())
    machine = MACHINES.get(platform.machine())
    seccomp = SECCOMP in names and machine and install_filter(machine, filter_program(machine, os.getpid()))
    _in_force = (*([SECCOMP] if seccomp else []), *([LANDLOCK] if landlock else []))


def filter_program(machine: Machine, own_pid: int) -> bytes:
    """Assemble the filter: each call that is refused fails with EPERM, all others pass."""
    refuse, allow = _step(RETURN, RET_ERRNO | errno.EPERM), _step(RETURN, RET_ALLOW)
    is_absent = _step(RETURN, RET_ERRNO | errno.ENOSYS)
    itself = [_step(JUMP_EQUAL, own_pid, no=1), allow]
    steps = [
        _step(LOAD_WORD, AT_ARCHITECTURE),
        _step(JUMP_EQUAL, machine.audit, yes=1),
        refuse,  # another architecture's calls have other numbers
        _step(LOAD_WORD, AT_NUMBER),
        _step(JUMP_GREATER_OR_EQUAL, X32_BIT, no=1),
        refuse,
        *_cases(machine.refused, [refuse]),
        *_cases(machine.to_itself, [_step(LOAD_WORD, AT_FIRST_ARGUMENT), *itself, refuse]),
        *_cases(
            machine.for_itself,
            [_step(LOAD_WORD, AT_FIRST_ARGUMENT), *itself, _step(JUMP_EQUAL, 0, no=1), allow, refuse],
        ),
        *_cases(
            machine.threads, [_step(LOAD_WORD, AT_FIRST_ARGUMENT), _step(JUMP_SET, CLONE_THREAD, no=1), allow, refuse]
        ),
        *_cases(machine.in_memory, [is_absent]),
    ]
    for number, commands in machine.commands.items():
        refusals = [step for one in commands for step in (_step(JUMP_EQUAL, one, no=1), refuse)]
        steps += _cases({"": number}, [_step(LOAD_WORD, AT_SECOND_ARGUMENT), *refusals, allow])
    return b"".join([*steps, allow])


def install_filter(machine: Machine, program: bytes) -> bool:
    """Have a program decide about this process's calls from now on; return whether it is in force.

    The kernel answers with a thread's number if that thread could not be confined with the others.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    return _call(machine.seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, header) == 0


def _cases(calls: Mapping[str, int], then: Steps) -> Steps:
    """Do for each of these calls what follows, which must end with a return."""
    return [step for number in calls.values() for step in (_step(JUMP_EQUAL, number, no=len(then)), *then)]


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _forbid_writing(version: int) -> bool:
    """Return whether it is in force."""
    writes = sum(access for since, access in WRITES_BY_VERSION if version >= since)
    rules = struct.pack("=Q", writes)
    rules += struct.pack("=Q", TCP) if version >= 4 else b""
    rules += struct.pack("=Q", SCOPES) if version >= 6 else b""
    ruleset = _call(LANDLOCK_CREATE, rules, len(rules), 0)
    if ruleset < 0:
        return False
    nowhere = os.open(os.devnull, os.O_PATH)
    allowed = struct.pack("=Qi", writes & WRITES_TO_A_FILE, nowhere)
    # Tesseract sends what it has to say to /dev/null, and crashes where it cannot open it.
    granted = _call(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PATH_BENEATH, allowed, 0) == 0
    granted = granted and _call(LANDLOCK_RESTRICT, ruleset, 0) == 0
    os.close(nowhere)
    os.close(ruleset)
    return granted


def _landlock_version() -> int:
    return _call(LANDLOCK_CREATE, None, 0, LANDLOCK_VERSION)


def _call(number: int, *args: int | bytes | None) -> int:
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in args]
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), *wide))
