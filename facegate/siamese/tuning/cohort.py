"""Strangers that ship with a network: what the trunk makes of their faces, so that no picture of them has to ship.

`cohort.npz` holds features, what the projection head sees, as bytes with a scale a vector. Two parts, disjoint people:

    replay       the trunk was trained on them: what fine-tuning must not forget, and learns the door's view on
    outsiders    held out from all training: what a threshold is chosen and checked on

Features of a picture as a door would see it cannot be made from features of a good one, so of each person there are
both: `clean`, and one in each kind of light, by cameras that are drawn from `CAMERAS`. Where a person has two photos
the door sees the second, since enrollment and visit are two days. Features belong to one trunk; its digest stands in
the file.
"""

import hashlib
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Pixels
from facegate.core.ports import Crops
from facegate.errors import NotReadyError, UnusableInputError
from facegate.siamese.augment import place, plain
from facegate.siamese.corpus import Source, held_out, person_among
from facegate.siamese.networks import Trunk
from facegate.vision.view import Glimpse, Light, View, imitate

COHORT: Final = "cohort.npz"
FORMAT: Final = 1
CLEAN: Final = "clean"
LIGHTS: Final = (CLEAN, *(str(light) for light in Light))
"""What `Strangers.lights` counts through."""
HARDLY_EVER: Final = 0.05
"""A light with this share of a household's frames or less is none that strangers have to be met in."""

Features = NDArray[np.float32]
Extract = Callable[[Crops], Features]
"""Turns crops uint8 (n, 144, 144, 3) into features float32 (n, f)."""


def _camera(light: Light, means: Sequence[float], deviations: Sequence[float]) -> View:
    return View((Glimpse(light, 1.0, tuple(means), tuple(deviations)),))


CAMERAS: Final = {
    Light.DAY: _camera(Light.DAY, (120, 22, 38, 1.0, 0.45, 42), (30, 7, 12, 1.0, 0.1, 13)),
    Light.DUSK: _camera(Light.DUSK, (50, 12, 22, 2.0, 0.5, 44), (18, 4, 8, 1.5, 0.1, 12)),
    Light.INFRARED: _camera(Light.INFRARED, (150, 20, 0, 1.5, 0.47, 42), (35, 6, 0, 1.0, 0.08, 12)),
}
"""Cameras of all sorts, in the measures of `vision.view`: wide where a household's own would be narrow."""


@dataclass(frozen=True, slots=True, eq=False)
class Strangers:
    """Some people's features.

    Attributes:
        features: float32 (n, f).
        people: int64 (n,): who it is; one number is one person in both parts.
        lights: int64 (n,): index into `LIGHTS`.
    """

    features: Features
    people: NDArray[np.int64]
    lights: NDArray[np.int64]

    def seen(self, light: str) -> "Strangers":
        """Return those features that are of one light."""
        return self.only(self.lights == LIGHTS.index(light))

    def at_doors(self) -> "Strangers":
        """Return those features that are of no good photo: good photos of strangers come to no door."""
        return self.only(self.lights != LIGHTS.index(CLEAN))

    def under(self, shares: NDArray[np.float64]) -> "Strangers":
        """Return the door views in the lights that a household's cameras see.

        Args:
            shares: float64 (3,): how often they see each light of `LIGHTS[1:]`.
        """
        return self.only(np.isin(self.lights, 1 + np.flatnonzero(shares > HARDLY_EVER)))

    def only(self, kept: NDArray[np.bool_]) -> "Strangers":
        """Return those features that are to be kept, bool (n,)."""
        return Strangers(self.features[kept], self.people[kept], self.lights[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """All strangers of a trunk.

    Attributes:
        trunk: The trunk's digest.
        replay: To learn on.
        outsiders: To choose and check thresholds on.
    """

    trunk: str
    replay: Strangers
    outsiders: Strangers


def digest_of_trunk(trunk: Trunk) -> str:
    """Return the SHA-256 of all weights before the projection head, hexadecimal: who shares them shares features."""
    digest = hashlib.sha256()
    for name, value in sorted(trunk.state_dict().items()):
        if not name.startswith("embed."):
            digest.update(name.encode())
            digest.update(value.detach().cpu().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def document(cohort: Cohort) -> bytes:
    """Return the cohort as it is written; the same cohort gives the same bytes."""
    both = (cohort.replay, cohort.outsiders)
    features = np.concatenate([part.features for part in both])
    scales = np.maximum(np.abs(features).max(axis=1), 1e-6) / 127
    file = BytesIO()
    np.savez_compressed(
        file,
        format=np.int64(FORMAT),
        trunk=np.array(cohort.trunk),
        features=np.rint(features / scales[:, None]).astype(np.int8),
        scales=scales.astype(np.float32),
        people=np.concatenate([part.people for part in both]).astype(np.int32),
        lights=np.concatenate([part.lights for part in both]).astype(np.int8),
        replay=np.int64(len(cohort.replay.people)),
    )
    return file.getvalue()


def read_cohort(folder: Path, trunk: Trunk) -> Cohort:
    """Read the strangers that lie beside a network.

    Raises:
        NotReadyError: There are none, or they belong to another trunk.
    """
    path = folder / COHORT
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if int(arrays["format"]) != FORMAT:
                raise ValueError("another format")  # noqa: TRY301 - one way out for all that is wrong
            features = arrays["features"].astype(np.float32) * arrays["scales"][:, None]
            people, lights = arrays["people"].astype(np.int64), arrays["lights"].astype(np.int64)
            cut, owner = int(arrays["replay"]), str(arrays["trunk"])
        shape = (len(people), trunk.shape.features)
        if features.shape != shape or len(lights) != len(people) or not np.isfinite(features).all():
            raise ValueError("its parts do not fit")  # noqa: TRY301
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise NotReadyError(
            f"{path.name} of {folder.name} cannot be read ({error})", "Fine-tune a network that ships its strangers"
        ) from error
    if owner != digest_of_trunk(trunk):
        raise NotReadyError(f"{path.name} of {folder.name} belongs to another trunk", "Install the model again")
    replay, outsiders = (
        Strangers(features[rows], people[rows], lights[rows]) for rows in (slice(cut), slice(cut, None))
    )
    return Cohort(owner, replay, outsiders)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many people a cohort gets.

    Attributes:
        replay: People to learn on.
        outsiders: People to check on.
        lights: So many lights beside `clean` for each outsider, drawn; those to learn on get all three.
        seed: Of people and cameras.
    """

    replay: int = 500
    outsiders: int = 1100
    lights: int = 3
    seed: int = 20261124


def gather(sources: Sequence[Source], trunk: str, extract: Extract, plan: Plan) -> Cohort:
    """Build a cohort from sources of crops.

    Raises:
        UnusableInputError: There are no people of one of the two parts.
    """
    draw = np.random.default_rng(plan.seed)
    people = photos_of(sources)
    known = [photos for (name, _), photos in people.items() if not held_out(name) and len(photos) > 1]
    unknown = [photos for (name, _), photos in people.items() if held_out(name)]
    if not known or not unknown:
        raise UnusableInputError("There are too few people for a cohort", "Give sources with held-out people in them")
    replay = [known[at] for at in draw.permutation(len(known))[: plan.replay]]
    outsiders = [unknown[at] for at in draw.permutation(len(unknown))[: plan.outsiders]]
    return Cohort(
        trunk,
        _strangers(replay, 0, len(Light), extract, draw),
        _strangers(outsiders, len(replay), plan.lights, extract, draw),
    )


def photos_of(sources: Sequence[Source]) -> dict[tuple[str, str], list[Pixels]]:
    """Return each person's crops by who they are among all sources, sorted."""
    found: dict[tuple[str, str], list[Pixels]] = defaultdict(list)
    for source in sources:
        for person, crop in zip(source.people, source.crops, strict=True):
            found[person_among(source, person)].append(crop)
    return dict(sorted(found.items()))


def _strangers(
    people: Sequence[Sequence[Pixels]], first: int, lights: int, extract: Extract, draw: np.random.Generator
) -> Strangers:
    """Extract each person's first photo as it is, and the second (or only) one as so many lights show it."""
    drawn = [draw.permutation(len(Light))[:lights] for _ in people]
    owners = [first + at for at, seen in enumerate(drawn) for _ in range(1 + len(seen))]
    kinds = [kind for seen in drawn for kind in (0, *(int(light) + 1 for light in seen))]
    features = np.concatenate([extract(crops) for crops in blocks(_pictures(people, drawn, draw))])
    return Strangers(features, np.array(owners, np.int64), np.array(kinds, np.int64))


def _pictures(
    people: Sequence[Sequence[Pixels]], drawn: Sequence[NDArray[np.int64]], draw: np.random.Generator
) -> Iterator[Pixels]:
    kinds = tuple(Light)
    for photos, lights in zip(people, drawn, strict=True):
        yield plain(np.asarray(photos[0]))
        for light in lights:
            yield imitate(place(np.asarray(photos[min(1, len(photos) - 1)]), draw), CAMERAS[kinds[light]], draw)


def blocks(pictures: Iterator[Pixels], size: int = 32) -> Iterator[Crops]:
    """Give pictures in blocks, uint8 (k, s, s, 3)."""
    kept: list[Pixels] = []
    for picture in pictures:
        kept.append(picture)
        if len(kept) == size:
            yield np.stack(kept)
            kept = []
    if kept:
        yield np.stack(kept)
