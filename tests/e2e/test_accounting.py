"""Law 4 when the process is killed in the middle of writing."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from facegate.settings import Settings
from facegate.storage import audit, open_storage
from tests.fakes import START

ROOT = Path(__file__).parents[2]

WRITER = """
import sys, threading
from pathlib import Path
from facegate.settings import Settings
from facegate.storage import open_storage
from tests.fakes import START
from tests.storage.decisions import a_decision

run, folder = sys.argv[1:]
storage = open_storage(Settings(data_dir=Path(folder)))

def write(thread):
    for number in range(100_000):
        events = [f"{run}-{thread}-{number}-{which}" for which in "ab"]
        for event in events:
            storage.events.open(event, "porch", START, "")
        if number % 3 == 0:
            storage.events.count(events, "superseded")
        elif number % 3 == 1:
            storage.decisions.record(storage.signer.sign(a_decision(*events)))
        if number == 3 and thread == 0:
            print("writing", flush=True)

for thread in range(2):
    threading.Thread(target=write, args=(thread,)).start()
"""


def test_after_each_kill_every_event_is_named_counted_or_interrupted_and_the_chain_is_whole(tmp_path):
    settings = Settings(data_dir=tmp_path / "data")
    open_storage(settings, upgrade_empty=True).close()
    moments = random.Random(7)  # noqa: S311 - the same moments in every run
    for run in range(4):
        command = [sys.executable, "-c", WRITER, str(run), str(settings.data_dir)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment) as writer:
            assert writer.stdout.readline() == b"writing\n"
            time.sleep(moments.uniform(0, 0.2))  # the kill is to come at any moment
            writer.send_signal(signal.SIGKILL)
        with open_storage(settings) as storage:
            left_open = storage.events.unsettled()
            assert storage.events.recover() == left_open
            tally = storage.events.tally()
            decisions = storage.decisions.newest(limit=None)
            assert tally["in"] == tally["decided"] + sum(tally["counted"].values())
            assert tally["decided"] == sum(len(one.document["events"]) for one in decisions) > 0
            assert audit.verify(storage.engine, storage.signer, START).is_whole
