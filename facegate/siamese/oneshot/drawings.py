"""Omniglot on disk: drawings of handwritten characters to learn from, and the published one-shot runs.

Lake, Salakhutdinov and Tenenbaum (Science 350, 2015): `<alphabet>/<character>/<name>_<drawer>.png`, 105 x 105, dark ink
on light. A run is a folder of `class_labels.txt`, whose lines name a test drawing and the training drawing of the same
character, as paths relative to the folder of runs; all drawings in the folder of the latter are to choose from.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.errors import UnusableInputError

SIDE: Final = 105
"""Side of a drawing, pixels."""
LISTING: Final = "class_labels.txt"
MOST_LINES: Final = 10_000
Drawing = NDArray[np.uint8]
"""Drawings, uint8 (n, 105, 105): 1 where there is ink."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawings:
    """Drawings and what they show.

    Attributes:
        pictures: uint8 (n, 105, 105), 1 where there is ink.
        characters: int64 (n,), number of the character, unique over all alphabets.
        alphabets: int64 (n,), number of the alphabet, an index into names.
        drawers: int64 (n,), who drew it, counted from 0 within the character.
        names: The alphabets' names.
    """

    pictures: Drawing
    characters: NDArray[np.int64]
    alphabets: NDArray[np.int64]
    drawers: NDArray[np.int64]
    names: tuple[str, ...]

    def of(self, rows: NDArray[np.bool_]) -> "Drawings":
        """Return the chosen drawings; numbers stay as they are."""
        return Drawings(
            self.pictures[rows], self.characters[rows], self.alphabets[rows], self.drawers[rows], self.names
        )


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One one-shot task: which of the known drawings shows the character of each asked one?

    Attributes:
        name: The run's name.
        known: uint8 (w, 105, 105): one drawing of each of w characters.
        asked: uint8 (t, 105, 105).
        answers: int64 (t,): index into known.
    """

    name: str
    known: Drawing
    asked: Drawing
    answers: NDArray[np.int64]


def read_drawing(path: Path) -> Drawing:
    """Return one drawing, uint8 (105, 105), 1 where there is ink.

    Raises:
        UnusableInputError: It is missing, no picture, or of another size.
    """
    if not path.is_file():
        raise UnusableInputError(f"{path} is missing", "Unpack omniglot.zip anew")
    try:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # larger than OpenCV takes
        grey = None
    if grey is None:
        raise UnusableInputError(f"{path} is no picture", "Unpack omniglot.zip anew")
    if grey.shape != (SIDE, SIDE):
        raise UnusableInputError(f"{path} is {grey.shape[1]} x {grey.shape[0]}", f"Drawings are {SIDE} x {SIDE}")
    return (np.asarray(grey) < 128).astype(np.uint8)  # noqa: PLR2004 - half of white


def read_drawings(folder: Path) -> Drawings:
    """Return all drawings of a folder of alphabets.

    Raises:
        UnusableInputError: There is none, or one cannot be read.
    """
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir())) if folder.is_dir() else ()
    pictures, places = [], []
    character = 0
    for alphabet, name in enumerate(names):
        for own in sorted(path for path in (folder / name).iterdir() if path.is_dir()):
            for drawer, path in enumerate(sorted(own.glob("*.png"))):
                pictures.append(read_drawing(path))
                places.append((character, alphabet, drawer))
            character += 1
    if not pictures:
        raise UnusableInputError(
            f"{folder} holds no drawings", "Give a folder of <alphabet>/<character>/<name>.png, as omniglot.zip has it"
        )
    numbers = np.array(places, np.int64)
    return Drawings(np.stack(pictures), numbers[:, 0], numbers[:, 1], numbers[:, 2], names)


def read_runs(folder: Path) -> tuple[Task, ...]:
    """Return the one-shot tasks of a folder of runs, by name.

    Raises:
        UnusableInputError: There is none, or one cannot be read.
    """
    listings = sorted(folder.glob(f"*/{LISTING}"))
    if not listings:
        raise UnusableInputError(f"{folder} holds no one-shot runs", f"Give a folder of <run>/{LISTING}")
    return tuple(_read_run(folder, listing) for listing in listings)


def _read_run(folder: Path, listing: Path) -> Task:
    try:
        lines = [line.split() for line in listing.read_text("utf-8").splitlines()[:MOST_LINES] if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInputError(f"{listing} is no list of drawings", "Unpack omniglot.zip anew") from error
    for line in lines:
        if len(line) != 2 or any(Path(name).is_absolute() or ".." in Path(name).parts for name in line):  # noqa: PLR2004 - a test drawing and its answer
            raise UnusableInputError(
                f"{listing} has the line {' '.join(line)[:80]!r}", "A line names two drawings below the folder of runs"
            )
    known = sorted({folder / answer for _, answer in lines})
    known = sorted({*known, *(other for answer in known for other in answer.parent.glob("*.png"))})
    if len(known) < 2:  # noqa: PLR2004 - nothing to choose from
        raise UnusableInputError(f"{listing} names fewer than two characters", "Unpack omniglot.zip anew")
    return Task(
        listing.parent.name,
        np.stack([read_drawing(path) for path in known]),
        np.stack([read_drawing(folder / asked) for asked, _ in lines]),
        np.array([known.index(folder / answer) for _, answer in lines], np.int64),
    )


def held_out_tasks(drawings: Drawings, generator: np.random.Generator, *, tasks: int, ways: int = 20) -> list[Task]:
    """Make tasks like the published runs: within an alphabet, the known by one drawer, the asked by another.

    Args:
        drawings: Of alphabets on which nothing is learnt.
        generator: Draws characters and drawers.
        tasks: How many of each alphabet.
        ways: Characters of a task, fewer where the alphabet has fewer.

    Raises:
        UnusableInputError: An alphabet has no two characters, or no two drawers who drew them all.
    """
    made = []
    for alphabet in np.unique(drawings.alphabets):
        own = drawings.of(drawings.alphabets == alphabet)
        characters, name = np.unique(own.characters), drawings.names[alphabet]
        at = {
            (int(who), int(what)): row for row, (who, what) in enumerate(zip(own.drawers, own.characters, strict=True))
        }
        drawers = [who for who in np.unique(own.drawers) if all((int(who), int(what)) in at for what in characters)]
        if len(drawers) < 2 or len(characters) < 2:  # noqa: PLR2004 - one asks, one answers
            raise UnusableInputError(f"{name} has too few drawings", "Each character needs two drawers, at least")
        for number in range(tasks):
            first, second = (int(who) for who in generator.choice(drawers, 2, replace=False))
            chosen = generator.choice(characters, min(ways, len(characters)), replace=False)
            known = own.pictures[[at[first, int(what)] for what in chosen]]
            asked = own.pictures[[at[second, int(what)] for what in chosen]]
            made.append(Task(f"{name} {number + 1}", known, asked, np.arange(len(chosen))))
    return made
