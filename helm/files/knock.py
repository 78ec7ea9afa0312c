"""Asks the service for /health, as a pod that may ("open") or may not ("shut") reach it. Exit status 0: as it should be.

Usage: knock.py open|shut HOST PORT CONTROL_HOST CONTROL_PORT
"Shut" alone would also be true of a pod without any network: so this one has to reach the control, which is the API
server, and the pod that must get through has asked just before.
"""

import socket
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 5


def connects(host, port):
    try:
        socket.create_connection((host, int(port)), TIMEOUT_S).close()
    except OSError as exc:
        return f"no connection to {host}:{port}: {exc}"
    return None


def main(expected, host, port, control_host, control_port):
    try:
        address = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)[0][4][0]
    except OSError as exc:
        return f"{host} has no address here, so nothing is proved: {exc}"
    problem = connects(address, port)
    if expected == "open":
        if problem:
            return f"{problem}. Is this pod among networkPolicy.callers?"
        try:
            answer = urllib.request.urlopen(f"http://{address}:{port}/health", timeout=TIMEOUT_S)
        except (urllib.error.URLError, OSError) as exc:
            return f"connected, but /health says: {exc}"
        print(f"as it should be: {host}:{port} answers {answer.status}")
        return None
    if not problem:
        return f"{host}:{port} lets in a pod that no policy names: the network plugin does not enforce NetworkPolicies"
    unreachable = connects(control_host, control_port)
    if unreachable:
        return f"{unreachable}. This pod reaches nothing at all, so it proves nothing"
    print(f"as it should be: {problem}, while {control_host}:{control_port} is reached")
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
