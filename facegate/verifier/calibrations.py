"""A model's calibrations on disk.

calibration.json   of scores as they are: of two photos, neither of which is anybody's reference
levelled.json      of levelled scores (`core.levelling`): of a probe with a reference; where there is a crowd
crowd.npz          templates of the strangers by whom they are levelled, float16; never pictures
"""

import json
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np

from facegate.core.calibration import Calibration, UnusableCalibrationError, from_json
from facegate.core.comparison import Templates
from facegate.errors import NotReadyError

LEVELLED: Final = "levelled.json"
CROWD: Final = "crowd.npz"
LEAST_LENGTH: Final = 0.9


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
    kept = templates.astype(np.float16).astype(np.float32)
    return np.asarray(kept / np.linalg.norm(kept, axis=1, keepdims=True), np.float32)


def levelled_documents(levelled: Calibration) -> dict[str, bytes]:
    """Return the files of a levelled calibration.

    Raises:
        ValueError: It is not levelled.
    """
    if levelled.levelling is None:
        raise ValueError("a calibration of scores as they are has no crowd")
    file = BytesIO()
    np.savez_compressed(file, templates=levelled.levelling.crowd.astype(np.float16))
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
            templates = np.asarray(arrays["templates"], np.float32)
        if templates.ndim != 2 or templates.shape[1] != dimension:  # noqa: PLR2004 - rows of values
            raise ValueError(f"{CROWD} holds no templates of this network")
        if not (np.linalg.norm(templates, axis=1) > LEAST_LENGTH).all():
            raise ValueError(f"{CROWD} holds no templates")
        return from_json(json.loads((folder / LEVELLED).read_text("utf-8")), as_kept(templates))
    except (
        *(OSError, ValueError, KeyError, EOFError),
        *(zipfile.BadZipFile, zlib.error, UnusableCalibrationError),
    ) as error:
        raise NotReadyError(f"{folder / LEVELLED} is no calibration ({error})", "Run: facegate calibrate FOLDER") from (
            error
        )
