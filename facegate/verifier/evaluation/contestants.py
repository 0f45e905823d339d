"""Networks that are measured side by side: on the same photos, the same faces, the same landmarks.

Decoding and detection are done once for a photo; then each network gets its own crop. So what differs is the networks.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from facegate.core.calibration import Calibration
from facegate.core.ports import FaceDetector, TemplateExtractor
from facegate.errors import NotReadyError, UnusableInputError
from facegate.settings import Settings
from facegate.verifier.contract import InputContract
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.foreign.importing import MOST_BYTES
from facegate.verifier.foreign.probing import probe
from facegate.verifier.library import library_of
from facegate.verifier.photos import Photo, look_at
from facegate.vision.align import Alignment
from facegate.vision.detect import YuNetDetector

MOST: Final = 6
"""So many can be told apart in one picture."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A network to be measured.

    Attributes:
        id: Name and digest, `name@digest12`.
        extractor: Makes its templates.
        alignment: How it wants its crops.
        calibration: What its scores mean; None for a bare file.
        note: What is odd about it, for who named it, or empty.
        levelled: What its levelled scores mean, at doors; None: nothing is levelled.
    """

    id: str
    extractor: TemplateExtractor
    alignment: Alignment
    calibration: Calibration | None
    note: str = ""
    levelled: Calibration | None = None

    def threshold(self, target_fmr: float) -> float | None:
        """Return the shipped threshold for an FMR per comparison, or None for a network that nobody calibrated.

        Raises:
            UnusableInputError: Its calibration does not support the FMR.
        """
        if self.calibration is None or not self.calibration.measured:
            return None
        return supported(self.calibration, target_fmr)


def supported(calibration: Calibration, target_fmr: float) -> float:
    """Return the threshold for an FMR per comparison.

    Raises:
        UnusableInputError: The calibration does not support the FMR.
    """
    threshold = calibration.threshold(target_fmr)
    if threshold is None:
        raise UnusableInputError(
            f"The calibration of {calibration.model} supports no FMR of {target_fmr:g}",
            f"Raise --max-fmr to {calibration.floor:.1e} or more",
        )
    return threshold


@dataclass(slots=True)
class SideBySide:
    """Reads photos for several networks; counts the seconds that each would take alone.

    Attributes:
        contestants: The networks.
        detector: Finds the faces, for all of them.
        max_pixels: Largest picture that is decoded.
        timer: Seconds.
        common: Seconds spent on decoding and detection.
        own: Seconds spent by each network, in order.
    """

    contestants: Sequence[Contestant]
    detector: FaceDetector
    max_pixels: int
    timer: Callable[[], float] = time.perf_counter
    common: float = 0.0
    own: list[float] = field(default_factory=list)

    def read_all(self, paths: Iterable[Path]) -> Iterator[list[Photo]]:
        """Return what became of each photo with each network, one photo after the other.

        Raises:
            UnusableInputError: A file is not there.
        """
        self.own = [0.0] * len(self.contestants)
        for path in paths:
            start = self.timer()
            look = look_at(path, self.detector, self.max_pixels)
            self.common += self.timer() - start
            photos = []
            for at, one in enumerate(self.contestants):
                start = self.timer()
                photos.append(look.through(one.extractor, one.alignment))
                self.own[at] += self.timer() - start
            yield photos

    def seconds(self, at: int) -> float:
        """Return the seconds that one network took, decoding and detection included."""
        return self.common + self.own[at]


def open_side_by_side(settings: Settings, names: Sequence[str], contract: InputContract) -> SideBySide:
    """Open several networks.

    Args:
        settings: Which detector, how many threads.
        names: Names of models or ONNX files; none: the one in charge.
        contract: What ONNX files want to see; models know it themselves.

    Raises:
        UnusableInputError: One cannot be used, two have one name, or there are too many.
    """
    detector = YuNetDetector(settings.vision.detector)
    opened = [_opened(settings, name, contract, detector) for name in names or [""]]
    if len({one.id for one in opened}) < len(opened):
        raise UnusableInputError("One network is named twice", "Name each once")
    if len(opened) > MOST:
        raise UnusableInputError(f"{len(opened)} networks are more than {MOST}", "Measure some of them")
    return SideBySide(opened, detector, settings.vision.max_pixels)


def _opened(settings: Settings, name: str, contract: InputContract, detector: FaceDetector) -> Contestant:
    if name.lower().endswith(".onnx"):
        return bare(Path(name), contract, detector, settings.verifier.threads)
    try:
        model = library_of(settings).load(name)
        extractor = model.extractor(settings.verifier.threads)
    except NotReadyError as error:
        if not name:  # not a slip of who typed the command: the installation is broken
            raise
        raise UnusableInputError(error.what, error.mend) from error
    alignment = model.card.contract.alignment
    return Contestant(model.id, extractor, alignment, model.calibration, levelled=model.levelled)


def bare(network: Path, contract: InputContract, detector: FaceDetector, threads: int) -> Contestant:
    """Open an ONNX file that is in no library, under the contract with which it tells composites apart.

    Raises:
        UnusableInputError: It is no embedding network with this contract.
    """
    if not network.is_file() or network.stat().st_size > MOST_BYTES:
        raise UnusableInputError(
            f"{network} is no file of at most {MOST_BYTES / 1e6:.0f} MB", "Name an ONNX file or a model: models list"
        )
    seen = probe(network, contract, detector).contract
    digest = hashlib.sha256(network.read_bytes()).hexdigest()
    name = f"{network.stem}@{digest[:12]}"
    extractor = OnnxExtractor(network, model=name, contract=seen, threads=threads)
    note = "" if seen == contract else f"{network.name} sees faces with --mean {seen.mean:g} --std {seen.std:g} only"
    return Contestant(name, extractor, seen.alignment, None, note)
