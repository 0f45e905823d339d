"""Networks that `facegate models fetch` knows by name: the publisher's address, pinned to the last byte.

Digests and sizes are the publishers': those of SFace and YuNet stand in the Git LFS pointers of OpenCV Zoo. Of
face-reidentification-retail-0095 the Open Model Zoo gives weights in OpenVINO's form and their SHA-384; they are the
half-precision numbers of the trunk, layer after layer, so the SHA-256 here was taken from those very numbers, which
have that SHA-384 too. They are written as ONNX after the download (`siamese.export.trunk_of_bytes`).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from facegate.verifier.contract import InputContract

OPENCV_ZOO: Final = (
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/47534e27c9851bb1128ccc0102f1145e27f23f98"
)
OPEN_MODEL_ZOO: Final = "https://storage.openvinotoolkit.org/repositories/open_model_zoo/2023.0/models_bin/1"


class Kind(StrEnum):
    """What a file is."""

    VERIFIER = "verifier"
    WEIGHTS = "weights of a verifier"
    DETECTOR = "detector"


@dataclass(frozen=True, slots=True)
class Published:
    """A file that somebody publishes.

    Attributes:
        kind: What it is.
        url: Its address.
        sha256: Of its bytes.
        size: How many there are.
        licence: Its terms.
        origin: What it is called at its publisher's.
        contract: What the network wants to see; None for a detector.
    """

    kind: Kind
    url: str
    sha256: str
    size: int
    licence: str
    origin: str
    contract: InputContract | None = None


PUBLISHED: Final = {
    "sface": Published(
        Kind.VERIFIER,
        f"{OPENCV_ZOO}/models/face_recognition_sface/face_recognition_sface_2021dec.onnx",
        "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        38_696_353,
        "Apache-2.0",
        "face_recognition_sface_2021dec, OpenCV Zoo",
        InputContract(112, "arcface", rgb=True),
    ),
    "yunet": Published(
        Kind.DETECTOR,
        f"{OPENCV_ZOO}/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        232_589,
        "MIT",
        "face_detection_yunet_2023mar, OpenCV Zoo",
    ),
    "reid-0095": Published(
        Kind.WEIGHTS,
        f"{OPEN_MODEL_ZOO}/face-reidentification-retail-0095/FP16/face-reidentification-retail-0095.bin",
        "241229ca3d206321868d46ce74a3c0b06c49cea58db7dc70b2e842ff287545d1",
        2_213_628,
        "Apache-2.0",
        "face-reidentification-retail-0095, Open Model Zoo",
        InputContract(128, "reid-0095"),
    ),
}
