"""The end of a shadow: the challenger that scored live visits takes charge, or goes on the shelf."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from facegate.errors import RefusedError
from facegate.settings import Settings
from facegate.storage import champions, runs
from facegate.storage.champions import Lead
from facegate.storage.engine import writing
from facegate.storage.opening import Storage
from facegate.storage.runs import Outcome, Run
from facegate.storage.shelf import surplus, take_off
from facegate.verifier.finetuning.shelf import bury_models
from facegate.verifier.library import Library
from facegate.verifier.succession import in_one_move


def conclude(
    storage: Storage,
    library: Library,
    settings: Settings,
    run: Run,
    *,
    promote: bool,
    reason: str,
    live: Mapping[str, Any] | None = None,
) -> Run:
    """End the shadow of a run's challenger.

    Args:
        storage: Where everything is.
        library: The models.
        settings: The settings in force.
        run: The run, in the shadow.
        promote: Put the challenger in charge; else it stays on the shelf.
        reason: Why: a sentence, with figures of the live visits.
        live: Those figures, for JSON; they are added to the challenger's as `live`.

    Raises:
        RefusedError: The run is not in the shadow any more, or another model leads than when it began.
        NotReadyError: The challenger's files were changed, the key is lost, or the database fails.
    """
    gone: set[str] = set()
    ended: list[Run] = []
    after = None if run.after is None else dict(run.after) | ({} if live is None else {"live": dict(live)})
    verdict = "promoted" if promote else "kept"
    outcome = Outcome(verdict, reason, run.before, after, run.challenger, on_shelf=True, picture=run.picture)

    def write(connection: Connection) -> None:
        leading = champions.leading(connection)
        if not runs.is_in_shadow(connection, run.number):
            raise RefusedError(f"Run {run.number} is not in the shadow any more", "See: facegate finetune --list")
        if promote and (leading is None or leading.lead.model != run.champion):
            raise RefusedError("Another model leads than when the shadow began", "Fine-tune again")
        now = datetime.now(UTC)
        ended[:] = [runs.finish(connection, run.number, outcome, now)]
        if promote:
            model = run.challenger or ""
            champions.appoint(connection, Lead(model.partition("@")[0], model), now, run.number)
        gone.clear()
        gone.update(surplus(connection, settings.finetune.keep))
        take_off(connection, gone, now)

    if promote:
        challenger = library.load((run.challenger or "").partition("@")[0])
        in_one_move(storage, challenger, write, threads=settings.verifier.threads)
    else:
        with writing(storage.engine) as connection:
            write(connection)
    bury_models(library, gone)
    return ended[0]
