"""What decides a training run, in one place, so that it can be written beside what came out."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Final

from facegate.errors import UnusableInputError
from facegate.siamese.losses import Head


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run.

    Attributes:
        seed: Of batches and augmentation.
        steps: Batches in all.
        people: P, people in a batch.
        pictures: K, pictures of each.
        rate: Highest learning rate of AdamW; a warm-up, then half a cosine.
        warmup: Steps until it is reached.
        decay: Weight decay, of all but a projection that learns.
        companion: A companion learns beside the start; or the start learns alone.
        together: Beside a companion the start learns, too; or it stays as it is. Scores are those of both either way.
        frozen: So many first blocks of a start that learns alone, and all before them, stay as they are; where there is
            a companion, so many of its first layers.
        rounded: From this share of the steps on a companion computes as in whole numbers; on a processor, beside a
            start that stays, its frozen layers do from the first step on.
        fused: A companion's PReLUs are compiled, which takes a C++ compiler: faster, and rounded less in bfloat16.
        doors: Share of pictures that are augmented as at a door.
        masked: Share of the others that wear a mask; all of them are shifted a little, and else as they are.
        near: Mated pairs closer than this distance are left alone.
        far: Non-mated pairs farther than this are left alone.
        hardest: Share of non-mated pairs that counts.
        contrastive: Weight of the contrastive loss.
        anchor: Weight of the teachers' templates.
        relations: Weight of the teachers' scores within a batch.
        person: Share of the way from what the teachers say of a photo to what they say of its person, in the mean.
        mixtures: So many mixtures of two faces for each photo, which only the teachers know anything of.
        mixed: Share of a batch's people that are mixtures, if there are any.
        head: A further loss.
        heading: Its weight.
        average: Decay of the averaged weights, a step.
        bf16: Compute in bfloat16.
        every: Steps between two checkpoints.
        look_every: Steps between two looks at held-out people, at a checkpoint; 0: none.
        workers: Processes that draw and augment, for each that learns.
    """

    seed: int = 20261126
    steps: int = 4200
    people: int = 128
    pictures: int = 2
    rate: float = 5e-4
    warmup: int = 50
    decay: float = 1e-4
    companion: bool = True
    together: bool = True
    frozen: int = 3
    rounded: float = 0.5
    fused: bool = False
    doors: float = 0.45
    masked: float = 0.36
    near: float = 0.75
    far: float = 1.25
    hardest: float = 0.05
    contrastive: float = 1.0
    anchor: float = 2.0
    relations: float = 4.0
    person: float = 0.0
    mixtures: float = 0.0
    mixed: float = 0.3
    head: Head = Head.NONE
    heading: float = 0.1
    average: float = 0.998
    bf16: bool = True
    every: int = 100
    look_every: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no number.

        Raises:
            UnusableInputError: Something is not.
        """
        for name, value in asdict(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UnusableInputError(f"{name} is {value}", "Give a number")


ITSELF: Final = replace(Recipe(), companion=False, frozen=2, steps=7000, people=64, rate=1e-3)
"""The recipe for a start that learns alone."""
