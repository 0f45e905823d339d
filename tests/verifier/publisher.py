"""A publisher of files: a real HTTPS server on loopback, with ranges, that breaks off, dawdles or lies when told to."""

import http.server
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.test_tls import make_certificates


@dataclass
class Publisher:
    """What it serves under any path, and how.

    Attributes:
        data: The file.
        cut: So many bytes go out in each answer before the connection ends; the next answer takes the next number.
        ranges: Answer ranges; else the whole file always.
        moved: Where a request is sent on to.
        status: Answer with this and nothing else.
        endless: Go on after the file's end, without saying how long it is.
        dawdle: Seconds between two bytes.
        asked: The Range header of each request, "" without one.
    """

    data: bytes
    cut: list[int] = field(default_factory=list)
    ranges: bool = True
    moved: str = ""
    status: int = 0
    endless: bool = False
    dawdle: float = 0.0
    asked: list[str] = field(default_factory=list)
    port: int = 0
    authority: str = ""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/network.onnx"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def publisher(self) -> Publisher:
        return self.server.publisher

    def log_message(self, *arguments):
        pass

    def do_GET(self):  # the name that http.server wants
        self.publisher.asked.append(self.headers.get("Range", ""))
        if self.publisher.moved or self.publisher.status:
            self.send_response(302 if self.publisher.moved else self.publisher.status)
            self.send_header("Location", self.publisher.moved)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.close_connection = True
        self.serve(self.headers.get("Range", ""))

    def serve(self, wanted):
        size = len(self.publisher.data)
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted and self.publisher.ranges else 0
        if start >= size and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if not self.publisher.endless:
            self.send_header("Content-Length", str(size - start))
        self.end_headers()
        self.send_body(self.publisher.data[start:])

    def send_body(self, body):
        if self.publisher.cut:
            body = body[: self.publisher.cut.pop(0)]
        try:
            if self.publisher.dawdle:
                for at in range(len(body)):
                    self.wfile.write(body[at : at + 1])
                    time.sleep(self.publisher.dawdle)
            self.wfile.write(body if not self.publisher.dawdle else b"")
            while self.publisher.endless:
                self.wfile.write(body)
        except OSError:
            pass  # whoever asked has gone


@contextmanager
def published(folder, data, **how):
    """Serve a file until the block ends; `SSL_CERT_FILE` must name `authority` to be asked."""
    make_certificates(folder)
    publisher = Publisher(data, **how, authority=str(folder / "ca.crt"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.publisher = publisher
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    publisher.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield publisher
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
