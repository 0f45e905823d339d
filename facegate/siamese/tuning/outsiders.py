"""Strangers' features to templates: what the network in charge makes of the people that ship with it.

Galleries are held against the outsiders, on whom the trunk was not trained: those of the replay set are stranger to no
twin. These make the crowd: of their kind the network knows many (`core.levelling`). Of the outsiders their door views
count: good photos of strangers come to no door.
"""

from pathlib import Path

from facegate.core.comparison import Templates
from facegate.siamese.export import read_onnx
from facegate.siamese.tuning.cohort import CLEAN, read_cohort
from facegate.siamese.tuning.head import head_of, templates


def templates_of_outsiders(folder: Path) -> Templates:
    """Return the templates of a model's outsiders as doors see them, float32 (n, d), in every light.

    Args:
        folder: The model's, with its network and its cohort.

    Raises:
        NotReadyError: The network is no twin's, or the cohort is not there or belongs to another trunk.
    """
    trunk = read_onnx(folder / "network.onnx")
    return templates(head_of(trunk), read_cohort(folder, trunk).outsiders.at_doors().features)


def templates_of_crowd(folder: Path) -> Templates:
    """Return the templates of a model's replay set, float32 (n, d), a clean picture of each person.

    Args:
        folder: The model's, with its network and its cohort.

    Raises:
        NotReadyError: The network is no twin's, or the cohort is not there or belongs to another trunk.
    """
    trunk = read_onnx(folder / "network.onnx")
    return templates(head_of(trunk), read_cohort(folder, trunk).replay.seen(CLEAN).features)
