"""A fine-tune in a process of its own that can be made to die: `python mortal.py FOLDER [STEP SHARE] [--full BYTES]`.

It does what `facegate finetune --here` does, with a nudge of the head in the place of learning, so that it takes a
second. At a step it kills itself with the signal that nobody can catch. With `--full` no file may grow beyond a size,
which is what a full disk looks like.
"""

import os
import resource
import signal
import sys
from pathlib import Path

from facegate.commands.main import fail
from facegate.errors import FacegateError
from facegate.settings import FinetuneSection, Settings
from facegate.storage import open_storage
from facegate.verifier.finetuning.promotion import Tuning
from facegate.verifier.library import library_of
from tests.verifier.models import lesson


def main(folder, step="", share=0.0, *, full=0):
    if full:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, full))

    def report(now, done):
        if (now, done) == (step, share):
            os.kill(os.getpid(), signal.SIGKILL)

    settings = Settings(data_dir=folder, finetune=FinetuneSection(keep=1))
    with open_storage(settings) as storage:
        library = library_of(settings, storage.champions)
        seed = len(storage.runs.newest())
        learn = lesson(seed=seed, frames_as_references=True)
        tuning = Tuning(storage=storage, library=library, settings=settings, learn=learn, report=report)
        sys.stdout.write(f"{tuning.run(seed=seed).verdict}\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    limit = int(words.pop()) if "--full" in words else 0
    words = [word for word in words if word != "--full"]
    try:
        main(Path(words[0]), *words[1:2], *map(float, words[2:3]), full=limit)
    except FacegateError as error:
        sys.exit(fail(str(error), error.exit_code))
