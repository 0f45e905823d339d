"""What stands beside a model that was fine-tuned here: by which run it was made, and from which model."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from facegate.errors import NotReadyError

LEARNED: Final = "learned.json"


@dataclass(frozen=True, slots=True)
class Learned:
    """What `learned.json` says of a model that was fine-tuned here.

    Attributes:
        run: Number of the run.
        champion: Id of the model that it was learned on.
        confirmed_frames: Whether it was judged with confirmed frames as references, and so wants them.
    """

    run: int
    champion: str
    confirmed_frames: bool

    def document(self) -> bytes:
        """Return it as it is written; `read_learned` reads it."""
        return (json.dumps(asdict(self), indent=1) + "\n").encode()


def read_learned(folder: Path) -> Learned | None:
    """Return what is known of a model that was fine-tuned here; None: it was not.

    Raises:
        NotReadyError: The file cannot be read.
    """
    path = folder / LEARNED
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text("utf-8"))
        return Learned(int(document["run"]), str(document["champion"]), bool(document["confirmed_frames"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotReadyError(f"{path} cannot be read ({error})", "Run: facegate models rollback") from error
