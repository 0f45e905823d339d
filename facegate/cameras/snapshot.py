"""A plain snapshot URL of a camera, with basic or digest login from the URL."""

from facegate.cameras.picture import captured_at, check_picture
from facegate.cameras.web import OK, Ask, UnreachableError, redacted, request
from facegate.core.ports import Clock, Pulled


class Snapshot:
    """A `FrameSource` that fetches one URL from the settings."""

    def __init__(self, url: str, clock: Clock, source: str = "snapshot") -> None:
        self._url = url
        self._clock = clock
        self._source = source

    def pull(self, camera: str, event: str | None) -> Pulled:  # noqa: ARG002 - one URL, one camera
        """Fetch the picture.

        Raises:
            FacegateError: There was none.
        """
        shown = redacted(self._url)
        answer = request(Ask(self._url))
        if answer.status != OK:
            raise UnreachableError(f"{shown} answered {answer.status}", "Check snapshot_url and its login")
        check_picture(answer.body, shown)
        return Pulled(answer.body, captured_at(answer.headers, self._clock.now()), self._source)
