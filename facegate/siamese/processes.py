"""Several processes that train one network: each takes its part of every batch, and all take the same step.

Started by `torchrun`, which tells each its rank. The losses compare all pictures of a batch with one another, so each
process gives its templates to all (`gather`), computes the loss of the whole batch, and sends back through its own part
alone; the sum of all gradients is then that of one process with the whole batch.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import torch
from torch import Tensor, distributed, nn

from facegate.errors import UnusableInputError

PATIENCE: Final = timedelta(hours=2)
"""The first process aligns and asks the teachers while the others wait."""


@dataclass(frozen=True, slots=True)
class Team:
    """This process among its peers.

    Attributes:
        rank: Its number; 0 writes and reports.
        size: How many there are.
        device: What it computes on.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """It is the one that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            distributed.barrier()

    def gather(self, mine: Tensor) -> Tensor:
        """Return everybody's rows in the order of ranks, (n, d) -> (size * n, d); gradients flow into one's own."""
        if self.size == 1:
            return mine
        everybody = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(everybody, mine.detach().contiguous())
        everybody[self.rank] = mine
        return torch.cat(everybody)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up everybody's gradients, in one message."""
        if self.size == 1:
            return
        gradients = [weight.grad for weight in parameters if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()


@contextmanager
def team() -> Iterator[Team]:
    """Join the processes that `torchrun` started, or be alone; on a GPU of one's own where there is one.

    Raises:
        UnusableInputError: The environment speaks of several processes, and not as `torchrun` does.
    """
    mend = "Start several processes with torchrun, or unset WORLD_SIZE"
    try:
        size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    except ValueError as error:
        raise UnusableInputError("WORLD_SIZE or LOCAL_RANK is no number", mend) from error
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local % max(1, torch.cuda.device_count())) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True  # every batch has the same shape
    if size == 1:
        yield Team(device=device)
        return
    try:
        distributed.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise UnusableInputError(f"The {size} processes do not find each other", mend) from error
    try:
        yield Team(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()


def require_compiler() -> None:
    """Make sure that torch can compile on a processor: it calls what CXX names, or g++.

    Raises:
        UnusableInputError: It cannot.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        mend = "Install a C++ compiler (apt install g++), or leave out --compile"
        raise UnusableInputError(f"There is no {compiler} to compile with", mend)


def bf16_pays(device: torch.device) -> bool:
    """Tell whether bfloat16 is computed by the hardware: every GPU since Ampere, some processors."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001 - no other way
