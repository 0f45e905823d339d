"""Opening the storage: the one place where the daemon and the commands get everything that remembers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, inspect

from facegate.errors import NotReadyError
from facegate.settings import Settings
from facegate.storage import schema
from facegate.storage.champions import Champion, Champions, succession
from facegate.storage.decisions import SqlDecisionLog
from facegate.storage.doors import Doors
from facegate.storage.engine import open_engine, parsed_url, reading, sqlite_file
from facegate.storage.events import SqlEventLog
from facegate.storage.frames import DecisionFrames
from facegate.storage.gallery import SqlGallery
from facegate.storage.learned import LearnedUsers
from facegate.storage.photos import Photos
from facegate.storage.retention import Retention
from facegate.storage.runs import FinetuneRuns
from facegate.storage.shadow import ShadowScores
from facegate.storage.shelf import Shelf
from facegate.storage.signing import DecisionSigner
from facegate.storage.tables import ChampionRow
from facegate.storage.users import Users
from facegate.storage.vault import Vault
from facegate.storage.views import CameraViews


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """Everything that remembers. Each part is safe to use from several threads."""

    engine: Engine
    users: Users
    photos: Photos
    doors: Doors
    gallery: SqlGallery
    decisions: SqlDecisionLog
    events: SqlEventLog
    vault: Vault
    signer: DecisionSigner
    retention: Retention
    champions: Champions
    runs: FinetuneRuns
    learned: LearnedUsers
    frames: DecisionFrames
    views: CameraViews
    shadow: ShadowScores
    shelf: Shelf

    @property
    def schema(self) -> str:
        """The schema of the database, which is the one that this facegate needs."""
        return schema.needed()

    def describe(self) -> str:
        """Say which database this is, without its password."""
        file = sqlite_file(self.engine)
        if file is not None:
            return f"SQLite at {file}"
        return f"PostgreSQL at {self.engine.url.host or 'its socket'}, database {self.engine.url.database}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database's connections."""
        self.engine.dispose()


@dataclass(frozen=True, slots=True)
class ChampionsAtRest:
    """The history of champions for whoever has not opened the database; it is opened for each question.

    Before there is a database, or one that keeps such a history, nobody was ever put in charge.
    """

    url: str

    def leading(self) -> Champion | None:
        """Return who is in charge; None: nobody was ever put there."""
        found = self.succession()
        return found[0] if found else None

    def succession(self) -> list[Champion]:
        """Return who is in charge, then whom each rollback would lead to, one after the other."""
        if not is_there(self.url):
            return []
        engine = open_engine(self.url)
        try:
            with reading(engine) as connection:
                return succession(connection) if inspect(connection).has_table(ChampionRow.__tablename__) else []
        finally:
            engine.dispose()


def open_storage(settings: Settings, *, upgrade_empty: bool = False) -> Storage:
    """Open the database and the keys; the key files are read or made when they are first needed.

    Args:
        settings: The settings in force.
        upgrade_empty: Make the schema if the database is empty; one that holds anything is never changed.

    Raises:
        UnusableInputError: The database's URL cannot be used.
        NotReadyError: The database cannot be opened or has another schema.
    """
    engine = open_engine(settings.database_url) if upgrade_empty else open_existing(settings.database_url)
    try:
        if upgrade_empty:
            schema.upgrade_if_empty(engine)
        else:
            schema.require_current(engine)
    except BaseException:
        engine.dispose()
        raise
    return on_engine(engine, settings)


def open_existing(text: str) -> Engine:
    """Open a database that must be there: what only looks must not leave an empty file behind.

    Raises:
        UnusableInputError: The URL cannot be used.
        NotReadyError: There is no such file, or it cannot be opened.
    """
    if not is_there(text):
        raise NotReadyError(f"There is no database at {parsed_url(text).database}", "Run: facegate db upgrade")
    return open_engine(text)


def is_there(text: str) -> bool:
    """Tell whether a database's file exists; a server's database is taken to be there.

    Raises:
        UnusableInputError: The URL cannot be used.
    """
    url = parsed_url(text)
    file = url.database or ""
    return url.drivername != "sqlite" or file.startswith("file:") or Path(file).exists()


def on_engine(engine: Engine, settings: Settings) -> Storage:
    """Join the parts on an open database."""
    vault = Vault(settings.vault_key)
    signer = DecisionSigner(settings.signing_key)
    return Storage(
        engine=engine,
        users=Users(engine),
        photos=Photos(engine, vault),
        doors=Doors(engine),
        gallery=SqlGallery(engine, vault),
        decisions=SqlDecisionLog(engine),
        events=SqlEventLog(engine),
        vault=vault,
        signer=signer,
        retention=Retention(engine, signer, settings.retention),
        champions=Champions(engine),
        runs=FinetuneRuns(engine),
        learned=LearnedUsers(engine),
        frames=DecisionFrames(engine, vault),
        views=CameraViews(engine),
        shadow=ShadowScores(engine),
        shelf=Shelf(engine),
    )
