"""Strangers that a gallery is measured with: what the network in charge makes of them, as templates.

They ship with a model as features of its trunk, never as pictures. `facegate calibrate` turns those into templates once
for each network and leaves them in the data folder, so that the daemon measures every new gallery by itself and never
meets torch.
"""

import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np

from facegate.core.comparison import Templates
from facegate.errors import NotReadyError
from facegate.settings import Settings
from facegate.verifier.files import replace_file
from facegate.verifier.library import Model

FOLDER: Final = "strangers"
MOST_BYTES: Final = 64_000_000
LEAST_LENGTH: Final = 0.9


def place_of(settings: Settings, model: str) -> Path:
    """Return where the templates of a network, `name@digest12`, lie."""
    return settings.data_dir / FOLDER / f"{model.rpartition('@')[2]}.npz"


def keep_strangers(settings: Settings, model: str, templates: Templates) -> Path:
    """Write templates that a network made of strangers, by halves."""
    file = BytesIO()
    np.savez_compressed(file, digest=np.array(model.rpartition("@")[2]), templates=templates.astype(np.float16))
    place = place_of(settings, model)
    replace_file(place, file.getvalue())
    return place


def strangers_of(settings: Settings, model: Model) -> Templates | None:
    """Read the strangers' templates of a network, float32 (n, d); None where none were made.

    Raises:
        NotReadyError: They are there and cannot be used.
    """
    place = place_of(settings, model.id)
    if not place.is_file():
        return None
    try:
        if place.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")  # noqa: TRY301 - one way out for all that is wrong
        with np.load(place, allow_pickle=False) as arrays:
            digest, templates = str(arrays["digest"]), np.asarray(arrays["templates"], np.float32)
        lengths = np.linalg.norm(templates, axis=1, keepdims=True)
        if digest != model.id.rpartition("@")[2] or templates.shape[1] != model.card.dimension:
            raise ValueError("it is another network's")  # noqa: TRY301
        if not (lengths > LEAST_LENGTH).all():
            raise ValueError("it holds no templates")  # noqa: TRY301
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise NotReadyError(
            f"{place} cannot be used ({error})", "Run facegate calibrate, which makes it anew, or delete it"
        ) from error
    return np.asarray(templates / lengths, np.float32)
