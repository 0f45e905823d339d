import pytest

from facegate.daemon.lesson import Lesson, fault_of

TOLD = {"verdict": "kept", "reason": "the fall is no greater than chance", "run": 1, "state": "finished"}


@pytest.mark.parametrize("verdict", ["promoted", "kept", "refused"])
def test_every_honest_verdict_is_right(verdict):
    assert fault_of(TOLD | {"verdict": verdict}) == ""


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, "no verdict on the fine-tune within"),
        (TOLD | {"verdict": "better"}, "says 'better'"),
        (TOLD | {"reason": ""}, "says 'kept'"),
        (TOLD | {"state": "failed", "verdict": "refused"}, "came to nothing"),
        ({"verdict": "refused", "reason": "the run took more than 900 s and was ended"}, "came to nothing"),
    ],
)
def test_a_run_without_a_verdict_of_its_own_is_a_fault(told, says):
    assert says in fault_of(told)


def test_the_picture_is_named_as_it_lies_below_the_data_folder():
    assert Lesson(1, 1, TOLD | {"picture": "/somewhere/else/7.png"}, 1.0, "").picture == "runs/7.png"
    assert Lesson(1, 1, TOLD | {"picture": None}, 1.0, "").picture is None
    assert Lesson(1, 1, None, 1.0, "").picture is None
