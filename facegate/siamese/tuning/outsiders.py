"""Strangers' features to templates: what the network in charge makes of the people that ship with it.

Only the outsiders count, on whom the trunk was not trained: those of the replay set are stranger to no twin.
"""

from pathlib import Path

import numpy as np
import torch

from facegate.core.comparison import Templates
from facegate.siamese.export import read_onnx
from facegate.siamese.tuning.cohort import read_cohort


@torch.no_grad()
def templates_of_outsiders(folder: Path) -> Templates:
    """Return the templates of a model's outsiders, float32 (n, d), clean pictures and those of a door alike.

    Args:
        folder: The model's, with its network and its cohort.

    Raises:
        NotReadyError: The network is no twin's, or the cohort is not there or belongs to another trunk.
    """
    trunk = read_onnx(folder / "network.onnx")
    features = read_cohort(folder, trunk).outsiders.features
    raw = trunk.embed(torch.from_numpy(features)[:, :, None, None]).flatten(1).numpy()
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)
