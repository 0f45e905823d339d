"""Photos as tests of the storage want them."""

import numpy as np

from facegate.storage.packing import Crop
from facegate.storage.photos import NewPhoto


def a_photo(axis, *, dimension=8):
    """Return a photo whose template points along one axis."""
    template = np.zeros(dimension, np.float32)
    template[axis % dimension] = 1.0
    return NewPhoto(f"{axis:064x}", Crop(np.full((5, 2), 7.0, np.float32), b"a picture"), template, {"size": 99.0})
