"""References made anew: what is kept of each photo is looked at again by another network, a batch at a time."""

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from facegate.errors import NotReadyError
from facegate.storage.opening import Storage
from facegate.storage.packing import Crop
from facegate.verifier.extractor import NoDirectionError, OnnxExtractor
from facegate.verifier.keepsake import aligned_again
from facegate.verifier.library import Model

if TYPE_CHECKING:
    from facegate.core.comparison import Template
    from facegate.core.frame import Pixels

BATCH: Final = 32

Watch = Callable[[int], None]
"""Is told how many photos were looked at."""


def templates_of(crops: Iterable[tuple[int, Crop]], extractor: OnnxExtractor, watch: Watch) -> "dict[int, Template]":
    """Return what a network says of kept crops, by their number; float32 (d,) each.

    Raises:
        NotReadyError: A crop is no picture any more, or the network has no template for it.
    """
    alignment = extractor.contract.alignment
    made: dict[int, Template] = {}
    numbers: list[int] = []
    pictures: list[Pixels] = []

    def look() -> None:
        if pictures:
            try:
                made.update(zip(numbers, extractor.extract(np.stack(pictures)), strict=True))
            except NoDirectionError as error:
                what = f"{extractor.model} cannot look at a photo that is enrolled: {error}"
                raise NotReadyError(what, "Leave the model in charge that is, or export this one anew") from error
            numbers.clear()
            pictures.clear()
            watch(len(made))

    for number, crop in crops:
        numbers.append(number)
        pictures.append(aligned_again(crop, alignment))
        if len(pictures) == BATCH:
            look()
    look()
    return made


def missing_templates(
    storage: Storage,
    model: Model,
    *,
    passing: Collection[int] = (),
    threads: int = 1,
    watch: Watch = lambda _: None,
) -> "dict[int, Template]":
    """Return the templates of every photo that has no reference of a model yet, by the photo's number.

    Args:
        storage: Where the photos are.
        model: The model; photos of an origin that it does not use are none for it.
        passing: Numbers of photos that are passed over.
        threads: Of ONNX Runtime.
        watch: Is told how many photos were looked at.

    Raises:
        NotReadyError: The vault's key is lost, or the network cannot be loaded.
    """
    photos = storage.photos.without_references(model.id, origins=model.origins, passing=passing)
    return templates_of(((photo.id, photo.crop) for photo in photos), model.extractor(threads), watch)
