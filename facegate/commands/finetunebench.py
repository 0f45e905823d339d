"""`facegate bench finetune`: what fine-tuning is worth to households that it has never met."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegate.commands.options import LARGEST_SEED
from facegate.commands.output import print_json, print_table, say, warn
from facegate.errors import UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facegate.siamese.corpus import Source
    from facegate.siamese.tuning.bench import Bench, Told

LOST_MOST = 1e-3
"""So much accuracy on good photos of other people may be lost."""


def finetune(  # noqa: PLR0917 - typer passes options by name
    people: Annotated[list[Path], typer.Option("--people", help="Folder of people's folders; repeatable.")],
    households: Annotated[int, typer.Option("--households", min=1, help="Of each size; lights take turns.")] = 9,
    sizes: Annotated[str, typer.Option("--sizes", help="Only these, counted from 0, with commas between.")] = "",
    strangers: Annotated[int, typer.Option("--strangers", min=10, help="Pictures of strangers a household.")] = 600,
    pairs: Annotated[Path | None, typer.Option("--pairs", help="Pairs of good photos, of the folder before.")] = None,
    model: Annotated[str, typer.Option("--model", help="Name of a model; empty: the one in charge.")] = "",
    crops: Annotated[Path | None, typer.Option("--crops", help="Folder of aligned crops, kept.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of households and learning.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fine-tune households drawn from people whom no network has seen, and count every candidate on unseen pictures."""
    from facegate.siamese.finetuning import Recipe  # noqa: PLC0415
    from facegate.siamese.networks import use_threads  # noqa: PLC0415
    from facegate.siamese.tuning.bench import SIZES, Bench  # noqa: PLC0415
    from facegate.siamese.tuning.households import households as drawn_ones  # noqa: PLC0415
    from facegate.siamese.tuning.households import people_of  # noqa: PLC0415
    from facegate.verifier.library import library_of  # noqa: PLC0415

    settings = load_settings()
    chosen = library_of(settings).load(model)
    use_threads(settings.verifier.threads)
    with tempfile.TemporaryDirectory(prefix="facegate-bench-") as folder:
        sources = aligned(people, crops or Path(folder))
        recipe = replace(Recipe(), seed=seed, threads=settings.verifier.threads)
        bench = Bench(chosen.folder, recipe, chosen.at_doors, settings.gate.margin)
        known = None if pairs is None else pairs_of(bench, sources, pairs)
        wanted = [SIZES[at] for at in picked(sizes, len(SIZES))]
        told = []
        for drawn in drawn_ones(people_of(sources), wanted, households, seed, strangers):
            one = bench.tell(drawn, known)
            told.append(one)
            if not as_json:
                warn(f"{one.size}, {one.light}: " + "; ".join(f"{t:g} {v}" for t, v in one.verdicts.items()))
    documents = [summary([one for one in told if one.size == size]) for size in wanted]
    if as_json:
        print_json({"model": chosen.id, "seed": seed, "people": [str(path) for path in people], "sizes": documents})
        return
    say(f"{chosen.id}, {len(told)} households of {', '.join(path.name for path in people)}, seed {seed}")
    for document in documents:
        show(document)


def picked(listed: str, count: int) -> list[int]:
    """Return the numbers of a list such as `0,2`, or all.

    Raises:
        UnusableInputError: It is none.
    """
    try:
        chosen = [int(word) for word in listed.split(",")] if listed else list(range(count))
    except ValueError:
        chosen = [-1]
    if not all(0 <= at < count for at in chosen):
        raise UnusableInputError(f"{listed!r} names no sizes", f"Give numbers from 0 to {count - 1}")
    return chosen


def aligned(people: "Sequence[Path]", crops: Path) -> "list[Source]":
    """Return the aligned crops of folders of people."""
    from facegate.siamese.corpus import align_source, read_source  # noqa: PLC0415
    from facegate.vision.detect import YuNetDetector  # noqa: PLC0415

    detector = YuNetDetector(load_settings().vision.detector)
    for folder in people:
        align_source(folder.parent, folder.name, detector, crops)
    return [read_source(crops, folder.name) for folder in people]


def pairs_of(bench: "Bench", sources: "Sequence[Source]", listing: Path) -> Any:
    """Return the pairs of the source that the list is of.

    Raises:
        UnusableInputError: It is of none of them, or cannot be read.
    """
    try:
        first = listing.read_text("utf-8").split("/", 1)[0]
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInputError(f"{listing} cannot be read", "Name a text file with a pair a line") from error
    source = next((source for source in sources if source.name == first), None)
    if source is None:
        raise UnusableInputError(f"{listing} is of {first!r}", "Name the list of one of the folders of people")
    return bench.pairs_of(source, listing)


def summary(told: "Sequence[Told]") -> dict[str, Any]:
    """Return the figures of households of one size, for JSON."""
    from facegate.siamese.tuning.bench import TARGETS, bars, doors, table  # noqa: PLC0415

    return {
        "size": str(told[0].size),
        "targets": [{"bars": bars(told, target), "candidates": table(told, target)} for target in TARGETS],
        "doors": doors(told),
        "households": [
            {"light": one.light, "verdicts": {f"{t:g}": str(v) for t, v in one.verdicts.items()},
             "reasons": {f"{t:g}": why for t, why in one.reasons.items()}, "seconds": one.seconds}
            for one in told
        ],
    }  # fmt: skip


def counted(share: dict[str, Any]) -> str:
    """Return a rate with its counts."""
    return f"{share['rate']:.1e} ({share['count']} of {share['of']})"


def show(document: dict[str, Any]) -> None:
    """Print the tables of one size."""
    for target in document["targets"]:
        bars = target["bars"]
        print_table(
            f"{document['size']}: {bars['households']} households, at an outsiders' FMR of {bars['target_fmr']:g}",
            ("candidate", "mean FNMR", "of the champion's", "better", "worse", "outsiders' FMR"),
            [
                (
                    row["candidate"],
                    f"{row['fnmr']:.1%}",
                    f"{row['relative']:.2f}",
                    row["better"],
                    row["worse"],
                    counted(row["outsiders_fmr"]),
                )
                for row in target["candidates"]
            ],
        )
        if bars["promoted"]:
            say(
                f"promoted {bars['promoted']} of {bars['households']}, refused {bars['refused']}: FNMR"
                f" {bars['fnmr_before']:.1%} -> {bars['fnmr_after']:.1%}, better in {bars['better']}, worse in"
                f" {bars['worse']}; outsiders' FMR {bars['outsiders_fmr']['rate']:.1e}"
            )
        else:
            say(f"promoted none of {bars['households']}, refused {bars['refused']}")
        if bars["pairs_change_mean"] is not None:
            kept = "kept" if bars["pairs_change_least"] >= -LOST_MOST else "MISSED"
            say(f"good photos of other people: {bars['pairs_change_mean']:+.3%} accuracy, at worst"
                f" {bars['pairs_change_least']:+.3%} ({kept})")  # fmt: skip
        say(f"{bars['seconds_mean']:.1f} s a run")
    print_table(
        f"{document['size']}: at the household's door, a picture a visit",
        ("who", "share of visits", "armed", "users missed", "strangers let in"),
        [
            (
                row["who"],
                f"{row['target_far_per_visit']:g}",
                row["armed"],
                counted(row["missed"]),
                counted(row["strangers_let_in"]),
            )
            for row in document["doors"]
        ],
    )
