"""Five landmarks placed from near: what the detector found of a face is looked at once more, upright and large.

A detector finds faces in a whole picture, and says of each where about its eyes, nose and mouth are. In the dark,
behind a mask, under a cap those points are off by a tenth of the eyes' distance and more, and a face that is cut out
askew is not known again. A small network sees the face as the detector would have it aligned, with its surroundings,
and says how far off each point is. It learned on faces whose points were known before anything was put before them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Face, Landmarks, Pixels
from facegate.core.ports import Crops
from facegate.errors import NotReadyError
from facegate.inference import open_network
from facegate.resources import shipped
from facegate.vision.align import ALIGNMENT, Alignment, Transform, sampled, similarity, taken_back

BORDER: Final = 32
"""What the network sees around an aligned crop, in the crop's pixels."""
SIDE: Final = 96
_SCALE: Final = SIDE / (ALIGNMENT.size + 2 * BORDER)
#: How the network wants a face: an aligned crop with a border, at half its size.
NEAR: Final = Alignment(SIDE, tuple(((x + BORDER) * _SCALE, (y + BORDER) * _SCALE) for x, y in ALIGNMENT.points))
AT_A_TIME: Final = 16
"""Faces of a crowd that the network sees in one run."""
MEND: Final = "Install facegate again: this file ships with it"


class LandmarkPlacer:
    """Places landmarks anew; may be asked by several threads at a time."""

    def __init__(self, network: Path | None = None) -> None:
        """Open the network.

        Args:
            network: ONNX file, `crops` float32 (n, 3, 96, 96) to `shifts` float32 (n, 10); None: the shipped one.

        Raises:
            NotReadyError: There is no such file, or ONNX Runtime refuses it.
        """
        network = network or shipped("models") / "landmarks" / "landmarks.onnx"
        if not network.is_file():
            raise NotReadyError(f"There is no network for landmarks at {network}", MEND)
        self._session = open_network(network, mend=MEND)

    def placed(self, picture: Pixels, faces: Sequence[Face]) -> list[Face]:
        """Return the faces of a picture with landmarks that were looked at from near, in their order.

        A face whose landmarks are all in one place cannot be cut out; it stays as it is.
        """
        done = list(faces)
        there = {number: at for number, face in enumerate(faces) if (at := towards_near(face.landmarks)) is not None}
        numbers = list(there)
        for first in range(0, len(numbers), AT_A_TIME):
            some = numbers[first : first + AT_A_TIME]
            crops = np.stack([sampled(picture, there[number], NEAR.size) for number in some])
            for number, shift in zip(some, self.shifts(crops), strict=True):
                points = taken_back(NEAR.template + shift, there[number])
                done[number] = replace(faces[number], landmarks=points.astype(np.float32))
        return done

    def shifts(self, crops: Crops) -> NDArray[np.float32]:
        """Return how far each landmark lies from its place in `NEAR`: uint8 (n, 96, 96, 3) -> pixels (n, 5, 2)."""
        answer = self._session.run(["shifts"], {"crops": evened(crops)})[0]
        return np.asarray(answer, np.float32).reshape(-1, 5, 2)


def towards_near(landmarks: Landmarks) -> Transform | None:
    """Return the transform from the picture to what the network sees of a face; None where landmarks make no face."""
    try:
        return similarity(landmarks, NEAR.template)
    except ValueError:
        return None


def evened(crops: Crops) -> NDArray[np.float32]:
    """Bring each crop to mean 0 and deviation 1, whatever the light: uint8 (n, s, s, 3) -> float32 (n, 3, s, s)."""
    pixels = crops.astype(np.float32)
    pixels -= pixels.mean(axis=(1, 2, 3), keepdims=True)
    pixels /= np.maximum(pixels.std(axis=(1, 2, 3), keepdims=True), 1.0)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
