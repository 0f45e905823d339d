"""What the verifier says of one frame."""

from dataclasses import dataclass, field
from datetime import datetime

from facegate.core.decision import Reason
from facegate.core.frame import Box, Cutout, Quality


@dataclass(frozen=True, slots=True)
class Milliseconds:
    """How long each part of the way took, in milliseconds."""

    wait: float = 0.0
    detect: float = 0.0
    extract: float = 0.0
    compare: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the verifier says of one frame: faces, the best user, score, runner-up, quality.

    A sighting either was compared (`flaw` is None and `score` is a number, if anybody is enrolled) or was not, and
    then `flaw` says why.

    Attributes:
        camera: Slug of the camera.
        event: Id of the event that brought the frame.
        captured_at: When the frame was captured, UTC.
        received_at: When it came to facegate, UTC.
        digest: SHA-256 of the frame's bytes: two frames are distinct when their digests are.
        hunted: The frame was pulled by facegate, and more will follow.
        faces: How many faces were found.
        flaw: Why the frame could not be compared, or None.
        detail: The measure behind the flaw, for a person: "face 29 px < 48 px".
        user: Slug of the user whose reference is most alike, or None if nobody is enrolled.
        score: Cosine with that reference, in [-1, 1], or None.
        runner_up: Cosine with the most alike reference of any other user, or None.
        fmr: Share of strangers who score this high against this gallery, in [0, 1], or None if not calibrated.
        quality: What was measured of the chosen face, or None without one.
        box: Where the chosen face is, or None.
        model: Name and digest of the network that compared, `name@digest12`.
        milliseconds: Where the time went.
        cutout: The face that was compared with its surroundings, or None if none was.
    """

    camera: str
    event: str
    captured_at: datetime
    received_at: datetime
    digest: str
    model: str
    hunted: bool = False
    faces: int = 0
    flaw: Reason | None = None
    detail: str = ""
    user: str | None = None
    score: float | None = None
    runner_up: float | None = None
    fmr: float | None = None
    quality: Quality | None = None
    box: Box | None = None
    milliseconds: Milliseconds = Milliseconds()
    cutout: Cutout | None = field(default=None, compare=False, repr=False)
