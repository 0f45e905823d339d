"""Enrollment: photos -> references of a user, each looked at with suspicion, because a bad reference poisons a person.

A photo must show one face of good quality. Then its template is held against everybody else's references and against
the user's own:

* the very file, or nearly the same picture, is enrolled already: passed over, or told;
* it names another user, at the score that opens doors, better than the user's own references do: refused;
* it comes near another user, or stays far from the user's other photos: told.

What passes is stored in one transaction; a photo that does not is listed with its reason and keeps no other out.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from dataclasses import replace as replace_fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from facegate.core.arming import rises_of_users
from facegate.core.calibration import Calibration
from facegate.core.comparison import Template
from facegate.core.frame import Pixels, Quality
from facegate.core.ports import FaceDetector, Roster, TemplateExtractor
from facegate.core.quality import ENROLLMENT, shortcoming
from facegate.errors import RefusedError, UnusableInputError
from facegate.settings import Settings
from facegate.storage.champions import SucceededError
from facegate.storage.opening import Storage
from facegate.storage.packing import Crop
from facegate.storage.photos import Enrollee, NewPhoto
from facegate.storage.users import checked_group, checked_slug
from facegate.verifier.extractor import NoDirectionError
from facegate.verifier.keepsake import aligned_again, as_kept, cut_out
from facegate.verifier.library import library_of
from facegate.verifier.likeness import NEARLY_THE_SAME, TELL_APART, compare
from facegate.verifier.portrait import Picture, only_face, read_picture
from facegate.vision.align import Alignment, align
from facegate.vision.decode import PHOTO_BYTES, decode
from facegate.vision.detect import YuNetDetector
from facegate.vision.measure import measure

BATCH: Final = 32
TRIES: Final = 3
"""Models that may take charge in the middle of one enrollment."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A photo that was not enrolled, and how another one would be."""

    photo: str
    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A photo that was enrolled, with what was measured and what an operator should know."""

    photo: str
    quality: Quality
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnrollmentResult:
    """What a call enrolled, passed over and refused."""

    slug: str
    is_new: bool
    model: str
    accepted: tuple[Accepted, ...]
    known: tuple[str, ...]
    refused: tuple[Refused, ...]
    replaced: int = 0

    @property
    def warnings(self) -> list[str]:
        """Every warning, with its photo's name."""
        return [f"{photo.photo}: {warning}" for photo in self.accepted for warning in photo.warnings]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "user": self.slug,
            "new": self.is_new,
            "model": self.model,
            "enrolled": [
                {
                    "photo": photo.photo,
                    "quality": {name: round(value, 1) for name, value in asdict(photo.quality).items()},
                    "warnings": list(photo.warnings),
                }
                for photo in self.accepted
            ],
            "known": list(self.known),
            "refused": [asdict(photo) for photo in self.refused],
            "replaced": self.replaced,
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A photo that shows one good face."""

    name: str
    photo: NewPhoto
    quality: Quality
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A picture with one face in it, before the network has looked at it."""

    name: str
    digest: str
    kept: Crop
    crop: Pixels
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """Everything that enrolling needs.

    Attributes:
        storage: Where photos go.
        detector: Finds faces.
        extractor: Makes templates.
        calibration: What scores mean at doors.
        alignment: How the network wants its crops.
        max_pixels: Largest picture that is decoded.
        target_fmr: The doors' usual target; the score that it asks for is the one that names another user.
        champion: Position of the champion that the extractor is of; None: it is not known.
        renew: Makes the same for whoever leads by now.
    """

    storage: Storage
    detector: FaceDetector
    extractor: TemplateExtractor
    calibration: Calibration | None
    alignment: Alignment
    max_pixels: int
    target_fmr: float
    champion: int | None = None
    renew: "Callable[[], Enrollment] | None" = None

    @classmethod
    def of(cls, settings: Settings, storage: Storage) -> "Enrollment":
        """Load the detector and the model in charge.

        Raises:
            NotReadyError: One of them is missing or damaged.
        """
        champion = storage.champions.position()  # before the model is chosen: if it moves in between, that is noticed
        model = library_of(settings, storage.champions).load()
        return cls(
            storage=storage,
            detector=YuNetDetector(settings.vision.detector),
            extractor=model.extractor(settings.verifier.threads),
            calibration=model.at_doors,
            alignment=model.card.contract.alignment,
            max_pixels=settings.vision.max_pixels,
            target_fmr=settings.gate.target_fmr,
            champion=champion,
            renew=lambda: cls.of(settings, storage),
        )

    def enroll(
        self,
        slug: str,
        name: str | None,
        photos: Iterable[Path | Picture],
        *,
        groups: Sequence[str] = (),
        replace: bool = False,
        force_quality: bool = False,
        watch: Callable[[], None] = lambda: None,
    ) -> EnrollmentResult:
        """Enroll the photos that pass, in one transaction.

        Args:
            slug: The user.
            name: The name that is shown; None keeps it, or takes the slug for a new user.
            photos: Files, or pictures that were read already.
            groups: Groups to join.
            replace: Delete the photos that the user had, if at least one new photo passes.
            force_quality: Enroll what fails the limits of quality or names another user, with a warning.
            watch: Called after each photo: for a progress bar.

        Raises:
            UnusableInputError: The slug, the name or a group cannot be used, or no photo was given.
            NotReadyError: The database, the key or the model is not ready; nothing was enrolled.
        """
        checked_slug(slug)
        for group in groups:
            checked_group(group)
        refused: list[Refused] = []
        candidates = list(self._candidates(photos, refused, watch, force_quality=force_quality))
        if not candidates and not refused:
            raise UnusableInputError("No photo was given", "Name a JPEG, PNG or WebP file, or a folder of them")
        who = Enrollee(slug, name, tuple(groups))
        for _ in range(TRIES):
            try:
                return self._settled(who, candidates, list(refused), force=force_quality, replace=replace)
            except SucceededError:
                if self.renew is None:
                    raise
                self = self.renew()  # noqa: PLW0642 - the same enrollment, under the network that leads now
                candidates = self._looked_at_again(candidates)
        return self._settled(who, candidates, refused, force=force_quality, replace=replace)

    def _settled(
        self,
        who: Enrollee,
        candidates: Sequence[_Candidate],
        refused: list[Refused],
        *,
        force: bool,
        replace: bool,
    ) -> EnrollmentResult:
        """Suspect the candidates and store the others.

        Raises:
            SucceededError: Another model leads by now; nothing was stored.
        """
        slug = who.slug
        checked = self._suspected(slug, candidates, refused, force=force, replace=replace)
        fresh, known = self._told_apart(slug, checked, replace=replace)
        if not checked:
            return EnrollmentResult(slug, False, self.extractor.model, (), (), tuple(refused))  # noqa: FBT003
        done = self.storage.photos.enroll(
            who,
            [one.photo for one in checked],
            model=self.extractor.model,
            now=datetime.now(UTC),
            replace=replace,
            champion=self.champion,
        )
        accepted = tuple(Accepted(one.name, one.quality, one.warnings) for one in fresh)
        passed_over = tuple(sorted({one.name for one in known}))
        return EnrollmentResult(
            slug, done.is_new, self.extractor.model, accepted, passed_over, tuple(refused), done.replaced
        )

    def _looked_at_again(self, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """Return the candidates with templates of this enrollment's network, from what will be kept of the photos."""
        again: list[_Candidate] = []
        for one in candidates:
            template = self.extractor.extract(aligned_again(one.photo.crop, self.alignment)[None])[0]
            again.append(replace_fields(one, photo=replace_fields(one.photo, template=template)))
        return again

    def _candidates(
        self,
        photos: Iterable[Path | Picture],
        refused: list[Refused],
        watch: Callable[[], None],
        *,
        force_quality: bool,
    ) -> Iterator[_Candidate]:
        """Yield the photos that show one good face; list the others. The network looks at a batch at a time."""
        batch: list[_Seen] = []
        for given in photos:
            try:
                batch.append(self._seen(given, force_quality=force_quality))
            except (UnusableInputError, RefusedError) as error:
                refused.append(Refused(_name_of(given), error.what, error.mend))
            watch()
            if len(batch) == BATCH:
                yield from self._extracted(batch, refused)
                batch = []
        if batch:
            yield from self._extracted(batch, refused)

    def _seen(self, given: Path | Picture, *, force_quality: bool) -> _Seen:
        """Decode, detect, align and measure one photo.

        Raises:
            UnusableInputError: It cannot be read or is no picture.
            RefusedError: It does not show one face of good quality.
        """
        picture = given if isinstance(given, Picture) else read_picture(given)
        pixels = decode(picture.data, self.max_pixels, PHOTO_BYTES)
        face = only_face(self.detector.detect(pixels), pixels)
        crop = align(pixels, face.landmarks, self.alignment)
        quality = measure(pixels, face, crop, self.alignment)
        if not force_quality and (short := shortcoming(quality, ENROLLMENT)) is not None:
            raise RefusedError(f"Not good enough: {short.sentence}", short.advice)
        digest = hashlib.sha256(picture.data).hexdigest()
        kept = as_kept(cut_out(pixels, face.landmarks))  # not the photo: a batch of those is large
        return _Seen(picture.name, digest, kept, crop, quality)

    def _templates(self, batch: Sequence[_Seen], refused: list[Refused]) -> Iterator[tuple[_Seen, Template]]:
        """Yield the photos with their templates; list those for which the network has none."""
        try:
            yield from zip(batch, self.extractor.extract(np.stack([seen.crop for seen in batch])), strict=True)
        except NoDirectionError as error:
            if len(batch) == 1:
                refused.append(Refused(batch[0].name, str(error), "Take another photo, or another network"))
                return
            for seen in batch:  # which of them it is, only a look at each can tell
                yield from self._templates([seen], refused)

    def _extracted(self, batch: Sequence[_Seen], refused: list[Refused]) -> Iterator[_Candidate]:
        for seen, template in self._templates(batch, refused):
            measured = {name: float(value) for name, value in asdict(seen.quality).items()}
            short = shortcoming(seen.quality, ENROLLMENT)
            warnings = (f"enrolled although {short.sentence}",) if short else ()
            yield _Candidate(seen.name, NewPhoto(seen.digest, seen.kept, template, measured), seen.quality, warnings)

    def _told_apart(
        self, slug: str, checked: Sequence[_Candidate], *, replace: bool
    ) -> tuple[list[_Candidate], list[_Candidate]]:
        """Part the photos that are new from those whose very file is enrolled already, or was given before."""
        seen: set[str] = set()
        fresh: list[_Candidate] = []
        known: list[_Candidate] = []
        for one in checked:
            theirs = not replace and slug in self.storage.photos.owners_of(one.photo.digest)
            (known if theirs or one.photo.digest in seen else fresh).append(one)
            seen.add(one.photo.digest)
        return fresh, known

    def _suspected(
        self, slug: str, candidates: Sequence[_Candidate], refused: list[Refused], *, force: bool, replace: bool
    ) -> list[_Candidate]:
        """Hold every candidate against everybody; list those that name another user, and note what is odd."""
        roster = self.storage.gallery.roster(self.extractor.model)
        usual, rises = self._threshold(roster), self._rises(roster)
        passed: list[_Candidate] = []
        templates = np.array([one.photo.template for one in candidates])
        for number, one in enumerate(candidates):
            peers = templates @ one.photo.template
            peers[number] = -np.inf
            likeness = compare(slug, one.photo.template, roster, float(peers.max()) if len(peers) > 1 else None)
            threshold = usual + rises.get(likeness.other_user or "", 0.0)
            if likeness.is_of_another(threshold) and not force:
                refused.append(Refused(one.name, likeness.told(threshold), TELL_APART))
                continue
            notes = likeness.warnings(threshold, force=force, replace=replace)
            passed.append(_Candidate(one.name, one.photo, one.quality, one.warnings + notes))
        return passed

    def _rises(self, roster: Roster) -> dict[str, float]:
        """Return how much more than a usual door asks of everybody is asked of each user."""
        if self.calibration is None:
            return {}
        return rises_of_users(self.calibration.rises(roster.references.templates), roster.references)

    def _threshold(self, roster: Roster) -> float:
        """Return the score that a usual door asks of everybody; without a calibration, one that only twins reach."""
        if self.calibration is None or not self.calibration.measured:
            return NEARLY_THE_SAME
        found = self.calibration.gallery_threshold(self.target_fmr, max(1, len(roster.references)))
        return found if found is not None else self.calibration.threshold(self.calibration.floor) or NEARLY_THE_SAME


def _name_of(given: Path | Picture) -> str:
    return given.name if isinstance(given, Picture) else str(given)
