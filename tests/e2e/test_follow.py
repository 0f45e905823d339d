"""`facegate decisions follow` in a process of its own: prints what another process records, until interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from facegate.settings import Settings
from facegate.storage import open_storage
from tests.storage.decisions import a_decision

ROOT = Path(__file__).parents[2]


def test_follow_prints_what_is_recorded_and_leaves_with_130_when_interrupted(tmp_path):
    with open_storage(Settings(data_dir=tmp_path), upgrade_empty=True) as storage:
        storage.decisions.record(a_decision(id="before"))
        environment = os.environ | {"PYTHONPATH": str(ROOT), "FACEGATE_DATA_DIR": str(tmp_path)}
        command = [sys.executable, "-m", "facegate", "decisions", "follow", "--json"]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path
        ) as follower:
            said = []
            os.set_blocking(follower.stdout.fileno(), False)
            for number in range(600):  # until it hears one: at most 30 s
                storage.decisions.record(a_decision(id=f"decision-{number:04d}"))
                time.sleep(0.05)
                if line := follower.stdout.readline():
                    said.append(json.loads(line))
                    break
            follower.send_signal(signal.SIGINT)
            _, err = follower.communicate(timeout=20)
    assert said[0]["decision"].startswith("decision-")
    assert follower.returncode == 130
    assert err == b""
