"""`facegate calibrate`: thresholds for whole visits with those who are enrolled, and the error rates behind them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from facegate.commands.output import print_json, print_table, say, warn
from facegate.errors import NotReadyError, UnusableInputError
from facegate.settings import Settings, load_settings

if TYPE_CHECKING:
    from facegate.core.arming import Arming
    from facegate.core.calibration import Calibration
    from facegate.core.comparison import Templates
    from facegate.core.policy import Door
    from facegate.verifier.library import Model

TARGETS: Final = (1e-2, 1e-3, 1e-4, 1e-5)
REFERENCES: Final = (1, 10, 100, 1000)
COHORT: Final = "cohort.npz"


def calibrate(
    people: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="A folder that holds a folder of photos a person.")
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            "--groups", metavar="FILE.tsv", help="The group that fares worst sets all: person, tab, group, a line."
        ),
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Name of a model; empty: the one in charge.")] = "",
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw score histograms and DET curves.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure the enrolled against strangers and print every door's thresholds; with DIR, measure the model anew first.

    A threshold is for the share of strangers' visits that may end in anybody's name, with so many references enrolled
    and so many frames a visit. Users who are too alike are named with their own, higher thresholds.
    """
    from facegate.commands.evaluate import check_plot  # noqa: PLC0415
    from facegate.verifier.library import library_of  # noqa: PLC0415
    from facegate.verifier.thresholds import document as thresholds_in_force  # noqa: PLC0415

    check_plot(plot)
    settings = load_settings()
    if people is not None:
        renew(people, model, groups)
    elif groups is not None:
        raise UnusableInputError("--groups tells of people whom nobody named", "Name their folder: calibrate DIR")
    chosen = library_of(settings).load(model)
    calibration, strangers = chosen.at_doors, strangers_for(chosen, settings)
    arming, doors = enrolled(chosen, settings, strangers)
    document = {
        **summary(calibration),
        **thresholds_in_force(doors, settings.gate, calibration, arming),
        "visits": visits(calibration, settings.gate.frames_per_visit / settings.gate.agreeing_frames),
        "curve": calibration.to_json()["curve"],
    }
    if plot is not None:
        draw(plot, calibration, arming, strangers, document["usual"]["threshold"])
    if as_json:
        print_json(document)
    else:
        show(document, calibration)


def strangers_for(model: "Model", settings: Settings) -> "Templates | None":
    """Return the templates of the strangers that ship with a model, made now if they were not yet or are damaged.

    They ship as features of its trunk; only this command and fine-tuning look at those, because it takes torch.
    """
    from facegate.verifier.strangers import keep_strangers, strangers_of  # noqa: PLC0415

    try:
        kept = strangers_of(settings, model)
    except NotReadyError:
        kept = None
    if kept is not None or not (model.folder / COHORT).is_file():
        return kept
    from facegate.siamese.tuning.outsiders import templates_of_outsiders  # noqa: PLC0415

    try:
        made = templates_of_outsiders(model.folder)
    except (ImportError, NotReadyError, UnusableInputError) as error:
        warn(f"the strangers of {model.id} cannot be looked at: {error}")
        return None
    keep_strangers(settings, model.id, made)
    return made


def enrolled(model: "Model", settings: Settings, strangers: "Templates | None") -> "tuple[Arming, dict[str, Door]]":
    """Measure who is enrolled, and return the doors; nobody and none where there is no database yet."""
    from facegate.core.arming import measured  # noqa: PLC0415
    from facegate.core.comparison import nobody  # noqa: PLC0415
    from facegate.storage import open_storage  # noqa: PLC0415
    from facegate.storage.opening import is_there  # noqa: PLC0415

    if not is_there(settings.database_url):
        return measured(nobody(model.id, model.card.dimension)), {}
    with open_storage(settings) as storage:
        roster = storage.gallery.roster(model.id)
    return measured(roster.references, model.at_doors, strangers), dict(roster.doors)


def renew(people: Path, name: str, listing: Path | None) -> None:
    """Calibrate a model on photos; it gets a folder of its own beside the shipped one, with the same network."""
    from facegate.commands.evaluate import read_with_progress  # noqa: PLC0415
    from facegate.verifier.calibrations import CROWD, LEVELLED, levelled_documents  # noqa: PLC0415
    from facegate.verifier.card import CALIBRATION, NETWORK  # noqa: PLC0415
    from facegate.verifier.evaluation.groups import read_groups  # noqa: PLC0415
    from facegate.verifier.foreign.importing import add_to, calibrate_on  # noqa: PLC0415
    from facegate.verifier.library import library_of  # noqa: PLC0415
    from facegate.verifier.photos import open_reader, people_in  # noqa: PLC0415
    from facegate.verifier.selftest import PROOF  # noqa: PLC0415

    settings = load_settings()
    groups = None if listing is None else read_groups(listing)
    found = people_in(people)
    model, reader = open_reader(settings, name)
    photos = iter(read_with_progress(reader, [path for own in found.values() for path in own]))
    read = {person: [next(photos) for _ in own] for person, own in found.items()}
    source = f"{people.name}: {len(found)} people, {sum(map(len, found.values()))} photos of this installation"
    calibration = at_doors = calibrate_on(model.card, read, source, groups)
    made_anew = {NETWORK, CALIBRATION, PROOF, LEVELLED, CROWD}
    more = {file: (model.folder / file).read_bytes() for file in model.card.files if file not in made_anew}
    if (levelling := model.at_doors.levelling) is not None:
        at_doors = calibrate_on(model.card, read, source, groups, levelling)
        more |= levelled_documents(at_doors)
    require_no_weaker(model.at_doors, at_doors, settings.gate.target_fmr)
    library = library_of(settings)
    folder = add_to(library, model.card, model.folder / NETWORK, calibration, reader.detector, replace=True, more=more)
    if library.ships(model.card.name):
        warn(f"{model.card.name} is calibrated by {people} from now on; delete {folder} to return to what ships")


def require_no_weaker(before: "Calibration", after: "Calibration", target: float) -> None:
    """Refuse a calibration that could arm no door where the one in force can; that one stays.

    Raises:
        UnusableInputError: The comparisons are too few for the target of doors.
    """
    if before.visit_threshold(target, references=1) is None or after.visit_threshold(target, references=1) is not None:
        return
    raise UnusableInputError(
        f"{too_few(after, target)}; the calibration in force stays, of {before.non_mated}",
        "Give photos of more people, or raise gate.target_fmr first",
    )


def too_few(calibration: "Calibration", target: float) -> str:
    """Say that a calibration's comparisons support no door."""
    return (
        f"{calibration.non_mated} comparisons of strangers support no FMR below {calibration.floor:.1e}, and doors ask"
        f" for {target:g} (gate.target_fmr)"
    )


def summary(calibration: "Calibration") -> dict[str, Any]:
    """Return the calibration without its curve, and thresholds for usual targets; null where unsupported."""
    document = {key: value for key, value in calibration.to_json().items() if key != "curve"}
    rows = []
    for target in TARGETS:
        single = calibration.threshold(target)
        thresholds = {str(count): calibration.gallery_threshold(target, count) for count in REFERENCES}
        missed = None if single is None else calibration.fnmr(single)
        rows.append({"target_fmr": target, "thresholds": thresholds, "fnmr": missed})
    return {**document, "lowest_fmr": calibration.floor, "thresholds": rows}


def visits(calibration: "Calibration", attempts: float) -> list[dict[str, Any]]:
    """Return thresholds for usual targets where each visit has so many attempts; null where unsupported."""
    return [
        {
            "target_far_per_visit": target,
            "attempts": attempts,
            "thresholds": {
                str(count): calibration.visit_threshold(target, references=count, attempts=attempts)
                for count in REFERENCES
            },
        }
        for target in TARGETS
    ]


def draw(
    plot: Path, calibration: "Calibration", arming: "Arming", strangers: "Templates | None", threshold: float | None
) -> None:
    """Draw the model's calibration, and beside it the scores of the enrolled, where there are both kinds.

    Raises:
        NotReadyError: Nothing was ever measured of the model.
    """
    from facegate.verifier.files import replace_file  # noqa: PLC0415
    from facegate.verifier.thresholds import scores_of  # noqa: PLC0415
    from facegate.vision.chart import Curve, chart, png  # noqa: PLC0415

    if not calibration.measured:
        raise NotReadyError(f"{calibration.model} is not calibrated", "Run: facegate calibrate DIR")
    mated, non_mated = calibration.counted_mated(), calibration.counted_non_mated()
    curves = [Curve("people of the calibration", mated, non_mated, threshold)]
    own, others = scores_of(arming.references, strangers)
    if len(own) and len(others):
        curves.append(Curve("the enrolled", own, others, threshold))
    told = f"{len(arming.references.users)} users, {len(arming.references)} references; line: threshold of a picture"
    replace_file(plot, png(chart(curves, f"Calibration of {calibration.model}", told)))


def show(document: dict[str, Any], calibration: "Calibration") -> None:
    """Print the report for people."""
    say(
        f"{calibration.model}: {calibration.mated.comparisons} mated and {calibration.non_mated} non-mated comparisons"
        f" of {calibration.people} people ({calibration.source})\n"
        f"lowest FMR that these support: {calibration.floor:.1e}"
    )
    if (group := calibration.worst_group) is not None:
        say(f"every FMR is that among {group.name}: there strangers match {group.ratio:.1f} times as often as at large")
    print_table(
        "Threshold by the share of strangers who may be taken for anybody enrolled, and the references enrolled",
        ("share of strangers", *(f"{count} references" for count in REFERENCES), "FNMR at 1 reference"),
        [
            (row["target_fmr"], *map(shown, row["thresholds"].values()), shown(row["fnmr"]))
            for row in document["thresholds"]
        ],
    )
    print_table(
        f"The same where a visit has {document['visits'][0]['attempts']:g} frames, each a try of its own",
        ("share of visits", *(f"{count} references" for count in REFERENCES)),
        [(row["target_far_per_visit"], *map(shown, row["thresholds"].values())) for row in document["visits"]],
    )
    gallery = document["gallery"]
    say(
        f"enrolled: {gallery['users']} users with {gallery['references']} references, gallery {gallery['digest'][:12]};"
        + (
            f" {gallery['strangers']} strangers were held against them: {gallery['strictness']:.2f} times as many as"
            " the curve says are counted on"
            if gallery["strangers"]
            else " no strangers to hold against them"
        )
    )
    doors = [{**document["usual"], "door": "(any)"}, *document["doors"]]
    print_table(
        "Thresholds in force, by the share of strangers' visits that may end in anybody's name",
        ("door", "share of visits", "a pushed picture", "frames of a hunt", "users with a higher one"),
        [
            (
                row["door"],
                f"{row['target_far_per_visit']:g}",
                armed(row["threshold"]),
                f"{armed(row['threshold_in_hunts'])} ({row['attempts']:g} tries)",
                len(row["raised"]),
            )
            for row in doors
        ],
    )
    if any((rises := gallery["rises"]).values()):
        most = max(rises, key=lambda user: float(rises[user]))
        say(
            f"each user is named from {min(rises.values()):.3f} to {rises[most]:.3f} above that, {most} most: by how"
            " little they are like the strangers whom the network knows best"
        )
    for raised in document["usual"]["raised"]:
        say(too_alike(raised))
    if not gallery["every_two_compared"]:
        warn("there are too many references to look for users who are too alike")


def too_alike(raised: dict[str, Any]) -> str:
    """Say whose threshold is raised, and by whom."""
    user, other = raised["user"], raised["too_alike"]
    if raised["threshold"] > 1:
        return (
            f"{user} and {other} cannot be told apart ({raised['score']:.3f}): {user} is never named;"
            " if they are one person, remove one of the two"
        )
    return (
        f"{user} and {other} are too alike ({raised['score']:.3f}): {user} is named from {raised['threshold']:.3f} on;"
        " enroll further photos of both, or give the door a second lock"
    )


def armed(threshold: float | None) -> str:
    """Return a threshold for a table, or that there is none."""
    return "not armed" if threshold is None else f"{threshold:.3f}"


def shown(value: float | None) -> str:
    """Return a figure for a table, or a dash where the counts support none."""
    return "-" if value is None else f"{value:.3f}"
