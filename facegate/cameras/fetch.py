"""Pictures whose URL came in a message: fetched from the public internet, or from hosts that the settings name.

A message can be written by whoever may publish, so its URL must not reach what facegate's machine can reach: routers,
other services, the cloud's metadata. The hosts of the settings are open to it, ports included, but not everything
there: go2rtc's `src` may be a URL or a command line, so it must be a plain stream name.
"""

import re
from datetime import UTC, datetime
from typing import Final

import httpx

from facegate.cameras.picture import captured_at, check_picture
from facegate.cameras.web import OK, Ask, UnreachableError, redacted, request
from facegate.core.ports import Clock, Pulled
from facegate.errors import RefusedError
from facegate.settings import Settings

MAX_URL: Final = 2048
STREAM: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
PORTS: Final = {"http": 80, "https": 443}
GO2RTC_PORT: Final = 1984
HIGHEST_PORT: Final = 65_535


class Fetcher:
    """Fetches what messages name.

    Args:
        settings: Say which hosts of this network are open.
        clock: Tells the time; none: the system's.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._allowed = allowed_hosts(settings)
        self._clock = clock

    def fetch(self, url: str) -> Pulled:
        """Fetch a picture.

        Raises:
            RefusedError: The URL must not be fetched.
            UnreachableError: There was no answer, or no success.
            UnusableInputError: What came is no picture.
        """
        allowed = self._check(url)
        shown = redacted(url)
        answer = request(Ask(url, guarded=not allowed))
        if answer.status != OK:
            raise UnreachableError(f"{shown} answered {answer.status}", "Check the URL")
        check_picture(answer.body, shown)
        now = datetime.now(UTC) if self._clock is None else self._clock.now()
        return Pulled(answer.body, captured_at(answer.headers, now), "image_url")

    def _check(self, url: str) -> bool:
        """Refuse what must not be fetched; tells whether the host is one that the settings name."""
        if len(url) > MAX_URL or not url.isprintable() or not url.isascii() or any(letter in url for letter in " \\"):
            raise RefusedError("image_url is no URL", "Give an http or https URL")
        try:
            parsed = httpx.URL(url)
            host, port = parsed.host.lower(), parsed.port or PORTS.get(parsed.scheme)
            streams = parsed.params.get_list("src")
        except (httpx.InvalidURL, ValueError) as error:
            raise RefusedError("image_url is no URL", "Give an http or https URL") from error
        if parsed.scheme not in PORTS or not host or port is None or not 0 < port <= HIGHEST_PORT:
            raise RefusedError(
                f"image_url is no http or https URL but {parsed.scheme[:20]!r}", "Only those are fetched"
            )
        allowed = (host, port) in self._allowed
        if allowed and not all(STREAM.fullmatch(stream) for stream in streams):
            raise RefusedError("image_url's src is no plain stream name", "Name a stream of go2rtc's configuration")
        return allowed


def allowed_hosts(settings: Settings) -> frozenset[tuple[str, int]]:
    """Return host and port of every URL in the settings: those of this network that messages may name."""
    urls = [settings.frigate.url, settings.frigate.go2rtc_url]
    for camera in settings.cameras.values():
        urls += [camera.snapshot_url, camera.go2rtc_src]
    places = {place for url in urls if (place := _place(url)) is not None}
    frigate = _place(settings.frigate.url)
    if frigate is not None and not settings.frigate.go2rtc_url:
        places.add((frigate[0], GO2RTC_PORT))
    return frozenset(places)


def _place(url: str) -> tuple[str, int] | None:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return None
    port = parsed.port or PORTS.get(parsed.scheme)
    return (parsed.host.lower(), port) if parsed.scheme in PORTS and parsed.host and port is not None else None
