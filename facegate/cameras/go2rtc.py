"""Full-resolution frames from go2rtc, Frigate's bundled streamer.

`/api/frame.jpeg?src=` waits for the next key frame and may come back empty between two, so an empty answer is asked for
once more. The stream's name comes from the settings only: `src` may also be a URL or a command, which go2rtc would run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import httpx

from facegate.cameras.picture import captured_at, check_picture
from facegate.cameras.web import OK, Answer, Ask, UnreachableError, redacted, request
from facegate.core.ports import Clock, Pulled
from facegate.settings import FrigateSection

PORT: Final = 1984
FRAME: Final = "api/frame.jpeg"


@dataclass(frozen=True, slots=True)
class Place:
    """Where go2rtc may answer, and how it is asked there: through Frigate's door with Frigate's login."""

    url: str
    ask: Callable[[str], Answer]


def plain(url: str) -> Answer:
    """Ask without any login but the URL's own."""
    return request(Ask(url))


def places(section: FrigateSection, through_frigate: Callable[[str], Answer]) -> tuple[Place, ...]:
    """Return where go2rtc may be, the likeliest first: its own URL, else Frigate's host, else through Frigate."""
    if section.go2rtc_url:
        return (Place(f"{section.go2rtc_url.rstrip('/')}/{FRAME}", plain),)
    if not section.url:
        return ()
    base = section.url.rstrip("/")
    beside = httpx.URL(base).copy_with(scheme="http", port=PORT, raw_path=f"/{FRAME}".encode(), userinfo=b"")
    return (
        Place(str(beside), plain),
        Place(f"{base}/api/go2rtc/{FRAME}", through_frigate),
        Place(f"{base}/{FRAME}", through_frigate),
    )


class Go2rtc:
    """A `FrameSource` for one stream.

    Args:
        stream: Its name, or a whole http URL that gives a JPEG.
        candidates: Where go2rtc may answer; the one that did is asked first the next time.
        clock: Tells the time.
    """

    def __init__(self, stream: str, candidates: tuple[Place, ...], clock: Clock) -> None:
        if stream.startswith(("http://", "https://")):
            self._places = [Place(stream, plain)]
        else:
            self._places = [Place(f"{place.url}?src={quote(stream, safe='')}", place.ask) for place in candidates]
        self._clock = clock

    def pull(self, camera: str, event: str | None) -> Pulled:  # noqa: ARG002 - one stream, one camera
        """Fetch the next key frame.

        Raises:
            FacegateError: There was none.
        """
        failure = UnreachableError("go2rtc has no URL", "Set frigate.url or frigate.go2rtc_url")
        for place in list(self._places):
            try:
                pulled = self._from(place)
            except UnreachableError as error:
                failure = failure if isinstance(failure, _AnsweredError) else error
                continue
            self._places.remove(place)
            self._places.insert(0, place)
            return pulled
        raise failure

    def _from(self, place: Place) -> Pulled:
        shown = redacted(place.url)
        answer = place.ask(place.url)
        if answer.status == OK and not answer.body:
            answer = place.ask(place.url)
        if answer.status != OK:
            raise _AnsweredError(f"{shown} answered {answer.status}", "Check the stream's name, go2rtc_src")
        check_picture(answer.body, shown)
        return Pulled(answer.body, captured_at(answer.headers, self._clock.now()), "go2rtc")


class _AnsweredError(UnreachableError):
    """go2rtc or Frigate answered, but not with a frame: says more than a refused connection elsewhere."""
