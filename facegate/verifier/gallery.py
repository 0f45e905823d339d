"""Keeps the roster fresh: another process enrolls, suspends or removes, and the daemon notices without a restart.

The gallery tells its revision in one cheap query. When it has grown, a whole new roster is read and takes the old one's
place in one assignment, which no reader can see half of; so reading needs no lock.
"""

import logging
import threading
from typing import Final

from facegate.core.ports import Gallery, Roster
from facegate.errors import FacegateError

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 0.5


class LiveGallery:
    """A gallery whose newest roster is always at hand. Implements `core.ports.RosterSource`."""

    def __init__(self, gallery: Gallery, model: str) -> None:
        """Read the first roster.

        Args:
            gallery: Where users, references and doors are kept.
            model: Id of the network whose references are wanted.

        Raises:
            FacegateError: It cannot be read.
        """
        self._gallery, self._model = gallery, model
        self._roster = gallery.roster(model)
        self._failing = False

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
        self._roster = self._gallery.roster(self._model)
        return True

    def follow(self, stop: threading.Event, every_seconds: float = EVERY_SECONDS) -> None:
        """Refresh until `stop` is set; meant for a thread of its own.

        A gallery that cannot be read is logged once and tried again: decisions cannot be recorded either while the
        database is away, so nobody is granted on the old roster.
        """
        while not stop.wait(every_seconds):
            try:
                if self.refresh():
                    log.info(
                        "gallery at revision %d: %d references", self._roster.revision, len(self._roster.references)
                    )
                self._failing = False
            except FacegateError as error:
                if not self._failing:
                    log.error("the gallery cannot be read: %s", error)  # noqa: TRY400 - an operator's error, no bug
                self._failing = True
