"""Measure all that a verifier's card says of it, beside others, on the data's `*_val` sets.

    python -m models.verifier.recipe.measure --data DIR --out DIR --model twin-6 --beside open-1 --beside sface --jobs 2

`--data` holds the unpacked sets and `lfw_val_pairs.tsv`; `--beside` names installed models, the start first and then
its teacher. One file of JSON for each command, in `--out`; what lies there is not measured again, so that a second call
goes on where the first was cut. Speed is not among them: `facegate bench models`, on a machine that does nothing else.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

SETS: Final = ("lfw", "celeba", "pins", "pubfig83", "glint24", "bollywood33", "orl", "london")
"""Whose `*_val` folders are compared all against all."""
SPOILED: Final = SETS[:4]
"""Those with people enough for a second look behind masks and in the dark."""
PAIRS: Final = "lfw_val_pairs.tsv"
SEEDS: Final = (2, 3)
"""Of the households."""

Command = Sequence[str]


def commands(data: Path, model: str, beside: Sequence[str]) -> dict[str, Command]:
    """Return every command by the name of what it measures; those that take longest first."""
    facegate, recipe = (sys.executable, "-m", "facegate"), (sys.executable, "-m")
    named = [part for each in (model, *beside) for part in ("--model", each)]
    together = ("--together", ",".join(beside[:2])) if len(beside) > 1 else ()
    pairs = ("--images", f"{data}", "--pairs", f"{data / PAIRS}")
    places = {name: f"{data / f'{name}_val'}" for name in SETS}
    bench = (*facegate, "bench", "finetune", "--people", places["lfw"], "--people", places["celeba"])
    homes = (*bench, "--pairs", f"{data / PAIRS}", "--strangers", "350", "--households", "6")
    doors = (*recipe, "models.verifier.recipe.doors")
    return {
        **{f"doors-{name}": (*doors, "--images", places[name], *named, *together) for name in SPOILED},
        **{f"households-{seed}": (*homes, "--seed", f"{seed}", "--json") for seed in SEEDS},
        **{name: (*facegate, "evaluate", "folder", place, *named, "--json") for name, place in places.items()},
        "pairs": (*facegate, "evaluate", "pairs", *pairs, *named, "--json"),
        "robustness": (*recipe, "models.verifier.recipe.robustness", *pairs, "--model", model),
    }


def measure(todo: Mapping[str, Command], out: Path, jobs: int) -> list[str]:
    """Run what was not run yet, so many at a time; the names of those that failed.

    What a command says on its way goes to stderr, and its answer to a file, which is there only when it is whole.
    """
    out.mkdir(parents=True, exist_ok=True)

    def done(name: str) -> bool:
        answer, began = out / f"{name}.json", time.monotonic()
        if answer.exists():
            return True
        with answer.with_suffix(".new").open("wb") as file:
            failed = subprocess.run(todo[name], stdout=file, check=False).returncode  # noqa: S603 - our own commands
        if failed:
            print(f"{name}: left with {failed}", flush=True)
            return False
        answer.with_suffix(".new").replace(answer)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        return True

    with ThreadPoolExecutor(jobs) as pool:
        return [name for name, fine in zip(todo, pool.map(done, todo), strict=True) if not fine]


def main() -> None:
    """Measure what is not measured yet; leaves with 1 if a command failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the unpacked sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the answers")
    parser.add_argument("--model", required=True, help="an installed model")
    parser.add_argument("--beside", action="append", default=[], help="another one; repeatable")
    parser.add_argument("--jobs", type=int, default=1, help="commands at a time")
    parser.add_argument("--only", nargs="*", help="names of what is to be measured")
    given = parser.parse_args()
    every = commands(given.data, given.model, given.beside)
    if unknown := sorted(set(given.only or ()) - set(every)):
        parser.error(f"nothing is called {', '.join(unknown)}; there are {', '.join(every)}")
    todo = {name: command for name, command in every.items() if given.only is None or name in given.only}
    sys.exit(bool(measure(todo, given.out, given.jobs)))


if __name__ == "__main__":
    main()
