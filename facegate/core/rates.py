"""Error rates of comparison scores: FMR, FNMR, EER, DET points, thresholds and bounds.

Scores are similarities: higher is more alike. With mated scores M, non-mated scores N and a threshold t:

    FMR(t)  = |{s in N : s >= t}| / |N|        FNMR(t) = |{s in M : s < t}| / |M|

so a score equal to the threshold matches. Scores are finite: NaN < t is false and would pass for a match. Over every t:

    DET         the points (FMR(t), FNMR(t))
    EER         (FMR(t) + FNMR(t)) / 2 where |FMR(t) - FNMR(t)| is least
    t(target)   min {t in N, or just above max N : FMR(t) <= target}; the FNMR at a target FMR is FNMR(t(target))

How far a target can be trusted depends on |N| alone. Below one expected match, |N| * target < 1, no threshold that was
seen has such an FMR: `supported_threshold` refuses. From three on, an FMR above the target would have shown itself with
95 % confidence (the rule of three): `OperatingPoint.supported`.

Every function takes scores as they are or counted (`core.counted`). Terms: ISO/IEC 19795-1. A picture without a usable
face is a failure to acquire, never a comparison; who counts it as an error adds it to the mated errors, as
`verifier.evaluation.figures` does. Bounds over people are in `core.resampling`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.counted import Counted, NotEnoughScoresError, Scores, counted

__all__ = [
    "Bounds",
    "Counted",
    "DetCurve",
    "NotEnoughScoresError",
    "OperatingPoint",
    "Rates",
    "Scores",
    "UnsupportedTargetError",
    "accuracy",
    "beta_cdf",
    "checked",
    "clopper_pearson",
    "det",
    "eer",
    "equal_error_rate",
    "fmr",
    "fnmr",
    "fnmr_at_fmr",
    "most_accurate",
    "rates_at",
    "supported_threshold",
    "threshold_at",
    "upper_bound",
]

RULE_OF_THREE: Final = 3.0
"""No error in n independent trials: the rate is below 3/n with 95 % confidence."""


class UnsupportedTargetError(NotEnoughScoresError):
    """There are too few non-mated scores for a target FMR."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Both error rates at one threshold, each in [0, 1]."""

    threshold: float
    fmr: float
    fnmr: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """A rate lies between these with the confidence that was asked for; each in [0, 1]."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold that was chosen for a target.

    Attributes:
        threshold: A score at or above it matches.
        fmr: FMR at the threshold on the scores that it was chosen from; never above the target.
        supported: There are at least 3/target scores, so that an FMR of the target could have been seen to be too high.
    """

    threshold: float
    fmr: float
    supported: bool


@dataclass(frozen=True, slots=True, eq=False)
class DetCurve:
    """Both rates at every threshold that tells two scores apart, thresholds ascending; float64, shape (k,) each."""

    thresholds: NDArray[np.float64]
    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]


def checked(scores: Scores) -> NDArray[np.float64]:
    """Return the scores ascending, as float64.

    Raises:
        NotEnoughScoresError: There are none.
        ValueError: One of them is no number, or they are no vector.
    """
    return counted(scores).scores


def fmr(threshold: float, non_mated: Scores | Counted) -> float:
    """Return the share of non-mated scores at or above the threshold.

    >>> fmr(0.5, np.array([0.1, 0.2, 0.5, 0.9]))
    0.5
    """
    other = counted(non_mated)
    return other.at_or_above(threshold) / other.total


def fnmr(threshold: float, mated: Scores | Counted) -> float:
    """Return the share of mated scores below the threshold.

    >>> fnmr(0.5, np.array([0.1, 0.5, 0.7, 0.9]))
    0.25
    """
    own = counted(mated)
    return (own.total - own.at_or_above(threshold)) / own.total


def rates_at(threshold: float, *, mated: Scores | Counted, non_mated: Scores | Counted) -> Rates:
    """Return both error rates at one threshold.

    >>> rates_at(0.5, mated=np.array([0.4, 0.6]), non_mated=np.array([0.0, 0.1, 0.2, 0.5]))
    Rates(threshold=0.5, fmr=0.25, fnmr=0.5)
    """
    return Rates(threshold, fmr(threshold, non_mated), fnmr(threshold, mated))


def det(*, mated: Scores | Counted, non_mated: Scores | Counted) -> DetCurve:
    """Return the DET points: both rates at every observed score and at the next number above the highest.

    FMR falls and FNMR rises along the curve, from FMR = 1 and FNMR = 0 to FMR = 0 and FNMR = 1.

    >>> curve = det(mated=np.array([0.4, 0.6]), non_mated=np.array([0.0, 0.4]))
    >>> curve.fmr.tolist(), curve.fnmr.tolist()  # at 0.0, 0.4, 0.6 and just above
    ([1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 1.0])
    """
    own, other = counted(mated), counted(non_mated)
    thresholds = counted(np.concatenate((own.scores, other.scores))).observed
    return DetCurve(
        thresholds, (other.total - other.under(thresholds)) / other.total, own.under(thresholds) / own.total
    )


def eer(*, mated: Scores | Counted, non_mated: Scores | Counted) -> Rates:
    """Return the rates where they are nearest to one another; the EER is their mean.

    Two step functions rarely meet: of the thresholds with the smallest difference the lowest mean is taken.

    >>> eer(mated=np.array([0.3, 0.6, 0.7, 0.8]), non_mated=np.array([0.0, 0.1, 0.2, 0.5]))
    Rates(threshold=0.5, fmr=0.25, fnmr=0.25)
    """
    curve = det(mated=mated, non_mated=non_mated)
    gap, mean = np.abs(curve.fmr - curve.fnmr), (curve.fmr + curve.fnmr) / 2
    best = int(np.lexsort((mean, gap))[0])
    return Rates(float(curve.thresholds[best]), float(curve.fmr[best]), float(curve.fnmr[best]))


def equal_error_rate(*, mated: Scores | Counted, non_mated: Scores | Counted) -> float:
    """Return the mean of both rates where they are nearest to one another.

    >>> equal_error_rate(mated=np.array([0.2, 0.6]), non_mated=np.array([0.0, 0.4]))
    0.5
    """
    point = eer(mated=mated, non_mated=non_mated)
    return (point.fmr + point.fnmr) / 2


def threshold_at(target: float, non_mated: Scores | Counted) -> OperatingPoint:
    """Return the lowest observed score whose FMR is at most the target.

    Equal scores stand or fall together. Where even the highest score matches too often (target < 1/n, or ties at the
    top), the threshold is the next number above it: nobody of these matches, and `supported` says what that is worth.
    It compares networks on the same scores; who reports a rate for a target asks `supported_threshold`.

    Args:
        target: FMR wanted, in (0, 1].
        non_mated: Scores of strangers.

    >>> threshold_at(0.25, np.array([0.1, 0.2, 0.3, 0.4]))
    OperatingPoint(threshold=0.4, fmr=0.25, supported=False)
    """
    if not 0.0 < target <= 1.0:
        raise ValueError("a target FMR lies in (0, 1]")
    other = counted(non_mated)
    observed = other.observed
    rates = (other.total - other.under(observed)) / other.total
    first = int(np.argmax(rates <= target))  # the last is 0, so there is one
    return OperatingPoint(float(observed[first]), float(rates[first]), supported=other.total * target >= RULE_OF_THREE)


def supported_threshold(target: float, non_mated: Scores | Counted) -> OperatingPoint:
    """Return `threshold_at` the target, where the scores are many enough to have seen such an FMR.

    Raises:
        UnsupportedTargetError: Not one match is expected, |N| * target < 1: the threshold would be a guess.

    >>> supported_threshold(0.25, np.array([0.1, 0.2, 0.3, 0.4])).threshold
    0.4
    >>> supported_threshold(0.1, np.array([0.1, 0.2, 0.3, 0.4]))
    Traceback (most recent call last):
    facegate.core.rates.UnsupportedTargetError: 4 non-mated scores support no FMR of 0.1; it takes 10
    """
    other = counted(non_mated)
    if other.total * target < 1.0:
        needed = math.ceil(1.0 / target)
        raise UnsupportedTargetError(f"{other.total} non-mated scores support no FMR of {target:g}; it takes {needed}")
    return threshold_at(target, other)


def fnmr_at_fmr(target: float, *, mated: Scores | Counted, non_mated: Scores | Counted) -> Rates:
    """Return the rates at the threshold that `threshold_at` chooses on the same non-mated scores.

    >>> fnmr_at_fmr(0.25, mated=np.array([0.3, 0.6]), non_mated=np.array([0.1, 0.2, 0.3, 0.4]))
    Rates(threshold=0.4, fmr=0.25, fnmr=0.5)
    """
    return rates_at(threshold_at(target, non_mated).threshold, mated=mated, non_mated=non_mated)


def accuracy(threshold: float, *, mated: Scores | Counted, non_mated: Scores | Counted) -> float:
    """Return the share of all comparisons that the threshold judges rightly.

    >>> accuracy(0.5, mated=np.array([0.4, 0.6]), non_mated=np.array([0.0, 0.4]))
    0.75
    """
    own, other = counted(mated), counted(non_mated)
    right = own.at_or_above(threshold) + other.total - other.at_or_above(threshold)
    return right / (own.total + other.total)


def most_accurate(*, mated: Scores | Counted, non_mated: Scores | Counted) -> float:
    """Return the threshold with the highest accuracy on these scores, the lowest of equals.

    >>> most_accurate(mated=np.array([0.4, 0.6]), non_mated=np.array([0.0, 0.3]))
    0.4
    """
    own, other = counted(mated), counted(non_mated)
    thresholds = counted(np.concatenate((own.scores, other.scores))).observed
    errors = other.total - other.under(thresholds) + own.under(thresholds)
    return float(thresholds[int(np.argmin(errors))])


# --- bounds ---------------------------------------------------------------------------------------------------------


def clopper_pearson(errors: int, trials: int, confidence: float = 0.95) -> Bounds:
    """Return the exact two-sided bounds of a binomial rate (Clopper and Pearson 1934).

    The lower bound is the rate at which so many errors or more have probability (1 - confidence) / 2, the upper one
    that at which so many or fewer have. It is valid for independent trials; comparisons that share people are not.

    >>> clopper_pearson(0, 100).lower, round(clopper_pearson(0, 100).upper, 5)
    (0.0, 0.03622)
    """
    _check_counts(errors, trials)
    half = (1.0 - confidence) / 2.0
    lower = 0.0 if errors == 0 else _rate_where(lambda p: beta_cdf(p, errors, trials - errors + 1), half)
    return Bounds(lower, upper_bound(errors, trials, 1.0 - half))


def upper_bound(errors: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound: the rate is at most this with the given confidence.

    >>> round(upper_bound(0, 1000), 6)  # the rule of three says 0.003
    0.002991
    """
    _check_counts(errors, trials)
    if errors == trials:
        return 1.0
    return _rate_where(lambda p: beta_cdf(p, errors + 1, trials - errors), confidence)


def _check_counts(errors: int, trials: int) -> None:
    if not 0 <= errors <= trials or trials < 1:
        raise ValueError("errors lie between 0 and the trials, of which there is at least one")


def _rate_where(cumulative: Callable[[float], float], level: float) -> float:
    """Return the rate at which a rising function of it reaches a level, by bisection in the logarithm where small."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = math.sqrt(low * high) if low > 0.0 else high / 2.0
        if middle <= low or middle >= high or high - low <= 1e-14 * high:
            break
        low, high = (middle, high) if cumulative(middle) < level else (low, middle)
    return high


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) for a, b > 0, x in [0, 1].

    By its continued fraction (DLMF 8.17.22), on the side of the mean where that converges fast.
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_cdf(1.0 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return min(1.0, math.exp(front) * _beta_fraction(x, a, b) / a)


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Evaluate the continued fraction of I_x(a, b) by Lentz's method, two steps (even, odd) at a time."""
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / (1.0 + even * d), 1.0 + even / c
        value *= c * d
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / (1.0 + odd * d), 1.0 + odd / c
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:  # noqa: PLR2004 - as near as double precision comes
            break
    return value
