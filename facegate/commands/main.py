"""The `facegate` command: collects the families and turns errors into one line and an exit code.

0 done; 1 the answer is no; 2 what was given is unusable; 3 facegate is not ready; 130 interrupted, 143 ended.

A family is imported when it is called, so that `facegate --help` costs nothing and `facegate run` never meets torch.
"""

import errno
import importlib
import os
import signal
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from facegate import __version__, overrides
from facegate.commands.output import legible, ready_streams
from facegate.errors import FacegateError, UnusableInputError

CANNOT_WRITE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
#: What a file or folder that somebody named may be.
CANNOT_USE: Final = frozenset({
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
    errno.ELOOP,
})  # fmt: skip

#: Command: (module, its `app` or its function, one line of help). The order is that of `facegate --help`.
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "demo": ("demo", "demo", "Run the whole job on people who do not exist, and check it."),
    "run": ("run", "run", "Run the daemon."),
    "doctor": ("doctor", "doctor", "Check everything that a run needs, a line each, with the mend."),
    "enroll": ("enroll", "enroll", "Enroll a user from one photo or more."),
    "users": ("users", "app", "The people."),
    "groups": ("groups", "app", "Groups of users."),
    "doors": ("doors", "app", "The doors and their policy."),
    "verify": ("verify", "verify", "Compare two photos."),
    "identify": ("verify", "identify", "Compare photos with everybody enrolled."),
    "decisions": ("decisions", "app", "What was decided, and why."),
    "models": ("models", "app", "The networks."),
    "finetune": ("finetune", "finetune", "Learn from the household; a worse network never takes charge."),
    "calibrate": ("calibrate", "calibrate", "Thresholds and the error rates behind them."),
    "evaluate": ("evaluate", "app", "Error rates of a network on pictures."),
    "bench": ("bench", "app", "Speed and memory on this machine."),
    "keys": ("keys", "app", "The keys that sign and encrypt."),
    "audit": ("audit", "app", "The chain of decisions."),
    "db": ("db", "app", "The database."),
    "settings": ("settings", "settings", "The settings in force and where each came from."),
}


#: The parser's own error. Newer typers carry their parser inside, so it is found by a name that typer makes public.
PARSER_ERROR: Final[type[Exception]] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


class LazyGroup(TyperGroup):
    """Lists every command without importing any, and imports the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in their order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Import the family and return its command."""
        if cmd_name not in COMMANDS:
            return None
        module_name, attribute, help_line = COMMANDS[cmd_name]
        target = getattr(importlib.import_module(f"facegate.commands.{module_name}"), attribute)
        return as_command(target, cmd_name, help_line)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the list from the table above: importing everything for a help text would take seconds."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items()])


def as_command(target: Any, name: str, help_line: str) -> Any:
    """Turn a family (a Typer) or a plain function into a command."""
    if isinstance(target, typer.Typer):
        command: Any = typer.main.get_command(target)
    else:
        single = typer.Typer(add_completion=False)
        single.command(name)(target)
        command = typer.main.get_command(single)
    command.name = name
    command.help = command.help or help_line
    return command


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Event-driven access control by face.",
)


@app.callback(invoke_without_command=True)
def root(
    called: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, over variables and file: --set mqtt.host=lan."),
    ] = None,
) -> None:
    """Event-driven access control by face."""
    overrides.note(assignments or ())
    if assignments and called.invoked_subcommand is None:
        raise UnusableInputError(
            "--set needs a command that reads settings", "Name one: facegate --set mqtt.host=lan run"
        )
    if version:
        typer.echo(f"facegate {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    ready_streams()
    signal.signal(signal.SIGTERM, _ended)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def _ended(number: int, _frame: object) -> None:
    """Leave as Ctrl-C does: what a command keeps in a temporary folder goes with it."""
    raise SystemExit(128 + number)


def run(arguments: list[str]) -> int:  # noqa: PLR0911 - a way to end, a way out
    """Run one command and return its exit code; a user's mistake is one line on stderr, never a traceback."""
    try:
        result = typer.main.get_command(app).main(arguments or ["--help"], prog_name="facegate", standalone_mode=False)
        sys.stdout.flush()
    except FacegateError as error:
        return fail(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except PARSER_ERROR as error:
        message: str = error.format_message()  # type: ignore[attr-defined]  # found by name above
        if not message or message.startswith("Usage:"):  # a family without a command: its help, wherever typer puts it
            sys.stderr.write(f"{message}\n" if message else "")
            return 2
        return fail(message, 2)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return fail("torch is not installed. Install facegate again: pip install facegate.", 3)
    except OSError as error:
        return fail(unusable(error), 2)
    return result if isinstance(result, int) else 0


def unusable(error: OSError) -> str:
    """Say which file cannot be used, or that there is no room for what was to be printed.

    Raises:
        OSError: It is neither: our bug, with its traceback.
    """
    if error.errno not in CANNOT_USE | CANNOT_WRITE or (error.filename is None and error.errno in CANNOT_USE):
        raise error
    if error.filename is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left would fail once more at the very end
        return f"What was to be printed cannot be written: {error.strerror}. Free some space."
    mend = "Free some space" if error.errno in CANNOT_WRITE else "Allow its use"
    return f"{error.filename} cannot be used: {error.strerror}. {mend}, or name another place."


def fail(text: str, code: int) -> int:
    """Print one line on stderr."""
    sys.stderr.write(f"facegate: {legible(' '.join(text.split()))}\n")
    return code
