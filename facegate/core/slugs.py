"""Slugs: the only names that enter a topic, a URL or a path when they come from outside.

A slug is `[a-z0-9_-]{1,64}`. It is never a person's shown name.
"""

import re
from typing import Final

SLUG: Final = re.compile(r"[a-z0-9_-]{1,64}")
#: Event ids also carry the dot of Frigate's (`1607123955.475377-mxklsc`) and the capitals of a UUID.
EVENT_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def is_slug(text: str) -> bool:
    """Tell whether `text` is a slug."""
    return SLUG.fullmatch(text) is not None


def is_event_id(text: str) -> bool:
    """Tell whether `text` may name an event."""
    return EVENT_ID.fullmatch(text) is not None
