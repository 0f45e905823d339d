"""Puts an engine together from what lies on disk: detector, network, calibration, gallery; and has it judged first."""

from dataclasses import replace

from facegate.core.ports import Clock, FaceDetector, Gallery, TemplateExtractor
from facegate.core.quality import DOOR
from facegate.daemon.engine import Engine
from facegate.settings import Settings
from facegate.verifier.gallery import LiveGallery
from facegate.verifier.library import Library, Model, library_of
from facegate.verifier.selftest import SelfTest, judge, read_proof
from facegate.verifier.sighting import Verifier
from facegate.verifier.strangers import strangers_of
from facegate.vision.detect import YuNetDetector


def detector_of(settings: Settings) -> FaceDetector:
    """Load the detector that the settings name, or the shipped one.

    Raises:
        NotReadyError: It is no detector.
    """
    return YuNetDetector(settings.vision.detector)


def verifier_of(
    settings: Settings, detector: FaceDetector, model: Model, extractor: TemplateExtractor, clock: Clock
) -> Verifier:
    """Return the first half of the straight line: from a frame to a sighting."""
    return Verifier(
        detector=detector,
        extractor=extractor,
        calibration=model.at_doors,
        limits=replace(DOOR, size=float(settings.vision.min_face)),
        clock=clock,
        alignment=model.card.contract.alignment,
        max_pixels=settings.vision.max_pixels,
    )


def judge_model(detector: FaceDetector, model: Model, extractor: TemplateExtractor) -> SelfTest:
    """Let a network judge the shipped pairs of people who do not exist.

    Raises:
        NotReadyError: It judges them wrongly: it is mis-fed, damaged or badly quantised.
    """
    proof = read_proof(model.folder)
    return judge(detector, extractor, model.calibration, proof, model.card.contract.alignment)


def engine_of(
    settings: Settings, gallery: Gallery, detector: FaceDetector, clock: Clock, library: Library | None = None
) -> Engine:
    """Load the model in charge, let it judge the shipped pairs, and return it with its gallery.

    Args:
        settings: The settings in force.
        gallery: Where users, references and doors are kept.
        detector: Finds faces.
        clock: Tells the time.
        library: The models; none: those of the settings.

    Raises:
        NotReadyError: There is no model, its files were changed, or it judges the shipped pairs wrongly.
    """
    model = (library or library_of(settings)).load()
    extractor = model.extractor(settings.verifier.threads)
    judge_model(detector, model, extractor)
    return engine_with(settings, gallery, model, verifier_of(settings, detector, model, extractor, clock))


def engine_with(settings: Settings, gallery: Gallery, model: Model, verifier: Verifier) -> Engine:
    """Return the engine of a model: with its gallery, measured with its strangers.

    Raises:
        NotReadyError: The strangers are there and cannot be used, or the database fails.
    """
    measured = LiveGallery(gallery, model.id, model.at_doors, strangers_of(settings, model))
    return Engine(model.id, verifier, model.at_doors, measured)
