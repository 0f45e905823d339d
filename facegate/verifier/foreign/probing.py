"""Looks at a network from outside before it may judge anybody: what it takes, what it answers, whether it sees faces.

A file from outside is data, never code: ONNX Runtime loads it with the operators that it ships with. Then it is shown
composites, who do not exist: the same crop twice must give the same template, alone or among others; templates must
have a direction; and two pictures of one composite must be more alike than those of any two. The last is easy for every
network that was fed as it was trained, and out of reach for one that was not, so it tells a wrong `--mean` or `--std`.
A mirrored crop should stay the same person; its score is told, and not judged.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from facegate.core.frame import Landmarks, Pixels
from facegate.core.ports import FaceDetector
from facegate.errors import FacegateError, UnusableInputError
from facegate.inference import INSIDE
from facegate.verifier.contract import InputContract
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.selftest import compared, composites, found
from facegate.vision.align import align_all

MEND: Final = "Check the file and --size, --mean, --std, --rgb, --template"
SHORTEST: Final = 16
LONGEST: Final = 4096
"""Values in a template."""
ALIKE: Final = 0.9999
"""The same crop, alone or among others, gives the same template but for rounding."""
SCALINGS: Final = ((0.0, 1.0), (127.5, 127.5), (127.5, 128.0))
"""What published networks want: pixels as they are (the graph scales them itself), or in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a network answered.

    Attributes:
        dimension: Values in a template.
        shortest: Length of the shortest vector before it is normalised.
        longest: Length of the longest.
        again: Lowest score of a crop with itself, fed anew and alone.
        mirror: Lowest score of a crop with its mirror image.
        lowest_mated: Lowest score of two pictures of one composite.
        highest_non_mated: Highest score of pictures of two.
    """

    dimension: int
    shortest: float
    longest: float
    again: float
    mirror: float
    lowest_mated: float
    highest_non_mated: float

    @property
    def tells_apart(self) -> bool:
        """Two pictures of one composite are more alike than those of any two."""
        return self.lowest_mated > self.highest_non_mated

    def to_json(self) -> dict[str, Any]:
        """Return what stands in the model's card."""
        return {name: value if isinstance(value, int) else round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Seen:
    """A probe, and the contract under which it came out well."""

    probe: Probe
    contract: InputContract


def probe(network: Path, contract: InputContract, detector: FaceDetector) -> Seen:
    """Try a network on composites.

    Where they are not told apart, the usual scalings are tried: many a graph does it itself, and doing it twice leaves
    it nearly blind. The contract of the answer is the given one, or with the scaling that works.

    Raises:
        UnusableInputError: It is no embedding network with this contract, or tells nobody apart.
    """
    pictures = composites()
    places = found(pictures, detector)
    given = _probe(network, contract, pictures, places)
    if given.tells_apart:
        return Seen(given, contract)
    for mean, std in SCALINGS:
        other = replace(contract, mean=mean, std=std)
        if other != contract and (tried := _probe(network, other, pictures, places)).tells_apart:
            return Seen(tried, other)
    raise UnusableInputError(
        f"{network.name} does not tell composites apart: two pictures of one score {given.lowest_mated:.3f}, "
        f"of two {given.highest_non_mated:.3f}",
        MEND,
    )


def _probe(network: Path, contract: InputContract, pictures: Sequence[Pixels], places: Sequence[Landmarks]) -> Probe:
    """Try a network under one contract.

    Raises:
        UnusableInputError: It does not load, does not take such crops, or answers with no templates.
    """
    try:
        extractor = OnnxExtractor(network, model="probe", contract=contract)
        _check_input(network, extractor, contract)
        crops = np.concatenate(
            [align_all(picture, [at], contract.alignment) for picture, at in zip(pictures, places, strict=True)]
        )
        lengths = np.linalg.norm(extractor.raw(crops), axis=1)
        templates, mirrored = extractor.extract(crops), extractor.extract(np.ascontiguousarray(crops[:, :, ::-1]))
        alone = np.concatenate([extractor.extract(crop[None]) for crop in crops])
    except FacegateError as error:
        raise UnusableInputError(error.what, INSIDE if error.mend == INSIDE else MEND) from error
    except Exception as error:  # ONNX Runtime raises its own kinds, which share no public base
        reason = " ".join(str(error).split()).split(" : ")[-1].partition(" Status Message")[0]  # no path of its sources
        raise UnusableInputError(f"{network.name} cannot be used: {reason[:160]}", MEND) from error
    again = float((templates * alone).sum(axis=1).min())
    if not SHORTEST <= templates.shape[1] <= LONGEST:
        what = f"answers with {templates.shape[1]} values, not with a template of {SHORTEST} to {LONGEST}"
        raise UnusableInputError(f"{network.name} {what}", MEND)
    if not again >= ALIKE:
        raise UnusableInputError(
            f"{network.name} answers otherwise when asked again (score {again:.4f})",
            "Export it for inference: no dropout, batch norms with their running means",
        )
    alike, same = compared(templates)
    return Probe(
        templates.shape[1],
        float(lengths.min()),
        float(lengths.max()),
        again,
        float((templates * mirrored).sum(axis=1).min()),
        float(alike[same].min()),
        float(alike[~same].max()),
    )


def _check_input(network: Path, extractor: OnnxExtractor, contract: InputContract) -> None:
    """Hold what the graph says of its input against the contract.

    Raises:
        UnusableInputError: They do not fit.
    """
    shape = extractor.input_shape
    if len(shape) != 4 or shape[1] not in {3, None}:  # noqa: PLR2004 - n, 3, size, size
        raise UnusableInputError(f"{network.name} takes {_told(shape)}, not [n, 3, size, size]", MEND)
    if any(side not in {contract.size, None} for side in shape[2:]):
        raise UnusableInputError(f"{network.name} takes {_told(shape)}, not crops of {contract.size} pixels", MEND)


def _told(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('n' if side is None else str(side) for side in shape)}]"
