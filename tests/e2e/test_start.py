"""How the daemon starts: it refuses what is not ready with one line and code 3, waits for its broker, tells systemd."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from facegate.commands import main
from facegate.settings import Settings
from facegate.storage.engine import open_engine
from facegate.storage.schema import downgrade
from facegate.verifier.library import library_of
from tests.e2e.household import ENROLLED, Daemon, Listener, picture_of
from tests.mosquitto import free_port, require

ROOT = Path(__file__).parents[2]
More = dict[str, str]
PATIENCE = 60.0


def empty(folder: Path) -> More:
    shutil.rmtree(folder)
    return {}


def old_schema(folder: Path) -> More:
    engine = open_engine(Settings(data_dir=folder).database_url)
    downgrade(engine, "0001")
    engine.dispose()
    return {}


def junk_for_a_database(folder: Path) -> More:
    (folder / "junk.db").write_bytes(b"no database " * 1000)
    return {"FACEGATE_DATABASE__URL": f"sqlite:///{folder}/junk.db"}


def own_model(folder: Path) -> Path:
    """Copy the model in charge to where this installation's own lie; it hides the one that ships."""
    shipped = library_of(Settings(data_dir=folder)).load().folder
    return Path(shutil.copytree(shipped, folder / "models" / shipped.name))


def tampered_network(folder: Path) -> More:
    network = own_model(folder) / "network.onnx"
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    network.write_bytes(data)
    return {}


def network_gone(folder: Path) -> More:
    (own_model(folder) / "network.onnx").unlink()
    return {}


def model_gone(folder: Path) -> More:
    (folder / "active.json").write_text('{"models": ["gone"]}')
    return {}


def unknown_model(_: Path) -> More:
    return {"FACEGATE_VERIFIER__MODEL": "gone"}


def another_model(_: Path) -> More:
    return {"FACEGATE_VERIFIER__MODEL": "open-1"}  # nobody was enrolled with it


def swapped_colours(folder: Path) -> More:
    """A network that is whole, and is fed in the wrong order of channels."""
    card = own_model(folder) / "model.json"
    document = json.loads(card.read_text())
    document["input"]["rgb"] = not document["input"]["rgb"]
    card.write_text(json.dumps(document))
    return {}


def no_detector(folder: Path) -> More:
    (folder / "detector.onnx").write_bytes(b"no network")
    return {"FACEGATE_VISION__DETECTOR": str(folder / "detector.onnx")}


def no_schema(folder: Path) -> More:
    open_engine(f"sqlite:///{folder}/empty.db").connect().close()
    return {"FACEGATE_DATABASE__URL": f"sqlite:///{folder}/empty.db"}


def open_vault_key(folder: Path) -> More:
    Settings(data_dir=folder).vault_key.chmod(0o644)
    return {}


def open_signing_key(folder: Path) -> More:
    from facegate.storage.signing import DecisionSigner

    path = Settings(data_dir=folder).signing_key
    assert DecisionSigner(path).kid
    path.chmod(0o640)
    return {}


#: Title: (what is done to a household, what the line says).
UNREADY: dict[str, tuple[Callable[[Path], More], str]] = {
    "no database": (empty, "Run: facegate db upgrade"),
    "an empty database": (no_schema, "Run: facegate db upgrade"),
    "an old schema": (old_schema, "Run: facegate db upgrade"),
    "a file that is no database": (junk_for_a_database, "junk.db"),
    "a network that was changed": (tampered_network, "network.onnx was changed"),
    "a network that is gone": (network_gone, "network.onnx cannot be read"),
    "a model in charge that is gone": (model_gone, "gone"),
    "a model in the settings that is not there": (unknown_model, "gone"),
    "a model that knows none of the enrolled": (another_model, "Run: facegate models activate open-1"),
    "a network that is fed the wrong colours": (swapped_colours, "fails its self-test"),
    "a detector that is none": (no_detector, "detector.onnx"),
    "a vault key that others may read": (open_vault_key, "Run: chmod 600"),
    "a signing key that others may read": (open_signing_key, "Run: chmod 600"),
}


def environment(folder: Path, more: More) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FACEGATE_")}
    return {**inherited, "FACEGATE_DATA_DIR": str(folder), "FACEGATE_MQTT__PORT": str(free_port()), **more}


def starting(environ: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "facegate", "run"]
    return subprocess.Popen(command, cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def refusal_of(process: subprocess.Popen[str]) -> str:
    """Wait until the daemon has left with 3 and one line on stderr, and return the line."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"the daemon started: {err}")
    assert out == ""
    assert process.returncode == 3, err
    assert err.count("\n") == 1, err
    assert err.startswith("facegate: ")
    return err


def doctor(environ: dict[str, str], monkeypatch, capsys) -> tuple[int, dict]:
    for name in [name for name in os.environ if name.startswith("FACEGATE_")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        if name.startswith("FACEGATE_"):
            monkeypatch.setenv(name, value)
    capsys.readouterr()
    code = main.run(["doctor", "--json"])
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    assert all(set(one) == {"check", "health", "detail", "mend"} for one in report["checks"])
    assert {one["health"] for one in report["checks"]} <= {"ok", "note", "fail"}
    assert all(bool(one["mend"]) == (one["health"] != "ok") for one in report["checks"])
    assert report["ready"] == (code == 0)
    return code, report


@pytest.mark.parametrize("title", UNREADY)
def test_what_is_not_ready_is_refused_in_one_line_and_the_doctor_names_it(title, household, monkeypatch, capsys):
    spoil, says = UNREADY[title]
    environ = environment(household, spoil(household))
    process = starting(environ)
    code, report = doctor(environ, monkeypatch, capsys)
    assert says in refusal_of(process)
    assert code == 3
    ill = [one for one in report["checks"] if one["health"] == "fail"]
    assert [says in f"{one['detail']} {one['mend']}" for one in ill] == [True], ill


def test_the_doctor_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    code, _ = doctor(environment(tmp_path / "data", {}), monkeypatch, capsys)
    assert code == 3
    assert not (tmp_path / "data").exists()


def test_a_taken_port_is_refused_and_the_doctor_says_who_may_be_there(household, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environ = environment(household, {"FACEGATE_MQTT__PORT": str(taken.getsockname()[1])})
        process = starting(environ)
        code, report = doctor(environ, monkeypatch, capsys)
        assert f"127.0.0.1:{environ['FACEGATE_MQTT__PORT']}" in refusal_of(process)
    assert code == 0  # it may be facegate itself that runs there
    (broker,) = [one for one in report["checks"] if one["check"] == "broker"]
    assert broker["health"] == "note"
    assert environ["FACEGATE_MQTT__PORT"] in broker["detail"]


def test_a_household_is_well(household, monkeypatch, capsys):
    code, report = doctor(environment(household, {}), monkeypatch, capsys)
    assert (code, report["ready"]) == (0, True)
    assert {"clock", "data folder", "database", "vault key", "signing key", "doors", "users", "detector", "model"} <= {
        one["check"] for one in report["checks"] if one["health"] == "ok"
    }


def test_a_broker_that_does_not_answer_is_ill(household, monkeypatch, capsys):
    environ = environment(household, {"FACEGATE_MQTT__HOST": "127.0.0.1"})
    code, report = doctor(environ, monkeypatch, capsys)
    assert code == 3
    assert [one["check"] for one in report["checks"] if one["health"] == "fail"] == ["broker"]


class Systemd:
    """What systemd hears on the socket that it gives to its services."""

    def __init__(self, path: Path) -> None:
        self.words: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.1)

    def wait_for(self, word: str, times: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.words.count(word) < times:
            assert time.monotonic() < deadline, self.words
            try:
                self.words.append(self._socket.recv(256).decode())
            except TimeoutError:
                continue

    def close(self) -> None:
        self._socket.close()


@contextmanager
def systemd_at(path: Path) -> Iterator[Systemd]:
    made = Systemd(path)
    try:
        yield made
    finally:
        made.close()


def test_a_broker_that_is_down_at_the_start_is_waited_for_while_systemd_is_told(household, mosquitto, tmp_path):
    mosquitto.stop()
    with systemd_at(tmp_path / "notify") as systemd:
        daemon = Daemon(household, mosquitto.port, NOTIFY_SOCKET=str(tmp_path / "notify"))
        daemon.start()
        try:
            systemd.wait_for("READY=1")
            systemd.wait_for("WATCHDOG=1", times=2)
            daemon.check()
            mosquitto.start()
            listener = Listener(mosquitto.port).online()
            granted = listener.ask("porch", picture_of(ENROLLED[0].slug), "late")
            assert granted["outcome"] == "grant"
            systemd.wait_for("WATCHDOG=1", times=4)
            listener.close()
        finally:
            stopped = daemon.stop()
        systemd.wait_for("STOPPING=1")
    assert stopped.code == 0
    assert systemd.words[0] == "READY=1"
    assert systemd.words.count("READY=1") == systemd.words.count("STOPPING=1") == 1
    log = daemon.log.read_text()
    assert log.count("No connection to the broker") == 1  # said once, not at every try
    assert "Traceback" not in log


def test_the_unit_is_one_that_systemd_takes_without_a_word(tmp_path):
    require(shutil.which("systemd-analyze"), "systemd-analyze", "systemd")
    unit = tmp_path / "facegate.service"
    text = (ROOT / "deploy" / "facegate.service").read_text()
    assert "/opt/facegate/bin/facegate" in text
    unit.write_text(text.replace("/opt/facegate/bin/facegate", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
