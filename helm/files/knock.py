"""Asks the service for /health, as a pod that may ("open") or may not ("shut") reach it. Exit status 0: it is right so.

Usage: knock.py open|shut HOST PORT CONTROL_HOST CONTROL_PORT PATIENCE_SECONDS

It is patient with what does not get through: some network plugins let nothing of a new pod pass until they know it,
which takes them seconds.
"""

import socket
import sys
import time
import urllib.request
from collections.abc import Callable

TIMEOUT_S = 5
PAUSE_S = 1


class AmissError(Exception):
    """Not as it should be; the text says what."""


def resolve(host: str) -> str:
    """Give the address of a name."""
    try:
        return str(socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)[0][4][0])
    except OSError as exc:
        raise AmissError(f"{host} has no address here, so nothing is proved: {exc}") from exc


def refusal(address: str, port: int) -> str | None:
    """Say why no connection can be made; None: it can."""
    try:
        socket.create_connection((address, port), TIMEOUT_S).close()
    except OSError as exc:
        return str(exc)
    return None


def patiently(check: Callable[[], str], patience_s: float) -> str:
    """Check again and again until it is right, or for so long."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return check()
        except AmissError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)


def check_open(host: str, port: int) -> str:
    """See that this pod gets through, and that the service is well."""
    address = resolve(host)
    if why := refusal(address, port):
        raise AmissError(f"no connection to {host}:{port}: {why}. Is this pod among networkPolicy.callers?")
    shown = f"[{address}]" if ":" in address else address
    try:
        with urllib.request.urlopen(f"http://{shown}:{port}/health", timeout=TIMEOUT_S) as answer:
            return f"{host}:{port} answers {answer.status}"
    except OSError as exc:
        raise AmissError(f"connected, but /health says: {exc}") from exc


def check_shut(host: str, port: int, control: tuple[str, int], patience_s: float) -> str:
    """See that this pod does not get through.

    That is also true of a pod without any network, so this one has to reach the control, the API server, first; and of
    a service that is down, so the pod that must get through asks just before.
    """
    patiently(lambda: check_reached(*control), patience_s)
    why = refusal(resolve(host), port)
    if why is None:
        raise AmissError(f"{host}:{port} lets in a pod that no policy names: NetworkPolicies are not enforced here")
    return f"{host}:{port} is shut ({why}), while {control[0]}:{control[1]} is reached"


def check_reached(host: str, port: int) -> str:
    """See that this pod has a network at all."""
    if unreachable := refusal(resolve(host), port):
        raise AmissError(f"{host}:{port} is not reached: {unreachable}. So this pod proves nothing")
    return f"{host}:{port} is reached"


def main(expected: str, *words: str) -> str:
    """Check what is expected; give what was seen."""
    host, port, control_host, control_port, patience_s = words
    if expected == "open":
        return patiently(lambda: check_open(host, int(port)), float(patience_s))
    return check_shut(host, int(port), (control_host, int(control_port)), float(patience_s))


if __name__ == "__main__":
    try:
        print("as it should be:", main(*sys.argv[1:]))
    except AmissError as problem:
        sys.exit(str(problem))
