"""Pictures to learn from: folders of people, aligned once by our own detector and kept as crops on disk.

A folder of data holds sources (`lfw_train`, `celeba_train`, ...), a source holds people, a person holds photos. The
folder of crops gets `<source>.npy`, uint8 (n, side, side, 3), and `<source>.json` with the photos' paths.
Crops are pictures of real people: they stay outside the repository and are deleted by whoever made them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Pixels
from facegate.core.ports import FaceDetector
from facegate.errors import UnusableInputError
from facegate.siamese.checkpoints import replacing
from facegate.siamese.pairs import Labels
from facegate.vision.align import STORED, align
from facegate.vision.choose import central_face

PHOTOS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
HELD_OUT_PERCENT: Final = 15
MIXED: Final = "mixed"
"""Name of the source of `facegate.siamese.mixing`, on which nobody is."""
TELL_EVERY: Final = 500


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The crops of one source.

    Attributes:
        name: The folder's name.
        crops: uint8 (n, side, side, 3), on disk.
        paths: Path of each photo, `<source>/.../<person>/<photo>`.
    """

    name: str
    crops: NDArray[np.uint8]
    paths: tuple[str, ...]

    @property
    def people(self) -> list[str]:
        """The person's folder of each photo."""
        return [Path(path).parent.name for path in self.paths]


class Counted:
    """The crops of several sources, counted through them as `labels_of` and `training_rows` count."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._ends = np.cumsum([len(source.paths) for source in sources])

    def __getitem__(self, row: int) -> Pixels:
        """Return crop number `row`, uint8 (side, side, 3), read from disk."""
        at = int(np.searchsorted(self._ends, row, "right"))
        return np.asarray(self._sources[at].crops[row - self._ends[at]])


def align_source(
    data: Path,
    name: str,
    detector: FaceDetector,
    crops: Path,
    *,
    threads: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> int:
    """Align all photos of a source; what was done before is left as it is.

    Args:
        data: Folder of sources.
        name: Of the source.
        detector: Finds the faces.
        crops: Where the crops go.
        threads: How many look for faces at the same time.
        tell: Is told now and then how many photos of how many are done.

    Returns:
        How many photos had no face that was found, or could not be read.

    Raises:
        UnusableInputError: The source has no photo with a face, or what lies there are crops of another size or of
            other photos.
    """
    listing = crops / f"{name}.json"
    photos = sorted(path for path in (data / name).rglob("*") if path.suffix.lower() in PHOTOS)
    if listing.is_file():
        _require_crops_of(photos, data, crops, name)
        return missed_in(crops, name)
    found: list[tuple[Path, Pixels]] = []
    with ThreadPoolExecutor(threads) as pool:  # OpenCV works outside the interpreter's lock
        for number, crop in enumerate(pool.map(lambda path: wide_crop(picture_in(path), detector), photos), 1):
            if crop is not None:
                found.append((photos[number - 1], crop))
            if tell is not None and number % TELL_EVERY == 0:
                tell(number, len(photos))
    if not found:
        raise UnusableInputError(f"{data / name} has no photo with a face", "Give a folder of people's folders")
    crops.mkdir(parents=True, exist_ok=True)
    with replacing(crops / f"{name}.npy") as path:
        np.save(path, np.stack([crop for _, crop in found]))
    names = [str(path.relative_to(data)) for path, _ in found]
    with replacing(listing) as path:  # last: with it the source is whole
        path.write_text(json.dumps({"names": names, "missed": len(photos) - len(found)}), "utf-8")
    return len(photos) - len(found)


def _require_crops_of(photos: Sequence[Path], data: Path, crops: Path, name: str) -> None:
    """Refuse crops that are not those of these photos.

    Raises:
        UnusableInputError: They are of another size, or of other photos.
    """
    source = read_source(crops, name)
    mend = f"Name another folder (--crops), or delete {name}.* in this one, and they are made again"
    if (side := source.crops.shape[1]) != STORED.size:
        raise UnusableInputError(f"{crops} holds crops of {name} of {side} pixels, not {STORED.size}", mend)
    there = {str(path.relative_to(data)) for path in photos}
    if not there.issuperset(source.paths) or len(there) != len(source.paths) + missed_in(crops, name):
        raise UnusableInputError(f"{crops} holds crops of other photos of {name} than {data / name} does", mend)


def picture_in(path: Path) -> Any:
    """Return what OpenCV reads of a file, or None: no picture, or one larger than it takes."""
    try:
        return cv2.imread(str(path))
    except cv2.error:
        return None


def missed_in(crops: Path, name: str) -> int:
    """Return how many photos of an aligned source had no face that was found."""
    return int(json.loads((crops / f"{name}.json").read_text("utf-8"))["missed"])


def wide_crop(picture: Any, detector: FaceDetector) -> Pixels | None:
    """Return the crop with its border of what `cv2.imread` gave, or None without a face."""
    if picture is None:
        return None
    picture = np.asarray(picture, np.uint8)
    face = central_face(detector.detect(picture), picture)
    return None if face is None else align(picture, face.landmarks, STORED)


def read_source(crops: Path, name: str) -> Source:
    """Open the crops of a source.

    Raises:
        UnusableInputError: They are not there.
    """
    try:
        listing = json.loads((crops / f"{name}.json").read_text("utf-8"))
        return Source(name, np.load(crops / f"{name}.npy", mmap_mode="r"), tuple(listing["names"]))
    except (OSError, ValueError, KeyError) as error:
        raise UnusableInputError(f"{crops} holds no crops of {name}", "Align the source first") from error


def person_key(name: str) -> str:
    """Return what one person is called in every source: the letters of a name, or as it is what holds a number."""
    letters = "".join(letter for letter in name.lower() if letter.isalpha())
    return letters if len(letters) > 3 and not is_numbered(name) else name.lower()  # noqa: PLR2004 - too few to tell


def is_numbered(name: str) -> bool:
    """Tell whether a name holds a number, as s7 or london_001: another number is another person."""
    return any(letter.isdigit() for letter in name)


def person_among(source: Source, name: str) -> tuple[str, str]:
    """Return who somebody is among all sources: one name in two is one person, a number in two is two."""
    return person_key(name), source.name if is_numbered(name) else ""


def held_out(name: str) -> bool:
    """Tell whether a person is kept from training, for calibration: by name, so in every source alike."""
    digest = hashlib.sha256(f"calibration/{person_key(name)}".encode()).hexdigest()
    return int(digest, 16) % 100 < HELD_OUT_PERCENT


def is_held_out(source: Source) -> NDArray[np.bool_]:
    """Tell of each crop whether its person is kept from training; mixtures show training people only."""
    return np.array([source.name != MIXED and held_out(person) for person in source.people], np.bool_)


def digest_of_sources(sources: Iterable[Source]) -> str:
    """Return what tells these sources from others, in twelve digits: their names and their photos'."""
    named = json.dumps([[source.name, *source.paths] for source in sources])
    return hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def labels_of(sources: Sequence[Source]) -> Labels:
    """Number the people of all sources; one name in two sources is two numbers, since groups keep them apart."""
    keys = [(number, person) for number, source in enumerate(sources) for person in source.people]
    numbers = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    return Labels(
        np.array([numbers[key] for key in keys], np.int64),
        np.array([source for source, _ in keys], np.int64),
        next((number for number, source in enumerate(sources) if source.name == MIXED), -1),
    )


def training_rows(sources: Iterable[Source]) -> NDArray[np.int64]:
    """Return the numbers of all crops, counted through the sources, whose person is not held out."""
    return np.flatnonzero(np.concatenate([~is_held_out(source) for source in sources])).astype(np.int64)
