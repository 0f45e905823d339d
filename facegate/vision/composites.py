"""The people who do not exist, as they ship under `models/composites/`: the faces of the demo, self-test and tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from facegate.core.frame import Pixels
from facegate.errors import NotReadyError
from facegate.resources import shipped
from facegate.vision.decode import decode

PICTURES: Final = 6
"""Pictures of each composite; 0 is plain, the others differ in pose, light and colour."""


@dataclass(frozen=True, slots=True)
class Composite:
    """One person who does not exist.

    Attributes:
        key: Folder name, such as "person01".
        slug: What the demo calls them in topics.
        name: Invented first name; empty for the strangers, who are never enrolled.
        folder: Where the pictures lie.
    """

    key: str
    slug: str
    name: str
    folder: Path

    @property
    def stranger(self) -> bool:
        """Whether the demo does not enrol them."""
        return not self.name

    def picture_path(self, number: int) -> Path:
        """Return the file of picture `number`, 0 to 5."""
        return self.folder / f"{number}.webp"

    def picture(self, number: int) -> Pixels:
        """Return picture `number`, 0 to 5, decoded: 480 x 480."""
        return decode(self.picture_path(number).read_bytes())


def people() -> tuple[Composite, ...]:
    """Return the fourteen composites, the eight enrolled first.

    Raises:
        NotReadyError: They are not where they ship.
    """
    folder = shipped("models") / "composites"
    try:
        lines = (folder / "people.tsv").read_text(encoding="utf-8").splitlines()[1:]
    except OSError as error:
        raise NotReadyError(f"The composites are missing at {folder}", "Install facegate again") from error
    rows = (line.split("\t") for line in lines)
    return tuple(Composite(key, slug, name, folder / key) for key, slug, name in rows)
