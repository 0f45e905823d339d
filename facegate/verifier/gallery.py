"""Keeps the roster fresh: another process enrolls, suspends or removes, and the daemon notices without a restart.

The gallery tells its revision in one cheap query. When it has grown, a whole new roster is read and takes the old one's
place in one assignment, which no reader can see half of; so reading needs no lock.
"""

import logging
from dataclasses import dataclass, replace

from facegate.core.arming import Arming, measured
from facegate.core.calibration import Calibration
from facegate.core.comparison import Templates
from facegate.core.ports import Gallery, Roster

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """Measures a roster's references, so that doors are armed for exactly these users."""

    calibration: Calibration | None = None
    strangers: Templates | None = None

    def __call__(self, roster: Roster, before: Arming | None = None) -> Roster:
        """Return the roster with what was measured of it.

        What cannot be measured leaves it without: the roster itself, with whoever was suspended, must not wait for a
        figure, and no door is armed (`not_armed`) until one is there.
        """
        try:
            arming = measured(roster.references, self.calibration, self.strangers, before)
        except (ValueError, ArithmeticError, MemoryError):
            log.exception("the gallery could not be measured, no door is armed")
            return replace(roster, arming=None)
        if before is not None and before.gallery != arming.gallery:
            count = len(roster.references)
            log.info("thresholds follow the gallery: %d references, strictness %.2f", count, arming.strictness)
        return replace(roster, arming=arming)


class LiveGallery:
    """A gallery whose newest roster is always at hand. Implements `core.ports.RosterSource`."""

    def __init__(
        self,
        gallery: Gallery,
        model: str,
        calibration: Calibration | None = None,
        strangers: Templates | None = None,
    ) -> None:
        """Read the first roster.

        Args:
            gallery: Where users, references and doors are kept.
            model: Id of the network whose references are wanted.
            calibration: Of that network.
            strangers: Templates that it made of strangers, to measure the gallery with.

        Raises:
            FacegateError: It cannot be read.
        """
        self._gallery, self._model = gallery, model
        self._measured = Measure(calibration, strangers)
        self._roster = self._measured(gallery.roster(model), None)

    @property
    def roster(self) -> Roster:
        """The newest roster that was read."""
        return self._roster

    def refresh(self) -> bool:
        """Read the roster anew if its revision has changed; tell whether it had.

        Raises:
            FacegateError: It cannot be read; the roster stays the old one.
        """
        if self._gallery.revision() == self._roster.revision:
            return False
        self._roster = self._measured(self._gallery.roster(self._model), self._roster.arming)
        return True
