"""The engine: the network in charge with its calibration and its gallery, swapped as one object between two frames."""

from dataclasses import dataclass

from facegate.core.calibration import Calibration
from facegate.core.policy import Door
from facegate.core.ports import FrameVerifier, Roster, RosterSource


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """What compares: no decision is ever made with parts of two of these.

    Attributes:
        model: Name and digest of the network, `name@digest12`.
        verifier: From frames to sightings.
        calibration: What its scores mean; None: not calibrated, and no door is armed.
        gallery: The references that this network made, and the doors.
    """

    model: str
    verifier: FrameVerifier
    calibration: Calibration | None
    gallery: RosterSource

    @property
    def roster(self) -> Roster:
        """Users, references and doors as they are now."""
        return self.gallery.roster

    def threshold(self, door: Door, roster: Roster, target_fmr: float) -> float | None:
        """Return the score that names a user at a door, or None if no calibration supports the target.

        The target is the share of strangers that may be taken for *anybody* enrolled, so it tightens with the gallery:
        each reference is a stranger's try of its own.
        """
        return self._threshold(door.target_fmr or target_fmr, roster)

    def usual_threshold(self, target_fmr: float) -> float | None:
        """Return the same of a door that asks for nothing of its own, as the gallery is now."""
        return self._threshold(target_fmr, self.roster)

    def _threshold(self, target_fmr: float, roster: Roster) -> float | None:
        if self.calibration is None:
            return None
        return self.calibration.gallery_threshold(target_fmr, len(roster.references))
