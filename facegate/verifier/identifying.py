"""Who is on a photo, by the rules of the gate but for doors, hours and visits."""

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from facegate.core.arming import Arming
from facegate.core.calibration import Calibration
from facegate.core.comparison import Match, best_match
from facegate.core.decision import Outcome, Reason
from facegate.core.policy import User
from facegate.core.ports import Roster
from facegate.errors import NotReadyError, UnusableInputError
from facegate.verifier.photos import NO_FACE, Photo, photos_in

NOBODY: Final = "nobody is enrolled"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a score must keep.

    Attributes:
        calibration: What scores mean.
        threshold: The score from which a user is named.
        margin: How far the runner-up must be behind.
        arming: What was measured of the gallery.
    """

    calibration: Calibration
    threshold: float
    margin: float
    arming: Arming

    def required(self, user: str | None) -> float:
        """Return the score that names a user: the threshold, or more."""
        if user is None:
            return self.threshold
        return self.arming.required(user, self.threshold, self.margin)


@dataclass(frozen=True, slots=True)
class Identified:
    """What one photo shows.

    Attributes:
        photo: Its path.
        user: Whom it names, or None.
        score: With the most alike user, named or not; None if nothing was compared.
        threshold: What the score had to reach.
        fmr: Share of strangers who score this high against anybody enrolled.
        reason: `match` if a user is named who may pass a door at all, or why not.
        detail: More words where there are any.
        faces: How many faces were found; the large one near the middle is meant.
    """

    photo: str
    user: str | None
    score: float | None
    threshold: float
    fmr: float | None
    reason: Reason
    detail: str
    faces: int

    @property
    def granted(self) -> bool:
        """A user was named who may pass."""
        return self.reason.outcome is Outcome.GRANT

    def to_json(self) -> dict[str, Any]:
        """Return the row of the list that `facegate identify --json` prints."""
        return {**asdict(self), "outcome": str(self.reason.outcome), "reason": str(self.reason)}


def identify(photo: Photo, roster: Roster, rule: Rule, now: datetime) -> Identified:
    """Say who is on a photo.

    Args:
        photo: Read by the model that made the roster's references.
        roster: Everybody enrolled.
        rule: What a score must keep.
        now: The moment, UTC: some users expire.
    """
    if photo.template is None:
        reason = Reason.NO_FACE if photo.failure == NO_FACE else Reason.BAD_IMAGE
        return _row(photo, rule, reason, detail=photo.failure)
    match = best_match(photo.template, roster.references)
    if match is None:
        return _row(photo, rule, Reason.NO_MATCH, detail=NOBODY)
    chance = rule.arming.fmr(match, rule.calibration)
    reason = _judged(match, rule, roster.users.get(match.user), now)
    named = None if reason in {Reason.NO_MATCH, Reason.AMBIGUOUS} else match.user
    needed = rule.required(match.user)
    detail = ""
    if reason is Reason.NO_MATCH and match.score >= rule.threshold + rule.arming.rise(match.user):
        detail = f"{match.user} and {rule.arming.nearest[match.user].user} are too alike"
    return _row(photo, rule, reason, user=named, score=match.score, fmr=chance, detail=detail, threshold=needed)


def _judged(match: Match, rule: Rule, user: User | None, now: datetime) -> Reason:
    """Grant only what every clause says yes to."""
    if not match.score >= rule.required(match.user):  # not "<": NaN must deny
        return Reason.NO_MATCH
    if match.runner_up is not None and not match.score - match.runner_up >= rule.margin:
        return Reason.AMBIGUOUS
    if user is None:
        return Reason.NOT_PERMITTED
    if user.suspended:
        return Reason.SUSPENDED
    if user.expires_at is not None and not now < user.expires_at:
        return Reason.EXPIRED_USER
    return Reason.MATCH


def _row(
    photo: Photo,
    rule: Rule,
    reason: Reason,
    *,
    user: str | None = None,
    score: float | None = None,
    fmr: float | None = None,
    detail: str = "",
    threshold: float | None = None,
) -> Identified:
    needed = rule.threshold if threshold is None else threshold
    return Identified(str(photo.path), user, score, needed, fmr, reason, detail, photo.faces)


def supported_threshold(
    calibration: Calibration,
    target: float,
    references: int,
    strictness: float = 1.0,
    *,
    mend: str = "Calibrate on more people (facegate calibrate DIR), or raise gate.target_fmr",
) -> float:
    """Return the threshold for a target FMR and so many references; `mend` says how to ask for a higher one.

    Raises:
        NotReadyError: The model was never calibrated.
        UnusableInputError: The calibration's counts do not support it.
    """
    if not calibration.measured:
        name = calibration.model.partition("@")[0]
        raise NotReadyError(f"{calibration.model} is not calibrated", f"Run: facegate calibrate DIR --model {name}")
    threshold = calibration.visit_threshold(target, references=references, strictness=strictness)
    if threshold is None:
        raise UnusableInputError(
            f"{calibration.non_mated} comparisons of strangers do not support an FMR of {target:g}"
            f" with {references} references",
            mend,
        )
    return threshold


def photos_under(path: Path) -> list[Path]:
    """Return a photo as given, and in place of a folder the photos in it and in its folders, by name.

    Raises:
        UnusableInputError: There is no such file, or the folder has none.
    """
    if path.is_dir():
        folders = [path, *sorted(place for place in path.rglob("*") if place.is_dir())]
        if inside := [photo for folder in folders for photo in photos_in(folder)]:
            return inside
        raise UnusableInputError(f"{path} holds no photo", "Name a folder with JPEG, PNG or WebP files")
    if not path.is_file():
        raise UnusableInputError(f"There is no {path}", "Name a JPEG, PNG or WebP, or a folder of them")
    return [path]
