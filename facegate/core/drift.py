"""Drift: whether mated scores sink, for whom and at which camera; and which users are too alike.

A mated score is what a user scored when they were recognised, or when an operator said that it was them. Who is not
recognised any more leaves no mated score, so a fall is seen smaller than it is, and never larger.

Visits of one day share light and clothes and are not independent, so a day's median is one observation. The last days
are held against all before them by the rank sum test of Mann and Whitney (one-sided, normal approximation with ties;
Annals of Mathematical Statistics 18, 1947), at a level that is divided by the number of tests (Bonferroni). Whoever
falls by less than `LEAST_FALL` is not named, however sure that is. Scores of two networks are never mixed: only those
of the newest are looked at.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import References, scores

RECENT_DAYS: Final = 30
LEAST_DAYS: Final = 7
"""Days with visits that each side needs: fewer say nothing of a trend."""
LEVEL: Final = 0.01
LEAST_FALL: Final = 0.02
"""In score; a smaller fall is no reason to trouble anybody."""
BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit of somebody whose name is known: who, where, when, under which network, with which score."""

    user: str
    door: str
    camera: str
    model: str
    score: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Month:
    """Mated scores of a user at a door and camera in a month: how many visits, their median and tenth percentile."""

    month: str
    user: str
    door: str
    camera: str
    visits: int
    median: float
    low: float

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "month": self.month,
            "user": self.user,
            "door": self.door,
            "camera": self.camera,
            "visits": self.visits,
            "median": round(self.median, 4),
            "p10": round(self.low, 4),
        }


@dataclass(frozen=True, slots=True)
class Fall:
    """Scores that sink: of a user, or of everybody at a camera.

    Attributes:
        name: Slug of the user or camera.
        before: Median of the days before.
        now: Median of the last days.
        days_before: How many days those are.
        days_now: The same of the last.
        chance: Chance to see as much if nothing had changed, times the number of tests made.
    """

    name: str
    before: float
    now: float
    days_before: int
    days_now: int
    chance: float

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "before": round(self.before, 4),
            "now": round(self.now, 4),
            "days_before": self.days_before,
            "days_now": self.days_now,
            "chance": float(f"{self.chance:.2g}"),
        }


@dataclass(frozen=True, slots=True)
class Alike:
    """Two users whose most alike references score so high."""

    one: str
    other: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"users": [self.one, self.other], "score": round(self.score, 4)}


def months(visits: Iterable[Visit]) -> list[Month]:
    """Return the statistics of each month, user, door and camera, in that order."""
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for visit in visits:
        found.setdefault((f"{visit.at:%Y-%m}", visit.user, visit.door, visit.camera), []).append(visit.score)
    return [
        Month(*key, len(values), float(np.median(values)), float(np.percentile(values, 10)))
        for key, values in sorted(found.items())
    ]


def sinking_users(visits: Sequence[Visit], now: datetime) -> list[Fall]:
    """Return the users whose mated scores sink, the surest first."""
    newest = of_newest(visits)
    return _falls({user: [visit for visit in newest if visit.user == user] for user in _users(newest)}, now)


def sinking_cameras(visits: Sequence[Visit], now: datetime) -> list[Fall]:
    """Return the cameras at which everybody's scores sink, each user held against their own median.

    A camera is named only if its scores sink whichever user is left out: one user alone does not make its fall.
    """
    newest = of_newest(visits)
    middle = {user: float(np.median([v.score for v in newest if v.user == user])) for user in _users(newest)}
    level = [replace(visit, score=visit.score - middle[visit.user]) for visit in newest]
    by_camera = {name: [visit for visit in level if visit.camera == name] for name in {v.camera for v in level}}
    return [fall for fall in _falls(by_camera, now) if _is_everybodys(by_camera[fall.name], now)]


def _is_everybodys(seen: Sequence[Visit], now: datetime) -> bool:
    """Tell whether scores sink whichever user is left out."""
    without = {user: [visit for visit in seen if visit.user != user] for user in _users(seen)}
    return len(_falls(without, now)) == len(without)


def of_newest(visits: Sequence[Visit]) -> list[Visit]:
    """Return the visits that the network judged which judged last."""
    if not visits:
        return []
    model = max(visits, key=lambda visit: visit.at).model
    return [visit for visit in visits if visit.model == model]


def too_alike(references: References, bound: float) -> list[Alike]:
    """Return the pairs of users of whom two references score at least the bound, the most alike first."""
    best: dict[tuple[int, int], float] = {}
    for top in range(0, len(references), BLOCK):
        owners = references.owners[top : top + BLOCK]
        alike = scores(references.templates[top : top + BLOCK], references.templates)
        rows, columns = np.nonzero((alike >= bound) & (owners[:, None] < references.owners[None, :]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            pair = int(owners[row]), int(references.owners[column])
            best[pair] = max(best.get(pair, -1.0), float(alike[row, column]))
    named = [Alike(references.users[one], references.users[other], score) for (one, other), score in best.items()]
    return sorted(named, key=lambda pair: (-pair.score, pair.one, pair.other))


def fall_chance(before: Sequence[float], now: Sequence[float]) -> float:
    """Return the chance to see `now` this much lower than `before`, or lower, if both were drawn alike.

    >>> round(fall_chance([0.7, 0.8, 0.75, 0.72, 0.71], [0.5, 0.52, 0.55, 0.51, 0.4]), 3)
    0.006
    """
    m, n = len(before), len(now)
    ranks, ties = _ranks(np.array([*before, *now], np.float64))
    low = float(ranks[m:].sum()) - n * (n + 1) / 2  # pairs in which `now` is the higher
    variance = m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1)))
    if variance <= 0:
        return 1.0
    z = (low - m * n / 2 + 0.5) / math.sqrt(variance)
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _ranks(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return ranks from 1, equal values sharing theirs, and the sum of t^3 - t over groups of equals."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts).astype(np.float64)
    return (ends - (counts - 1) / 2)[place], float((counts.astype(np.float64) ** 3 - counts).sum())


def _falls(groups: Mapping[str, Sequence[Visit]], now: datetime) -> list[Fall]:
    since = now - timedelta(days=RECENT_DAYS)
    sides = {
        name: (_days(v for v in seen if v.at < since), _days(v for v in seen if v.at >= since))
        for name, seen in groups.items()
    }
    tested = {name: both for name, both in sides.items() if min(len(both[0]), len(both[1])) >= LEAST_DAYS}
    found = []
    for name, (before, after) in tested.items():
        chance = min(1.0, fall_chance(before, after) * len(tested))
        fall = Fall(name, float(np.median(before)), float(np.median(after)), len(before), len(after), chance)
        if chance <= LEVEL and fall.before - fall.now >= LEAST_FALL:
            found.append(fall)
    return sorted(found, key=lambda fall: (fall.chance, fall.name))


def _days(visits: Iterable[Visit]) -> list[float]:
    """Return the median score of each day that has visits."""
    found: dict[str, list[float]] = {}
    for visit in visits:
        found.setdefault(f"{visit.at:%Y-%m-%d}", []).append(visit.score)
    return [float(np.median(values)) for values in found.values()]


def _users(visits: Iterable[Visit]) -> list[str]:
    return sorted({visit.user for visit in visits})
