"""Limits on a face's size, blur, exposure and pose: accepted, or the reason why not.

Two presets. `ENROLLMENT` is strict: the photo becomes what a person is compared with for years, and another one can be
taken. `DOOR` is lenient: it refuses only what comparing makes no sense on, since a refusal leaves a person outside.

The limits were set on photos of seven sets (LFW, CelebA, ORL, NUAA, London, Pins, the composites). Of 562 as they are,
`ENROLLMENT` refuses 9 and `DOOR` none; of the same 562 blurred by 4 pixels at a face of 112 pixels they refuse 534 and
290 (those that pass are mostly grey pictures with hard contrast), and of those darkened to 8 % both refuse all.
"""

from dataclasses import dataclass
from typing import Final

from facegate.core.frame import Quality


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """What a face must keep; the units are those of `Quality`.

    Attributes:
        size: Least shorter side of the box, pixels.
        sharpness: Least variance of the Laplacian at standard contrast.
        darkest: Least mean grey level.
        brightest: Greatest mean grey level.
        contrast: Least standard deviation of the grey levels.
        yaw: Greatest turn to either side, degrees.
        pitch: Greatest turn up or down, degrees.
        roll: Greatest lean to either shoulder, degrees.
    """

    size: float
    sharpness: float
    darkest: float
    brightest: float
    contrast: float
    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """What a face lacks.

    Attributes:
        measure: Name of the measure, as in `Quality`.
        value: What was measured.
        limit: What it must keep.
        sentence: Both for a person: "face 29 px < 48 px".
        advice: What to do about it.
    """

    measure: str
    value: float
    limit: float
    sentence: str
    advice: str


ENROLLMENT: Final = QualityLimits(
    size=48, sharpness=8, darkest=40, brightest=228, contrast=12, yaw=50, pitch=35, roll=45
)
DOOR: Final = QualityLimits(size=40, sharpness=3.5, darkest=15, brightest=245, contrast=5, yaw=65, pitch=60, roll=60)


def shortcoming(quality: Quality, limits: QualityLimits) -> Shortcoming | None:
    """Return the first limit that a face does not keep, or None if it keeps them all. NaN keeps none."""
    for measure, label, unit, least, most, advice in rules(limits):
        value = float(getattr(quality, measure))
        size = abs(value) if measure in ANGLES else value
        if not size >= least:  # not "<": NaN must not pass
            return Shortcoming(measure, value, least, said(label, unit, size, "<", least), advice)
        if not size <= most:
            return Shortcoming(measure, value, most, said(label, unit, size, ">", most), advice)
    return None


def said(label: str, unit: str, value: float, sign: str, limit: float) -> str:
    """Write a comparison with as few digits as show the difference."""
    texts = ((f"{value:.{digits}f}", f"{limit:.{digits}f}") for digits in range(4))
    shown = next((pair for pair in texts if pair[0] != pair[1]), (str(value), str(limit)))
    return f"{label} {shown[0]}{unit} {sign} {limit:g}{unit}"


ANGLES: Final = frozenset({"yaw", "pitch", "roll"})
INFINITE: Final = float("inf")


def rules(limits: QualityLimits) -> tuple[tuple[str, str, str, float, float, str], ...]:
    """Return measure, label, unit, least, most and advice of every limit, in the order in which they are looked at."""
    return (
        ("size", "face", " px", limits.size, INFINITE, "Come nearer, or use a picture with more pixels"),
        ("brightness", "brightness", "", limits.darkest, limits.brightest, "Put more even light on the face"),
        ("contrast", "contrast", "", limits.contrast, INFINITE, "Put more even light on the face"),
        ("sharpness", "sharpness", "", limits.sharpness, INFINITE, "Hold still, clean the lens, or come nearer"),
        ("yaw", "head turned", " degrees", 0, limits.yaw, "Look into the camera"),
        ("pitch", "head tilted", " degrees", 0, limits.pitch, "Look into the camera"),
        ("roll", "head leaning", " degrees", 0, limits.roll, "Hold the head upright"),
    )
