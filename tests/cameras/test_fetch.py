import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facegate.cameras import web
from facegate.cameras.fetch import Fetcher, allowed_hosts
from facegate.cameras.picture import captured_at, check_picture, jpeg_size
from facegate.cameras.snapshot import Snapshot
from facegate.cameras.web import UnreachableError, is_public, redacted, refuse_private
from facegate.errors import FacegateError, RefusedError, UnusableInputError
from facegate.settings import CameraSection, FrigateSection, Settings
from tests.cameras.frigate_stand_in import jpeg, serving
from tests.fakes import START, StandingClock

PICTURE = jpeg(640, 480)


class Camera(BaseHTTPRequestHandler):
    """A camera with good and bad paths, and another service on the same machine."""

    asked: list[str]

    def log_message(self, *_):
        """Keep the tests' output clean."""

    def do_GET(self):  # noqa: C901 - a path, an answer
        self.asked.append(self.path)
        path, login = self.path.partition("?")[0], self.headers.get("Authorization", "")
        match path:
            case "/redirect":
                self.send([("Location", "/snap.jpg")], b"", 302)
            case "/basic" if login != "Basic YWRtaW46cEBzcw==":
                self.send([("WWW-Authenticate", 'Basic realm="camera"')], b"", 401)
            case "/digest" if 'username="admin"' not in login or "response=" not in login:
                self.send(
                    [("WWW-Authenticate", 'Digest realm="camera", nonce="n0", qop="auth", algorithm=MD5')], b"", 401
                )
            case "/html":
                self.send([], b"<html>router</html>")
            case "/empty":
                self.send([], b"")
            case "/half":
                self.send([], PICTURE[:-2])
            case "/huge":
                self.endless(b"\xff\xd8\xff" + b"x" * 65536, 0)
            case "/drip":
                self.endless(b"x", 0.02)
            case "/packed":
                self.send([("Content-Encoding", "gzip")], b"\x1f\x8b")
            case "/missing":
                self.send([], b"", 404)
            case _:
                self.send([], PICTURE)

    def send(self, headers, body, status=200):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def endless(self, chunk, pause):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(chunk)
                self.wfile.flush()
                time.sleep(pause)
        except OSError:
            return


@pytest.fixture
def camera():
    handler = type("Handler", (Camera,), {"asked": []})
    with serving(handler) as port:
        handler.url = f"http://127.0.0.1:{port}"
        yield handler


def allowing(url):
    return Fetcher(Settings(cameras={"porch": CameraSection(snapshot_url=f"{url}/snap.jpg")}), StandingClock())


def refusal(fetcher, url):
    with pytest.raises(FacegateError) as raised:
        fetcher.fetch(url)
    return raised.value


def test_a_host_that_the_settings_name_may_be_named_by_a_message(camera):
    pulled = allowing(camera.url).fetch(f"{camera.url}/other.jpg?token=secret")
    assert (pulled.picture, pulled.captured_at, pulled.source) == (PICTURE, START, "image_url")


def test_nothing_else_of_this_machine_or_network_is_reached(camera):
    fetcher = Fetcher(Settings())
    port = camera.url.rpartition(":")[2]
    for host in (
        "127.0.0.1",
        "localhost",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",  # noqa: S104 - refused, not bound
    ):
        assert isinstance(refusal(fetcher, f"http://{host}:{port}/snap.jpg"), FacegateError)
    assert camera.asked == []


def test_another_port_of_an_allowed_host_stays_closed(camera):
    with serving(type("Other", (Camera,), {"asked": []})) as other:
        refused = refusal(allowing(camera.url), f"http://127.0.0.1:{other}/snap.jpg")
    assert isinstance(refused, RefusedError)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "FILE:///etc/passwd", "ftp://camera/x.jpg", "gopher://camera:70/", "data:image/jpeg,x",
        "//camera/x.jpg", "/etc/passwd", "", "http://", "http:///x", "http://[::1", "http://a b/", "http://a\n/",
        "http://a\\@b/", "javascript:alert(1)", "http://camera:99999/", "http://\u0430dmin/",
    ],
)  # fmt: skip
def test_what_is_no_http_url_is_refused_without_a_connection(url):
    assert isinstance(refusal(Fetcher(Settings()), url), RefusedError)


@given(
    st.text(max_size=60).filter(lambda text: not text.startswith("http"))
    | st.from_regex(r"(https?|file)://([0-9:@-]{0,6}@)?127(\.[0-9]{1,3}){0,3}[:/%?\[\]0-9-]{0,12}", fullmatch=True)
)
@example("http://[::ffff:7f00:1]:1/")
@example("http://0/")
@example("http://user:pass@127.0.0.1:1/")
def test_whatever_a_message_names_it_is_refused_or_unreachable_but_never_our_bug(url):
    with pytest.raises(FacegateError):
        Fetcher(Settings()).fetch(url)


def test_go2rtcs_src_must_be_a_plain_stream_name(camera):
    fetcher = Fetcher(Settings(frigate=FrigateSection(go2rtc_url=camera.url)))
    assert fetcher.fetch(f"{camera.url}/api/frame.jpeg?src=porch_main").picture == PICTURE
    for src in ("exec:reboot", "http://127.0.0.1/", "rtsp%3A%2F%2Fcamera", "ffmpeg%3Aporch", "a%20b", ""):
        assert isinstance(refusal(fetcher, f"{camera.url}/api/frame.jpeg?src={src}"), RefusedError)
    assert isinstance(refusal(fetcher, f"{camera.url}/api/frame.jpeg?src=porch&src=exec:x"), RefusedError)
    assert len(camera.asked) == 1


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("redirect", "redirects"),
        ("html", "no picture"),
        ("empty", "nothing"),
        ("half", "part of a JPEG"),
        ("huge", "more than 10,000,000 bytes"),
        ("packed", "packed"),
        ("missing", "404"),
    ],
)
def test_every_bad_answer_has_its_word(camera, path, word):
    refused = refusal(allowing(camera.url), f"{camera.url}/{path}?password=secret")
    assert word in refused.what
    assert "secret" not in str(refused)
    assert "/snap.jpg" not in camera.asked


def test_a_server_that_drips_holds_nobody_beyond_the_limit(camera, monkeypatch):
    monkeypatch.setattr(web, "SECONDS", 0.4)
    begun = time.monotonic()
    assert "did not answer within" in refusal(allowing(camera.url), f"{camera.url}/drip").what
    assert time.monotonic() - begun < 2


def test_a_server_that_says_nothing_holds_nobody_either(monkeypatch):
    monkeypatch.setattr(web, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert "did not answer within" in refusal(allowing(url), f"{url}/x.jpg").what


def test_an_unreachable_host_is_named_without_its_login():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://admin:hunter2@127.0.0.1:{gone.getsockname()[1]}"
    refused = refusal(allowing(url), f"{url}/x.jpg?token=t0ken")
    assert isinstance(refused, UnreachableError)
    assert "refused" in refused.what
    assert "hunter2" not in str(refused)
    assert "t0ken" not in str(refused)


@pytest.mark.parametrize("path", ["basic", "digest", "snap.jpg"])
def test_a_snapshot_url_logs_in_as_the_camera_asks_and_only_then(camera, path):
    url = camera.url.replace("http://", "http://admin:p%40ss@") + f"/{path}"
    assert Snapshot(url, StandingClock()).pull("porch", None).picture == PICTURE
    assert len(camera.asked) == (1 if path == "snap.jpg" else 2)


def test_a_refused_login_is_an_answer_like_any_other(camera):
    url = camera.url.replace("http://", "http://admin:wrong@") + "/basic"
    with pytest.raises(UnreachableError, match="401") as raised:
        Snapshot(url, StandingClock()).pull("porch", None)
    assert "wrong" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: S104 - refused, not bound
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
        "2002:7f00:1::", "240.0.0.1",
    ],
)  # fmt: skip
def test_no_address_of_this_network_counts_as_public_however_it_is_wrapped(address):
    assert not is_public(address)
    with pytest.raises(RefusedError):
        refuse_private("host", ["1.1.1.1", address])


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are_let_through(address):
    assert is_public(address)
    refuse_private("host", [address])


def test_the_settings_open_their_hosts_with_their_ports_and_no_others():
    settings = Settings(
        frigate=FrigateSection(url="http://Frigate:5000"),
        cameras={
            "a": CameraSection(snapshot_url="https://u:p@cam/snap"),
            "b": CameraSection(go2rtc_src="http://streamer:1985/x"),
            "c": CameraSection(go2rtc_src="just_a_name"),
        },
    )
    assert allowed_hosts(settings) == {("frigate", 5000), ("frigate", 1984), ("cam", 443), ("streamer", 1985)}
    assert allowed_hosts(Settings()) == frozenset()


@given(st.text(max_size=300))
def test_a_shown_url_is_one_short_printable_line(url):
    shown = redacted(url)
    assert shown.isprintable()
    assert len(shown) <= 160


def test_a_shown_url_has_neither_login_nor_query():
    assert redacted("http://admin:pass@camera:81/snap.jpg?password=x#y") == "http://camera:81/snap.jpg"
    assert redacted("http://[::1]/snap.jpg") == "http://[::1]/snap.jpg"


def test_times_are_believed_as_far_as_they_can_be():
    def date(moment):
        return format_datetime(moment, usegmt=True)

    skewed = START - timedelta(days=400)
    assert captured_at({}, START) == START
    assert captured_at({"x-frame-time": str(START.timestamp() - 3)}, START) == START - timedelta(seconds=3)
    assert captured_at({"x-frame-time": str(START.timestamp() + 60)}, START) == START
    for junk in ("nan", "inf", "-1", "1e300", "now", ""):
        assert captured_at({"x-frame-time": junk, "last-modified": junk}, START) == START
    headers = {"last-modified": date(skewed - timedelta(seconds=40)), "date": date(skewed)}
    assert captured_at(headers, START) == START - timedelta(seconds=40)
    assert captured_at({"last-modified": date(START - timedelta(days=3))}, START) == START - timedelta(days=3)


@given(st.integers(1, 65535), st.integers(1, 65535), st.binary(max_size=50))
def test_the_size_of_a_jpeg_is_read_from_its_header(width, height, tail):
    assert jpeg_size(jpeg(width, height, tail)) == (width, height)


@given(st.binary(max_size=120) | st.binary(max_size=60).map(lambda tail: b"\xff\xd8" + tail))
def test_whatever_bytes_come_they_are_a_picture_or_one_clear_error(body):
    size = jpeg_size(body)
    assert size is None or len(size) == 2
    try:
        check_picture(body, "the camera")
    except FacegateError:
        return
    assert body[:3] == b"\xff\xd8\xff" or body[:4] in (b"\x89PNG", b"RIFF")


def test_a_photo_of_an_iphone_is_called_by_its_name():
    with pytest.raises(UnusableInputError, match="HEIC"):
        check_picture(b"\x00\x00\x00\x18ftypheic" + b"\x00" * 40, "the camera")


def test_a_moment_has_a_zone():
    assert captured_at({"x-frame-time": "1764158400"}, datetime.now(UTC)).tzinfo is UTC
