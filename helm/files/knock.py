"""Asks the service for /health, as a pod that may ("open") or may not ("shut") reach it. Exit status 0: it is right so.

Usage: knock.py open|shut HOST PORT CONTROL_HOST CONTROL_PORT PATIENCE_SECONDS

It is patient with what does not get through: some network plugins let nothing of a new pod pass until they know it,
which takes them seconds.
"""

import http.client
import json
import socket
import sys
import time
import urllib.error
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


def ask(address: str, port: int) -> tuple[int, bool]:
    """Ask for /health; give the status, and whether it is the service that answered: in a mesh a proxy accepts all."""
    shown = f"[{address}]" if ":" in address else address
    try:
        with urllib.request.urlopen(f"http://{shown}:{port}/health", timeout=TIMEOUT_S) as answer:
            return answer.status, is_service(answer)
    except urllib.error.HTTPError as answer:
        return answer.code, is_service(answer)


def is_service(answer: http.client.HTTPResponse | urllib.error.HTTPError) -> bool:
    """Tell by its name, or, where a proxy put its own there, by what it says."""
    try:
        body = json.loads(answer.read(1048576))
    except (ValueError, OSError):
        body = None
    return answer.headers.get("Server") == "ocr-sidecar" or (isinstance(body, dict) and "ocrEngine" in body)


def check_open(host: str, port: int) -> str:
    """See that this pod gets through, and that the service is well."""
    address = resolve(host)
    if why := refusal(address, port):
        raise AmissError(f"no connection to {host}:{port}: {why}. Is this pod among networkPolicy.callers?")
    try:
        status, is_ours = ask(address, port)
    except (OSError, http.client.HTTPException) as exc:
        raise AmissError(f"connected, but /health does not answer: {exc!r}") from exc
    if status != 200 or not is_ours:
        raise AmissError(
            f"connected, but /health says {status}{'' if is_ours else ', and it is not ours that says so'}"
        )
    return f"{host}:{port} answers {status}"


def check_shut(host: str, port: int, control: tuple[str, int], patience_s: float) -> str:
    """See that this pod does not get through.

    That is also true of a pod without any network, so this one has to reach the control, the API server, first; and of
    a service that is down, so the pod that must get through asks just before.
    """
    patiently(lambda: check_reached(*control), patience_s)
    why = patiently(lambda: check_kept_out(host, port), patience_s)
    return f"{host}:{port} is shut ({why}), while {control[0]}:{control[1]} is reached"


def check_kept_out(host: str, port: int) -> str:
    """See that the service does not answer; give what was met instead."""
    address = resolve(host)
    if why := refusal(address, port):
        return why
    try:
        status, is_ours = ask(address, port)
    except (OSError, http.client.HTTPException) as exc:
        if isinstance(getattr(exc, "reason", exc), TimeoutError):
            raise AmissError(f"{host}:{port} accepts connections and says nothing, which proves nothing") from exc
        return f"accepted by something else, which hung up: {exc!r}"
    if is_ours:
        raise AmissError(f"{host}:{port} lets in a pod that no policy names: NetworkPolicies are not enforced here")
    return f"something else answers {status}"


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
