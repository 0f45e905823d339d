import json
import logging

from facegate.daemon.logs import MAX_LINE, JsonFormatter, LineFormatter, redacted


def record(message: str, **extra) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "facegate.daemon.gate", "levelname": "INFO", "msg": message, "created": 0.0})
    vars(made).update(extra)
    return made


def test_a_line_tells_the_time_the_level_the_part_and_the_facts():
    line = LineFormatter().format(record("decided", door="front", reason="match"))
    assert line == "1970-01-01T00:00:00.000Z info daemon.gate: decided door=front reason=match"


def test_json_lines_are_json():
    document = json.loads(JsonFormatter().format(record("decided", door="front", frames=2)))
    assert document["door"] == "front"
    assert document["frames"] == 2


def test_credentials_are_never_logged():
    text = redacted("GET http://user:secret@camera/snap.jpg?password=secret&token=secret&x=1 failed")
    assert "secret" not in text
    assert "camera/snap.jpg" in text


def test_a_line_is_one_line_and_bounded():
    line = LineFormatter().format(record("a\nb" * 10_000))
    assert "\n" not in line
    assert len(line) <= MAX_LINE
