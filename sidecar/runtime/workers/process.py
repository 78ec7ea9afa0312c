"""What a worker process may use of the machine."""

import ctypes
import os
import resource
import signal
import sys

from sidecar.runtime.workers import sandbox

PR_SET_PDEATHSIG = 1  # linux/prctl.h
STANDARD_DESCRIPTORS = (0, 1, 2)


def limit_process(memory_bytes: int, nice: int) -> None:
    """Bound this worker's address space and priority, and make sure that it never outlives the service.

    A worker has nothing to clean up, so SIGTERM ends it at once even inside a C library: a page whose
    caller has left gives its core back in milliseconds.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(nice)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _mute_libraries()
    sandbox.confine()


def _mute_libraries() -> None:
    """Discard both outputs: C libraries write about bad documents there, between the service's JSON lines."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in STANDARD_DESCRIPTORS:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
