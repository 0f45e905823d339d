"""`facegate db`: the database."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from facegate.commands.output import print_json, say, warn
from facegate.commands.users import AsJson
from facegate.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The database.")


@app.command()
def upgrade(as_json: AsJson = False) -> None:
    """Bring the schema up to what this facegate needs."""
    from facegate.storage import schema  # noqa: PLC0415 - `--help` needs no database
    from facegate.storage.engine import open_engine  # noqa: PLC0415

    engine = open_engine(load_settings().database_url)
    before = schema.status(engine)
    schema.upgrade(engine)
    engine.dispose()
    if as_json:
        print_json({"from": before.current, "to": before.needed})
    elif before.is_current:
        say(f"schema {before.needed} was there already")
    else:
        say(f"schema {before.current or 'none'} -> {before.needed}")


@app.command()
def status(as_json: AsJson = False) -> int:
    """Tell which schema the database has and which is needed. Exit 1 if it is another."""
    from facegate.storage import schema  # noqa: PLC0415
    from facegate.storage.engine import open_engine  # noqa: PLC0415

    engine = open_engine(load_settings().database_url)
    found = schema.status(engine)
    where = engine.url.render_as_string(hide_password=True)
    engine.dispose()
    if as_json:
        print_json(asdict(found) | {"database": where, "ready": found.is_current})
    else:
        mend = "" if found.is_current else "; run: facegate db upgrade"
        say(f"{where}: schema {found.current or 'none'}, needed {found.needed}{mend}")
    return 0 if found.is_current else 1


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="New file.")], as_json: AsJson = False) -> None:
    """Copy the database as of now, while facegate runs. Keep the key files elsewhere: without them it is sealed."""
    from facegate.storage.backup import back_up  # noqa: PLC0415
    from facegate.storage.engine import open_engine  # noqa: PLC0415
    from facegate.storage.schema import require_current  # noqa: PLC0415

    engine = open_engine(load_settings().database_url)
    require_current(engine)
    size = back_up(engine, file)
    engine.dispose()
    if as_json:
        print_json({"file": str(file), "bytes": size})
    else:
        say(f"{file}: {size} bytes; templates and crops in it are sealed, keep the key files too")


@app.command()
def restore(file: Annotated[Path, typer.Argument(help="A backup.")], as_json: AsJson = False) -> None:
    """Put a backup in the database's place, after checking it. Stop the daemon first."""
    from facegate.daemon import alone  # noqa: PLC0415
    from facegate.storage.backup import restore as put_back  # noqa: PLC0415

    settings = load_settings()
    with alone.lock(settings.data_dir):
        found = put_back(settings.database_url, file)
    tell_if_headless(settings)
    if as_json:
        print_json({"file": str(file), "schema": found.current, "needed": found.needed})
    else:
        old = "" if found.is_current else f" (needed: {found.needed}; run: facegate db upgrade)"
        say(f"restored from {file}, schema {found.current}{old}")


def tell_if_headless(settings: Settings) -> None:
    """Warn if the model that leads by the restored database has no folder here: models are no part of a backup."""
    from facegate.verifier.library import library_of  # noqa: PLC0415

    library = library_of(settings)
    if not library.has(library.active()):
        warn(
            f"the model in charge, {library.active()}, is not in {settings.models_dir};"
            " put its folder back, or run: facegate models rollback"
        )
