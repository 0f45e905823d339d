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

    def threshold(self, door: Door, roster: Roster, target_fmr: float, attempts: float = 1.0) -> float | None:
        """Return the score that names a user at a door, or None: it is not armed, and `unarmed` says why.

        The target is the share of strangers' visits in which they may be taken for *anybody* enrolled, so it tightens
        with the gallery and with the visit: each reference and each frame is a stranger's try of its own.

        Args:
            door: Its own target counts before the general one.
            roster: Must have been measured.
            target_fmr: The general target.
            attempts: Frames that a visit may have, over the frames that must agree.
        """
        return self._threshold(door.target_fmr or target_fmr, roster, attempts)

    def frames(self, door: Door, roster: Roster, target_fmr: float, *, wished: int, agreeing: int) -> int:
        """Return how many frames a visit may have: as many as wished, or as many tries as the calibration supports.

        Where no frame could name anybody anyway, a visit lasts as it was wished.
        """
        arming = roster.armed
        if self.calibration is None or arming is None:
            return wished
        supported = self.calibration.visit_frames(
            door.target_fmr or target_fmr,
            references=len(roster.references),
            frames=wished,
            agreeing=agreeing,
            strictness=arming.strictness,
        )
        return supported if supported >= agreeing else wished

    def usual_threshold(self, target_fmr: float) -> float | None:
        """Return the same of a door that asks for nothing of its own, as the gallery is now."""
        return self._threshold(target_fmr, self.roster, 1.0)

    def _threshold(self, target_fmr: float, roster: Roster, attempts: float) -> float | None:
        arming = roster.armed
        if self.calibration is None or not self.calibration.measured or arming is None:
            return None
        return self.calibration.visit_threshold(
            target_fmr, references=len(roster.references), attempts=attempts, strictness=arming.strictness
        )

    def unarmed(self, roster: Roster) -> str:
        """Say why a door without a threshold has none."""
        if self.calibration is None or not self.calibration.measured:
            return "this network was never calibrated"
        if roster.armed is None:
            return "stale calibration: it was not measured for the users who are enrolled now"
        return (
            f"{self.calibration.non_mated} comparisons of strangers are too few for the target"
            f" with {len(roster.references)} references"
        )
