"""Asks the service for /health, as a pod that may ("open") or may not ("shut") reach it. Exit status 0: it is right so.

Usage: knock.py open|shut HOST PORT CONTROL_HOST CONTROL_PORT
"""

import socket
import sys
import urllib.request

TIMEOUT_S = 5


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


def check_shut(host: str, port: int, control: tuple[str, int]) -> str:
    """See that this pod does not get through.

    That is also true of a pod without any network, so this one has to reach the control, the API server; and of
    a service that is down, so the pod that must get through asks just before.
    """
    why = refusal(resolve(host), port)
    if why is None:
        raise AmissError(f"{host}:{port} lets in a pod that no policy names: NetworkPolicies are not enforced here")
    if unreachable := refusal(resolve(control[0]), control[1]):
        raise AmissError(f"{control[0]}:{control[1]} is not reached, too: {unreachable}. So this pod proves nothing")
    return f"{host}:{port} is shut ({why}), while {control[0]}:{control[1]} is reached"


def main(expected: str, host: str, port: str, control_host: str, control_port: str) -> str:
    """Check what is expected; give what was seen."""
    if expected == "open":
        return check_open(host, int(port))
    return check_shut(host, int(port), (control_host, int(control_port)))


if __name__ == "__main__":
    try:
        print("as it should be:", main(*sys.argv[1:]))
    except AmissError as problem:
        sys.exit(str(problem))
