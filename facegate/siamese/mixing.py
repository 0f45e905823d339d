"""Faces of nobody: two aligned faces melted into one, so that teachers can be asked about more people than there are.

A student that copies its teachers on the photos alone copies them there, and less so on people it has not met. What a
teacher says of a melted face needs no name, and there are as many of them as pairs of people (mixtures serve so in
Beyer and others, "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022). Since crops are
aligned, eyes lie on eyes and mouth on mouth.

The mixtures are a source like any other, `mixed.npy` beside the crops that they are made of, but for one thing: nobody
is on them, so that two of them are not known to be strangers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.siamese.augment import Crop
from facegate.siamese.checkpoints import replacing
from facegate.siamese.corpus import MIXED, Counted, Source, training_rows

SEAMS: Final = 0.5
"""Share of mixtures that are joined along a soft seam; the others are laid over one another."""


def mix(left: Crop, right: Crop, draw: np.random.Generator) -> Crop:
    """Melt two aligned faces, uint8 (s, s, 3) each, into one; either is mirrored in half of the cases."""
    left, right = (face[:, ::-1] if draw.random() < 0.5 else face for face in (left, right))  # noqa: PLR2004
    first, second = left.astype(np.float32), _in_the_light_of(right, left)
    cover = _seam(left.shape[0], draw) if draw.random() < SEAMS else np.float32(draw.uniform(0.3, 0.7))
    return np.asarray(np.clip(first * cover + second * (1 - cover), 0, 255), np.uint8)


def _in_the_light_of(face: Crop, other: Crop) -> NDArray[np.float32]:
    """Give a face the other one's mean and spread of each colour, so that no seam is seen by its light."""
    values, model = face.astype(np.float32), other.astype(np.float32)
    spread = model.std((0, 1)) / np.maximum(values.std((0, 1)), 1.0)
    return np.asarray((values - values.mean((0, 1))) * spread + model.mean((0, 1)), np.float32)


def _seam(side: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """Draw a soft seam across the face: float32 (side, side, 1), 1 on one side of it and 0 on the other."""
    angle, across = draw.uniform(0, 2 * np.pi), np.linspace(-1, 1, side, dtype=np.float32)
    ramp = np.cos(angle) * across[None, :] + np.sin(angle) * across[:, None] - draw.uniform(-0.35, 0.35)
    return np.asarray(1 / (1 + np.exp(-ramp / draw.uniform(0.04, 0.25))), np.float32)[..., None]


def mix_sources(sources: Sequence[Source], count: int, crops: Path, seed: int) -> None:
    """Write so many mixtures of training people into the folder of crops; the same again are left as they are.

    Args:
        sources: What they are made of; held-out people are not.
        count: How many.
        crops: The folder.
        seed: Of the draw; mixture k depends on the seed and k alone.
    """
    listing = crops / f"{MIXED}.json"
    made = {"names": [f"{MIXED}/{number:07}/0.jpg" for number in range(count)], "missed": 0, "seed": seed,
            "of": [source.name for source in sources]}  # fmt: skip
    if listing.is_file() and json.loads(listing.read_text("utf-8")) == made:
        return
    listing.unlink(missing_ok=True)
    for said in crops.glob(f"{MIXED}.*.npy"):  # by teachers, of the mixtures before
        said.unlink()
    rows, faces = training_rows(sources), Counted(sources)
    side = sources[0].crops.shape[1]
    with replacing(crops / f"{MIXED}.npy") as path:  # another run may have the ones before open
        out = np.lib.format.open_memmap(path, "w+", np.uint8, (count, side, side, 3))
        for number in range(count):
            draw = np.random.default_rng((seed, number))
            left, right = (faces[int(row)] for row in draw.choice(rows, 2, replace=False))
            out[number] = mix(left, right, draw)
        out.flush()
    with replacing(listing) as path:
        path.write_text(json.dumps(made), "utf-8")
