"""A small local HTTP server for tests of downloads.

Serves plain files and enough of the Hugging Face hub's protocol for `hf_hub_download`.

It misbehaves on demand, one fault per GET, in order; after that it serves the file correctly.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one GET.

    Attributes:
        status: an error.
        page: a page of HTML.
        drop: the connection ends after so many bytes of the body.
        cut: the body is cut to so many bytes, honestly announced.
        silent: nothing is answered until the client goes away.
        endless: the body goes on for ever after its end, in chunks of unannounced number.
        trickle: the header comes byte by byte, so many seconds apart.
    """

    status: int = 0
    page: bool = False
    drop: int | None = None
    cut: int | None = None
    silent: bool = False
    endless: bool = False
    trickle: float = 0.0


@dataclass
class File:
    """One file: its content, and how it is served.

    Attributes:
        tagged: whether answers carry an ETag.
        ranges: whether Range is honoured.
        forgetful: whether If-Range is ignored.
        measured: whether answers carry a Content-Length.
        digest: the SHA-256 that the hub claims, or None for the true one.
        pause: seconds before each 16 KiB.
    """

    content: bytes
    faults: list[Fault] = field(default_factory=list)
    tagged: bool = True
    ranges: bool = True
    forgetful: bool = False
    measured: bool = True
    digest: str | None = None
    pause: float = 0.0

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()}"'


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None


class FakeHub:
    """A server of `files`, by path; "/owner/name/resolve/main/file" is the hub's form.

    `requests` records what was requested.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.files: dict[str, File] = {}
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.endless = 0
        """Bytes that an endless answer has sent."""

    def add(self, path: str, content: bytes, *faults: Fault, **how: object) -> str:
        """Serve `content` at `path`; returns its address."""
        self.files[path] = File(content, list(faults), **how)  # type: ignore[arg-type]
        return self.url + path

    def asked(self, method: str = "GET") -> list[Request]:
        """The requests for files so far (the hub's library also asks for other things)."""
        return [request for request in self.requests if request.method == method and request.path in self.files]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(None)

    def do_GET(self) -> None:
        with self.hub.lock:
            file = self.hub.files.get(self.path)
            fault = file.faults.pop(0) if file is not None and file.faults else None
        with contextlib.suppress(ConnectionError):
            self._answer(fault)

    def _answer(self, fault: Fault | None) -> None:
        wanted = self.headers.get("Range")
        with self.hub.lock:
            self.hub.requests.append(Request(self.command, self.path, wanted))
        self.close_connection = True
        file = self.hub.files.get(self.path)
        if file is None:
            return self._short(404, b"nothing here", "text/plain")
        if fault is not None and fault.status:
            return self._short(fault.status, b"a fault", "text/plain")
        if fault is not None and fault.page:
            return self._short(200, b"<!DOCTYPE html><html>please sign in</html>", "text/html; charset=utf-8")
        if fault is not None and (fault.silent or fault.trickle):
            return self._linger(fault)
        if fault is not None and fault.endless:
            return self._endless(file)
        body = file.content if fault is None or fault.cut is None else file.content[: fault.cut]
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and file.ranges else 0
        if not file.forgetful and self.headers.get("If-Range") not in (None, file.etag):
            start = 0
        if start >= len(body) > 0:
            return self._short(416, b"", "text/plain")
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/octet-stream")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if file.measured:
            self.send_header("Content-Length", str(len(body) - start))
        if file.tagged:
            self.send_header("ETag", file.etag)
        if "/resolve/" in self.path:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{file.digest}"' if file.digest else file.etag)
            self.send_header("X-Linked-Size", str(len(file.content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self._send(body[start:], fault.drop if fault is not None else None, file.pause)
        return None

    def _send(self, body: bytes, drop: int | None, pause: float) -> None:
        body = body if drop is None else body[:drop]
        for at in range(0, len(body), 1 << 14):
            time.sleep(pause)
            self.wfile.write(body[at : at + (1 << 14)])
            self.wfile.flush()

    def _linger(self, fault: Fault) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 100_000:
            if self.hub.closing.wait(fault.trickle or 60):
                return
            if fault.trickle:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()

    def _endless(self, file: File) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        piece, self.hub.endless = file.content + bytes(1 << 16), 0
        while not self.hub.closing.is_set():
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.hub.endless += len(piece)
            piece = bytes(1 << 16)

    def _short(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextlib.contextmanager
def running() -> Iterator[FakeHub]:
    """A server for the length of a `with` block."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.hub = hub = FakeHub(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
