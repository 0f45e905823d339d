"""A model's calibrations on disk.

In its folder lie

    calibration.json   of scores as they are: of two photos, neither of which is anybody's reference
    levelled.json      of levelled scores (`core.levelling`): of a probe with a reference; where there is a crowd
    crowd.npz          templates of the strangers by whom they are levelled, as bytes; never pictures
"""

import json
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.calibration import Calibration, UnusableCalibrationError, from_json
from facegate.core.comparison import Templates
from facegate.errors import NotReadyError

LEVELLED: Final = "levelled.json"
CROWD: Final = "crowd.npz"
LARGEST: Final = 127


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        NotReadyError: It is missing or is none.
    """
    try:
        return from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, UnusableCalibrationError) as error:
        raise NotReadyError(f"{path} is no calibration ({error})", "Run: facegate calibrate FOLDER") from error


def calibration_document(calibration: Calibration) -> bytes:
    """Return a calibration as it is written; a line for each knot."""
    document = calibration.to_json()
    curve = ",\n".join(f"  {json.dumps(knot)}" for knot in document.pop("curve"))
    return f'{json.dumps(document, indent=1)[:-2]},\n "curve": [\n{curve}\n ]\n}}\n'.encode()


def as_kept(templates: Templates) -> Templates:
    """Return templates as they come back from the disk, float32 (s, d), so that what is measured is what is used."""
    return _as_templates(_as_bytes(templates))


def _as_bytes(templates: Templates) -> NDArray[np.int8]:
    """Return templates as whole numbers, the largest of each being 127: their length is known anyway."""
    largest = np.abs(templates).max(axis=1, keepdims=True)
    return np.asarray(np.rint(templates * (LARGEST / largest)), np.int8)


def _as_templates(kept: NDArray[np.int8]) -> Templates:
    wide = kept.astype(np.float32)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), np.float32)


def levelled_documents(levelled: Calibration) -> dict[str, bytes]:
    """Return the files of a levelled calibration.

    Raises:
        ValueError: It is not levelled.
    """
    if levelled.levelling is None:
        raise ValueError("a calibration of scores as they are has no crowd")
    file = BytesIO()
    np.savez_compressed(file, templates=_as_bytes(levelled.levelling.crowd))
    return {LEVELLED: calibration_document(levelled), CROWD: file.getvalue()}


def read_levelled(folder: Path, dimension: int) -> Calibration:
    """Read a levelled calibration and its crowd.

    Args:
        folder: The model's.
        dimension: Length of its templates.

    Raises:
        NotReadyError: A file is missing or is none.
    """
    try:
        with np.load(folder / CROWD, allow_pickle=False) as arrays:
            kept = arrays["templates"]
        if kept.dtype != np.int8 or kept.ndim != 2 or kept.shape[1] != dimension:  # noqa: PLR2004 - rows of values
            raise ValueError(f"{CROWD} holds no templates of this network")
        if not kept.any(axis=1).all():
            raise ValueError(f"{CROWD} holds no templates")
        return from_json(json.loads((folder / LEVELLED).read_text("utf-8")), _as_templates(kept))
    except (
        *(OSError, ValueError, KeyError, EOFError),
        *(zipfile.BadZipFile, zlib.error, UnusableCalibrationError),
    ) as error:
        raise NotReadyError(f"{folder / LEVELLED} is no calibration ({error})", "Run: facegate calibrate FOLDER") from (
            error
        )
