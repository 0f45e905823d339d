from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest

from facegate.core.comparison import References, nobody
from facegate.core.decision import Reason
from facegate.core.frame import Frame
from facegate.core.ports import Roster
from facegate.core.quality import DOOR
from facegate.verifier.sighting import Verifier
from facegate.vision.composites import people

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class StandingClock:
    moment: datetime = NOW

    def now(self):
        return self.moment


def frame(picture):
    return Frame("porch", "e1", NOW - timedelta(seconds=1), NOW - timedelta(milliseconds=40), picture, "d")


def encoded(pixels, suffix=".png"):
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.fixture(scope="module")
def verifier(detector, extractor, model):
    return Verifier(
        detector=detector,
        extractor=extractor,
        calibration=model.calibration,
        limits=DOOR,
        clock=StandingClock(),
        alignment=model.card.contract.alignment,
    )


def roster_of(references):
    return Roster(1, references, {}, {})


@pytest.fixture(scope="module")
def roster(verifier):
    known = people()[:3]
    empty = roster_of(nobody(verifier.extractor.model, 384))
    templates = []
    for person in known:
        picture = person.picture(0)
        (face, *_) = verifier.detector.detect(picture)
        from facegate.vision.align import align

        templates.append(verifier.extractor.extract(align(picture, face.landmarks, verifier.alignment)[None])[0])
    assert not len(empty.references)
    return roster_of(
        References(verifier.extractor.model, np.stack(templates), np.arange(3), tuple(person.slug for person in known))
    )


def test_an_enrolled_person_is_seen_with_score_runner_up_fmr_and_times(verifier, roster):
    person = people()[1]
    sighting = verifier.sight(frame(person.picture_path(2).read_bytes()), roster)
    assert (sighting.flaw, sighting.user, sighting.faces) == (None, person.slug, 1)
    assert sighting.score > verifier.calibration.gallery_threshold(1e-4, 3)
    assert sighting.runner_up < sighting.score - 0.3
    assert sighting.fmr <= 1e-4
    assert sighting.model == verifier.extractor.model
    spent = sighting.milliseconds
    assert spent.wait == pytest.approx(40)
    assert min(spent.detect, spent.extract, spent.compare) > 0
    assert spent.total == pytest.approx(spent.wait + spent.detect + spent.extract + spent.compare)


def test_a_stranger_scores_below_the_threshold(verifier, roster):
    sighting = verifier.sight(frame(people()[9].picture_path(0).read_bytes()), roster)
    assert sighting.flaw is None
    assert sighting.score < verifier.calibration.gallery_threshold(1e-4, 3)
    assert sighting.fmr > 1e-4


def test_with_nobody_enrolled_there_is_a_sighting_without_a_user(verifier):
    empty = roster_of(nobody(verifier.extractor.model, 384))
    sighting = verifier.sight(frame(people()[0].picture_path(0).read_bytes()), empty)
    assert (sighting.flaw, sighting.user, sighting.score, sighting.fmr) == (None, None, None, None)


@pytest.mark.parametrize("picture", [b"", b"\xff", b"no picture", b"\xff\xd8\xff\xe0" + b"\0" * 100])
def test_bytes_that_are_no_picture_are_a_sighting_with_its_flaw(verifier, roster, picture):
    sighting = verifier.sight(frame(picture), roster)
    assert sighting.flaw is Reason.BAD_IMAGE
    assert sighting.detail


def test_a_cut_off_picture_is_a_bad_image(verifier, roster):
    whole = encoded(people()[0].picture(0), ".jpg")
    assert verifier.sight(frame(whole[: len(whole) // 2]), roster).flaw is Reason.BAD_IMAGE


def test_an_empty_scene_shows_no_face(verifier, roster):
    sighting = verifier.sight(frame(encoded(np.full((240, 320, 3), 120, np.uint8))), roster)
    assert (sighting.flaw, sighting.faces) == (Reason.NO_FACE, 0)


def test_a_far_face_is_low_quality_with_its_measure(verifier, roster):
    scene = np.full((360, 640, 3), 150, np.uint8)
    far = cv2.resize(people()[0].picture(0), (70, 70), interpolation=cv2.INTER_AREA)
    scene[100:170, 200:270] = far
    sighting = verifier.sight(frame(encoded(scene)), roster)
    assert sighting.flaw is Reason.LOW_QUALITY
    assert sighting.detail.startswith("face ")
    assert sighting.quality.size < DOOR.size
    assert sighting.score is None


def test_the_largest_of_two_faces_is_compared_and_both_are_counted(verifier, roster):
    near, far = people()[0], people()[1]
    scene = np.full((480, 900, 3), 150, np.uint8)
    scene[:, :480] = near.picture(0)
    scene[200:440, 600:840] = cv2.resize(far.picture(0), (240, 240), interpolation=cv2.INTER_AREA)
    sighting = verifier.sight(frame(encoded(scene)), roster)
    assert sighting.faces == 2
    assert sighting.user == near.slug


def test_references_of_another_network_are_never_compared_with(verifier, roster):
    foreign = replace(roster, references=replace(roster.references, model="other@123456789abc"))
    with pytest.raises(ValueError, match="references of other"):
        verifier.sight(frame(people()[0].picture_path(0).read_bytes()), foreign)
