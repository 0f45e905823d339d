"""Two twin networks for drawings of characters: the one of the paper, and one that gives templates.

`PaperTwins` is figure 4 of Koch, Zemel and Salakhutdinov (2015), "Siamese Neural Networks for One-shot Image
Recognition":

    105x105 grey - 64@10x10 - pool - 128@7x7 - pool - 128@4x4 - pool - 256@4x4 - 4096 sigmoid - weighted L1 - sigmoid

It has 38,951,745 parameters. Two scaffolds make it learn in hours instead of days, and both are gone afterwards: what
is stored and judged has the paper's layers and nothing else.

- Batch norms stand between the layers. One that scales by a positive number and shifts is moved into the weights before
  it by `folded`.
- A **sketch** of the network sees the drawing at half size, with 64@5x5 and 128@4x4 in place of the first two
  convolutions, which cost 84 % of the work: a picture costs a fifth. From the second pool on all maps have the paper's
  sizes. `grown` makes the paper's network of it: each 5x5 tap becomes 2x2 taps of a quarter, which is exact up to the
  finer pooling; the 4x4 taps move two pixels apart, with the taps between them interpolated.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from facegate.errors import UnusableInputError

CONVOLUTIONS: Final = ((1, 64, 10), (64, 128, 7), (128, 128, 4), (128, 256, 4))
"""Channels in, channels out and the kernel's side of the paper's four convolutions."""
SKETCHED: Final = ((1, 64, 5), (64, 128, 4), *CONVOLUTIONS[2:])
"""The sketch's: half the kernels, at half the size."""
POOLED: Final = (0, 1, 2)
"""After these convolutions the map is halved; in the sketch not after the second, which sees half a map already."""
UNITS: Final = 4096
LAST_MAP: Final = 6
"""Side of the last feature map."""
LEAST_SCALE: Final = 0.01
EPSILON: Final = 1e-5
"""What torch's norms add to the variance."""
FORMAT: Final = "facegate one-shot 1"


class PaperTwins(nn.Module):
    """The paper's network; with `norms` as it learns, without as it is judged; or the sketch of it."""

    def __init__(self, *, norms: bool = False, sketch: bool = False) -> None:
        super().__init__()
        self.sketch = sketch
        shapes = SKETCHED if sketch else CONVOLUTIONS
        self.convolutions = nn.ModuleList(nn.Conv2d(ins, outs, side) for ins, outs, side in shapes)
        self.units = nn.Linear(CONVOLUTIONS[-1][1] * LAST_MAP**2, UNITS)
        self.norms: nn.ModuleList | None = None
        if norms:
            self.norms = nn.ModuleList([
                *(nn.BatchNorm2d(outs) for _, outs, _ in CONVOLUTIONS), nn.BatchNorm1d(UNITS)
            ])  # fmt: skip
        self.weigh = nn.Linear(UNITS, 1)
        _start(self)

    @property
    def kind(self) -> str:
        """What a file of it says it is."""
        return "sketch" if self.sketch else "paper"

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 1, 105, 105), 1 where there is ink -> features (n, 4096) in [0, 1].

        Max-pooling comes before norm and ReLU: both never fall, so the result is the paper's, at a quarter of the work.
        """
        x = functional.avg_pool2d(pictures, 2) if self.sketch else pictures
        for number, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if number in POOLED and not (self.sketch and number == 1):
                x = functional.max_pool2d(x, 2)
            x = functional.relu(self._normed(number, x))
        return torch.sigmoid(self._normed(-1, self.units(x.flatten(1))).float())

    def _normed(self, number: int, x: Tensor) -> Tensor:
        if self.norms is None:
            return x
        normed: Tensor = self.norms[number](x)
        return normed

    def logits(self, left: Tensor, right: Tensor) -> Tensor:
        """Features (n, 4096) and (m, 4096) -> (n, m); the sigmoid of it is the probability of one character."""
        rows = [self.weigh((one - right).abs()).squeeze(1) for one in left]
        return torch.stack(rows)

    def folded(self) -> "PaperTwins":
        """Return the same function without norms: scale and shift move into the weights before them."""
        state, bare = self.state_dict(), PaperTwins(sketch=self.sketch)
        layers = [f"convolutions.{number}" for number in range(len(CONVOLUTIONS))] + ["units"]
        for number, layer in enumerate(layers if self.norms is not None else ()):
            norm = f"norms.{number}"
            scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()  # (outs,)
            shifted = (state[f"{layer}.bias"] - state[f"{norm}.running_mean"]) * scale
            weight = state[f"{layer}.weight"]
            state[f"{layer}.weight"] = weight * scale.view(-1, *[1] * (weight.dim() - 1))
            state[f"{layer}.bias"] = shifted + state[f"{norm}.bias"]
        bare.load_state_dict({name: state[name] for name in bare.state_dict()})
        return bare.eval()

    @torch.no_grad()
    def grown(self) -> "PaperTwins":
        """Return the paper's network that a sketch stands for. Its norms fit roughly: measure anew, and learn on."""
        full = PaperTwins(norms=self.norms is not None)
        state = self.state_dict()
        first, second = state["convolutions.0.weight"], state["convolutions.1.weight"]
        state["convolutions.0.weight"] = functional.interpolate(first, scale_factor=2, mode="nearest") / 4
        state["convolutions.1.weight"] = apart(second)
        full.load_state_dict(state)
        return full

    @torch.no_grad()
    def keep_foldable(self) -> None:
        """Keep the norms' scales positive: only then do they change places with max-pooling."""
        for name, value in self.named_parameters():
            if name.startswith("norms.") and name.endswith(".weight"):
                value.clamp_(min=LEAST_SCALE)


def apart(kernel: Tensor) -> Tensor:
    """Move a kernel's taps two pixels apart: (o, i, k, k) -> (o, i, 2k - 1, 2k - 1), interpolated."""
    outs, ins, side, _ = kernel.shape
    tent = torch.tensor([0.25, 0.5, 0.25], device=kernel.device)
    spread = functional.conv_transpose2d(
        kernel.reshape(outs * ins, 1, side, side), (tent[:, None] * tent)[None, None], stride=2, padding=1
    )  # (o * i, 1, 2k - 1, 2k - 1)
    return spread.view(outs, ins, 2 * side - 1, 2 * side - 1)


@torch.no_grad()
def _start(twins: PaperTwins) -> None:
    """Set the first weights: He's for convolutions, small ones for the units, all distances counting the same.

    The paper draws them from N(0, 0.01) and N(0, 0.2) and trains without norms; with norms their size does not matter.
    """
    for value in twins.convolutions.parameters():
        if value.dim() > 1:
            nn.init.kaiming_normal_(value, nonlinearity="relu")
        else:
            nn.init.zeros_(value)
    nn.init.normal_(twins.units.weight, std=0.01)
    nn.init.zeros_(twins.units.bias)
    nn.init.constant_(twins.weigh.weight, -16 / UNITS)
    nn.init.constant_(twins.weigh.bias, 3.0)


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outs)
        self.second = nn.Conv2d(outs, outs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outs)
        self.across = nn.Sequential()
        if stride > 1 or ins != outs:
            self.across = nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, ins, h, w) -> (n, outs, h / stride, w / stride)."""
        y = functional.relu(self.norm1(self.first(x)))
        return functional.relu(self.norm2(self.second(y)) + self.across(x))


class EmbeddingTwins(nn.Module):
    """A small residual network at half size; the score of two drawings is the cosine of their templates."""

    kind: Final = "embedding"

    def __init__(self, dimension: int = 256) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 5, 2, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.body = nn.Sequential(
            Residual(32, 64, 2), Residual(64, 64, 1), Residual(64, 128, 2), Residual(128, 128, 1), Residual(128, 256, 2)
        )
        self.embed = nn.Linear(256 * 16, dimension, bias=False)
        self.norm = nn.BatchNorm1d(dimension)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 1, 105, 105), 1 where there is ink -> templates (n, d), unit length."""
        x = self.body(self.stem(functional.avg_pool2d(pictures, 2)))  # 52 - 26 - 13 - 7 - 4
        return functional.normalize(self.norm(self.embed(x.flatten(1))).float(), dim=1)

    @staticmethod
    def logits(left: Tensor, right: Tensor) -> Tensor:
        """Templates (n, d) and (m, d) -> cosines (n, m)."""
        return left @ right.T


OneShotTwins = PaperTwins | EmbeddingTwins
NETWORKS: Final[dict[str, Callable[[], OneShotTwins]]] = {
    "paper": PaperTwins,
    "sketch": lambda: PaperTwins(sketch=True),
    "embedding": EmbeddingTwins,
}


def save_twins(twins: OneShotTwins, path: Path) -> None:
    """Write a network as `.npz` in half precision: arrays only, no code."""
    if isinstance(twins, PaperTwins) and twins.norms is not None:
        twins = twins.folded()
    state = {key: value.detach().cpu().numpy() for key, value in twins.state_dict().items()}
    halves = {key: value.astype(np.float16) for key, value in state.items() if value.dtype == np.float32}
    about = np.frombuffer(json.dumps({FORMAT: twins.kind}).encode(), np.uint8)
    part = path.with_suffix(".part.npz")
    np.savez(part, about=about, **halves)
    part.replace(path)


def load_twins(path: Path) -> OneShotTwins:
    """Return the network of a file that `save_twins` wrote.

    Raises:
        UnusableInputError: There is none, or it holds something else.
    """
    if not path.is_file():
        raise UnusableInputError(f"There is no {path}", "Give a network written by `facegate models train-oneshot`")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            twins = NETWORKS[json.loads(arrays["about"].tobytes())[FORMAT]]()
            state = {key: _numbers(arrays[key]) for key in arrays.files if key != "about"}
        counts = {key: value for key, value in twins.state_dict().items() if key.endswith("num_batches_tracked")}
        twins.load_state_dict(counts | state)
    except Exception as error:
        raise UnusableInputError(
            f"{path} holds no one-shot network", "Give a network written by `facegate models train-oneshot`"
        ) from error
    return twins.eval()


def _numbers(stored: NDArray[np.generic]) -> Tensor:
    """Return weights as float32; ValueError for what is no number."""
    values = stored.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("weights that are no numbers")
    return torch.from_numpy(values)
