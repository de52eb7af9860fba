"""A loopback server that misbehaves in one way until it is told to behave."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

WELL = "well"
BEHAVIOURS = (
    "stalls in the middle",
    "hangs up in the middle",
    "says it is longer than it is",
    "says it is shorter than it is",
    "sends other bytes of the same length",
    "answers 500",
    "answers 404",
    "ignores Range after hanging up once",
    "sends another range after hanging up once",
)
STALL_SECONDS = 90
"""Longer than a download waits for a byte."""


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`, in the way that `behaviour` says."""

    daemon_threads = True

    def __init__(self, content: bytes, behaviour: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.behaviour, self.requests = content, behaviour, 0
        self.url = f"http://127.0.0.1:{self.server_port}/dump"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are none."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server, content = self.server, self.server.content
        server.requests += 1
        half, behaviour, first = content[: len(content) // 2], server.behaviour, server.requests == 1
        if behaviour.startswith("answers "):
            self.head(int(behaviour.split()[1]), 0)
        elif behaviour == "stalls in the middle":
            self.head(200, len(content))
            self.wfile.write(half)
            self.wfile.flush()
            time.sleep(STALL_SECONDS)
            self.close_connection = True
        elif behaviour == "hangs up in the middle" or (behaviour.endswith("hanging up once") and first):
            self.head(200, len(content))
            self.wfile.write(half)
            self.close_connection = True
        elif behaviour == "says it is longer than it is":
            self.head(200, len(content) + 1000)
            self.wfile.write(content)
            self.close_connection = True
        elif behaviour == "says it is shorter than it is":
            self.head(200, len(half))
            self.wfile.write(content)
            self.close_connection = True
        elif behaviour == "sends other bytes of the same length":
            self.head(200, len(content))
            self.wfile.write(bytes(byte ^ 1 for byte in content))
        elif behaviour.startswith("sends another range"):
            self.head(206, 4, Content_Range=f"bytes 0-3/{len(content)}")
            self.wfile.write(content[:4])
        elif self.headers.get("Range") and behaviour == WELL:
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.head(206, len(content) - begin, Content_Range=f"bytes {begin}-{len(content) - 1}/{len(content)}")
            self.wfile.write(content[begin:])
        else:
            self.head(200, len(content))
            self.wfile.write(content)

    def head(self, status: int, length: int, **more: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(length), "ETag": '"one"', **more}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing is said."""


@contextmanager
def serving(content: bytes, behaviour: str) -> Iterator[Server]:
    """The server at work."""
    server = Server(content, behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
