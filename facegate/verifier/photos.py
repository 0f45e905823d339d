"""Photos on disk to templates, outside the gate: for comparing two, for figures, for calibration.

A photo of one person stands for the face that is large and near the middle. One that cannot be read or shows no face is
a failure to acquire, with its reason; whoever counts decides what that means.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from facegate.core.comparison import Template
from facegate.core.frame import Box, Landmarks, Pixels
from facegate.core.ports import FaceDetector, TemplateExtractor
from facegate.errors import UnusableInputError
from facegate.settings import Settings
from facegate.verifier.extractor import NoDirectionError
from facegate.verifier.library import Model, library_of
from facegate.vision.align import Alignment, align
from facegate.vision.choose import central_face
from facegate.vision.decode import PHOTO_BYTES, decode
from facegate.vision.detect import YuNetDetector

NO_FACE: Final = "no face was found"
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """What became of a photo.

    Attributes:
        path: Where it lies.
        template: Its face's template, or None.
        failure: Why there is none, or empty.
        mend: What to do about that.
        faces: How many faces were found.
        box: Where the face is, or None.
        others: Where the other faces are.
    """

    path: Path
    template: Template | None
    failure: str = ""
    mend: str = "Take a photo with one clear face"
    faces: int = 0
    box: Box | None = None
    others: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A photo with the face that stands for it; `photo` has no template yet.

    Attributes:
        photo: What is known so far, with the failure where no face can be compared.
        picture: Its pixels, or None.
        landmarks: Of its face, or None.
    """

    photo: Photo
    picture: Pixels | None = None
    landmarks: Landmarks | None = None

    def through(self, extractor: TemplateExtractor, alignment: Alignment) -> Photo:
        """Return the photo with the template that a network makes of it."""
        if self.picture is None or self.landmarks is None:
            return self.photo
        try:
            crop = align(self.picture, self.landmarks, alignment)
        except ValueError:
            return replace(self.photo, failure="the face has no landmarks")
        try:
            (template,) = extractor.extract(crop[None])
        except NoDirectionError as error:
            return replace(self.photo, failure=str(error), mend="Take another photo or another network")
        return replace(self.photo, template=template)


@dataclass(frozen=True, slots=True)
class PhotoReader:
    """Turns photos into templates: the same detector, alignment and network as at the door."""

    detector: FaceDetector
    extractor: TemplateExtractor
    alignment: Alignment
    max_pixels: int

    def read(self, path: Path) -> Photo:
        """Return what became of one photo.

        Raises:
            UnusableInputError: There is no such file.
        """
        return look_at(path, self.detector, self.max_pixels).through(self.extractor, self.alignment)

    def read_all(self, paths: Iterable[Path]) -> Iterator[Photo]:
        """Return what became of each photo, one after the other."""
        return (self.read(path) for path in paths)


def look_at(path: Path, detector: FaceDetector, max_pixels: int) -> Look:
    """Decode a photo and find the face that stands for it: large and near the middle.

    Raises:
        UnusableInputError: There is no such file.
    """
    data = bytes_of(path)
    try:
        picture = decode(data, max_pixels, PHOTO_BYTES)
    except UnusableInputError as error:
        return Look(Photo(path, None, error.what, error.mend))
    faces = detector.detect(picture)
    face = central_face(faces, picture)
    if face is None:
        return Look(Photo(path, None, NO_FACE))
    others = tuple(other.box for other in faces if other is not face)
    seen = Photo(path, None, faces=len(faces), box=face.box, others=others)
    return Look(seen, picture, face.landmarks)


def bytes_of(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UnusableInputError: There is no such file, or more in it than a picture may have.
    """
    try:
        with path.open("rb") as file:
            return file.read(PHOTO_BYTES + 1)
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read ({error.strerror})", "Name a JPEG, PNG or WebP") from error


def photos_in(folder: Path) -> list[Path]:
    """Return the photos directly in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def people_in(folder: Path) -> dict[str, list[Path]]:
    """Return the photos of each person in a folder of people's folders.

    Raises:
        UnusableInputError: There are fewer than two people.
    """
    if not folder.is_dir():
        raise UnusableInputError(
            f"{folder} is no folder", "Name a folder that holds a folder of photos for each person"
        )
    people = {place.name: photos_in(place) for place in sorted(folder.iterdir()) if place.is_dir()}
    people = {name: photos for name, photos in people.items() if photos}
    if len(people) < 2:  # noqa: PLR2004 - it takes two to be told apart
        found = "one person" if people else "nobody"
        raise UnusableInputError(
            f"{folder} holds photos of {found}; two people are needed", "Put each person's photos in a folder"
        )
    return people


def open_reader(settings: Settings, name: str = "") -> tuple[Model, PhotoReader]:
    """Load a model (the one in charge, if none is named) and what reads photos for it."""
    model = library_of(settings).load(name)
    detector = YuNetDetector(settings.vision.detector)
    extractor = model.extractor(settings.verifier.threads)
    return model, PhotoReader(detector, extractor, model.card.contract.alignment, settings.vision.max_pixels)
