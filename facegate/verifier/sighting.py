"""From a frame to a sighting: decode, detect, choose, measure, align, extract, compare. The first half of the line.

What cannot be compared is a sighting with its flaw and the measure behind it, never an error: a bad picture is an
everyday thing at a door. A network that answers with nonsense is none, and raises.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from facegate.core.calibration import Calibration
from facegate.core.comparison import Match, best_match
from facegate.core.decision import Reason
from facegate.core.frame import Face, Frame, Pixels
from facegate.core.ports import Clock, FaceDetector, Roster, TemplateExtractor
from facegate.core.quality import QualityLimits, shortcoming
from facegate.core.sighting import Milliseconds, Sighting
from facegate.errors import UnusableInputError
from facegate.verifier.keepsake import cut_out
from facegate.vision.align import Alignment, align
from facegate.vision.decode import MAX_PIXELS, decode
from facegate.vision.measure import measure

MILLI: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Looks at frames; implements `core.ports.FrameVerifier`, and may be shared by threads.

    Attributes:
        detector: Finds faces.
        extractor: Makes templates.
        calibration: What the extractor's scores mean; None: sightings carry no FMR.
        limits: What a face must keep to be compared.
        clock: Tells how long a frame has waited.
        alignment: How the network wants its crops.
        max_pixels: Largest picture that is decoded.
        timer: Seconds, for the time that each part takes.
    """

    detector: FaceDetector
    extractor: TemplateExtractor
    calibration: Calibration | None
    limits: QualityLimits
    clock: Clock
    alignment: Alignment
    max_pixels: int = MAX_PIXELS
    timer: Callable[[], float] = time.perf_counter

    def sight(self, frame: Frame, roster: Roster) -> Sighting:
        """Say who is in the frame.

        Raises:
            ValueError: The network answered with no template, or the roster is another network's.
        """
        sighting, start = self._opened(frame), self.timer()
        try:
            picture = decode(frame.picture, self.max_pixels)
        except UnusableInputError as error:
            return flawed(sighting, Reason.BAD_IMAGE, error.what)
        faces = self.detector.detect(picture)
        detected = self.timer()
        sighting = replace(sighting, faces=len(faces), milliseconds=spent(sighting, detect=detected - start))
        if not faces:
            return flawed(sighting, Reason.NO_FACE)
        return self._compared(sighting, picture, faces[0], roster)  # the largest: who stands nearest wants to enter

    def _opened(self, frame: Frame) -> Sighting:
        """Begin a sighting: all that is known of a frame before it is looked at."""
        waited = (self.clock.now() - frame.received_at).total_seconds() * MILLI
        return Sighting(
            camera=frame.camera,
            event=frame.event,
            captured_at=frame.captured_at,
            received_at=frame.received_at,
            digest=frame.digest,
            hunted=frame.hunted,
            model=self.extractor.model,
            milliseconds=Milliseconds(wait=max(0.0, waited), total=max(0.0, waited)),
        )

    def _compared(self, sighting: Sighting, picture: Pixels, face: Face, roster: Roster) -> Sighting:
        """Measure, align, extract and compare one face."""
        start = self.timer()
        try:
            crop = align(picture, face.landmarks, self.alignment)
        except ValueError:
            return flawed(sighting, Reason.NO_FACE, "its landmarks make no face")
        quality = measure(picture, face, crop, self.alignment)
        sighting = replace(sighting, quality=quality, box=face.box)
        if (short := shortcoming(quality, self.limits)) is not None:
            return flawed(sighting, Reason.LOW_QUALITY, short.sentence)
        (template,) = self.extractor.extract(crop[None])
        extracted = self.timer()
        if roster.references.model != self.extractor.model:
            raise ValueError(f"references of {roster.references.model}, network {self.extractor.model}")
        match = best_match(template, roster.references)
        sighting = replace(
            sighting, milliseconds=spent(sighting, extract=extracted - start, compare=self.timer() - extracted)
        )
        sighting = replace(sighting, cutout=cut_out(picture, face.landmarks))
        if match is None:
            return sighting
        chance = self._chance(match, roster)
        return replace(sighting, user=match.user, score=match.score, runner_up=match.runner_up, fmr=chance)

    def _chance(self, match: Match, roster: Roster) -> float | None:
        """Return the share of strangers who score this high, as far as it is known."""
        if self.calibration is None:
            return None
        if roster.armed is not None:
            return roster.armed.fmr(match, self.calibration)
        if self.calibration.levelling is not None:
            return None  # what is asked of this user was not measured
        return self.calibration.gallery_fmr(match.score, len(roster.references))


def flawed(sighting: Sighting, reason: Reason, detail: str = "") -> Sighting:
    """Return the sighting with the reason why it could not be compared."""
    return replace(sighting, flaw=reason, detail=detail)


def spent(sighting: Sighting, *, detect: float = 0.0, extract: float = 0.0, compare: float = 0.0) -> Milliseconds:
    """Return the sighting's times with these added; seconds in, milliseconds out."""
    before = sighting.milliseconds
    return Milliseconds(
        wait=before.wait,
        detect=before.detect + detect * MILLI,
        extract=before.extract + extract * MILLI,
        compare=before.compare + compare * MILLI,
        total=before.total + (detect + extract + compare) * MILLI,
    )
