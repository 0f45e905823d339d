"""Error rates by group of people: whether the shipped threshold holds for everybody, and whom it has to hold for.

A group's FMR is that of non-mated comparisons within the group: a stranger of one's own group is the one who is most
often taken for one. Its ratio to the FMR of all non-mated comparisons tells how far the whole's figure flatters it.
A few people look alike by chance: a group counts as faring worse only where draws of its people say so, and leaving
out any one of them as well.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.calibration import Calibration, WorstGroup
from facegate.core.counted import NotEnoughScoresError
from facegate.core.jackknife import least_fmr
from facegate.core.rates import Bounds
from facegate.core.resampling import Comparisons, Draw, bounds_of, trial_of
from facegate.errors import UnusableInputError
from facegate.verifier.evaluation.figures import LEAST_PEOPLE, SEED, Scored, share

TELLING_FMR: Final = 1e-3
"""Groups are held against the whole at the threshold for this: a stricter one leaves small groups no false matches."""


def read_groups(listing: Path) -> dict[str, str]:
    """Read a list of people's groups: two columns parted by a tab, person (the folder's name) and group.

    Raises:
        UnusableInputError: It cannot be read, or a line names no person and group.
    """
    try:
        with listing.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableInputError(f"{listing} cannot be read", "Name a text file: person, tab, group, a line") from error
    groups: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        if len(row) != 2 or not all(row) or groups.setdefault(row[0], row[1]) != row[1]:  # noqa: PLR2004
            raise UnusableInputError(
                f"{listing}:{number} is no person and group", "Write person, tab, group; each person in one group"
            )
    return groups


def by_group(scored: Scored, names: Sequence[str], groups: Mapping[str, str], threshold: float) -> dict[str, Any]:
    """Return both error rates of each group at the shipped threshold, and the worst of them against the whole.

    Args:
        scored: All comparisons of a folder.
        names: Of the people, in their order.
        groups: Group of each person; who is in none counts in the whole only.
        threshold: The shipped one.

    Raises:
        UnusableInputError: Nobody in the folder is in a group, or too many strangers match to have kept them all.
    """
    group_of = np.array([groups.get(name, "") for name in names])
    known = sorted({group for group in group_of if group})
    if not known:
        raise UnusableInputError("Nobody in the folder is in a group", "List the folders' names in the first column")
    if not scored.whole and not threshold > float(scored.top.scores.min()):
        raise UnusableInputError("The threshold lets too many strangers in to tell by group", "Lower --max-fmr")
    whole = share(scored.non_mated.at_or_above(threshold), scored.non_mated.total)
    rows = {group: _group(scored, group_of == group, threshold, whole["rate"]) for group in known}
    rated = [group for group in known if rows[group]["fmr_ratio"] is not None]
    worst = max(rated, key=lambda group: float(rows[group]["fmr_ratio"]), default=None)
    return {
        "threshold": threshold,
        "whole_fmr": whole,
        "by_group": rows,
        "worst_fmr": None if worst is None else {"group": worst, "ratio": rows[worst]["fmr_ratio"]},
        "people_without_group": int((group_of == "").sum()),
        "means": "FMR within the group; ratio to the FMR of all non-mated comparisons",
    }


def set_by_worst(
    calibration: Calibration, scored: Scored, names: Sequence[str], groups: Mapping[str, str]
) -> Calibration:
    """Return the calibration of people as that of the group among them that fares worst; as it is where none does.

    Args:
        calibration: Of everybody there.
        scored: All comparisons of the same people.
        names: Of the people, in their order.
        groups: Group of each person.

    Raises:
        UnusableInputError: Nobody is in a group, or there are too few comparisons to tell.
    """
    threshold = calibration.threshold(TELLING_FMR)
    if threshold is None:
        raise UnusableInputError(
            f"{calibration.non_mated} non-mated comparisons are too few to hold groups against",
            "Give photos of more people, or leave out --groups",
        )
    found = by_group(scored, names, groups, threshold)
    worst = worst_group(found["by_group"], found["whole_fmr"]["rate"])
    return calibration if worst is None else calibration.set_by(worst)


def worst_group(rows: Mapping[str, Mapping[str, Any]], whole: float) -> WorstGroup | None:
    """Return the group that fares worst, of those that fare worse than the whole by more than chance.

    Args:
        rows: Figures of each group at one threshold, as `by_group` gives them.
        whole: FMR of everybody there.

    Returns:
        None where no group does: its lower bound over people is not above the whole's FMR, or it has too few people.
    """
    worse = {
        name: fmr["rate"] / whole
        for name, row in rows.items()
        if whole and (fmr := row["fmr"]) and fmr["people_lower"] is not None and fmr["people_lower"] > whole
    }
    return max((WorstGroup(*one) for one in worse.items()), key=lambda group: group.ratio, default=None)


def _group(scored: Scored, members: NDArray[np.bool_], threshold: float, whole: float) -> dict[str, Any]:
    """Return the figures of one group; a rate without comparisons is null."""
    comparable = scored.comparable if scored.comparable is not None else np.zeros(scored.people, np.int64)
    mine = np.where(members, comparable, 0)
    non_mated = int(mine.sum() ** 2 - (mine**2).sum()) // 2
    within = scored.top.where(members[scored.top.left] & members[scored.top.right])
    mated = scored.tries
    mated = mated.where(members[mated.left])
    false_matches, missed = int((within.scores >= threshold).sum()), int((mated.scores < threshold).sum())
    try:
        if int((mine > 0).sum()) < LEAST_PEOPLE:
            raise NotEnoughScoresError("too few people to draw from")  # noqa: TRY301 - as for too few comparisons
        trial = trial_of(mated, within, scored.people, mine, threshold)
        drawn = bounds_of(trial, rates_of(threshold), np.random.default_rng(SEED))
        few = _of_few(drawn["fmr"], within.where(within.scores >= threshold), mine)
        bounds: dict[str, Bounds | None] = {"fmr": few, "fnmr": drawn["fnmr"]}
    except NotEnoughScoresError:  # a group of one, or without a stranger near the threshold: exact bounds have to do
        bounds = dict.fromkeys(("fmr", "fnmr"))
    fmr = share(false_matches, non_mated, bounds["fmr"]) if non_mated else None
    return {
        "people": int(members.sum()),
        "photos": int(mine.sum()),
        "mated": len(mated),
        "non_mated": non_mated,
        "fmr": fmr,
        "fnmr": share(missed, len(mated), bounds["fnmr"]) if len(mated) else None,
        "fmr_ratio": fmr["rate"] / whole if fmr and whole else None,
    }


def _of_few(drawn: Bounds | None, false_matches: Comparisons, photos: NDArray[np.int64]) -> Bounds | None:
    """Return bounds over people whose lower one is the jackknife's where that is lower: so it is in small groups."""
    least = least_fmr(false_matches.left, false_matches.right, photos)
    return drawn if drawn is None or least is None else Bounds(min(drawn.lower, least), drawn.upper)


def rates_of(threshold: float) -> dict[str, Callable[[Draw], float]]:
    """Return both rates at a threshold, as figures of a draw."""
    return {"fmr": lambda drawn: drawn.fmr(threshold), "fnmr": lambda drawn: drawn.fnmr(threshold)}
