"""What the core asks of the outside. Each Protocol's docstring is the contract that its adapters' tests repeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facegate.core.arming import Arming
from facegate.core.comparison import References, Templates
from facegate.core.decision import Decision
from facegate.core.frame import Face, Frame, Pixels
from facegate.core.policy import Door, History, User
from facegate.core.sighting import Sighting

Crops = NDArray[np.uint8]
"""uint8, shape (n, height, width, 3), channels blue, green, red, aligned as the network's card says."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the moment, in UTC, with its zone."""
        ...


class FaceDetector(Protocol):
    """Finds faces."""

    def detect(self, picture: Pixels) -> list[Face]:
        """Return the faces of an upright picture, the largest first; safe to call from several threads."""
        ...


class TemplateExtractor(Protocol):
    """Turns crops into templates."""

    @property
    def model(self) -> str:
        """Name and digest of the network, `name@digest12`."""
        ...

    def extract(self, crops: Crops) -> Templates:
        """Return one template of unit length for each crop; safe to call from several threads."""
        ...


class AttackDetector(Protocol):
    """Tells a person from a picture of one."""

    def suspicion(self, picture: Pixels, face: Face) -> float:
        """Return how much the face looks like an attack, in [0, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class Pulled:
    """A picture that was fetched, and when it was captured as far as its source says."""

    picture: bytes
    captured_at: datetime
    source: str


class FrameSource(Protocol):
    """Pulls a frame of a camera."""

    def pull(self, camera: str, event: str | None) -> Pulled:
        """Fetch one frame now.

        Raises:
            FacegateError: There was none; the error says why, without secrets.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Roster:
    """Who is enrolled and which doors there are, at one revision; never changed, only replaced.

    Without `arming`, what was measured of the references, no door is armed.
    """

    revision: int
    references: References
    users: Mapping[str, User]
    doors: Mapping[str, Door]
    arming: Arming | None = None

    @property
    def armed(self) -> Arming | None:
        """What was measured of exactly these references; None: nothing, or of others."""
        return self.arming if self.arming is not None and self.arming.fits(self.references) else None

    def door_of(self, camera: str) -> Door | None:
        """Return the door that has the camera."""
        return next((door for door in self.doors.values() if camera in door.cameras), None)


class Gallery(Protocol):
    """The enrolled users, their references, and the doors."""

    def revision(self) -> int:
        """Return a number that grows with every change of users, references or doors, from whichever process."""
        ...

    def roster(self, model: str) -> Roster:
        """Return everything at one revision, with the references that `model` made."""
        ...


class RosterSource(Protocol):
    """Always has the newest roster at hand."""

    @property
    def roster(self) -> Roster:
        """The roster as it is now; reading it costs nothing and takes no lock."""
        ...

    def refresh(self) -> bool:
        """Take up what was changed, from whichever process; tell whether anything was."""
        ...


class FrameVerifier(Protocol):
    """Looks at frames: detector, quality, alignment, network and gallery as one."""

    def sight(self, frame: Frame, roster: Roster) -> Sighting:
        """Say who is in the frame; what cannot be compared is a sighting with its flaw, never an error."""
        ...


class DecisionLog(Protocol):
    """Keeps decisions."""

    def record(self, decision: Decision) -> None:
        """Commit the decision, and settle the events that it names; return only once it would survive a crash.

        Raises:
            FacegateError: It could not be committed; nothing of it was.
        """
        ...

    def history(self, door: str, since: datetime) -> History:
        """Return the denials of strangers and the last grants at a door since a moment."""
        ...


class EventLog(Protocol):
    """Accounts for every event: in = named in a decision + counted under a reason."""

    def open(self, event: str, camera: str, received_at: datetime, digest: str) -> bool:
        """Take an event in; False if it was taken in before (and this repetition is now counted)."""
        ...

    def count(self, events: Sequence[str], reason: str) -> None:
        """Settle events that no decision will name, under a reason."""
        ...


class Signer(Protocol):
    """Signs decisions."""

    def sign(self, decision: Decision) -> Decision:
        """Return the decision with its JWS."""
        ...


class Publisher(Protocol):
    """Sends decisions out."""

    def publish(self, decision: Decision) -> None:
        """Send a decision that has been recorded; a grant that cannot be sent before it expires is never sent."""
        ...


class Witness(Protocol):
    """Is shown what decisions rested on, to learn from it later. Nothing that it does moves a decision."""

    def see(self, decision: Decision, sighting: Sighting | None, *, lone: bool) -> None:
        """Take a decision that was published and the sighting that it rests on; return at once and never raise.

        Args:
            decision: As published.
            sighting: The most telling one; None: there was none.
            lone: One frame was the whole visit, and was judged as such.
        """
        ...
