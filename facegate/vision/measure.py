"""Measure what decides whether comparing a face makes sense: size, blur, exposure, pose.

Sharpness is the variance of the Laplacian of the grey face at the face's own resolution, but at most at the crop's.
The face is first smoothed, or a sensor's noise would make a blurred face sharp, and brought
to a standard contrast, or dusk would make a sharp face blurred.

Pose from the five landmarks, in the frame of the eyes (right to left, and down from it), e = distance of the eyes:

    roll    angle of the line of the eyes to the horizontal; positive: the head leans to the subject's left shoulder
    yaw     asin of (where the nose lies beside the middle of eyes and mouth, in e) / 0.6; positive: turned to the
            subject's left, which is the picture's right
    pitch   from where the nose lies between the line of the eyes (0) and the mouth (1): 0.56 is level; positive: up
"""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Face, Landmarks, Pixels, Quality
from facegate.vision.align import ALIGNMENT, Alignment, sampled, similarity

#: Standard deviation of the Gaussian that takes the noise out, pixels of the crop.
SMOOTHING: Final = 1.5
#: Standard deviation of the grey levels, at which sharpness is told.
CONTRAST: Final = 40.0
#: Faces with less are not stretched further: there would be nothing but noise.
LEAST_CONTRAST: Final = 5.0
#: How far the tip of the nose stands before the plane of eyes and mouth, in distances of the eyes.
NOSE_DEPTH: Final = 0.6
#: Where the tip of a level nose lies between the line of the eyes and that of the mouth.
NOSE_LEVEL: Final = 0.56


def measure(picture: Pixels, face: Face, crop: Pixels, alignment: Alignment = ALIGNMENT) -> Quality:
    """Measure one face.

    Args:
        picture: The upright picture.
        face: The face in it.
        crop: Its aligned crop.
        alignment: How the crop was aligned.
    """
    grey = face_region(crop, alignment)
    yaw, pitch, roll = pose(face.landmarks)
    return Quality(
        size=min(face.box.width, face.box.height),
        sharpness=sharpness(picture, face.landmarks, alignment),
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        yaw=yaw,
        pitch=pitch,
        roll=roll,
    )


def face_region(crop: Pixels, alignment: Alignment) -> NDArray[np.uint8]:
    """Return the grey part of a crop between the outer ends of the brows and the chin."""
    points = alignment.template
    eyes = points[1, 0] - points[0, 0]
    left, right = points[0, 0] - 0.4 * eyes, points[1, 0] + 0.4 * eyes
    top, bottom = points[0, 1] - 0.45 * eyes, points[3, 1] + 0.25 * eyes
    size = alignment.size
    rows = slice(max(0, round(top)), min(size, round(bottom)))
    columns = slice(max(0, round(left)), min(size, round(right)))
    return np.asarray(cv2.cvtColor(crop[rows, columns], cv2.COLOR_BGR2GRAY), np.uint8)


def sharpness(picture: Pixels, landmarks: Landmarks, alignment: Alignment = ALIGNMENT) -> float:
    """Return the variance of the Laplacian of the face at its own resolution, or at the crop's if that is less.

    Where the picture ends its last pixels go on: a black edge would read as sharp.
    """
    transform = similarity(landmarks, alignment.template)
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    native = alignment
    if scale > 1:
        points = tuple((x / scale, y / scale) for x, y in alignment.points)
        native = Alignment(max(8, round(alignment.size / scale)), points)
        transform = similarity(landmarks, native.template)
    grey = face_region(sampled(picture, transform, native.size, cv2.BORDER_REPLICATE), native)
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), SMOOTHING)
    stretch = CONTRAST / max(LEAST_CONTRAST, float(smooth.std()))
    return float(cv2.Laplacian(smooth, cv2.CV_32F).var()) * stretch * stretch


def pose(landmarks: Landmarks) -> tuple[float, float, float]:
    """Return yaw, pitch and roll of a head in degrees; NaN if the landmarks do not make a face."""
    right_eye, left_eye, nose, right_mouth, left_mouth = np.asarray(landmarks, np.float64)
    across = left_eye - right_eye
    distance = float(np.hypot(*across))
    if not 0 < distance < math.inf:
        return math.nan, math.nan, math.nan
    roll = math.degrees(math.atan2(across[1], across[0]))
    across /= distance
    down = np.array([-across[1], across[0]])
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    height = float((mouth - eyes) @ down)
    if not 0 < height < math.inf:
        return math.nan, math.nan, roll
    along = float((nose - eyes) @ down) / height
    middle = eyes + along * (mouth - eyes)
    aside = float((nose - middle) @ across) / distance
    yaw = math.degrees(math.asin(float(np.clip(aside / NOSE_DEPTH, -1, 1))))
    pitch = math.degrees(math.asin(float(np.clip((NOSE_LEVEL - along) * height / distance / NOSE_DEPTH, -1, 1))))
    return yaw, pitch, roll
