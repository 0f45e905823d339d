"""Puts an engine together from what lies on disk: detector, network, calibration, gallery; and has it judged first."""

from dataclasses import replace

from facegate.core.ports import FaceDetector, Gallery
from facegate.core.quality import DOOR
from facegate.daemon.engine import Engine
from facegate.settings import Settings
from facegate.verifier.gallery import LiveGallery
from facegate.verifier.library import Model, library_of
from facegate.verifier.selftest import self_test
from facegate.verifier.sighting import Verifier
from facegate.vision.detect import YuNetDetector


def detector_of(settings: Settings) -> FaceDetector:
    """Load the detector that the settings name, or the shipped one.

    Raises:
        NotReadyError: It is no detector.
    """
    return YuNetDetector(settings.vision.detector)


def verifier_of(settings: Settings, detector: FaceDetector, model: Model) -> Verifier:
    """Return the first half of the straight line: from a frame to a sighting."""
    return Verifier(
        detector=detector,
        extractor=model.extractor(settings.verifier.threads),
        calibration=model.calibration,
        limits=replace(DOOR, size=float(settings.vision.min_face)),
        max_pixels=settings.vision.max_pixels,
    )


def engine_of(settings: Settings, gallery: Gallery, detector: FaceDetector) -> Engine:
    """Load the model in charge, let it judge the shipped pairs, and return it with its gallery.

    Raises:
        NotReadyError: There is no model, its files were changed, or it judges the shipped pairs wrongly.
    """
    model = library_of(settings).load()
    verifier = verifier_of(settings, detector, model)
    self_test(verifier, model.calibration, settings.gate.target_fmr)
    return Engine(model.id, verifier, model.calibration, LiveGallery(gallery, model.id))
