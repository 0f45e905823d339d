"""Bounds that options of several commands share."""

from typing import Final

LARGEST_SEED: Final = 2**63 - 1
"""What numpy, torch and SQL all take."""
