"""What the command line sets: `facegate --set mqtt.host=lan run`; stronger than variables and file.

It is noted here when the command line is parsed, and read by `facegate.settings` when a command asks for the settings.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from facegate.errors import UnusableInputError

PASSWORD_IN_URL: Final = re.compile(r"://[^/?#\s]*:[^/?#\s]+@")

_noted: dict[str, Any] = {}


def note(assignments: Sequence[str]) -> None:
    """Note what the command line sets, in the place of what was noted before; maps and lists are JSON.

    Raises:
        UnusableInputError: One is no assignment, contradicts another, or shows a password to the whole machine.
    """
    _noted.clear()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        *sections, last = name.split(".")
        if not equals or not all((*sections, last)):
            raise UnusableInputError(f"--set {assignment} sets nothing", "Write it as --set mqtt.host=broker.lan")
        if PASSWORD_IN_URL.search(text):
            mend = "Set it in facegate.toml or in its FACEGATE_ variable"
            raise UnusableInputError(f"--set {name} would show a password to everybody on this machine", mend)
        place = _noted
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise UnusableInputError(f"--set {name} contradicts another --set", "Leave one of the two out")
        place[last] = _value(name, text)


def noted() -> Mapping[str, Any]:
    """Return what the command line sets, by sections."""
    return _noted


def merged(stronger: Mapping[str, Any], weaker: Mapping[str, Any] = _noted) -> dict[str, Any]:
    """Return both, section by section."""
    both = {**weaker, **stronger}
    for name in weaker.keys() & stronger.keys():
        if isinstance(weaker[name], Mapping) and isinstance(stronger[name], Mapping):
            both[name] = merged(stronger[name], weaker[name])
    return both


def _value(name: str, text: str) -> Any:
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableInputError(f"--set {name} holds no JSON that can be read", "Mend it, or set its parts") from error
