import json
import sys
import threading
import time

import pytest

from facegate.daemon.learning import MAX_UNTOLD, Learning
from facegate.errors import RefusedError
from facegate.settings import FinetuneSection

KEPT = {"verdict": "kept", "reason": "FNMR 1.0 % (1 of 100) -> 1.0 % (1 of 100)", "before": {}, "after": {}}


class Rig:
    """Learns with a command of the test's own; the broker is there or away."""

    def __init__(self, code: str = "", **settings) -> None:
        self.told: list[dict[str, object]] = []
        self.away = False
        command = [sys.executable, "-c", code or f"print({json.dumps(KEPT)!r})"]
        self.learning = Learning(FinetuneSection(**settings), self.tell, command=command)

    def tell(self, text: str) -> bool:
        if not self.away:
            self.told.append(json.loads(text))
        return not self.away

    def run(self) -> dict[str, object]:
        self.learning.run("scheduled")
        return self.told[-1]


def test_the_verdict_of_the_child_is_told_with_its_cause():
    assert Rig().run() == KEPT | {"cause": "scheduled"}


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
    rig.learning.begin("ordered")
    with pytest.raises(RefusedError, match="running already"):
        rig.learning.begin("ordered")
    rig.learning.run("scheduled")  # passed over
    assert rig.told == []
    rig.learning.stop()
    assert rig.learning.wait(5)
    assert [told["reason"] for told in rig.told] == ["facegate stopped in the middle of the run"]


def test_a_stop_ends_the_child_soon_and_nothing_begins_after_it(tmp_path):
    started = tmp_path / "started"
    rig = Rig(f"import time; open({str(started)!r}, 'w'); time.sleep(60)")
    thread = threading.Thread(target=rig.learning.run, args=("scheduled",))
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
        rig.learning.begin("ordered")


def test_verdicts_wait_for_the_broker_in_order_and_in_bounded_number():
    rig = Rig()
    rig.away = True
    for number in range(MAX_UNTOLD + 5):
        rig.learning.tell({"verdict": "kept", "number": number})
    assert rig.told == []
    rig.away = False
    rig.learning.tell_again()
    rig.learning.tell_again()
    assert [told["number"] for told in rig.told] == list(range(5, MAX_UNTOLD + 5))
