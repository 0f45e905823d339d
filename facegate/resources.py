"""Where the files that ship with facegate lie: beside the package in a checkout, inside it in an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the folder `name` ("models" or "migrations") that ships with this facegate."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name
