"""A model's card for machines, `model.json`: what the model is, and the digest of each of its files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from facegate.errors import NotReadyError
from facegate.verifier.contract import LARGEST, SMALLEST, TEMPLATES, InputContract

CARD: Final = "model.json"
NETWORK: Final = "network.onnx"
CHECKPOINT: Final = "network.pt"
CALIBRATION: Final = "calibration.json"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Card:
    """What `model.json` says of a model.

    Attributes:
        name: The folder's name.
        contract: What the network wants to see.
        dimension: Length of its templates.
        start: What its training started from.
        licence: Under what terms its weights may be used.
        figures: Measured error rates and times, for people.
        files: SHA-256 of each file, in hexadecimal.
    """

    name: str
    contract: InputContract
    dimension: int
    start: str
    licence: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name and digest of the network, `name@digest12`: what templates, calibrations and decisions are bound to."""
        return f"{self.name}@{self.files[NETWORK][:12]}"

    def to_json(self) -> dict[str, Any]:
        """Return the card as it stands in `model.json`; `read_card` is the inverse."""
        contract = self.contract
        return {
            "format": FORMAT,
            "name": self.name,
            "input": {
                "size": contract.size,
                "template": contract.template,
                "rgb": contract.rgb,
                "mean": contract.mean,
                "std": contract.std,
            },
            "dimension": self.dimension,
            "start": self.start,
            "licence": self.licence,
            "figures": dict(self.figures),
            "files": dict(self.files),
        }


def read_card(folder: Path) -> Card:
    """Read a model's card.

    Raises:
        NotReadyError: It is no card, or is that of another name.
    """
    try:
        document = json.loads((folder / CARD).read_text("utf-8"))
        if document["format"] != FORMAT or document["name"] != folder.name or NETWORK not in document["files"]:
            raise ValueError("format, name or network do not fit")  # noqa: TRY301 - one way out for all that is wrong
        if not SMALLEST <= int(document["input"]["size"]) <= LARGEST:
            raise ValueError(f"its crops are not of {SMALLEST} to {LARGEST} pixels")  # noqa: TRY301
        given = document["input"]
        contract = InputContract(
            int(given["size"]),
            known_template(given["template"]),
            bool(given["rgb"]),
            float(given["mean"]),
            float(given["std"]),
        )
        files = {str(name): str(digest) for name, digest in document["files"].items() if Path(name).name == name}
        return Card(
            document["name"],
            contract,
            int(document["dimension"]),
            str(document["start"]),
            str(document["licence"]),
            document.get("figures", {}),
            files,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise NotReadyError(
            f"{folder / CARD} is no card of a model ({error})", "Remove the folder or import the model again"
        ) from error


def known_template(name: str) -> str:
    """Return the name of an alignment that we know.

    Raises:
        ValueError: We do not.
    """
    if name not in TEMPLATES:
        raise ValueError(f"no alignment is called {name!r}")
    return name
