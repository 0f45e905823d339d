"""Error rates of comparison scores: FMR, FNMR, EER, DET points, thresholds and bounds.

Scores are similarities: higher is more alike. With mated scores M, non-mated scores N and a threshold t:

    FMR(t)  = |{s in N : s >= t}| / |N|        FNMR(t) = |{s in M : s < t}| / |M|

so a score equal to the threshold matches. Scores are finite: NaN < t is false and would pass for a match.
Terms: ISO/IEC 19795-1. A picture without a usable face is a failure to acquire, never a comparison; who counts it as an
error adds it to the mated errors, as `commands.evaluate` does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
"""Floating, shape (n,), finite, higher is more alike."""

RULE_OF_THREE: Final = 3.0
"""No error in n independent trials: the rate is below 3/n with 95 % confidence."""


class NotEnoughScoresError(ValueError):
    """There is no score, so the rate has no value."""


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
    ordered = np.sort(np.asarray(scores, np.float64))
    if ordered.ndim != 1 or not np.isfinite(ordered).all():
        raise ValueError("scores are a vector of finite numbers")
    if not len(ordered):
        raise NotEnoughScoresError("no scores, so the rate has no value")
    return ordered


def fmr(threshold: float, non_mated: Scores) -> float:
    """Return the share of non-mated scores at or above the threshold.

    >>> fmr(0.5, np.array([0.1, 0.2, 0.5, 0.9]))
    0.5
    """
    ordered = checked(non_mated)
    return float(len(ordered) - np.searchsorted(ordered, threshold, "left")) / len(ordered)


def fnmr(threshold: float, mated: Scores) -> float:
    """Return the share of mated scores below the threshold.

    >>> fnmr(0.5, np.array([0.1, 0.5, 0.7, 0.9]))
    0.25
    """
    ordered = checked(mated)
    return float(np.searchsorted(ordered, threshold, "left")) / len(ordered)


def rates_at(threshold: float, *, mated: Scores, non_mated: Scores) -> Rates:
    """Return both error rates at one threshold."""
    return Rates(threshold, fmr(threshold, non_mated), fnmr(threshold, mated))


def det(*, mated: Scores, non_mated: Scores) -> DetCurve:
    """Return the DET points: both rates at every observed score and at the next number above the highest.

    FMR falls and FNMR rises along the curve, from FMR = 1 and FNMR = 0 to FMR = 0 and FNMR = 1.
    """
    own, other = checked(mated), checked(non_mated)
    observed = np.unique(np.concatenate((own, other)))
    thresholds = np.append(observed, np.nextafter(observed[-1], np.inf))
    return DetCurve(
        thresholds,
        (len(other) - np.searchsorted(other, thresholds, "left")) / len(other),
        np.searchsorted(own, thresholds, "left") / len(own),
    )


def eer(*, mated: Scores, non_mated: Scores) -> Rates:
    """Return the rates where they are nearest to one another; the EER is their mean.

    Two step functions rarely meet: of the thresholds with the smallest difference the lowest mean is taken.
    """
    curve = det(mated=mated, non_mated=non_mated)
    gap, mean = np.abs(curve.fmr - curve.fnmr), (curve.fmr + curve.fnmr) / 2
    best = int(np.lexsort((mean, gap))[0])
    return Rates(float(curve.thresholds[best]), float(curve.fmr[best]), float(curve.fnmr[best]))


def equal_error_rate(*, mated: Scores, non_mated: Scores) -> float:
    """Return the mean of both rates where they are nearest to one another."""
    point = eer(mated=mated, non_mated=non_mated)
    return (point.fmr + point.fnmr) / 2


def threshold_at(target: float, non_mated: Scores) -> OperatingPoint:
    """Return the lowest observed score whose FMR is at most the target.

    Equal scores stand or fall together. Where even the highest score matches too often (target < 1/n, or ties at the
    top), the threshold is the next number above it: nobody of these matches, and `supported` says what that is worth.

    Args:
        target: FMR wanted, in (0, 1].
        non_mated: Scores of strangers.

    >>> threshold_at(0.25, np.array([0.1, 0.2, 0.3, 0.4]))
    OperatingPoint(threshold=0.4, fmr=0.25, supported=False)
    """
    if not 0.0 < target <= 1.0:
        raise ValueError("a target FMR lies in (0, 1]")
    ordered = checked(non_mated)
    observed = np.append(np.unique(ordered), np.nextafter(ordered[-1], np.inf))
    rates = (len(ordered) - np.searchsorted(ordered, observed, "left")) / len(ordered)
    first = int(np.argmax(rates <= target))  # the last is 0, so there is one
    return OperatingPoint(float(observed[first]), float(rates[first]), supported=len(ordered) * target >= RULE_OF_THREE)


def fnmr_at_fmr(target: float, *, mated: Scores, non_mated: Scores) -> Rates:
    """Return the rates at the threshold that `threshold_at` chooses on the same non-mated scores."""
    return rates_at(threshold_at(target, non_mated).threshold, mated=mated, non_mated=non_mated)


def accuracy(threshold: float, *, mated: Scores, non_mated: Scores) -> float:
    """Return the share of all comparisons that the threshold judges rightly."""
    own, other = checked(mated), checked(non_mated)
    right = (1 - fnmr(threshold, own)) * len(own) + (1 - fmr(threshold, other)) * len(other)
    return float(right / (len(own) + len(other)))


def most_accurate(*, mated: Scores, non_mated: Scores) -> float:
    """Return the threshold with the highest accuracy on these scores, the lowest of equals."""
    own, other = checked(mated), checked(non_mated)
    curve = det(mated=own, non_mated=other)
    errors = np.rint(curve.fmr * len(other) + curve.fnmr * len(own))
    return float(curve.thresholds[int(np.argmin(errors))])


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


# --- people, not comparisons, are independent ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Scores with the people who were compared; for mated comparisons both are the same.

    Attributes:
        scores: Floating, shape (n,).
        left: int64, shape (n,): number of the one person.
        right: int64, shape (n,): number of the other.
    """

    scores: Scores
    left: NDArray[np.int64]
    right: NDArray[np.int64]


def bootstrap(
    rate: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
    *,
    mated: Comparisons,
    non_mated: Comparisons,
    generator: np.random.Generator,
    rounds: int = 1000,
    confidence: float = 0.95,
) -> Bounds:
    """Return percentile bounds of a rate, drawing people, since comparisons that share a person are not independent.

    Each round draws as many people as there are, with replacement. A comparison counts as often as its people were
    drawn: a mated one n(person) times, a non-mated one n(left) * n(right) times.

    Args:
        rate: Gives the rate from the weights of the mated and of the non-mated comparisons, such as
            `weighted_fnmr_at_fmr` with its scores filled in; may return NaN for a round without comparisons.
        mated: Comparisons within people.
        non_mated: Comparisons across people.
        generator: Source of the draws.
        rounds: How many.
        confidence: Of the two-sided bounds.

    Raises:
        NotEnoughScoresError: No round had a value.
    """
    people = np.unique(np.concatenate((mated.left, non_mated.left, non_mated.right)))
    own = np.searchsorted(people, mated.left)
    left, right = np.searchsorted(people, non_mated.left), np.searchsorted(people, non_mated.right)
    drawn = np.empty(rounds)
    for at in range(rounds):
        times = np.bincount(generator.integers(len(people), size=len(people)), minlength=len(people)).astype(np.float64)
        drawn[at] = rate(times[own], times[left] * times[right])
    valid = drawn[np.isfinite(drawn)]
    if not len(valid):
        raise NotEnoughScoresError("no round had comparisons enough for the rate")
    low, high = np.quantile(valid, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Bounds(float(low), float(high))


def weighted_fnmr_at_fmr(
    target: float, mated: Scores, non_mated: Scores, weights: NDArray[np.float64], others: NDArray[np.float64]
) -> float:
    """Return the FNMR at the threshold for a target FMR where each comparison counts by its weight; NaN without any."""
    if not weights.sum() or not others.sum():
        return math.nan
    order = np.argsort(-np.asarray(non_mated, np.float64), kind="stable")
    ranked = np.asarray(non_mated, np.float64)[order]
    passing = np.cumsum(others[order]) / others.sum()
    last_of_ties = np.append(ranked[1:] != ranked[:-1], True)  # equal scores stand or fall together
    allowed = ranked[last_of_ties & (passing <= target)]
    threshold = allowed[-1] if len(allowed) else np.nextafter(ranked[0], np.inf)
    return float(weights[np.asarray(mated) < threshold].sum() / weights.sum())
