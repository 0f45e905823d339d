"""Distortions of drawings: the paper's affine ones, and elastic ones.

Koch, Zemel and Salakhutdinov (2015), section 3.2: T = (theta, rho_x, rho_y, s_x, s_y, t_x, t_y), a turn in [-10, 10]
degrees, shears in [-0.3, 0.3], scales in [0.8, 1.2], shifts in [-2, 2] pixels, each part there with probability 0.5.
The elastic distortion is ours: smooth shifts of a coarse grid, as a hand that wavers. The parameters come from numpy,
so that they depend on the seed alone; the pixels are moved by torch, on whatever device they are.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

KNOTS: Final = 5
"""Knots of the elastic grid along a side."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """How far drawings are distorted.

    Attributes:
        turn: Degrees, both ways.
        shear: Of either axis, both ways.
        scale: Of either axis, around 1.
        shift: Pixels of either axis, both ways.
        probability: Of each part.
        elastic: Standard deviation of a knot's shift, pixels; 0: none.
    """

    turn: float = 10.0
    shear: float = 0.3
    scale: float = 0.2
    shift: float = 2.0
    probability: float = 0.5
    elastic: float = 0.0


def affine_maps(count: int, distortion: Distortion, draw: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return affine maps in the units of `grid_sample` (the side is 2 long): float32 (count, 2, 3)."""
    there = draw.random((7, count)) < distortion.probability
    limits = (distortion.turn, distortion.shear, distortion.shear, *(distortion.scale, distortion.shift) * 2)
    turn, shear_x, shear_y, scale_x, shift_x, scale_y, shift_y = (
        np.where(on, draw.uniform(-limit, limit, count), 0.0) for on, limit in zip(there, limits, strict=True)
    )
    cosine, sine, one = np.cos(np.radians(turn)), np.sin(np.radians(turn)), np.ones(count)
    turned = np.array([[cosine, -sine], [sine, cosine]])  # (2, 2, count)
    sheared = np.array([[one, shear_x], [shear_y, one]])
    scaled = np.array([[1 / (1 + scale_x), 0 * one], [0 * one, 1 / (1 + scale_y)]])
    linear = np.einsum("ijn,jkn,kln->nil", turned, sheared, scaled)
    shifts = np.stack((shift_x, shift_y), 1)[:, :, None] * 2 / side
    return np.concatenate((linear, shifts), 2).astype(np.float32)


def distort(pictures: Tensor, distortion: Distortion, draw: np.random.Generator) -> Tensor:
    """Return distorted copies of drawings, float (n, 1, s, s) in [0, 1], 1 where there is ink."""
    count, side = len(pictures), pictures.shape[-1]
    maps = torch.from_numpy(affine_maps(count, distortion, draw, side)).to(pictures.device)
    grid = functional.affine_grid(maps, [count, 1, side, side], align_corners=False)
    if distortion.elastic:
        knots = draw.normal(0, distortion.elastic * 2 / side, (count, 2, KNOTS, KNOTS)).astype(np.float32)
        wave = functional.interpolate(
            torch.from_numpy(knots).to(pictures.device), (side, side), mode="bicubic", align_corners=True
        )
        grid = grid + wave.permute(0, 2, 3, 1)
    return functional.grid_sample(pictures, grid, align_corners=False)
