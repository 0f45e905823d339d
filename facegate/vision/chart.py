"""Error rates as a picture: score histograms with their thresholds, and DET curves with bounds.

A DET curve (Martin and others, 1997) shows FNMR against FMR on axes of normal deviates, where two normal score
distributions give a straight line and the rare errors have as much room as the common ones. The pale band around it is
the exact 95 % bound of both rates (Clopper and Pearson), comparisons taken for independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.counted import Counted, Scores, counted
from facegate.core.frame import Pixels
from facegate.core.rates import Bounds, clopper_pearson
from facegate.vision.sheet import FONT, INK, PAPER, write

WIDTH: Final = 1440
HEIGHT: Final = 760
HEADER: Final = 76
FOOT: Final = 34
GRID: Final = (222, 222, 222)
MATED: Final = (96, 142, 34)
NON_MATED: Final = (66, 66, 196)
COLOURS: Final = ((176, 96, 30), (20, 110, 220), (96, 142, 34), (150, 60, 150), (70, 70, 70), (66, 66, 196))
"""Of curves, blue, green, red: blue first, then orange."""
MOST_CURVES: Final = len(COLOURS)
BARS: Final = 120
POINTS: Final = 240
BANDS: Final = 32
LARGE: Final = 2000
"""From so many errors on the bounds are narrower than the line and are taken as the rate itself."""
TICKS: Final = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.4)
HIGHEST: Final = 0.5
DEVIATE: Final = NormalDist().inv_cdf
SHIFT: Final = 4
"""OpenCV draws between pixels, in sixteenths."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Scores of one model, or of one state of it.

    Attributes:
        name: What the legend calls it.
        mated: Floating, shape (m,), m >= 1, finite, in [-1, 1]: mated scores; FNMR counts those below a threshold.
        non_mated: Floating, shape (k,), k >= 1, finite, in [-1, 1]: non-mated scores. Either may come counted already.
        threshold: Where a door stands, or None.
        counts: int64, shape (k,): how often each of `non_mated` was seen; None: once each. Millions of comparisons are
            counted in bins, not kept.
    """

    name: str
    mated: Scores | Counted
    non_mated: Scores | Counted
    threshold: float | None = None
    counts: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Axes:
    """A field of the picture and the values at its edges, already as deviates on a DET."""

    left: int
    top: int
    right: int
    bottom: int
    low: tuple[float, float]
    high: tuple[float, float]

    def field(self, picture: Pixels) -> Pixels:
        """Return the field's pixels: what is drawn there stays inside."""
        return picture[self.top : self.bottom, self.left : self.right]

    def place(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return points of the field in sixteenths of a pixel, int32 (n, 1, 2); far outside is just outside."""
        across = (x - self.low[0]) / (self.high[0] - self.low[0]) * (self.right - self.left)
        up = self.bottom - self.top - (y - self.low[1]) / (self.high[1] - self.low[1]) * (self.bottom - self.top)
        points = np.clip(np.stack([across, up], axis=1), -2000, 4000) * 2**SHIFT
        return np.rint(points).astype(np.int32)[:, None]


def chart(curves: Sequence[Curve], title: str, subtitle: str = "") -> Pixels:
    """Draw histograms on the left, one field a curve, and the DET curves of all on the right.

    Args:
        curves: One to `MOST_CURVES`.
        title: Large, at the top; ASCII.
        subtitle: Below it: where the scores are from.

    Returns:
        uint8, shape (`HEIGHT`, `WIDTH`, 3).

    Raises:
        ValueError: There is no curve, there are too many, or one has no scores of a kind (`NotEnoughScoresError`).
    """
    if not 1 <= len(curves) <= MOST_CURVES:
        raise ValueError(f"a chart has 1 to {MOST_CURVES} curves, not {len(curves)}")
    sums = [(counted(curve.mated), counted(curve.non_mated, curve.counts)) for curve in curves]
    picture = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    write(picture, title, (24, 34), 0.8, INK)
    write(picture, subtitle, (24, 62), 0.5, INK)
    _histograms(picture, curves, sums)
    axes = _det_axes(sums)
    _det_grid(picture, axes)
    for at, pair in enumerate(sums):  # all bands below all lines
        _det_band(axes.field(picture), axes, *pair, COLOURS[at])
    for at, (curve, pair) in enumerate(zip(curves, sums, strict=True)):
        _det_line(picture, axes, curve, pair, COLOURS[at])
        _legend(picture, axes, at, curve.name)
    return picture


def png(picture: Pixels) -> bytes:
    """Return a picture as a PNG file's bytes."""
    return bytes(cv2.imencode(".png", picture)[1])


# --- histograms -----------------------------------------------------------------------------------------------------


def _histograms(picture: Pixels, curves: Sequence[Curve], sums: Sequence[tuple[Counted, Counted]]) -> None:
    """Draw a field for each curve, one above the other, all on the same scale of scores."""
    lowest = min(min(mated.scores[0], other.scores[0]) for mated, other in sums)
    low = max(-1.0, np.floor(lowest * 10 - 0.5) / 10)
    height = (HEIGHT - HEADER - FOOT - 26) // len(curves)
    for at, (curve, pair) in enumerate(zip(curves, sums, strict=True)):
        top = HEADER + 10 + at * height
        edges = np.linspace(low, 1.0, BARS + 1)
        shares = [np.diff(one.under(np.append(edges[:-1], np.inf))) / one.total for one in pair]
        highest = max(float(share.max()) for share in shares) * 1.1
        axes = Axes(40, top, WIDTH // 2 - 40, top + height - 30, (low, 0.0), (1.0, highest))
        field = axes.field(picture)
        for share, colour in zip(shares, (MATED, NON_MATED), strict=True):
            _bars(field, axes, edges, share, colour)
        if curve.threshold is not None:
            line = axes.place(np.full(2, curve.threshold), np.array([0.0, highest]))
            cv2.polylines(field, [line], isClosed=False, color=INK, thickness=2, lineType=cv2.LINE_AA, shift=SHIFT)
        _histogram_words(picture, axes, curve, pair)


def _bars(
    field: Pixels, axes: Axes, edges: NDArray[np.float64], share: NDArray[np.float64], colour: tuple[int, ...]
) -> None:
    """Draw the outline of a histogram and fill it, the other one shining through."""
    x, y = np.repeat(edges, 2), np.concatenate(([0.0], np.repeat(share, 2), [0.0]))
    outline = axes.place(x, y)
    _shade(field, outline, colour, 0.35)
    cv2.polylines(field, [outline], isClosed=False, color=colour, thickness=1, lineType=cv2.LINE_AA, shift=SHIFT)


def _histogram_words(picture: Pixels, axes: Axes, curve: Curve, sums: tuple[Counted, Counted]) -> None:
    """Write the scale below and whose scores these are into the field."""
    for score in np.arange(np.ceil(axes.low[0] * 5) / 5, 1.001, 0.2):
        x = axes.left + round((score - axes.low[0]) / (1.0 - axes.low[0]) * (axes.right - axes.left))
        cv2.line(picture, (x, axes.bottom), (x, axes.bottom + 4), INK, 1)
        _text(picture, f"{score:.1f}".replace("-0.0", "0.0"), (x - 12, axes.bottom + 19))
    cv2.rectangle(picture, (axes.left, axes.top), (axes.right, axes.bottom), GRID, 1)
    mated, non_mated = sums
    x = axes.left + 10
    _text(picture, curve.name, (x, axes.top + 22), INK, 0.5)
    _text(picture, f"mated: {mated.total:,} scores", (x, axes.top + 42), MATED)
    _text(picture, f"non-mated: {non_mated.total:,} scores", (x, axes.top + 60), NON_MATED)
    if curve.threshold is not None:
        _text(picture, f"threshold {curve.threshold:.3f}", (x, axes.top + 78))


# --- DET --------------------------------------------------------------------------------------------------------------


def _det_axes(sums: Sequence[tuple[Counted, Counted]]) -> Axes:
    """Return the DET's field: each axis goes down to a third of the rate of one error in all trials."""
    fewest = [min(max(30, *(one[kind].total for one in sums)), 10**7) for kind in (1, 0)]  # FMR across, FNMR up
    low = [DEVIATE(0.3 / count) for count in fewest]
    high = DEVIATE(HIGHEST)
    return Axes(WIDTH // 2 + 60, HEADER + 10, WIDTH - 40, HEIGHT - FOOT - 26, (low[0], low[1]), (high, high))


def _det_grid(picture: Pixels, axes: Axes) -> None:
    """Draw the grid and write its rates."""
    free = 0
    for rate in TICKS:
        deviate, label = DEVIATE(rate), f"{rate * 100:.5f}".rstrip("0").rstrip(".") + " %"
        if deviate > axes.low[0]:
            x = axes.left + round((deviate - axes.low[0]) / (axes.high[0] - axes.low[0]) * (axes.right - axes.left))
            cv2.line(picture, (x, axes.top), (x, axes.bottom), GRID, 1)
            if x - 4 * len(label) > free:
                _text(picture, label, (x - 4 * len(label), axes.bottom + 19))
                free = x + 4 * len(label) + 6
        if deviate > axes.low[1]:
            y = axes.bottom - round((deviate - axes.low[1]) / (axes.high[1] - axes.low[1]) * (axes.bottom - axes.top))
            cv2.line(picture, (axes.left, y), (axes.right, y), GRID, 1)
            _text(picture, label, (axes.left - 8 - 8 * len(label), y + 5))
    cv2.rectangle(picture, (axes.left, axes.top), (axes.right, axes.bottom), INK, 1)
    _text(picture, "FMR: share of strangers at or above the threshold", (axes.left + 60, HEIGHT - 14), INK, 0.45)
    _text(picture, "FNMR: share of mated below it", (axes.left, HEADER + 2), INK, 0.45)
    _text(picture, "bands: 95 %, Clopper-Pearson", (axes.left + 10, axes.bottom - 10), (120, 120, 120))


def _det_line(
    picture: Pixels, axes: Axes, curve: Curve, sums: tuple[Counted, Counted], colour: tuple[int, ...]
) -> None:
    """Draw one curve with a dot where its threshold stands."""
    field, (mated, non_mated) = axes.field(picture), sums
    passed, missed = errors_at(telling_thresholds(mated, non_mated), mated, non_mated)
    fmr, fnmr = deviates(passed / non_mated.total), deviates(missed / mated.total)
    stairs = axes.place(np.repeat(fmr, 2)[:-1], np.repeat(fnmr, 2)[1:])  # the corner that claims less
    cv2.polylines(field, [stairs], isClosed=False, color=colour, thickness=2, lineType=cv2.LINE_AA, shift=SHIFT)
    if curve.threshold is not None:
        passed, missed = errors_at(np.array([curve.threshold]), mated, non_mated)
        dot = axes.place(deviates(passed / non_mated.total), deviates(missed / mated.total))[0, 0] >> SHIFT
        x, y = (int(np.clip(dot[k], 0, field.shape[1 - k] - 1)) for k in (0, 1))  # a rate of 0 lies at the edge
        cv2.circle(field, (x, y), 6, colour, -1, cv2.LINE_AA)


def _legend(picture: Pixels, axes: Axes, at: int, name: str) -> None:
    """Write which colour is whose."""
    y = axes.top + 24 + 20 * at
    cv2.line(picture, (axes.right - 300, y - 5), (axes.right - 270, y - 5), COLOURS[at], 3, cv2.LINE_AA)
    _text(picture, name, (axes.right - 260, y), INK, 0.45)


def telling_thresholds(mated: Counted, non_mated: Counted) -> NDArray[np.float64]:
    """Return thresholds, ascending, that show a curve whole: dense where either error is rare."""
    tail = np.unique(np.geomspace(1, max(mated.total, non_mated.total), POINTS).astype(np.int64))
    highest = _ranked(non_mated, non_mated.total - tail[tail <= non_mated.total])
    lowest = _ranked(mated, tail[tail <= mated.total] - 1)
    both = np.concatenate((highest, np.nextafter(highest, np.inf), lowest, np.nextafter(lowest, np.inf)))
    return np.unique(np.append(both, [-1.0, np.nextafter(1.0, np.inf)]))


def _ranked(sums: Counted, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the scores of ranks, 0 for the lowest."""
    return sums.scores[np.searchsorted(sums.below, ranks, "right") - 1]


def deviates(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normal deviates of rates; 0 and 1 are as far out as double precision goes."""
    return np.array([DEVIATE(float(np.clip(rate, 1e-15, 1 - 1e-15))) for rate in rates])


def _det_band(field: Pixels, axes: Axes, mated: Counted, non_mated: Counted, colour: tuple[int, ...]) -> None:
    """Shade what lies between both rates' lower and upper bounds."""
    thresholds = telling_thresholds(mated, non_mated)
    some = thresholds[np.unique(np.linspace(0, len(thresholds) - 1, BANDS).astype(int))]
    passed, missed = errors_at(some, mated, non_mated)
    (fmr_low, fmr_high), (fnmr_low, fnmr_high) = bounds_of(passed, non_mated.total), bounds_of(missed, mated.total)
    upper = axes.place(deviates(fmr_high), deviates(fnmr_high))
    lower = axes.place(deviates(fmr_low), deviates(fnmr_low))
    _shade(field, np.concatenate((upper, lower[::-1])), colour, 0.16)


def errors_at(
    thresholds: NDArray[np.float64], mated: Counted, non_mated: Counted
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the false matches and the false non-matches at each threshold, int64 (n,) each."""
    return non_mated.total - non_mated.under(thresholds), mated.under(thresholds)


def bounds_of(counts: NDArray[np.int64], total: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and upper 95 % bounds of each count's rate, float64 (n,) each."""
    bounds = [
        Bounds(count / total, count / total)
        if min(count, total - count) >= LARGE
        else clopper_pearson(int(count), total)
        for count in counts
    ]
    return np.array([both.lower for both in bounds]), np.array([both.upper for both in bounds])


def _shade(field: Pixels, outline: NDArray[np.int32], colour: tuple[int, ...], strength: float) -> None:
    """Fill an outline, letting through what is below."""
    over = field.copy()
    cv2.fillPoly(over, [outline], colour, cv2.LINE_AA, SHIFT)
    cv2.addWeighted(over, strength, field, 1 - strength, 0, dst=over)
    field[:] = over


def _text(picture: Pixels, text: str, at: tuple[int, int], colour: tuple[int, ...] = INK, scale: float = 0.42) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, at, FONT, scale, colour, 1, cv2.LINE_AA)
