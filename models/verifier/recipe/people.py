"""Whom the recipes measure a network on: aligned photos of sources, without wrong labels, and groups among them."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegate.core.calibration import Calibration
from facegate.core.comparison import Templates
from facegate.core.levelling import Levelling
from facegate.siamese.corpus import Source, align_source, read_source
from facegate.siamese.teaching import blocks
from facegate.verifier.card import Card
from facegate.verifier.evaluation.allpairs import score_people
from facegate.verifier.evaluation.figures import Scored
from facegate.verifier.evaluation.groups import TELLING_FMR, by_group, read_groups, worst_group
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.photos import Photo
from facegate.vision.detect import YuNetDetector

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What a network says of some people: who is on each photo, and templates, float32 (n, d)."""

    people: list[str]
    templates: Templates

    @property
    def numbers(self) -> "NDArray[np.int64]":
        """Who is on each photo, int64 (n,)."""
        return np.unique(self.people, return_inverse=True)[1].astype(np.int64)

    def scored(self, levelling: Levelling | None) -> tuple[Scored, list[str]]:
        """Compare all photos with one another; what became of it, and the people in their order.

        Args:
            levelling: What is taken off the scores; None: nothing.
        """
        photos: dict[str, list[Photo]] = {}
        for person, template in zip(self.people, self.templates, strict=True):
            photos.setdefault(person, []).append(Photo(Path(person), template))
        return score_people(photos, levelling=levelling), list(photos)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network that is asked, and its card."""

    card: Card
    extractor: OnnxExtractor

    def told_of(self, sources: Sequence[Source]) -> Told:
        """Ask about sources; who has the same name in two is one person."""
        alignment = self.card.contract.alignment
        said = [self.extractor.extract(seen) for source in sources for seen in blocks(source, alignment)]
        return Told([person for source in sources for person in source.people], np.concatenate(said))


@dataclass(frozen=True, slots=True)
class Place:
    """Where photos are (`data`), and where their crops go (`work`)."""

    data: Path
    work: Path

    def source(self, name: str) -> Source:
        """Return the crops of a source, aligned now if it was not yet."""
        align_source(self.data, name, YuNetDetector(), self.work / "crops")
        return read_source(self.work / "crops", name)

    def part(self, path: str) -> Source:
        """Return the crops of a source, or of a folder of it: `name` or `name/folder`."""
        source = self.source(path.partition("/")[0])
        return taken(source, [row for row, photo in enumerate(source.paths) if photo.startswith(f"{path}/")])


def set_by_group(
    whole: Calibration, lfw: Told, network: Network, place: Place, given: argparse.Namespace
) -> Calibration:
    """Return a calibration as that of the group that fares worst by more than chance, if one does; print all of them.

    Args:
        whole: Of everybody.
        lfw: LFW's people, some of whom are in groups.
        network: The network.
        place: Where the regions' sources are.
        given: `groups`, a list of LFW's people, and `region`, a source each: `NAME=SOURCE[/FOLDER]`.
    """
    threshold = whole.threshold(TELLING_FMR)
    if threshold is None:
        return whole
    scores = whole.counted_non_mated()
    share = scores.at_or_above(threshold) / scores.total
    rows: dict[str, dict[str, Any]] = {}
    if given.groups is not None:
        rows |= by_group(*lfw.scored(whole.levelling), read_groups(given.groups), threshold)["by_group"]
    for region in given.region:
        name, _, path = region.partition("=")
        scored, people = network.told_of([place.part(path)]).scored(whole.levelling)
        rows |= by_group(scored, people, dict.fromkeys(people, name), threshold)["by_group"]
    print(f"everybody: FMR {share:.3%} at {threshold}")
    for name, row in rows.items():
        ratio = row["fmr"]["rate"] / share
        print(f"{name}: {row['people']} people, {row['photos']} photos, {ratio:.2f} times everybody's FMR")
        for kind in ("fmr", "fnmr"):
            told = {key: row[kind][key] for key in ("rate", "count", "of", "people_lower", "people_upper")}
            print(f"  {kind}: {json.dumps(told)}")
    worst = worst_group(rows, share)
    return whole if worst is None else whole.set_by(worst)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what says who is in which group."""
    parser.add_argument("--groups", type=Path, help="LFW's people and their groups: person, tab, group, a line")
    parser.add_argument("--region", action="append", default=[], metavar="NAME=SOURCE[/FOLDER]")


def taken(source: Source, rows: "Sequence[int] | NDArray[np.int64]") -> Source:
    """Return some crops of a source."""
    return Source(source.name, source.crops[rows], tuple(source.paths[row] for row in rows))


def wrong_names(listing: Path) -> set[str]:
    """Return whom and which photos a list of wrong labels names: second and third column of a table with a head."""
    rows = [line.split("\t") for line in listing.read_text("utf-8").splitlines()[1:]]
    return {name for row in rows for name in row[1:3]}


def kept(source: Source, wrong: set[str]) -> Source:
    """Return a source without the people and photos that are named."""
    rows = [
        row
        for row, path in enumerate(source.paths)
        if Path(path).parent.name not in wrong and Path(path).stem not in wrong
    ]
    return taken(source, rows)
