"""Networks small enough to try everything on."""

from dataclasses import replace

import numpy as np
import torch

from facegate.siamese.companion import Companion
from facegate.siamese.networks import Trunk
from facegate.siamese.sface import Chain, Layer
from facegate.siamese.shapes import BlockShape, CompanionShape, TrunkShape, accompanied_by
from facegate.siamese.weights import checkpoint_of, load_checkpoint

SMALL = TrunkShape(32, 8, (BlockShape(8, 16, 8, 2, 4), BlockShape(8, 16, 8, 1, 4)), 32, 24)
SHORT = CompanionShape(28, 32, 24, 8, ((12, 1), (16, 2), (24, 2)), 16, 12)
BOTH = accompanied_by(SMALL, SHORT)
SURROUNDED = accompanied_by(SMALL, replace(SHORT, crop=40, face=35, even=True))
"""Its companion sees what is around the face, and not all of that; its values are of unit length."""


def small_trunk(seed=0, shape=SMALL):
    torch.manual_seed(seed)
    trunk = Trunk(shape)
    for part in trunk.modules():
        if isinstance(part, torch.nn.PReLU):
            torch.nn.init.uniform_(part.weight, -0.3, 1.3)  # a slope may be negative or steep
    if trunk.companion is not None:
        trunk.companion.load_state_dict(small_companion(seed, shape.companion).state_dict())
    return trunk.eval()


CROPS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
LARGE = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)


def small_companion(seed=0, shape=SHORT):
    """A companion whose activations fill their range."""
    torch.manual_seed(seed)
    companion = Companion(shape).eval()
    companion.rounds = False
    with torch.no_grad():
        x = companion.seen(pixels(LARGE if shape.crop > len(CROPS[0]) else CROPS))
        for number, (_, bend) in enumerate(companion.stages()):
            bend.slope.uniform_(-0.4, 1.0)
            given = companion.before(number, x)
            bend.step.copy_((given.max() - given.min()) / 255)
            bend.zero.copy_((-given.min() / bend.step).round())
            x = companion.after(number, x)
    companion.rounds = True
    return companion


def small_chain(seed=0):
    return chain_of(SHORT, seed)


def chain_of(shape, seed=0):
    """A network as SFace is, of random weights."""
    torch.manual_seed(seed)
    widths = [3, shape.stem]
    layers = [_layer(3, shape.stem, 3, 1)]
    for wide, stride in shape.pairs:
        layers += [_layer(1, widths[-1], 3, stride), _layer(widths[-1], wide, 1, 1)]
        widths.append(wide)
    last = torch.randn(shape.dimension, widths[-1], shape.last_map, shape.last_map) / 20
    return Chain(shape, tuple(layers), last, torch.randn(shape.dimension) / 10)


def _layer(inputs, outputs, side, stride):
    weight = torch.randn(outputs, inputs, side, side) * (2 / (inputs * side * side)) ** 0.5
    return Layer(weight, torch.randn(outputs) / 5, torch.rand(outputs) * 1.2 - 0.4, stride)


def pixels(crops):
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32))


def torch_templates(trunk, crops=CROPS):
    with torch.no_grad():
        return trunk(pixels(crops)).numpy()


def through_a_checkpoint(trunk, folder):
    """Return the trunk with weights that float16 holds."""
    if trunk.companion is not None:
        trunk.companion.settle()
    (folder / "through.pt").write_bytes(checkpoint_of(trunk))
    return load_checkpoint(folder / "through.pt", [SMALL, BOTH, SURROUNDED])
