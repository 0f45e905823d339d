import numpy as np
import pytest

from facegate.core.calibration import calibrate
from facegate.core.comparison import References, nobody
from facegate.core.ports import Roster
from facegate.errors import NotReadyError
from facegate.verifier.gallery import LiveGallery


class GrowingGallery:
    """A gallery in memory whose revision the test raises, and that can be away."""

    def __init__(self):
        self.number, self.away, self.read = 1, False, 0

    def revision(self):
        if self.away:
            raise NotReadyError("the database is away", "Start it")
        return self.number

    def roster(self, model):
        self.read += 1
        return Roster(self.revision(), nobody(model), {}, {})


def test_a_roster_is_read_again_only_when_the_revision_changed():
    gallery = GrowingGallery()
    live = LiveGallery(gallery, "m")
    first = live.roster
    assert not live.refresh()
    assert live.roster is first
    gallery.number = 2
    assert live.refresh()
    assert live.roster.revision == 2
    assert gallery.read == 2


def test_a_revision_that_went_back_is_a_change_too():
    gallery = GrowingGallery()
    gallery.number = 9
    live = LiveGallery(gallery, "m")
    gallery.number = 3  # a restored backup
    assert live.refresh()
    assert live.roster.revision == 3


def test_a_gallery_that_cannot_be_read_is_not_ready_at_start():
    gallery = GrowingGallery()
    gallery.away = True
    with pytest.raises(NotReadyError):
        LiveGallery(gallery, "m")


class Enrolling(GrowingGallery):
    """A gallery in which everybody that the test enrolls has one reference."""

    def __init__(self):
        super().__init__()
        self.templates = np.eye(3, 16, dtype=np.float32)

    def roster(self, model):
        references = References(
            model, self.templates, np.arange(len(self.templates)), tuple(f"u{at}" for at in range(len(self.templates)))
        )
        return Roster(self.revision(), references, {}, {})


def test_an_ordinary_enrollment_arms_the_doors_for_the_new_gallery_by_itself():
    gallery = Enrolling()
    live = LiveGallery(gallery, "m")
    first = live.roster.armed
    gallery.templates, gallery.number = np.eye(4, 16, dtype=np.float32), 2
    assert live.refresh()
    assert live.roster.armed is not None
    assert live.roster.armed.gallery != first.gallery
    gallery.number = 3  # a door was changed: the references are read anew, and are the same
    assert live.refresh()
    assert live.roster.armed.nearest is not None
    assert live.roster.armed.fits(live.roster.references)


def test_a_gallery_that_cannot_be_measured_is_taken_up_and_arms_nothing():
    """Whoever was suspended meanwhile must not pass because a figure is missing."""
    calibration = calibrate(model="another", source="", people=2, mated=np.ones(3), non_mated=np.zeros(9))
    gallery = Enrolling()
    live = LiveGallery(gallery, "m", calibration)
    assert live.roster.revision == 1
    assert live.roster.armed is None
