"""The models on disk: list, load with digests checked, and who of them leads.

A model is a folder:

    model.json         its card for machines: name, input, dimension, start, licence, figures, SHA-256 of each file
    network.onnx       the network; the first twelve digits of its SHA-256 stand in the model's id, `name@digest12`
    network.pt         the same weights as a torch checkpoint, to train on from; only of a model that was trained
    calibration.json   what its scores mean
    levelled.json      what they mean at doors, with crowd.npz (`verifier.calibrations`); only of a model with a crowd
    learned.json       only of a model that was fine-tuned here: by which run, from which model
    card.md, ...       for people

Models ship under `models/verifier`, and those that were imported or trained here lie in the data folder. Which one is
in charge stands in the database (`storage.champions`), so that it changes in one transaction with the references that
it made (`verifier.succession`). Before there was such a history a file said it, `active.json`; it is read as long as
the history is empty.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from facegate.core.calibration import Calibration
from facegate.errors import NotReadyError, UnusableInputError
from facegate.resources import shipped
from facegate.settings import Settings
from facegate.storage.champions import Champion, Lead
from facegate.storage.opening import ChampionsAtRest
from facegate.storage.photos import CONFIRMED, ENROLLED
from facegate.verifier.calibrations import LEVELLED, calibration_document, read_calibration, read_levelled
from facegate.verifier.card import CALIBRATION, CARD, NETWORK, Card, read_card
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.files import digest_of, replace_file
from facegate.verifier.finetuning.learned import read_learned

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DEFAULT: Final = "twin-6"
"""Of the models that ship, the one that leads until another is put in charge."""


class Pointer(Protocol):
    """Who leads. The database keeps it; where there is none yet, nobody was ever put in charge."""

    def leading(self) -> Champion | None:
        """Return who is in charge; None: nobody was ever put there."""

    def succession(self) -> list[Champion]:
        """Return who is in charge, then whom each rollback would lead to, one after the other."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose files are what its card says.

    Attributes:
        card: What it is.
        folder: Where it lies.
        calibration: What its scores mean.
        levelled: What they mean against references, levelled by a crowd; None: nothing is levelled.
    """

    card: Card
    folder: Path
    calibration: Calibration
    levelled: Calibration | None = None

    @property
    def id(self) -> str:
        """Name and digest of the network, `name@digest12`."""
        return self.card.id

    @property
    def at_doors(self) -> Calibration:
        """What a probe's scores with the enrolled mean."""
        return self.calibration if self.levelled is None else self.levelled

    @property
    def origins(self) -> tuple[str, ...]:
        """Which photos are references of its making: the enrolled, and confirmed frames if it was judged with them."""
        learned = read_learned(self.folder)
        return (ENROLLED, CONFIRMED) if learned is not None and learned.confirmed_frames else (ENROLLED,)

    def extractor(self, threads: int = 1) -> OnnxExtractor:
        """Load the network.

        Raises:
            NotReadyError: ONNX Runtime refuses it.
        """
        return OnnxExtractor(self.folder / NETWORK, model=self.id, contract=self.card.contract, threads=threads)


class Library:
    """The models that ship with facegate and those of this installation."""

    def __init__(
        self, *, shipped_dir: Path, local_dir: Path, pointer: Pointer, legacy: Path, preferred: str = ""
    ) -> None:
        """Look into two folders.

        Args:
            shipped_dir: Models that ship.
            local_dir: Models that were imported or trained here; one of an equal name hides the shipped.
            pointer: Says which model is in charge.
            legacy: The file that said so before there was a pointer.
            preferred: The model that the settings put in charge, whatever the pointer says; or empty.
        """
        self._shipped, self._local, self._preferred = shipped_dir, local_dir, preferred
        self._pointer, self._legacy = pointer, legacy

    @property
    def local_dir(self) -> Path:
        """Where models that are imported or trained here belong."""
        return self._local

    def cards(self, passed_over: Callable[[NotReadyError], None] = lambda _: None) -> list[Card]:
        """Return the cards of all models, by name; one that cannot be read is passed over, and told."""
        folders = {
            path.parent.name: path.parent for at in (self._shipped, self._local) for path in at.glob(f"*/{CARD}")
        }
        cards = []
        for name in sorted(folders):
            try:
                cards.append(read_card(folders[name]))
            except NotReadyError as error:
                passed_over(error)
        return cards

    def ships(self, name: str) -> bool:
        """Tell whether a model of a name ships, whatever hides it here."""
        return (self._shipped / name / CARD).is_file()

    def has(self, name: str) -> bool:
        """Tell whether there is a model of a name; whether it is sound is another question."""
        return self._place(name) is not None

    def folder(self, name: str) -> Path:
        """Return where a model lies.

        Raises:
            UnusableInputError: There is no such model.
        """
        if (place := self._place(name)) is not None:
            return place
        known = ", ".join(card.name for card in self.cards()) or "none"
        raise UnusableInputError(f"There is no model {name!r}", f"Known models: {known}")

    def _place(self, name: str) -> Path | None:
        places = (at / name for at in (self._local, self._shipped) if NAME.fullmatch(name))
        return next((place for place in places if (place / CARD).is_file()), None)

    def load(self, name: str = "") -> Model:
        """Read a model and check every file against its digest.

        Args:
            name: Which one; empty for the one in charge.

        Raises:
            UnusableInputError: There is no model of the name that was given.
            NotReadyError: The one in charge is gone, a file was changed or has no digest, or its calibration belongs to
                another network.
        """
        folder = self.folder(name) if name else self._folder_in_charge()
        card = read_card(folder)
        for file, digest in card.files.items():
            _check(folder / file, digest)
        if CALIBRATION not in card.files:  # what a score means is bound to the card as the network is
            raise NotReadyError(f"{folder / CARD} has no digest of {CALIBRATION}", "Install the model again")
        calibration = _of_card(read_calibration(folder / CALIBRATION), card)
        if LEVELLED not in card.files:
            return Model(card, folder, calibration)
        return Model(card, folder, calibration, _of_card(read_levelled(folder, card.dimension), card))

    def card_in_charge(self) -> Card:
        """Return the card of the model in charge; it changes with every file of it.

        Raises:
            NotReadyError: There is none.
        """
        return read_card(self._folder_in_charge())

    def _folder_in_charge(self) -> Path:
        try:
            return self.folder(self.active())
        except UnusableInputError as error:
            raise NotReadyError(
                f"The model in charge is not there: {error.what}",
                "Set verifier.model to one that is" if self._preferred else "Run: facegate models rollback",
            ) from error

    def active(self) -> str:
        """Return the name of the model in charge: the settings', else the one put there, else the first that ships.

        Raises:
            NotReadyError: There is no model, or the pointer cannot be read.
        """
        if self._preferred:
            return self._preferred
        leading = self._pointer.leading()
        return leading.lead.name if leading is not None else self._before_history()[-1]

    def former(self) -> list[Lead]:
        """Return who led before there was a history, the oldest first; those that are no more are passed over.

        Raises:
            NotReadyError: There is no model, or the file that says so cannot be read.
        """
        return [Lead(name, read_card(self.folder(name)).id) for name in self._before_history() if self.has(name)]

    def default(self) -> Lead:
        """Return who leads where nobody was ever put in charge.

        Raises:
            NotReadyError: There is no model.
        """
        name = self._default_name()
        return Lead(name, read_card(self.folder(name)).id)

    def _before_history(self) -> list[str]:
        return self._told_by_file() or [self._default_name()]

    def _default_name(self) -> str:
        names = sorted(path.parent.name for path in self._shipped.glob(f"*/{CARD}"))
        names = sorted(names, key=lambda name: name != DEFAULT)
        names = names or sorted(path.parent.name for path in self._local.glob(f"*/{CARD}"))
        if not names:
            raise NotReadyError(f"There is no model in {self._shipped}", "Install facegate again or import a model")
        return names[0]

    def _told_by_file(self) -> list[str]:
        if not self._legacy.is_file():
            return []
        try:
            names = json.loads(self._legacy.read_text("utf-8"))["models"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotReadyError(
                f"{self._legacy} cannot be read", "Delete it and activate a model: facegate models activate NAME"
            ) from error
        return [str(name) for name in names]


def library_of(settings: Settings, pointer: Pointer | None = None) -> Library:
    """Return the library that the settings describe.

    Args:
        settings: The settings in force.
        pointer: Says who leads; none: the database that the settings name, opened for each question. What only looks
            makes no database: before there is one the default leads.
    """
    return Library(
        shipped_dir=shipped("models") / "verifier",
        local_dir=settings.models_dir,
        pointer=pointer or ChampionsAtRest(settings.database_url),
        legacy=settings.data_dir / "active.json",
        preferred=settings.verifier.model,
    )


def _of_card(calibration: Calibration, card: Card) -> Calibration:
    """Return a calibration if it belongs to a model.

    Raises:
        NotReadyError: It does not.
    """
    if calibration.model != card.id:
        raise NotReadyError(
            f"The calibration of {card.name} belongs to {calibration.model}, not to {card.id}",
            "Run: facegate calibrate FOLDER",
        )
    return calibration


def write_model(
    folder: Path, card: Card, network: bytes, calibration: Calibration, more: Mapping[str, bytes] | None = None
) -> Card:
    """Write a model's folder: network, calibration, what else there is, and the card with the digests of all, last.

    Returns:
        The card as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {NETWORK: network, CALIBRATION: calibration_document(calibration), **(more or {})}
    for name, data in written.items():
        replace_file(folder / name, data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in written.items()}
    done = Card(card.name, card.contract, card.dimension, card.start, card.licence, card.figures, digests)
    replace_file(folder / CARD, (json.dumps(done.to_json(), indent=1) + "\n").encode())
    return done


def _check(path: Path, digest: str) -> None:
    """Raise NotReadyError where a file is missing or is not what the card says."""
    try:
        found = digest_of(path)
    except OSError as error:
        raise NotReadyError(f"{path} cannot be read", "Install the model again") from error
    if found != digest:
        raise NotReadyError(
            f"{path} was changed: its SHA-256 begins {found[:12]}, not {digest[:12]}", "Install the model again"
        )
