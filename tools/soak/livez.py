"""Asks /livez over and over, as a kubelet does but more often; in a process of its own, which nothing else holds up.

``python -m tools.soak.livez PORT`` prints for each: when (monotonic seconds), how many seconds it took, 1 if 200.
"""

import socket
import sys
import time

from bench.harness.service import HOST

EVERY_S = 0.1
LONGEST_S = 10.0
REQUEST = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def ask(port: int) -> bool:
    """Ask over a new connection."""
    try:
        with socket.create_connection((HOST, port), timeout=LONGEST_S) as connection:
            connection.sendall(REQUEST)
            return connection.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


if __name__ == "__main__":
    while True:
        started_s = time.monotonic()
        is_well = ask(int(sys.argv[1]))
        print(f"{started_s:.3f} {time.monotonic() - started_s:.4f} {int(is_well)}", flush=True)
        time.sleep(EVERY_S)
