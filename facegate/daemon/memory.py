"""Keeps the process small: the C library otherwise gives every thread a heap of its own and never gives any back."""

import ctypes
from typing import Final

M_ARENA_MAX: Final = -8
"""glibc, malloc.h: the most heaps that are made."""

ARENAS: Final = 2
"""Two workers rarely meet in the allocator: OpenCV and ONNX Runtime hold their buffers."""


def keep_heaps_few() -> bool:
    """Limit the C library's heaps; False where it is none that knows how (musl, macOS)."""
    try:
        return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS))
    except (OSError, AttributeError):
        return False


def give_back() -> bool:
    """Return free memory to the system, some milliseconds; False where the C library cannot."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError):
        return False
