"""A camera's own view: the light, grain, blur and size of the faces that it sees, measured and imitated.

Enrollment photos come from phones, probes from a porch at night. What lies between the two can be measured on any
frame with a face in it, whoever it shows: six numbers a face, of which the daemon keeps sums (`ViewStatistics`), never
pictures. `imitate` then makes a photo look as if that camera had taken it.

The six, of an aligned crop's face region:

    level       mean grey level, 0 to 255
    contrast    standard deviation of the grey levels
    colour      mean of (greatest - least channel); under infrared it is 0
    grain       standard deviation of the noise at the face's own size, by the mask of Immerkaer (CVIU 64, 1996)
    detail      what a band of fine detail holds against a band of coarse: it falls as the picture blurs
    size        shorter side of the face in the frame, pixels
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Pixels
from facegate.vision.align import ALIGNMENT, middle_of
from facegate.vision.measure import face_region

MEASURES: Final = ("level", "contrast", "colour", "grain", "detail", "size")
GREYEST: Final = 6.0
"""With less colour than this a face was seen by infrared, or by a camera that gives grey."""
DUSKY: Final = 75.0
"""Darker faces than this, in colour, are seen at dusk."""
NATIVE: Final = 110.0
"""Shorter side of the box of a face that fills a crop of 128 pixels, about."""
MEMORY: Final = 500
"""Of each light so many faces count; older ones fade, so that the view follows the seasons."""
LEAST_FACES: Final = 5
"""A light that was seen less often is not imitated."""


class Light(StrEnum):
    """The kinds of light that a camera sees by, told apart since one mean over day and night is a view of neither."""

    DAY = "day"
    DUSK = "dusk"
    INFRARED = "infrared"


@dataclass(frozen=True, slots=True)
class Seen:
    """The six measures of one face."""

    level: float
    contrast: float
    colour: float
    grain: float
    detail: float
    size: float

    @property
    def values(self) -> NDArray[np.float64]:
        """float64, shape (6,), in the order of `MEASURES`."""
        return np.array([getattr(self, name) for name in MEASURES], np.float64)

    @property
    def light(self) -> Light:
        """By what light it was seen."""
        if self.colour < GREYEST:
            return Light.INFRARED
        return Light.DUSK if self.level < DUSKY else Light.DAY


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What one light looks like.

    Attributes:
        light: Which.
        share: Share of the camera's faces seen by it, in (0, 1].
        means: float (6,), in the order of `MEASURES`.
        deviations: float (6,), standard deviations.
    """

    light: Light
    share: float
    means: tuple[float, ...]
    deviations: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class View:
    """How a camera sees faces: one entry a light, at least one."""

    glimpses: tuple[Glimpse, ...]

    def share(self, light: Light) -> float:
        """Return the share of faces seen by a light, in [0, 1]."""
        return sum(glimpse.share for glimpse in self.glimpses if glimpse.light is light)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the view as a JSON document, for people and for a run's digest."""
        return [
            {
                "light": str(each.light),
                "share": each.share,
                **{
                    name: {"mean": mean, "deviation": deviation}
                    for name, mean, deviation in zip(MEASURES, each.means, each.deviations, strict=True)
                },
            }
            for each in self.glimpses
        ]


@dataclass(frozen=True, slots=True)
class Sums:
    """Number of faces, sums and sums of squares of their measures; (6,) each."""

    faces: float = 0.0
    sums: tuple[float, ...] = (0.0,) * 6
    squares: tuple[float, ...] = (0.0,) * 6

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums of both, faded to `MEMORY` faces."""
        faces = self.faces + other.faces
        keep = min(1.0, MEMORY / faces) if faces else 1.0
        return Sums(
            faces * keep,
            tuple((one + two) * keep for one, two in zip(self.sums, other.sums, strict=True)),
            tuple((one + two) * keep for one, two in zip(self.squares, other.squares, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class ViewStatistics:
    """What a camera has shown so far: bounded, mergeable, without pictures. One for each camera.

    Attributes:
        lights: The sums of each light that was seen.
    """

    lights: Mapping[Light, Sums]

    def plus(self, other: "ViewStatistics") -> "ViewStatistics":
        """Return the statistics of both."""
        kinds = [light for light in Light if light in self.lights or light in other.lights]
        none = Sums()
        return ViewStatistics(
            {light: self.lights.get(light, none).plus(other.lights.get(light, none)) for light in kinds}
        )

    def with_face(self, seen: Seen) -> "ViewStatistics":
        """Return the statistics with one face more."""
        values = seen.values
        return self.plus(ViewStatistics({seen.light: Sums(1.0, tuple(values.tolist()), tuple((values**2).tolist()))}))

    def view(self) -> View | None:
        """Return the view, or None where too few faces were seen by any light."""
        known = {light: sums for light, sums in self.lights.items() if sums.faces >= LEAST_FACES}
        total = sum(sums.faces for sums in known.values())
        return View(tuple(_glimpse(light, sums, total) for light, sums in known.items())) if known else None

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as a JSON document; `statistics_from_json` is its inverse."""
        return {
            str(light): {"faces": sums.faces, "sums": list(sums.sums), "squares": list(sums.squares)}
            for light, sums in self.lights.items()
        }


NOTHING_SEEN: Final = ViewStatistics({})


def statistics_from_json(document: Mapping[str, Any]) -> ViewStatistics:
    """Read statistics.

    Raises:
        ValueError: The document is none.
    """
    try:
        return ViewStatistics({Light(name): _sums(entry) for name, entry in document.items()})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"no statistics of a view: {error!r}") from error


def _sums(entry: Mapping[str, Any]) -> Sums:
    numbers = [float(entry["faces"]), *map(float, entry["sums"]), *map(float, entry["squares"])]
    if len(entry["sums"]) != len(MEASURES) or len(entry["squares"]) != len(MEASURES):
        raise ValueError("six sums and six squares are wanted")
    if not np.isfinite(numbers).all() or numbers[0] < 0:
        raise ValueError("a number is not finite")
    return Sums(numbers[0], tuple(numbers[1:7]), tuple(numbers[7:]))


def _glimpse(light: Light, sums: Sums, total: float) -> Glimpse:
    means = np.array(sums.sums) / sums.faces
    variances = np.maximum(0.0, np.array(sums.squares) / sums.faces - means**2)
    return Glimpse(light, sums.faces / total, tuple(means.tolist()), tuple(np.sqrt(variances).tolist()))


def look(crop: Pixels, size: float) -> Seen:
    """Measure one face: its aligned crop, uint8 (s, s, 3), and the shorter side of its box in the frame, pixels."""
    crop = middle_of(crop)
    points = ALIGNMENT.template
    eyes = float(points[1, 0] - points[0, 0])
    top, bottom = round(points[0, 1] - 0.45 * eyes), round(points[3, 1] + 0.25 * eyes)
    left, right = round(points[0, 0] - 0.4 * eyes), round(points[1, 0] + 0.4 * eyes)
    region = crop[max(0, top) : bottom, max(0, left) : right]
    colour = float((region.max(axis=2).astype(np.float32) - region.min(axis=2)).mean())
    grey = _grey_face(crop)
    native = _reduced(grey, size)
    return Seen(float(grey.mean()), float(grey.std()), colour, grain_of(native), detail_of(grey), float(size))


def side_of(size: float, whole: int) -> int:
    """Return how many pixels the camera gave to what fills `whole` pixels of a crop; never more than those."""
    return min(whole, max(12, round(size * whole / NATIVE)))


def _reduced(values: NDArray[np.float32], size: float) -> NDArray[np.float32]:
    """Bring a part of a crop to the size that it has in the frame: there its noise is what the sensor made."""
    height, width = (side_of(size, whole) for whole in values.shape[:2])
    if height == values.shape[0]:
        return values
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _enlarged(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


def grain_of(grey: NDArray[np.float32]) -> float:
    """Return the standard deviation of the noise in a grey picture, by Immerkaer's mask, which sees no planes."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    answer = cv2.filter2D(grey, cv2.CV_32F, mask, borderType=cv2.BORDER_REFLECT)[1:-1, 1:-1]
    return float(np.abs(answer).mean() * np.sqrt(np.pi / 2) / 6)


def detail_of(grey: NDArray[np.float32]) -> float:
    """Return the ratio of what lies between blurs of 1 and 2.5 pixels to what lies between 2.5 and 6."""
    one, two, three = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1.0, 2.5, 6.0))
    return float(np.std(one - two)) / max(1e-3, float(np.std(two - three)))


def imitate(crop: Pixels, view: View, draw: np.random.Generator) -> Pixels:
    """Return the crop as the camera might have seen it.

    Args:
        crop: Aligned, uint8 (s, s, 3), perhaps with what is around it, as from a good photo.
        view: The camera's.
        draw: Source of the draws: the light by its share, each measure around its mean.
    """
    shares = np.array([each.share for each in view.glimpses])
    glimpse = view.glimpses[int(draw.choice(len(shares), p=shares / shares.sum()))]
    around = np.array(glimpse.means) + draw.normal(0, 1, len(MEASURES)) * np.array(glimpse.deviations)
    level, contrast, colour, grain, detail, size = around.tolist()
    side = crop.shape[0]
    values = _coloured(_reduced(crop.astype(np.float32), size), glimpse, colour, draw)
    values = _lit(_blurred(values, detail, side), level, contrast, side)
    values = _grained(values, grain, glimpse, draw)
    quality = int(draw.integers(45, 91))
    _, data = cv2.imencode(".jpg", np.clip(values, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    small = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def _coloured(
    values: NDArray[np.float32], glimpse: Glimpse, colour: float, draw: np.random.Generator
) -> NDArray[np.float32]:
    """Give the colours their strength; by infrared, where skin shines, there are none and red weighs most."""
    if glimpse.light is Light.INFRARED:
        weights = np.array([draw.uniform(0.0, 0.25), draw.uniform(0.1, 0.5), draw.uniform(0.4, 1.0)])
        grey = values @ (weights / weights.sum()).astype(np.float32)
        return np.asarray(np.repeat(grey[..., None], 3, axis=2), np.float32)
    mean = values.mean(axis=2, keepdims=True)
    now = float((values.max(axis=2) - values.min(axis=2)).mean())
    return np.asarray(mean + (values - mean) * np.clip(colour / max(1.0, now), 0.1, 2.5), np.float32)


def _blurred(values: NDArray[np.float32], detail: float, side: int) -> NDArray[np.float32]:
    """Blur until the crop of `side` pixels shows no more detail than the camera does."""
    low, high = 0.0, 3.0
    if _detail(values, side) <= detail:
        return values
    for _ in range(6):
        middle = (low + high) / 2
        if _detail(np.asarray(cv2.GaussianBlur(values, (0, 0), middle), np.float32), side) > detail:
            low = middle
        else:
            high = middle
    return np.asarray(cv2.GaussianBlur(values, (0, 0), high), np.float32)


def _detail(values: NDArray[np.float32], side: int) -> float:
    return detail_of(_grey_face(_enlarged(values, side)))


def _grey_face(values: NDArray[Any]) -> NDArray[np.float32]:
    return face_region(middle_of(np.clip(values, 0, 255).astype(np.uint8)), ALIGNMENT).astype(np.float32)


def _lit(values: NDArray[np.float32], level: float, contrast: float, side: int) -> NDArray[np.float32]:
    """Bring the face to the camera's level and contrast."""
    grey = _grey_face(_enlarged(values, side))
    gain = np.clip(max(3.0, contrast) / max(3.0, float(grey.std())), 0.1, 2.5)
    return np.asarray((values - grey.mean()) * gain + np.clip(level, 4, 250), np.float32)


def _grained(
    values: NDArray[np.float32], grain: float, glimpse: Glimpse, draw: np.random.Generator
) -> NDArray[np.float32]:
    """Add as much noise as is missing; of one colour under infrared."""
    missing = max(0.0, grain) ** 2 - grain_of(values.mean(axis=2)) ** 2
    if missing <= 0:
        return values
    shape = values.shape[:2] + ((1,) if glimpse.light is Light.INFRARED else (3,))
    # Grey is a weighted mean of three channels, so noise that is drawn for each of them loses a third of its strength.
    strength = np.sqrt(missing) * (1.0 if glimpse.light is Light.INFRARED else 1.5)
    return np.asarray(values + draw.normal(0, strength, shape), np.float32)
