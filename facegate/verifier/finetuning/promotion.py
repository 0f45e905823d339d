"""A run of fine-tuning from its start to its end: gather, learn, judge, and then promote or keep, all or nothing.

What learns is handed in (`Learn`): it needs torch, and nothing here does. The order is such that a death at any moment
leaves the champion in charge and everybody known to it:

1. the run's row says `running`; whoever finds it so without the lock being held knows that the run died;
2. the challenger's folder is written whole under a draft's name, on the disk, then renamed; no row names it yet, so it
   is a leftover until the transaction below;
3. everybody's references under the challenger are made, in memory;
4. one transaction writes the references, confirmed faces, whom it was learned from, the verdict, and the champion;
5. what is beyond the bounds of the shelf is taken off in that transaction, and its folders go afterwards.
"""

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from facegate.core.calibration import Calibration
from facegate.core.ports import FaceDetector
from facegate.errors import FacegateError, NotReadyError, RefusedError
from facegate.settings import Settings
from facegate.storage import champions, runs
from facegate.storage.champions import Lead, require_position
from facegate.storage.engine import writing
from facegate.storage.frames import words
from facegate.storage.learned import learned_from, note_learned
from facegate.storage.opening import Storage
from facegate.storage.photos import NewPhoto
from facegate.storage.revision import bump
from facegate.storage.runs import Outcome, Run
from facegate.storage.shelf import surplus, take_off
from facegate.storage.users import who_is_gone
from facegate.verifier.calibrations import CROWD, LEVELLED, levelled_documents
from facegate.verifier.card import CALIBRATION, CARD, CHECKPOINT, NETWORK, Card
from facegate.verifier.files import digest_of
from facegate.verifier.finetuning import shelf
from facegate.verifier.finetuning.gathering import Material, gather
from facegate.verifier.finetuning.learned import LEARNED, Learned
from facegate.verifier.library import Library, Model, write_model
from facegate.verifier.references import templates_of
from facegate.verifier.selftest import PROOF, judge, prove, read_proof
from facegate.verifier.strangers import keep_strangers
from facegate.verifier.succession import in_one_move
from facegate.vision.chart import Curve, chart, png
from facegate.vision.detect import YuNetDetector

if TYPE_CHECKING:
    from facegate.core.comparison import Template, Templates

PROMOTED, KEPT, REFUSED = "promoted", "kept", "refused"
STEPS: Final = ("gather", "learn", "draw", "write", "place", "look", "move", "tidy")
"""What a run reports, in this order."""

Report = Callable[[str, float], None]
"""Is told the step, and how much of it is done, in [0, 1]."""


class OvertakenError(RefusedError):
    """What was learned from is not there any more: what was learned goes, too."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What came of learning, as the judge left it.

    Attributes:
        verdict: `promoted`, `kept` or `refused`.
        reason: One sentence, with figures.
        before: The champion's figures, for JSON.
        after: The challenger's.
        network: ONNX of the challenger; None where nothing was learnt or it is not to be kept.
        calibration: What its scores mean; its model id is filled in here.
        levelled: What they mean at doors, levelled; None: the same.
        frames_as_references: Under the challenger confirmed frames are references, too.
        references: What stands for each user under the challenger, float32 (users, d), in the material's order, of
            unit length; None: the templates of their photos do.
        frames_used: bool (m,): which of the material's frames were learnt from, and not left out as wrong or repeated;
            None: all.
        curves: The judge's scores, for the picture.
    """

    verdict: str
    reason: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    network: bytes | None = field(default=None, repr=False)
    calibration: Calibration | None = None
    levelled: Calibration | None = None
    frames_as_references: bool = False
    references: NDArray[np.float32] | None = field(default=None, repr=False)
    frames_used: NDArray[np.bool_] | None = field(default=None, repr=False)
    curves: tuple[Curve, ...] = ()


Learn = Callable[[Material, Path, Report], Lesson]
"""Learns from the material on the champion in a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Everything that a run needs.

    Attributes:
        storage: Where everything is; its champions are the library's pointer.
        library: The models.
        settings: The settings in force.
        learn: Learns.
        strangers: Returns what a challenger in a folder makes of the strangers that ship with it, float32 (n, d).
        report: Is told how far the run is.
    """

    storage: Storage
    library: Library
    settings: Settings
    learn: Learn
    strangers: "Callable[[Path], Templates] | None" = None
    report: Report = lambda step, share: None  # noqa: ARG005

    def run(self, *, seed: int, trigger: str = "command") -> Run:
        """Make one run and return its row; everything of it has happened, or nothing.

        Raises:
            RefusedError: Another run is going on, or what was learned from changed meanwhile.
            NotReadyError: Nobody is enrolled, a model is fixed by the settings, a challenger is in the shadow, or
                database, key or disk fails. The champion leads on.
        """
        if self.settings.verifier.model:
            raise NotReadyError(
                f"The setting verifier.model keeps {self.settings.verifier.model} in charge", "Unset it to fine-tune"
            )
        with shelf.alone(self.settings.data_dir, self.storage.engine):
            shelf.tidy(self.storage, self.library, self.settings.data_dir, _now())
            self._require_no_shadow()
            champion = self.library.load()
            self.storage.champions.begin(self.library.former(), _now())
            position = self.storage.champions.position()
            run = self.storage.runs.start(trigger=trigger, champion=champion.id, seed=seed, now=_now())
            try:
                return self._made(run, champion, position)
            except OSError as error:
                told = told_of(error, champion)
                self._failed(run, told)
                raise told from error
            except BaseException as error:
                self._failed(run, error)
                raise

    def _made(self, run: Run, champion: Model, position: int) -> Run:
        """Gather, learn, and do what the judge says."""
        self.report("gather", 0.0)
        material = gather(self.storage)
        self.storage.runs.note(run.number, data_digest=material.digest)
        lesson = self.learn(material, champion.folder, self.report)
        picture = self._drawn(run, lesson)
        outcome = Outcome(lesson.verdict, lesson.reason, lesson.before, lesson.after, picture=picture)
        if lesson.network is None or lesson.calibration is None or lesson.verdict == REFUSED:
            verdict = REFUSED if lesson.verdict == REFUSED else KEPT  # nothing was learnt that could be promoted
            return self.storage.runs.finish(run.number, replace(outcome, verdict=verdict), _now())
        challenger = self._written(run, champion, lesson)
        outcome = replace(outcome, challenger=challenger.id, on_shelf=True)
        move = Move(
            self.storage, self.settings, run, champion, challenger, material, position,
            lesson.references, lesson.frames_used,
        )  # fmt: skip
        if lesson.verdict == PROMOTED and not (unfit := self._unfit(challenger)):
            self._keep_strangers(challenger)
            done, gone = move.promote(outcome, self.report)
        else:
            reason = f"{lesson.reason}; {unfit}" if lesson.verdict == PROMOTED else lesson.reason
            done, gone = move.keep(replace(outcome, verdict=KEPT, reason=reason))
        self.report("tidy", 0.0)
        shelf.bury_models(self.library, gone)
        return done

    def _require_no_shadow(self) -> None:
        going_on = self.storage.runs.in_shadow()
        if going_on is not None:
            raise NotReadyError(
                f"The challenger of run {going_on.number} is in the shadow", "Wait until it was judged on live visits"
            )

    def _drawn(self, run: Run, lesson: Lesson) -> str | None:
        """Save the picture of the run and return its file's name."""
        if not lesson.curves:
            return None
        self.report("draw", 0.0)
        folder = self.settings.data_dir / shelf.PICTURES
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{run.number}.png"
        subtitle = f"learned on {run.champion}; the judge: {lesson.verdict}"
        path.write_bytes(png(chart(lesson.curves, f"Fine-tuning, run {run.number}", subtitle)))
        shelf.trim_pictures(self.settings.data_dir)
        return path.name

    def _written(self, run: Run, champion: Model, lesson: Lesson) -> Model:
        """Write the challenger's folder whole under a draft's name, then give it its own."""
        self.report("write", 0.0)
        name = shelf.learned_name(champion.card.name, run.number)
        draft, folder = (self.library.local_dir / part for part in (f"{shelf.DRAFT}{name}", name))
        shutil.rmtree(draft, ignore_errors=True)
        detector = YuNetDetector(self.settings.vision.detector)
        write_challenger(draft, champion, lesson, name=name, run=run.number, detector=detector)
        self.report("place", 0.0)
        shelf.place(draft, folder)
        return self.library.load(name)

    def _unfit(self, challenger: Model) -> str:
        """Say why the daemon would not start on a challenger, or nothing."""
        detector = YuNetDetector(self.settings.vision.detector)
        proof, alignment = read_proof(challenger.folder), challenger.card.contract.alignment
        try:
            judge(detector, challenger.extractor(), challenger.calibration, proof, alignment)
        except NotReadyError as error:
            return error.what
        return ""

    def _keep_strangers(self, challenger: Model) -> None:
        """Have galleries measured with strangers under the challenger, whether they were under the champion or not.

        A challenger's references are means, which draw several times as many strangers as its curve of photos says.
        """
        if self.strangers is not None:
            keep_strangers(self.settings, challenger.id, self.strangers(challenger.folder))

    def _failed(self, run: Run, error: BaseException) -> None:
        """Say in the run's row why it came to nothing; where even that fails, the next run does it."""
        reason = error.what if isinstance(error, FacegateError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(FacegateError):
            shelf.sweep(self.storage, self.library)  # first: the disk may be full of what was being written
        with contextlib.suppress(FacegateError):
            self.storage.runs.fail(run.number, reason, _now())
            if isinstance(error, OvertakenError):
                self.storage.runs.ask(run.trigger, _now())


def told_of(error: OSError, champion: Model) -> FacegateError:
    """Say what a failure of the disk means: the champion's folder may have gone with a user who was removed."""
    if not (champion.folder / NETWORK).is_file():
        return OvertakenError("The champion was taken away while it was learned on", "Start it again")
    return NotReadyError(
        f"What was learned cannot be written: {error.strerror or type(error).__name__}", "Free some space"
    )


def write_challenger(
    draft: Path, champion: Model, lesson: Lesson, *, name: str, run: int, detector: FaceDetector
) -> Card:
    """Write a challenger's folder: its network and calibration, what it takes over from the champion, and its origin.

    Raises:
        NotReadyError: The network cannot be loaded, or sees no face on a composite.
        OSError: The disk is full, or the folder cannot be written.
    """
    if lesson.network is None or lesson.calibration is None:
        raise ValueError("a challenger has a network and a calibration")
    draft.mkdir(parents=True)
    (draft / NETWORK).write_bytes(lesson.network)
    card = replace(
        champion.card,
        name=name,
        start=f"fine-tuned from {champion.id} by run {run} of this installation",
        figures={"before": dict(lesson.before), "after": dict(lesson.after)},
        files={NETWORK: digest_of(draft / NETWORK)},
    )
    made = Model(card, draft, lesson.calibration)
    own = {CARD, NETWORK, CHECKPOINT, CALIBRATION, LEVELLED, CROWD, PROOF, LEARNED, "card.md"}
    taken_over = {file: (champion.folder / file).read_bytes() for file in champion.card.files if file not in own}
    more = {
        PROOF: prove(detector, made.extractor(), card.contract.alignment).document(),
        LEARNED: Learned(run, champion.id, lesson.frames_as_references).document(),
    }
    if lesson.levelled is not None:
        more |= levelled_documents(replace(lesson.levelled, model=card.id))
    return write_model(draft, card, lesson.network, replace(lesson.calibration, model=card.id), taken_over | more)


@dataclass(frozen=True, slots=True)
class Move:
    """What moves in one transaction when a run ends."""

    storage: Storage
    settings: Settings
    run: Run
    champion: Model
    challenger: Model
    material: Material
    position: int
    references: NDArray[np.float32] | None = None
    frames_used: NDArray[np.bool_] | None = None

    def promote(self, outcome: Outcome, report: Report) -> tuple[Run, set[str]]:
        """Put the challenger in charge, or into the shadow first; return the row and the models that are to go.

        Raises:
            RefusedError: Somebody was removed, a word was taken back, or another model was put in charge meanwhile.
        """
        report("look", 0.0)
        photos = self._confirmed_photos()
        ended: list[tuple[Run, set[str]]] = []

        def write(connection: Connection) -> None:
            report("move", 0.0)
            self._require_unchanged(connection)
            now = _now()
            self.storage.photos.add_confirmed_in(connection, photos, model=self.challenger.id, now=now)
            self._note(connection)
            if self.settings.finetune.shadow:
                done = runs.into_shadow(connection, self.run.number, outcome, now)
            else:
                done = runs.finish(connection, self.run.number, outcome, now)
                lead = Lead(self.challenger.card.name, self.challenger.id)
                champions.appoint(connection, lead, now, self.run.number)
            ended[:] = [(done, self._surplus(connection))]

        total = max(1, len(self.material.photos))
        in_one_move(
            self.storage,
            self.challenger,
            write,
            given=self._learnt(),
            threads=self.settings.verifier.threads,
            watch=lambda count: report("look", min(1.0, count / total)),
        )
        report("move", 1.0)
        return ended[0]

    def keep(self, outcome: Outcome) -> tuple[Run, set[str]]:
        """Lay the challenger on the shelf with its figures; return the row and the models that are to go."""
        with writing(self.storage.engine) as connection:
            bump(connection)  # nobody is removed between the question and the commit
            self._require_unchanged(connection)
            self._note(connection)
            done = runs.finish(connection, self.run.number, outcome, _now())
            return done, self._surplus(connection)

    def _learnt(self) -> "dict[int, Template]":
        """Return the reference of each stored photo that was learnt from: its user's, the same for all of theirs."""
        if self.references is None:
            return {}
        return {photo: self.references[user] for photo, user in self.material.stored.items()}

    def _confirmed_photos(self) -> dict[str, list[NewPhoto]]:
        """Return the confirmed frames as photos of their users with templates of the challenger, if it wants them.

        Not those that were left out: another model would take each of them for a reference of its own.
        """
        if "confirmed" not in self.challenger.origins:
            return {}
        used = self.frames_used
        confirmed = [one for one in self.material.confirmed if used is None or used[one.frame]]
        crops = ((number, one.crop) for number, one in enumerate(confirmed))
        extractor = self.challenger.extractor(self.settings.verifier.threads)
        made: dict[int, Template] = templates_of(crops, extractor, lambda _: None)
        if self.references is not None:
            places = {slug: at for at, slug in enumerate(self.material.users)}
            made = {n: self.references[places[one.user]] for n, one in enumerate(confirmed)}
        photos: dict[str, list[NewPhoto]] = {}
        for number, one in enumerate(confirmed):
            told = {"camera": one.camera, "decision": one.decision}
            photos.setdefault(one.user, []).append(NewPhoto(one.digest, one.crop, made[number], told))
        return photos

    def _require_unchanged(self, connection: Connection) -> None:
        """Go on only if what was learned from still stands and the champion still leads.

        Raises:
            RefusedError: It does not.
        """
        require_position(connection, self.position)
        learned = set(self.material.user_ids) | learned_from(connection, self.champion.id)
        told = {one.decision: one.word for one in self.material.confirmed}
        if who_is_gone(connection, learned) or any(
            word != told[decision] for decision, word in words(connection, told).items()
        ):
            raise OvertakenError("A user was removed or a word taken back while it was learned from", "Start it again")

    def _note(self, connection: Connection) -> None:
        learned = set(self.material.user_ids) | learned_from(connection, self.champion.id)
        note_learned(connection, self.challenger.id, learned)

    def _surplus(self, connection: Connection) -> set[str]:
        gone = surplus(connection, self.settings.finetune.keep)
        take_off(connection, gone, _now())
        return gone


def _now() -> datetime:
    return datetime.now(UTC)
