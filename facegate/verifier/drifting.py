"""What the decisions of a year say of the users: whose scores sink, which cameras grow dim, who are too alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from facegate.core.comparison import References
from facegate.core.drift import Alike, Fall, Month, Visit, months, sinking_cameras, sinking_users, too_alike
from facegate.core.word import DENIED
from facegate.storage.decisions import Recorded, SqlDecisionLog

YEAR: Final = timedelta(days=396)
"""A year and a month: the same month of the year before is still seen."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Who and what an operator should look at.

    Attributes:
        visits: How many visits of known users there were.
        months: Their scores by month, user, door and camera.
        sinking: Users whose mated scores sink.
        dim: Cameras at which everybody's scores sink.
        alike: Users who are too alike.
        bound: The score from which they are; None: no threshold is known.
    """

    visits: int
    months: tuple[Month, ...]
    sinking: tuple[Fall, ...]
    dim: tuple[Fall, ...]
    alike: tuple[Alike, ...]
    bound: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "visits": self.visits,
            "sinking": [fall.to_json() for fall in self.sinking],
            "dim_cameras": [fall.to_json() for fall in self.dim],
            "too_alike": [pair.to_json() for pair in self.alike],
            "too_alike_from": self.bound,
            "months": [month.to_json() for month in self.months],
        }

    def advice(self) -> list[str]:
        """Return a sentence for each finding: who, the figures, and what to do."""
        return [
            *(
                f"{fall.name}: {_told(fall)}. Enroll a new photo: facegate enroll {fall.name} PHOTO"
                " (a child's face changes: do so every few months)"
                for fall in self.sinking
            ),
            *(
                f"camera {fall.name}: everybody's {_told(fall)}. Look at its lens, its focus and its light"
                for fall in self.dim
            ),
            *(
                f"{pair.one} and {pair.other} are alike: score {pair.score:.2f} >= {self.bound:.2f}. One may pass as"
                " the other: lower the target of doors that only one of them may pass (doors set DOOR --target-fmr)"
                for pair in self.alike
            ),
        ]


def drift(
    decisions: SqlDecisionLog, references: References, threshold: float | None, margin: float, now: datetime
) -> DriftReport:
    """Return what the decisions of the last year say.

    Args:
        decisions: The log.
        references: Of everybody, under the network in charge.
        threshold: The score that opens a door; None: not calibrated, then nobody is called too alike.
        margin: How far the next user must stay behind: who is nearer than that is too alike.
        now: The moment, UTC.
    """
    visits = list(visits_of(decisions.known(now - YEAR)))
    bound = None if threshold is None else threshold - margin
    return DriftReport(
        visits=len(visits),
        months=tuple(months(visits)),
        sinking=tuple(sinking_users(visits, now)),
        dim=tuple(sinking_cameras(visits, now)),
        alike=() if bound is None else tuple(too_alike(references, bound)),
        bound=bound,
    )


def visits_of(recorded: Iterable[Recorded]) -> Iterable[Visit]:
    """Yield the mated visits: who was recognised, unless an operator denies it, and who an operator says it was."""
    for one in recorded:
        document = one.document
        user = one.word_user or (None if one.word == DENIED else document["user"])
        if user is None or document["score"] is None or not document["cameras"]:
            continue
        if one.word_user is not None and document["user"] not in {None, one.word_user}:
            continue  # the score is that of the user for whom they were taken
        yield Visit(
            user=user,
            door=document["door"],
            camera=document["cameras"][0],
            model=document["model"],
            score=float(document["score"]),
            at=datetime.fromisoformat(document["decided_at"]),
        )


def _told(fall: Fall) -> str:
    return (
        f"scores sink from {fall.before:.2f} ({fall.days_before} days) to {fall.now:.2f} (the last {fall.days_now});"
        f" by chance {fall.chance:.1g}"
    )
