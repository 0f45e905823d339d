"""A small HTTP server that answers as Frigate does, 0.14 or 0.18, traps included; and one that is a plain camera.

Shapes are those of frigate/api/media.py and frigate/api/auth.py at those versions: 0.14 knows the height as `h`, 0.18
as `height`; an unset `bbox` draws since 0.18; a camera without frames gives an error card (0.14) or an old preview with
`X-Frigate-Offline` (0.18), both with 200; 404 comes as JSON; go2rtc sends an empty 200 between key frames.
"""

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

EVENT = "1764158399.112233-mxklsc"
FRAME_TIME = 1764158400.475377


def jpeg(width, height, tail=b""):
    """The bones of a JPEG: enough for a header parser, drawn by nobody. `tail` tells one from another."""
    frame = struct.pack(">BBHBHHB", 0xFF, 0xC0, 11, 8, height, width, 1) + b"\x01\x11\x00"
    comment = b"\xff\xfe" + struct.pack(">H", len(tail) + 2) + tail
    return b"\xff\xd8\xff\xe0\x00\x04ab" + comment + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00data\xff\xd9"


@dataclass
class Scene:
    """What one camera sees: real pictures, by the way that they are asked for; None: that way has nothing."""

    go2rtc: bytes | None = None
    latest: bytes | None = None
    snapshot: bytes | None = None
    offline: bool = False
    frozen: bool = False
    pulls: int = 0


@dataclass
class FrigateStandIn:
    """What the tests set, and what was asked."""

    version: str = "0.18.0-abc1234"
    offline: bool = False
    frozen: bool = False
    snapshot_ready: bool = True
    login: tuple[str, str] | None = None
    camera: str = "porch"
    go2rtc: bool = True
    empty_frames: int = 0
    silent_seconds: float = 0.0
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    logins: int = 0
    frames: int = 0
    port: int = 0
    scenes: dict[str, Scene] = field(default_factory=dict)
    plain: dict[str, Scene] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def newest(self):
        return self.version.startswith("0.18")

    def next_tail(self):
        if not self.frozen:
            self.frames += 1
        return str(self.frames).encode()


class Answers(BaseHTTPRequestHandler):
    state: FrigateStandIn

    def log_message(self, *_):
        """Keep the tests' output clean."""

    def do_GET(self):  # noqa: C901, PLR0911, PLR0912 - a path, an answer
        state, parsed = self.state, urlsplit(self.path)
        state.asked.append(self.path)
        state.headers.append({name.lower(): value for name, value in self.headers.items()})
        query = {name: values[-1] for name, values in parse_qs(parsed.query).items()}
        if state.silent_seconds:
            time.sleep(state.silent_seconds)
        if not self.allowed():
            return self.document(401, {"message": "Unauthorized"})
        match parsed.path.strip("/").split("/"):
            case ["api", "version"]:
                return self.send(200, "text/plain", state.version.encode())
            case ["api", "config"]:
                detect = {"width": 1280, "height": 720, "fps": 5}
                names = (state.camera, *state.scenes)
                return self.document(200, {"cameras": {name: {"detect": detect, "enabled": True} for name in names}})
            case ["api", "go2rtc", "api", "frame.jpeg"] if query.get("src") in state.scenes:
                return self.picture(state.scenes[query["src"]], "go2rtc")
            case ["api", name, "latest.jpg"] if name in state.scenes:
                return self.picture(state.scenes[name], "latest")
            case ["api", "events", event, "snapshot.jpg"] if event in state.events:
                return self.picture(state.scenes[state.events[event]], "snapshot")
            case ["plain", name]:
                return self.picture(state.plain[name], "latest")
            case ["away"]:
                return self.send(302, "text/plain", b"", {"Location": query["to"]})
            case ["api", "go2rtc", "api", "frame.jpeg"] if state.go2rtc:
                return self.frame(query)
            case ["api", name, "latest.jpg"] if name == state.camera:
                return self.latest(query)
            case ["api", _, "latest.jpg"]:
                return self.document(404, {"success": False, "message": "Camera not found"})
            case ["api", "events", event, "snapshot.jpg"]:
                return self.snapshot(event, query)
        return self.document(404, {"message": "Not found"})

    def do_POST(self):
        state = self.state
        state.logins += 1
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "origin" in self.headers or (body["user"], body["password"]) != state.login:
            return self.document(401, {"message": "Login failed"})
        session = f"jwt-{state.logins}"
        state.sessions = {session}
        return self.send(200, "text/html", b"", {"Set-Cookie": f"frigate_token={session}; HttpOnly; Path=/"})

    def allowed(self):
        cookie = self.headers.get("cookie", "")
        return self.state.login is None or any(f"frigate_token={one}" in cookie for one in self.state.sessions)

    def frame(self, query):
        if query.get("src") != "porch_main":
            return self.send(404, "text/plain", b"stream not found")
        if self.state.empty_frames:
            self.state.empty_frames -= 1
            return self.send(200, "image/jpeg", b"")
        return self.send(200, "image/jpeg", jpeg(2560, 1440, self.state.next_tail()))

    def picture(self, scene, way):
        """Send what a scene shows; whoever is offline has an old preview or a card with the old picture in it."""
        picture = getattr(scene, way)
        if picture is None:
            return self.document(404, {"success": False, "message": f"No {way} available"})
        scene.pulls += 1
        number = 0 if scene.frozen or way == "snapshot" else scene.pulls
        comment = f"{number:08d}".encode()
        body = picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + picture[2:]
        offline = scene.offline and way == "latest" and self.state.newest
        return self.send(200, "image/jpeg", body, {"X-Frigate-Offline": "true"} if offline else {})

    def latest(self, query):
        state = self.state
        drawn = b"" if query.get("bbox") == "0" and query.get("timestamp") == "0" else b" boxes drawn"
        if state.offline and state.newest:
            return self.send(200, "image/jpeg", jpeg(320, 180, b"preview"), {"X-Frigate-Offline": "true"})
        if state.offline:
            return self.send(200, "image/jpeg", jpeg(640, 360, b"camera error card"))
        return self.send(200, "image/jpeg", jpeg(1280, 720, state.next_tail() + drawn), {"Cache-Control": "no-store"})

    def snapshot(self, event, query):
        state = self.state
        if event != EVENT or not state.snapshot_ready:
            message = "Ongoing event not found" if event != EVENT else "Snapshot not available"
            return self.document(404, {"success": False, "message": message})
        height = int(query.get("height" if state.newest else "h", 1080))
        drawn = b" boxes drawn" if state.newest and query.get("bbox") != "0" else b""
        headers = {"X-Frame-Time": str(FRAME_TIME)} if state.newest else {}
        return self.send(200, "image/jpeg", jpeg(height * 16 // 9, height, b"snapshot" + drawn), headers)

    def document(self, status, document):
        self.send(status, "application/json", json.dumps(document).encode())

    def send(self, status, kind, body, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[int]:
    """Serve on a port of loopback, a free one if none is named."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def frigate(**state) -> Iterator[FrigateStandIn]:
    """Serve as Frigate."""
    standing = FrigateStandIn(**state)
    with serving(type("Handler", (Answers,), {"state": standing})) as port:
        standing.port = port
        yield standing
