"""What a run has learnt so far, on disk: whole or not there, and gone on with only by the recipe that it began with.

A checkpoint holds arrays and the recipe's text, and is read with `weights_only`: no code in it is run.
"""

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Final

import torch

from facegate.errors import UnusableInputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CHECKPOINT: Final = "checkpoint.pt"
"""Its name in a run's folder."""
UNREADABLE: Final = (OSError, EOFError, ValueError, KeyError, RuntimeError, AttributeError, TypeError, UnpicklingError)
"""What `torch.load` raises for a file that is none of ours, or not all of one."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give another path to write to; what is there afterwards takes the place of `path` when it is safe on disk.

    Raises:
        UnusableInputError: It cannot be written; `path` is what it was.
    """
    fresh = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield fresh
        with fresh.open("rb+") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        why = error.strerror or str(error)
        mend = "Free some space, or name another folder"
        raise UnusableInputError(f"{path} cannot be written: {why}", mend) from error
    finally:
        fresh.unlink(missing_ok=True)


def require_no_run(folder: Path) -> None:
    """Refuse a folder with a run in it, which a new one would be written over.

    Raises:
        UnusableInputError: There is a checkpoint.
    """
    if (folder / CHECKPOINT).exists():
        raise UnusableInputError(f"{folder} holds a run already", "Go on with it (--resume) or name another folder")


@contextmanager
def of_this_kind(folder: Path) -> Iterator[None]:
    """Take a checkpoint's state over, and tell where it does not fit.

    Raises:
        UnusableInputError: It is of a run of another kind.
    """
    try:
        yield
    except (KeyError, RuntimeError, ValueError) as error:
        mend = "Give the options that it began with, or another folder"
        raise UnusableInputError(f"{folder} holds a run of another kind", mend) from error


def write_checkpoint(folder: Path, state: dict[str, Any], recipe: "DataclassInstance", lessons: str) -> None:
    """Write a run's checkpoint over the one before: its state, the recipe, and what tells its lessons from others."""
    with replacing(folder / CHECKPOINT) as path, path.open("wb") as file:
        torch.save({**state, "recipe": json.dumps(asdict(recipe)), "lessons": lessons}, file)


def read_checkpoint(
    folder: Path, recipe: "DataclassInstance", lessons: str, device: "str | torch.device", free: Collection[str] = ()
) -> dict[str, Any] | None:
    """Return the state of a run's checkpoint; None if there is none.

    Args:
        folder: The run's.
        recipe: What is to be gone on with.
        lessons: What tells that which is learnt from from others: a digest.
        device: Where the arrays go.
        free: What of the recipe may have changed since.

    Raises:
        UnusableInputError: It cannot be read, or is of a run by another recipe or on other pictures.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        kept, learnt_from = state.get("recipe"), state.get("lessons")
    except UNREADABLE as error:
        mend = "It may have been cut off: delete it, and the run begins anew"
        raise UnusableInputError(f"{path} holds no checkpoint that can be read", mend) from error
    if kept is None or learnt_from is None:
        mend = "Go on with that state, or name another folder"
        raise UnusableInputError(f"{path} was written by an earlier state of facegate", mend)
    if learnt_from != lessons:
        raise UnusableInputError(f"{path} is of a run on other pictures", "Give those, or name another folder")
    began, goes_on = json.loads(kept), json.loads(json.dumps(asdict(recipe)))
    changed = [name for name in goes_on if name not in free and began.get(name) != goes_on[name]]
    if changed:
        differs = ", ".join(f"{name} {began.get(name)}, not {goes_on[name]}" for name in changed)
        mend = "Give the options that it began with, or another folder"
        raise UnusableInputError(f"{path} is of a run that began with {differs}", mend)
    return state
