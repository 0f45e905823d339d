"""Lists of pairs of photos: read, checked, compared.

Pairs of one person are not independent, so bounds are drawn over people, and the list has to say who they are. Where
the photos lie in folders as people do (a mated pair in one folder, a non-mated one in two), a folder is a person;
else the photos that mated pairs join are.
"""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegate.core.comparison import score
from facegate.core.counted import counted
from facegate.core.resampling import Comparisons
from facegate.errors import UnusableInputError
from facegate.verifier.evaluation.figures import Scored
from facegate.verifier.photos import Photo


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, and whether they show one person."""

    left: Path
    right: Path
    mated: bool


def read_pairs(listing: Path, root: Path, tell: Callable[[str], None] = lambda _: None) -> list[Pair]:
    """Read a list of pairs: three columns parted by tabs, path, path, and 1 for one person or 0 for two.

    Args:
        listing: The list.
        root: The folder that its paths begin in.
        tell: Is told how many lines do not count: of those that say the same of two photos all but the first, and a
            photo beside itself.

    Raises:
        UnusableInputError: It cannot be read, a line is no pair or contradicts another (the message says which), or a
            kind is missing.
    """
    if not root.is_dir():
        raise UnusableInputError(f"{root} is no folder", "Name the folder that the paths of the list begin in")
    try:
        with listing.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableInputError(f"{listing} cannot be read", "Name a text file with a pair a line") from error
    numbered = [(number, _pair(row, f"{listing}:{number}", root)) for number, row in enumerate(rows, 1) if row]
    pairs = _told_once(numbered, listing)
    if left_out := len(numbered) - len(pairs):
        tell(f"{listing}: {left_out} lines are not counted: a pair once more, or a photo beside itself")
    if {pair.mated for pair in pairs} != {True, False}:
        raise UnusableInputError(f"{listing} lacks mated or non-mated pairs", "List pairs of both kinds")
    return pairs


def _pair(row: Sequence[str], where: str, root: Path) -> Pair:
    if len(row) != 3 or row[2] not in {"0", "1"}:  # noqa: PLR2004 - path, path, label
        raise UnusableInputError(f"{where} is no pair", "Write path, tab, path, tab, 1 for one person or 0 for two")
    left, right = (Path(os.path.normpath(root / path)) for path in row[:2])  # one photo, one name
    pair = Pair(left, right, row[2] == "1")
    for path in (pair.left, pair.right):
        if not path.is_file():
            raise UnusableInputError(f"{where}: there is no {path}", "Mend the list, or name the root of its paths")
    return pair


def _told_once(numbered: Sequence[tuple[int, Pair]], listing: Path) -> list[Pair]:
    """Return the pairs of a list that does not contradict itself, each once, however its paths are written.

    Raises:
        UnusableInputError: Two photos are said to show one person and two; or one is said to show two.
    """
    resolved = {path: path.resolve() for _, pair in numbered for path in (pair.left, pair.right)}
    said: dict[frozenset[Path], tuple[int, Pair]] = {}
    for number, pair in numbered:
        photos = frozenset((resolved[pair.left], resolved[pair.right]))
        if len(photos) == 1 and not pair.mated:
            raise UnusableInputError(f"{listing}:{number}: one photo is said to show two people", "Mend the list")
        first, before = said.setdefault(photos, (number, pair))
        if before.mated != pair.mated:
            what = f"{listing}:{number} contradicts line {first}: one person, and two, on the same two photos"
            raise UnusableInputError(what, "Mend the list")
    return [pair for photos, (_, pair) in said.items() if len(photos) > 1]


def people_of(pairs: Sequence[Pair]) -> dict[Path, int]:
    """Return the number of the person on each photo, from 0."""
    photos = list(dict.fromkeys(path for pair in pairs for path in (pair.left, pair.right)))
    if all((pair.left.parent == pair.right.parent) == pair.mated for pair in pairs):
        folders = {folder: at for at, folder in enumerate(dict.fromkeys(path.parent for path in photos))}
        return {path: folders[path.parent] for path in photos}
    joined = _joined(pairs, photos)
    numbers = {first: at for at, first in enumerate(dict.fromkeys(joined.values()))}
    return {path: numbers[first] for path, first in joined.items()}


def _joined(pairs: Sequence[Pair], photos: Sequence[Path]) -> dict[Path, Path]:
    """Return for each photo the same one of all that mated pairs join with it."""
    parent = {path: path for path in photos}

    def root(path: Path) -> Path:
        while parent[path] != path:
            parent[path] = parent[parent[path]]
            path = parent[path]
        return path

    for pair in pairs:
        if pair.mated:
            parent[root(pair.left)] = root(pair.right)
    return {path: root(path) for path in photos}


def score_pairs(pairs: Sequence[Pair], photos: Mapping[Path, Photo]) -> Scored:
    """Compare each pair.

    Raises:
        UnusableInputError: There is nothing to compare of one kind.
    """
    people = people_of(pairs)
    lost = np.zeros(max(people.values()) + 1, np.int64)
    lost_others = 0
    rows: dict[bool, list[tuple[float, int, int]]] = {True: [], False: []}
    for pair in pairs:
        left, right = photos[pair.left].template, photos[pair.right].template
        if left is not None and right is not None:
            rows[pair.mated].append((score(left, right), people[pair.left], people[pair.right]))
        elif pair.mated:
            lost[people[pair.left]] += 1
        else:
            lost_others += 1
    if not rows[True] or not rows[False]:
        raise UnusableInputError("There are no comparisons of one of the two kinds", "Give more photos with a face")
    mated, non_mated = (_comparisons(rows[kind]) for kind in (True, False))
    return Scored(
        mated=mated,
        non_mated=counted(non_mated.scores),
        top=non_mated,
        lost=lost,
        non_mated_failures=lost_others,
        failures_to_acquire=sum(photo.template is None for photo in photos.values()),
        photos=len(photos),
        comparable=None,
    )


def _comparisons(rows: Sequence[tuple[float, int, int]]) -> Comparisons:
    scores, left, right = (np.array(part) for part in zip(*rows, strict=True))
    return Comparisons(scores.astype(np.float64), left.astype(np.int64), right.astype(np.int64))
