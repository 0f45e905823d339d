"""The second judge: what live visits say of a challenger that scored them beside the champion. Neither moved a door.

A visit either was spoken on by an operator, and then it is known whose face it was (`core.word`), or not. Without a
word it is not known, but some things may be concluded:

* both name a user, and not the same one: one of them is wrong, and nobody can say which;
* only the champion names somebody (a loss): most likely a user who would be shut out, for strangers are rarely granted;
* only the challenger does (a gain): a user who was shut out, or a stranger let in. If the champion itself granted that
  user at that door within minutes, the user stood there and tried again: the gain is a true one. Otherwise it is open,
  and no more of those are believed than strangers at the doors' target would give by chance.

The challenger is promoted only if every clause below says yes; a doubt keeps it on the shelf.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from facegate.core.judging import Verdict
from facegate.core.rates import clopper_pearson
from facegate.core.word import Meaning

AGAIN: Final = timedelta(minutes=3)
"""Whoever was shut out tries again within so long."""
LEAST_VISITS: Final = 10
NAMED: Final = 5
"""So many visits are named in a reason, for an operator to speak on."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one network said of a visit's face: the most alike user, the score, and the threshold of the door."""

    user: str | None
    score: float | None
    threshold: float | None

    @property
    def named(self) -> str | None:
        """Whom it would have named: nobody below the threshold, nor without one; NaN names nobody."""
        if self.user is None or self.score is None or self.threshold is None:
            return None
        return self.user if self.score >= self.threshold else None


@dataclass(frozen=True, slots=True)
class Beside:
    """A visit that both networks looked at.

    Attributes:
        decision: Id of the decision that the champion made.
        door: Slug of the door.
        at: When.
        champion: What the champion said.
        challenger: What the challenger said.
        meaning: What an operator's word says of the face, or None without one.
    """

    decision: str
    door: str
    at: datetime
    champion: Opinion
    challenger: Opinion
    meaning: Meaning | None = None


class Kind(StrEnum):
    """How the two compare on a visit."""

    SAME = "same"
    RIGHTED = "righted"
    """A word says that the challenger is right where the champion was wrong."""
    WRONGED = "wronged"
    """A word says that the challenger is wrong where the champion was right: shut out whom it should know."""
    OPENED = "opened"
    """A word says that the challenger names somebody who was not there, and the champion does not."""
    TORN = "torn"
    """Both name somebody, and not the same."""
    LOST = "lost"
    GAINED = "gained"
    """Only the challenger names somebody, whom the champion granted there within minutes."""
    OPEN = "open"
    """Only the challenger names somebody, and nothing says whether that is right."""


@dataclass(frozen=True, slots=True)
class ShadowJudgement:
    """The verdict on a challenger in the shadow, and why.

    Attributes:
        verdict: Promoted, or kept.
        reason: One sentence, with figures.
        visits: How many visits both looked at.
        spoken: On how many of them an operator spoke to the point.
        counts: How many there are of each kind.
    """

    verdict: Verdict
    reason: str
    visits: int
    spoken: int
    counts: dict[Kind, int]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        counts = {str(kind): count for kind, count in self.counts.items()}
        return {"visits": self.visits, "spoken": self.spoken, **counts}


def is_over(visits: int, began: datetime, now: datetime, *, most_visits: int, most_days: float) -> bool:
    """Tell whether a challenger has been in the shadow for long enough; a clock that was set back ends nothing."""
    return visits >= most_visits or now - began >= timedelta(days=most_days)


def judge_shadow(visits: Sequence[Beside], target_fmr: float) -> ShadowJudgement:
    """Return the verdict on a challenger.

    Args:
        visits: What both networks looked at.
        target_fmr: Share of strangers that may be taken for anybody enrolled, of the doors' targets the least.
    """
    kinds = {visit.decision: kind_of(visit, visits) for visit in visits}
    counts = {kind: sum(found is kind for found in kinds.values()) for kind in Kind}
    spoken = sum(visit.meaning is not None and visit.meaning.teaches for visit in visits)
    doubt = _doubt(visits, kinds, counts, target_fmr)
    agreed = (
        f"{len(visits)} visits beside the champion, {spoken} of them spoken on: {counts[Kind.RIGHTED]} righted, "
        f"{counts[Kind.GAINED]} gained, {counts[Kind.OPEN]} open, {counts[Kind.LOST]} lost"
    )
    verdict = Verdict.KEPT if doubt else Verdict.PROMOTED
    return ShadowJudgement(verdict, f"{doubt} ({agreed})" if doubt else agreed, len(visits), spoken, counts)


def kind_of(visit: Beside, all_visits: Sequence[Beside]) -> Kind:
    """Return how the two compare on one visit."""
    before, after = visit.champion.named, visit.challenger.named
    if visit.meaning is not None and visit.meaning.teaches:
        return _kind_of_spoken(before, after, visit.meaning)
    if before == after:
        return Kind.SAME
    if after is None:
        return Kind.LOST
    if before is not None:
        return Kind.TORN
    return Kind.GAINED if _granted_soon(visit, after, all_visits) else Kind.OPEN


def _kind_of_spoken(before: str | None, after: str | None, said: Meaning) -> Kind:
    """Judge a visit whose truth is known, at least in part."""
    right_before, right_after = _is_right(before, said), _is_right(after, said)
    if right_before == right_after:
        return Kind.SAME
    if right_after:
        return Kind.RIGHTED
    return Kind.WRONGED if after is None else Kind.OPENED


def _is_right(named: str | None, said: Meaning) -> bool:
    """Tell whether naming somebody, or nobody, fits what an operator said."""
    if said.owner is not None:
        return named == said.owner
    if said.stranger:
        return named is None
    return named != said.refused


def _granted_soon(visit: Beside, user: str, all_visits: Sequence[Beside]) -> bool:
    """Tell whether the champion named the user at that door within minutes, before or after."""
    return any(
        other.door == visit.door and other.champion.named == user and abs(other.at - visit.at) <= AGAIN
        for other in all_visits
        if not _is_denied(other, user)
    )


def _is_denied(visit: Beside, user: str) -> bool:
    """Tell whether an operator said that a visit was not this user's: it supports nothing."""
    return visit.meaning is not None and visit.meaning.teaches and not _is_right(user, visit.meaning)


def _doubt(  # noqa: PLR0911 - a clause, a way out
    visits: Sequence[Beside], kinds: dict[str, Kind], counts: dict[Kind, int], target_fmr: float
) -> str:
    """Return the first clause that says no, or nothing."""
    if len(visits) < LEAST_VISITS:
        return f"{len(visits)} visits are too few to say anything: {LEAST_VISITS} are wanted"
    if counts[Kind.WRONGED]:
        return f"it shuts out somebody whom an operator confirmed: {_ids(kinds, Kind.WRONGED)}"
    if counts[Kind.OPENED]:
        return f"it names somebody who was not there: {_ids(kinds, Kind.OPENED)}"
    if counts[Kind.TORN]:
        return f"it names another user than the champion; say who it was: {_ids(kinds, Kind.TORN)}"
    if counts[Kind.LOST] > counts[Kind.GAINED] + counts[Kind.RIGHTED]:
        return f"it loses more than it gains: {_ids(kinds, Kind.LOST)}"
    silent = sum(visit.champion.named is None for visit in visits)
    if counts[Kind.OPEN] and clopper_pearson(counts[Kind.OPEN], silent).lower > target_fmr:
        return f"it would let in more than strangers at the target explain; say who it was: {_ids(kinds, Kind.OPEN)}"
    return ""


def _ids(kinds: dict[str, Kind], kind: Kind) -> str:
    found = [decision for decision, is_kind in kinds.items() if is_kind is kind]
    return ", ".join(found[:NAMED]) + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")
