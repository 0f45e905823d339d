"""What waits to be done: a frame to judge, a picture to fetch, an event to refuse."""

from dataclasses import dataclass
from datetime import datetime

from facegate.core.decision import Reason
from facegate.core.frame import Frame


@dataclass(frozen=True, slots=True)
class Errand:
    """An event whose picture must be fetched before it can be judged; `url` has not been checked yet."""

    camera: str
    event: str
    captured_at: datetime
    received_at: datetime
    url: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event at a known door whose frame cannot be judged: it is denied with its reason."""

    camera: str
    event: str
    captured_at: datetime
    received_at: datetime
    reason: Reason
    detail: str = ""


Waiting = Frame | Errand
"""What waits in a camera's place."""

Work = Frame | Errand | Refusal
"""What a worker is given."""


def refusal_of(work: Work, reason: Reason, detail: str) -> Refusal:
    """Return the refusal of a piece of work."""
    return Refusal(work.camera, work.event, work.captured_at, work.received_at, reason, detail)
