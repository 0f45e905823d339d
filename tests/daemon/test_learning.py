import json
import sys
import threading
import time

import pytest

from facegate.daemon.learning import Learning, cause_of
from facegate.errors import RefusedError
from facegate.settings import FinetuneSection, Settings
from facegate.storage import open_storage
from facegate.storage.photos import Enrollee
from facegate.storage.runs import Outcome
from tests.fakes import START
from tests.storage.decisions import MODEL
from tests.storage.photos import a_photo

KEPT = {"verdict": "kept", "reason": "FNMR 1.0 % (1 of 100) -> 1.0 % (1 of 100)", "before": {}, "after": {}, "run": 3}


class Rig:
    """Learns with a command of the test's own."""

    def __init__(self, code: str = "", **settings) -> None:
        self.told: list[dict[str, object]] = []
        command = [sys.executable, "-c", code or f"print({json.dumps(KEPT)!r})"]
        self.learning = Learning(FinetuneSection(**settings), self.told.append, command=command)

    def run(self) -> dict[str, object]:
        self.learning.run("schedule")
        return self.told[-1]


def test_a_verdict_that_is_a_row_is_told_from_there_and_logged_here(caplog):
    caplog.set_level("INFO")
    rig = Rig()
    rig.learning.run("schedule")
    assert rig.told == []
    assert "fine-tuning: kept" in caplog.text


def test_a_challenger_that_goes_into_the_shadow_is_told_at_once():
    shadow = KEPT | {"verdict": None, "state": "shadow"}
    told = Rig(f"import json; print(json.dumps({shadow!r}))").run()
    assert (told["verdict"], told["state"]) == ("kept", "shadow")


def test_the_child_is_told_what_asked_for_the_run():
    told = Rig("import sys; sys.exit(' '.join(sys.argv[1:]))").run()
    assert told["reason"] == "the run ended with 1: --trigger schedule"
    assert told["trigger"] == "schedule"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('no json')", "the run ended with 0: it said nothing"),
        ("print('[]')", "the run ended with 0: it said nothing"),
        ('print(\'{"verdict": "better"}\')', "the run ended with 0: it said nothing"),
        (
            "import sys; print('first\\nfacegate: No key. Make one.', file=sys.stderr); sys.exit(3)",
            "the run ended with 3: facegate: No key. Make one.",
        ),
        ("import os; os.kill(os.getpid(), 9)", "the run ended with -9: it said nothing"),
    ],
)
def test_a_child_without_a_verdict_is_refused_with_its_own_words(code, reason):
    told = Rig(code).run()
    assert (told["verdict"], told["reason"]) == ("refused", reason)


def test_a_child_over_its_limits_is_refused_with_the_limit():
    greedy = "import time\nkept = []\nwhile True:\n    kept.append(bytearray(b'x' * 10_000_000)); time.sleep(0.01)"
    assert Rig(greedy, max_megabytes=300).run()["reason"] == "the run took more than 300 MB and was ended"


def test_a_second_run_waits_for_nobody_and_is_refused():
    rig = Rig("import sys, time; sys.stdin.read(); time.sleep(60)")
    rig.learning.begin("order")
    with pytest.raises(RefusedError, match="running already"):
        rig.learning.begin("order")
    rig.learning.run("schedule")  # passed over
    assert rig.told == []
    rig.learning.stop()
    assert rig.learning.wait(5)
    assert [told["reason"] for told in rig.told] == ["facegate stopped in the middle of the run"]


def test_a_stop_ends_the_child_soon_and_nothing_begins_after_it(tmp_path):
    started = tmp_path / "started"
    rig = Rig(f"import time; open({str(started)!r}, 'w'); time.sleep(60)")
    thread = threading.Thread(target=rig.learning.run, args=("schedule",))
    thread.start()
    while not started.exists():
        thread.join(0.01)
        assert thread.is_alive()
    begun = time.monotonic()
    rig.learning.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - begun < 3
    with pytest.raises(RefusedError, match="stops"):
        rig.learning.begin("order")


def test_what_is_due_runs_and_rests_after_it_came_to_nothing():
    rig = Rig("import sys; sys.exit('no disk')")
    asked = []

    def due() -> str:
        asked.append(1)
        return "removal"

    rig.learning.run_if(lambda: "")
    assert rig.told == []
    rig.learning.run_if(due)
    rig.learning.run_if(due)
    assert [told["trigger"] for told in rig.told] == ["removal"]
    assert len(asked) == 1


def test_a_removal_and_enough_new_photos_make_a_run_due(tmp_path):
    settings = FinetuneSection(after_enrollments=2)
    with open_storage(Settings(data_dir=tmp_path / "data"), upgrade_empty=True) as storage:
        assert cause_of(storage.runs, settings) == ""
        for axis in (0, 1):
            storage.photos.enroll(Enrollee("alice"), [a_photo(axis)], model=MODEL, now=START)
        assert cause_of(storage.runs, FinetuneSection()) == ""
        assert cause_of(storage.runs, settings) == "enrollments"
        run = storage.runs.start(trigger="enrollments", champion=MODEL, seed=1, now=START)
        storage.runs.finish(run.number, Outcome("kept", "because"), START)
        assert cause_of(storage.runs, settings) == ""
        storage.runs.ask("removal", START)
        assert cause_of(storage.runs, FinetuneSection()) == "removal"
