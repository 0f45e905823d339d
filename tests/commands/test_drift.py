import pytest

pytestmark = pytest.mark.usefixtures("gate")


def test_drift_is_told_as_json_and_in_words(call, answer):
    told = answer("users", "drift")
    assert told["visits"] == 1
    assert told["months"][0] | {"month": ""} == {
        "month": "", "user": "alice", "door": "front", "camera": "porch", "visits": 1, "median": 0.8, "p10": 0.8,
    }  # fmt: skip
    assert (told["sinking"], told["dim_cameras"], told["too_alike"]) == ([], [], [])
    assert 0 < told["too_alike_from"] < 1
    code, out, err = call("users", "drift")
    assert (code, err) == (0, "")
    assert "Nobody's scores sink" in out
