"""Frigate's pictures over HTTP: the camera's latest frame and an event's snapshot, from 0.12 to 0.18.

A JPEG is no proof of a live camera. Without a frame for some seconds Frigate answers 200 with an error card, since 0.18
with an old preview frame and `X-Frigate-Offline`; both have another size than the camera's detect stream, and the card
never changes. Parameters that draw into the picture are always switched off by name: what is not said falls back to the
camera's settings since 0.18, which draw boxes over faces. The height was `h` until 0.14 and is `height` since; each
version passes over the other's.
"""

import json
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from facegate.cameras.picture import captured_at, check_picture, jpeg_size
from facegate.cameras.web import OK, Answer, Ask, UnreachableError, redacted, request
from facegate.core.ports import Clock, Pulled
from facegate.errors import NotReadyError
from facegate.settings import FrigateSection

EVENT_ID: Final = re.compile(r"[0-9]{10}\.[0-9]{1,9}-[a-z0-9]{4,12}")
NOTHING_DRAWN: Final = "bbox=0&timestamp=0&zones=0&mask=0&motion=0&regions=0&paths=0"
QUALITY: Final = 95
SNAPSHOT_HEIGHT: Final = 720
CONFIG_SECONDS: Final = 300
RETRY_SECONDS: Final = 30
UNAUTHORIZED: Final = (401, 403)


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """What Frigate's configuration says of one camera: its own name, and the size of its detect stream if known."""

    name: str
    size: tuple[int, int] | None


class Frigate:
    """One Frigate: its login and its cameras. Safe to use from several threads.

    Args:
        section: URL, login, names of cameras.
        clock: Tells the time.
    """

    def __init__(self, section: FrigateSection, clock: Clock) -> None:
        self._base = section.url.rstrip("/")
        self._username = section.username
        self._password_file = section.password_file
        self._names = {slug: name for name, slug in section.cameras.items()}
        self._clock = clock
        self._lock = threading.Lock()
        self._cookies: dict[str, str] = {}
        self._no_login_before: datetime | None = None
        self._config: dict[str, CameraConfig] = {}
        self._config_until: datetime | None = None

    def get(self, path: str) -> Answer:
        """Ask for a path below Frigate's URL."""
        return self.ask(f"{self._base}/{path}")

    def ask(self, url: str) -> Answer:
        """Ask with Frigate's session: logged in on the first 401, and again when the session ended.

        Raises:
            UnreachableError: There was no answer.
            NotReadyError: The login is refused or missing.
        """
        used = self._session()
        answer = self._asked(url, used)
        if answer.status not in UNAUTHORIZED:
            return answer
        if not self._username:
            raise NotReadyError(f"{redacted(url)} wants a login", "Set frigate.username and frigate.password_file")
        self._log_in(used)
        answer = self._asked(url, self._session())
        if answer.status in UNAUTHORIZED:
            raise NotReadyError(
                f"Frigate refuses {redacted(url)} to its user", "Give the user a role that sees the camera"
            )
        return answer

    def version(self) -> str:
        """Return Frigate's version, such as `0.17.2-3f9c`.

        Raises:
            FacegateError: There was no answer.
        """
        answer = self.get("api/version")
        if answer.status != OK:
            raise UnreachableError(f"Frigate's version cannot be had: it answered {answer.status}", "Check frigate.url")
        return printable(answer.body.decode("utf-8", "replace"), 40)

    def camera(self, slug: str) -> CameraConfig:
        """Return what is known of a camera; its slug is its name if nothing is."""
        with self._lock:
            now = self._clock.now()
            stale = self._config_until is None or now >= self._config_until
            if stale:
                self._config_until = now + timedelta(seconds=RETRY_SECONDS)
        if stale and (read := self._read_config()):
            with self._lock:
                self._config, self._config_until = read, now + timedelta(seconds=CONFIG_SECONDS)
        name = self._names.get(slug)
        if name is not None:
            return self._config.get(name, CameraConfig(name, None))
        found = (camera for camera in self._config.values() if camera.name.lower() == slug)
        return next(found, CameraConfig(slug, None))

    def _read_config(self) -> dict[str, CameraConfig]:
        """Read the cameras' names and sizes; nothing if Frigate does not say, which costs one check."""
        try:
            answer = self.get("api/config")
            document = json.loads(answer.body) if answer.status == OK else {}
            cameras = document["cameras"]
            return {str(name): CameraConfig(str(name), _size(camera)) for name, camera in cameras.items()}
        except (NotReadyError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}

    def _session(self) -> dict[str, str]:
        with self._lock:
            return dict(self._cookies)

    def _asked(self, url: str, cookies: dict[str, str]) -> Answer:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
        answer = request(Ask(url, headers=headers))
        self._keep(answer)
        return answer

    def _keep(self, answer: Answer) -> None:
        """Keep the cookies that an answer sets: Frigate renews its session on use."""
        with self._lock:
            for line in answer.headers.get_list("set-cookie"):
                try:
                    parsed = SimpleCookie(line)
                except CookieError:
                    continue
                self._cookies |= {name: morsel.value for name, morsel in parsed.items()}

    def _log_in(self, used: dict[str, str]) -> None:
        """Log in, unless another thread did meanwhile; a refusal is not tried again for a while (429)."""
        if self._session() != used:
            return
        now = self._clock.now()
        if self._no_login_before is not None and now < self._no_login_before:
            raise NotReadyError(
                "Frigate refused the login a moment ago", "Check frigate.username and the password file"
            )
        document = {"user": self._username, "password": _password(self._password_file)}
        answer = request(Ask(f"{self._base}/api/login", method="POST", document=document))
        if answer.status != OK:
            self._no_login_before = now + timedelta(seconds=RETRY_SECONDS)
            raise NotReadyError(
                f"Frigate refuses the login ({answer.status})", "Check frigate.username and the password file"
            )
        self._keep(answer)


class LatestFrame:
    """A `FrameSource`: the latest frame of a camera's detect stream."""

    def __init__(self, frigate: Frigate, clock: Clock) -> None:
        self._frigate = frigate
        self._clock = clock

    def pull(self, camera: str, event: str | None) -> Pulled:  # noqa: ARG002 - the latest frame is of no event
        """Fetch it.

        Raises:
            FacegateError: There was none, or it is an error card or a preview.
        """
        config = self._frigate.camera(camera)
        path = f"api/{quote(config.name, safe='')}/latest.jpg?{NOTHING_DRAWN}&quality={QUALITY}"
        answer = self._frigate.get(path)
        check_answer(answer, "Frigate's latest frame")
        if answer.headers.get("x-frigate-offline", "").lower() in ("true", "1"):
            raise UnreachableError("Frigate sent an old preview frame: the camera is offline", "Check the camera")
        if any("camera-error" in value for value in answer.headers.values()):
            raise UnreachableError("Frigate sent its error card: it has no frame of the camera", "Check the camera")
        size = jpeg_size(answer.body)
        if config.size is not None and size is not None and size != config.size:
            raise UnreachableError(
                f"Frigate sent its error card or a preview, {size[0]}x{size[1]} instead of"
                f" {config.size[0]}x{config.size[1]}",
                "Check the camera",
            )
        return Pulled(answer.body, captured_at(answer.headers, self._clock.now()), "frigate")


class EventSnapshot:
    """A `FrameSource`: the best picture of an event so far, which is good for persons and seldom for faces.

    Up to 0.17 Frigate does not say when it was taken, and serves the pictures of events that are long over. The event's
    id begins with its start; no older can the picture be, so that is its time where no better one is told: an old
    event's picture must not pass for a fresh one.
    """

    def __init__(self, frigate: Frigate, clock: Clock) -> None:
        self._frigate = frigate
        self._clock = clock

    def pull(self, camera: str, event: str | None) -> Pulled:  # noqa: ARG002 - the event says which camera
        """Fetch it.

        Raises:
            FacegateError: There was none, or the event is none of Frigate's.
        """
        if event is None or not EVENT_ID.fullmatch(event):
            raise UnreachableError("the event is none of Frigate's", "Set a camera's snapshot_url")
        height = f"h={SNAPSHOT_HEIGHT}&height={SNAPSHOT_HEIGHT}"
        path = f"api/events/{event}/snapshot.jpg?bbox=0&timestamp=0&crop=0&{height}&quality={QUALITY}"
        answer = self._frigate.get(path)
        check_answer(answer, "Frigate's snapshot")
        begun = datetime.fromtimestamp(float(event.partition("-")[0]), UTC)
        return Pulled(answer.body, captured_at(answer.headers, self._clock.now(), begun), "frigate_snapshot")


def check_answer(answer: Answer, what: str) -> None:
    """Refuse an answer that is no picture, with Frigate's own words if it has any.

    Raises:
        FacegateError: It is none.
    """
    if answer.status != OK:
        said = _message(answer.body)
        raise UnreachableError(f"{what}: {answer.status}{f' {said}' if said else ''}", "Check the camera in Frigate")
    check_picture(answer.body, what)


def printable(text: str, limit: int) -> str:
    """Return what may be shown of a text from outside."""
    return "".join(letter for letter in text.strip() if letter.isprintable())[:limit]


def _message(body: bytes) -> str:
    try:
        document = json.loads(body[:4096])
    except (ValueError, RecursionError):
        return ""
    said = document.get("message") if isinstance(document, dict) else None
    return printable(said, 80) if isinstance(said, str) else ""


def _size(camera: Any) -> tuple[int, int] | None:
    detect = camera.get("detect") or {}
    width, height = detect.get("width"), detect.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width and height else None


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NotReadyError(
            f"frigate.password_file {path} cannot be read", "Name a readable file, password on line one"
        ) from error
