"""Shadow scores: what a challenger said of live decisions beside what the champion said. They decided nothing."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, func, insert, select, update

from facegate.storage.engine import reading, writing
from facegate.storage.tables import DecisionRow, ShadowScoreRow


@dataclass(frozen=True, slots=True)
class Said:
    """What one network said of a frame: the best user, the score, and the threshold of the door under it."""

    user: str | None
    score: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class ShadowScore:
    """What both networks said of the frame that a decision was made on."""

    run: int
    decision: str
    camera: str
    door: str
    champion: Said
    challenger: Said
    at: datetime


class ShadowScores:
    """The shadow scores of all runs. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, score: ShadowScore, *, most: int = 10_000) -> bool:
        """Store a score, once for each decision; False if the decision is not there or the run has `most` already."""
        row = {"run": score.run, "decision": score.decision, "camera": score.camera, "door": score.door, "at": score.at}
        for who, said in (("champion", score.champion), ("challenger", score.challenger)):
            row |= {f"{who}_{name}": value for name, value in asdict(said).items()}
        here = (ShadowScoreRow.run == score.run) & (ShadowScoreRow.decision == score.decision)
        with writing(self._engine) as connection:
            known = connection.execute(select(DecisionRow.id).where(DecisionRow.id == score.decision)).first()
            twice = connection.execute(select(ShadowScoreRow.run).where(here)).first()
            if known is None or twice is not None or _count(connection, score.run) >= most:
                return False
            connection.execute(insert(ShadowScoreRow), row)
        return True

    def of_run(self, run: int) -> list[ShadowScore]:
        """Return the scores of one run, the oldest first."""
        statement = select(*ShadowScoreRow.__table__.columns).where(ShadowScoreRow.run == run)
        with reading(self._engine) as connection:
            rows = connection.execute(statement.order_by(ShadowScoreRow.at, ShadowScoreRow.decision)).all()
        return [
            ShadowScore(
                row.run,
                row.decision,
                row.camera,
                row.door,
                Said(row.champion_user, row.champion_score, row.champion_threshold),
                Said(row.challenger_user, row.challenger_score, row.challenger_threshold),
                row.at,
            )
            for row in rows
        ]

    def count(self, run: int) -> int:
        """Return how many scores a run has."""
        with reading(self._engine) as connection:
            return _count(connection, run)


def forget_scores_of(connection: Connection, slug: str) -> None:
    """Take a user out of all scores."""
    for column in (ShadowScoreRow.champion_user, ShadowScoreRow.challenger_user):
        connection.execute(update(ShadowScoreRow).where(column == slug).values({column: None}))


def _count(connection: Connection, run: int) -> int:
    statement = select(func.count()).select_from(ShadowScoreRow).where(ShadowScoreRow.run == run)
    return int(connection.execute(statement).scalar_one())
