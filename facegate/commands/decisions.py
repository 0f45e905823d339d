"""`facegate decisions`: what was decided, and why; and the operator's word on it."""

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from facegate.commands.output import has_left, legible, print_json, print_table, say
from facegate.commands.users import AsJson, opened, readable
from facegate.core.decision import Outcome, Reason
from facegate.core.word import CONFIRMED, DENIED, meaning
from facegate.errors import UnusableInputError

if TYPE_CHECKING:
    from facegate.storage.decisions import Filters, Recorded

app = typer.Typer(no_args_is_help=True, add_completion=False, help="What was decided, and why.")

POLL_SECONDS = 0.5

Decision = Annotated[str, typer.Argument(help="Id of the decision, or its beginning.")]
DoorOption = Annotated[str | None, typer.Option("--door", help="Only this door.")]
UserOption = Annotated[str | None, typer.Option("--user", help="Only this user.")]
OutcomeOption = Annotated[Outcome | None, typer.Option("--outcome", help="grant or deny.")]
ReasonOption = Annotated[Reason | None, typer.Option("--reason", help="Only this reason.")]


def filters_of(
    door: str | None, user: str | None, outcome: Outcome | None, reason: Reason | None, since: str | None = None
) -> "Filters":
    """Put the options together."""
    from facegate.storage.decisions import Filters  # noqa: PLC0415 - `--help` needs no database
    from facegate.storage.users import checked_slug  # noqa: PLC0415

    if door is not None:
        checked_slug(door, "door")
    if user is not None:
        checked_slug(user)
    moment = None if since is None else since_of(since)
    return Filters(door, user, outcome and str(outcome), reason and str(reason), moment)


def since_of(text: str) -> datetime:
    """Read a moment, or a span before now: `30m`, `12h`, `7d`.

    Raises:
        UnusableInputError: It is neither.
    """
    spans = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if text[-1:] in spans:
            return datetime.now(UTC) - timedelta(**{spans[text[-1]]: float(text[:-1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnusableInputError(f"{text!r} is no moment", "Write 30m, 12h, 7d or 2027-01-31T18:00") from error


@app.command("list")
def list_decisions(  # noqa: PLR0917 - options of a command
    door: DoorOption = None,
    user: UserOption = None,
    outcome: OutcomeOption = None,
    reason: ReasonOption = None,
    since: Annotated[str | None, typer.Option("--since", help="A moment, or a span such as 12h or 7d.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="So many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest decisions, the newest first."""
    filters = filters_of(door, user, outcome, reason, since)
    with opened() as storage:
        found = storage.decisions.newest(filters, limit=limit)
    if as_json:
        print_json({"decisions": [one.to_json() for one in found]})
        return
    print_table(f"Decisions: {len(found)}", COLUMNS, [cells(one) for one in found])


@app.command()
def show(decision: Decision, as_json: AsJson = False) -> None:
    """Show one decision with everything that led to it."""
    with opened() as storage:
        found = storage.decisions.show(decision)
    if as_json:
        print_json(found.to_json())
        return
    print_table(decision, ("", ""), [(name, readable(value)) for name, value in found.to_json().items()])


@app.command()
def follow(
    door: DoorOption = None,
    user: UserOption = None,
    outcome: OutcomeOption = None,
    reason: ReasonOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document a line.")] = False,
) -> None:
    """Print decisions as they are recorded, until interrupted or until nobody reads them any more."""
    filters = filters_of(door, user, outcome, reason)
    with opened() as storage:
        position = storage.decisions.last_position()
        while not has_left():
            for one in storage.decisions.after(position, filters):
                position = one.position
                line = (
                    json.dumps(one.to_json(), ensure_ascii=False)
                    if as_json
                    else legible("  ".join(map(str, cells(one))))
                )
                sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            time.sleep(POLL_SECONDS)


Who = Annotated[str | None, typer.Option("--user", help="Who it really was.")]


@app.command()
def confirm(decision: Decision, user: Who = None, as_json: AsJson = False) -> None:
    """Say that a decision was right: a grant was for that user, a stranger was nobody enrolled."""
    speak(decision, CONFIRMED, user, as_json=as_json)


@app.command()
def deny(decision: Decision, user: Who = None, as_json: AsJson = False) -> None:
    """Say that a decision was wrong: it was not that user; with --user, who it was."""
    speak(decision, DENIED, user, as_json=as_json)


@app.command()
def forget(decision: Decision, as_json: AsJson = False) -> None:
    """Delete the face that is kept of a decision; the decision and the word on it stay."""
    with opened() as storage:
        document = storage.decisions.show(decision).document
        dropped = storage.frames.drop(document["decision"])
    if as_json:
        print_json({"decision": document["decision"], "forgotten": dropped})
    else:
        say(f"{document['decision']}: {'its face is deleted' if dropped else 'no face of it was kept'}")


def speak(decision: str, word: str, user: str | None, *, as_json: bool) -> None:
    """Store the operator's word and say what it means for learning."""
    with opened() as storage:
        document = storage.decisions.show(decision).document
        try:
            said = meaning(Outcome(document["outcome"]), Reason(document["reason"]), document["user"], word, user)
        except ValueError as error:
            other = "deny ID --user" if word == CONFIRMED else "confirm ID"
            raise UnusableInputError(
                f"This word contradicts the decision: {error}", f"See: decisions {other}"
            ) from error
        spoken = storage.decisions.speak(document["decision"], word, datetime.now(UTC), user)
        kept = storage.frames.has(document["decision"])
    if as_json:
        meant = {"user": said.owner, "stranger": said.stranger, "not": said.refused}
        print_json(spoken.to_json() | {"face_kept": kept, "means": meant})
        return
    say(f"{document['decision']} is {word}: {said.sentence}")
    if said.teaches:
        say("Its face is kept for the next fine-tune" if kept else "No face of it was kept: nothing is learned from it")


COLUMNS = ("decision", "decided", "door", "outcome", "reason", "user", "score", "threshold", "word")


def cells(one: "Recorded") -> tuple[object, ...]:
    """Return what a table shows of a decision. The whole id: ids of one minute begin alike."""
    document = one.document
    return (
        document["decision"],
        document["decided_at"][:19].replace("T", " "),
        document["door"],
        document["outcome"],
        document["reason"],
        document["user"] or "",
        number(document["score"]),
        number(document["threshold"]),
        one.word or "",
    )


def number(value: float | None) -> str:
    """Write a score."""
    return "" if value is None else f"{value:.3f}"
