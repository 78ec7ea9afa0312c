"""What may be met behind a port of a sidecar: the service, a mesh's proxy, nobody."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

Handler = Callable[[socket.socket, bytes], None]
"""Gets the connection, and what was asked."""

API_ANSWER = b'{"status": "ok", "engine": "np-dms-ocr", "ocrModel": "a", "ocrEngine": "auto"}'
OPS_ANSWER = b'{"profiles": [], "refused": []}'


def answering(body: bytes, status: str = "200 OK", server: str = "istio-envoy") -> Handler:
    """Answer, under a proxy's name."""

    def handle(connection: socket.socket, _: bytes) -> None:
        head = f"HTTP/1.1 {status}\r\nServer: {server}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    return handle


def refusing_by_id(connection: socket.socket, asked: bytes) -> None:
    """Refuse as the service does while it stops: its errors name the request."""
    (line,) = [one for one in asked.split(b"\r\n") if one.lower().startswith(b"x-request-id:")]
    request_id = line.partition(b":")[2].strip()
    answering(b'{"code": "shutting_down", "requestId": "' + request_id + b'"}', "503 No")(connection, asked)


def hanging_up(_connection: socket.socket, _asked: bytes) -> None:
    """Accept, and close without a word."""


def babbling(connection: socket.socket, _: bytes) -> None:
    """Speak something else than HTTP."""
    connection.sendall(b"220 mail.example.org ESMTP\r\n")


@contextlib.contextmanager
def serving(address: str, port: int, handler: Handler) -> Iterator[None]:
    """Serve at one address."""

    class Door(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked = b""
            while b"\r\n\r\n" not in asked and (some := self.request.recv(65536)):
                asked += some
            handler(self.request, asked)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with Server((address, port), Door) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
