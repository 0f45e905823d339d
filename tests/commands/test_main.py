import importlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from facegate.commands import main as root
from facegate.errors import FacegateError, NotReadyError, RefusedError, UnusableInputError


def facegate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    clean = {key: value for key, value in os.environ.items() if not key.startswith("FACEGATE_")}
    return subprocess.run(
        [sys.executable, "-m", "facegate", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=clean | environment,
    )


def test_help_lists_every_command_and_costs_nothing():
    code = (
        "import sys; from facegate.commands.main import run; code = run(['--help']); "
        "heavy = {'torch', 'cv2', 'onnxruntime', 'sqlalchemy', 'paho', 'amqtt'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in root.COMMANDS:
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("name", root.COMMANDS)
def test_every_command_is_there_and_explains_itself(name, capsys):
    module, attribute, _ = root.COMMANDS[name]
    assert hasattr(importlib.import_module(f"facegate.commands.{module}"), attribute)
    assert root.run([name, "--help"]) == 0
    assert "Usage: facegate" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["settings", "--nonsense"], ["doors", "nonsense"]])
def test_a_misspelled_command_is_one_line_and_code_2(arguments, capsys):
    assert root.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("facegate: ")


@pytest.mark.parametrize(
    ("kind", "code"), [(RefusedError, 1), (UnusableInputError, 2), (NotReadyError, 3), (FacegateError, 1)]
)
def test_each_kind_of_error_has_its_exit_code(kind, code, capsys, monkeypatch):
    import facegate.commands.settings as family

    def failing() -> None:
        raise kind("It is so\nand so", "Do this")

    monkeypatch.setattr(family, "settings", failing)
    assert root.run(["settings"]) == code
    assert capsys.readouterr().err == "facegate: It is so and so. Do this.\n"


def test_an_interrupt_is_code_130(monkeypatch):
    import facegate.commands.settings as family

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(family, "settings", interrupted)
    assert root.run(["settings"]) == 130


def test_the_version_is_printed():
    done = facegate("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("facegate ")


def test_settings_tell_where_they_come_from(tmp_path):
    config = tmp_path / "facegate.toml"
    config.write_text("[gate]\nqueue = 7\nmargin = 0.1\n")
    done = facegate("settings", "--json", FACEGATE_CONFIG=str(config), FACEGATE_GATE__MARGIN="0.2")
    document = json.loads(done.stdout)
    assert document["gate.queue"] == {"value": 7, "from": "file"}
    assert document["gate.margin"] == {"value": 0.2, "from": "environment"}
    assert document["gate.target_fmr"]["from"] == "default"


def test_the_command_line_is_stronger_than_variables_and_file(tmp_path):
    config = tmp_path / "facegate.toml"
    config.write_text("[gate]\nqueue = 7\nmargin = 0.1\n")
    given = ("gate.margin=0.3", "cameras.porch.go2rtc_src=porch", 'frigate.cameras={"a": "b"}')
    words = [part for one in given for part in ("--set", one)]
    done = facegate(*words, "settings", "--json", FACEGATE_CONFIG=str(config), FACEGATE_GATE__MARGIN="0.2")
    document = json.loads(done.stdout)
    assert document["gate.margin"] == {"value": 0.3, "from": "command line"}
    assert document["gate.queue"] == {"value": 7, "from": "file"}
    assert document["cameras.porch.go2rtc_src"] == {"value": "porch", "from": "command line"}
    assert document["frigate.cameras.a"] == {"value": "b", "from": "command line"}


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (["gate.queue"], "sets nothing"),
        (["gate.queue="], "Setting gate.queue"),
        (["gate..queue=1"], "sets nothing"),
        (["gate.queues=1"], "Setting gate.queues"),
        (["gate.queue=many"], "Setting gate.queue"),
        (["gate=1", "gate.queue=1"], "contradicts another"),
        (["frigate.cameras={"], "holds no JSON"),
        (["database.url=postgresql://gate:secret@db/gate"], "would show a password"),
    ],
)
def test_what_the_command_line_cannot_set_is_one_line_and_code_2(given, word, capsys):
    assert root.run([part for one in given for part in ("--set", one)] + ["settings"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert word in err
    assert "secret" not in err


def test_a_setting_without_a_command_is_one_line(capsys):
    assert root.run(["--set", "gate.queue=3"]) == 2
    assert "needs a command" in capsys.readouterr().err


def test_a_full_disk_behind_a_file_is_told_as_the_file(tmp_path):
    from facegate.verifier.files import replace_file

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="large") as raised:
            replace_file(tmp_path / "plot.png", bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"{tmp_path / 'plot.png'} cannot be used" in root.unusable(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_what_one_call_sets_the_next_one_does_not_know(capsys):
    assert root.run(["--set", "gate.queue=3", "settings", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gate.queue"]["value"] == 3
    assert root.run(["settings", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gate.queue"]["from"] == "default"


def leaves(command, path):
    """Every command below a family, with its words."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


def test_every_command_that_prints_a_result_prints_json():
    group = typer.main.get_command(root.app)
    known = [leaf for name in root.COMMANDS for leaf in leaves(group.get_command(None, name), (name,))]
    assert len(known) > 40
    assert [path for path, leaf in known if not any("--json" in option.opts for option in leaf.params)] == [("run",)]


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"FACEGATE_MQQT__HOST": "x"}, "FACEGATE_MQQT__HOST"),
        ({"FACEGATE_MQTT__HOSTT": "x"}, "hostt"),
        ({"FACEGATE_GATE__TARGET_FMR": "2"}, "target_fmr"),
        ({"FACEGATE_GATE__QUEUE": "many"}, "queue"),
        ({"FACEGATE_CONFIG": "/nowhere/facegate.toml"}, "FACEGATE_CONFIG"),
        ({"FACEGATE_CAMERAS": "{"}, "cameras"),
        ({"FACEGATE_MQTT__PREFIX": "a/+/b"}, "[A-Za-z0-9_-]"),
        ({"FACEGATE_CAMERAS": "x"}, "cameras"),
        ({"FACEGATE_FRIGATE__CAMERAS": "{"}, "frigate"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line_and_code_2(environment, word):
    done = facegate("settings", **environment)
    assert done.returncode == 2
    assert word in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_broken_settings_file_is_one_line_and_code_2(tmp_path):
    config = tmp_path / "facegate.toml"
    config.write_text("[gate\nqueue = 7\n")
    done = facegate("settings", FACEGATE_CONFIG=str(config))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    config.write_bytes(b"\xff\xfe\x00")
    assert facegate("settings", FACEGATE_CONFIG=str(config)).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"]])
def test_a_full_disk_behind_stdout_is_one_line(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "facegate", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("facegate: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_bad_schedule_is_one_line():
    done = facegate("settings", FACEGATE_FINETUNE__SCHEDULE="61 3 * * *")
    assert done.returncode == 2
    assert done.stderr == (
        "facegate: Setting finetune.schedule: '61' is no minute of a cron line. "
        "See `facegate settings` for its name and range.\n"
    )


@pytest.mark.parametrize("command", ["train", "ablate"])
def test_what_takes_torch_says_so_in_one_line_where_it_is_not_installed(command, tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("facegate.siamese")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    words = ["models", command, "--data", str(tmp_path), "--start", "none", "--out", str(tmp_path / "out")]
    words += ["--companion", "sface.onnx"] if command == "ablate" else []
    assert root.run(words) == 3
    error = capsys.readouterr().err
    assert "pip install facegate" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("family", ["bench", "doors", "evaluate", "models"])
def test_a_family_without_a_command_is_its_help_and_code_2(family):
    done = facegate(family)
    assert done.returncode == 2
    assert f"Usage: facegate {family}" in done.stdout + done.stderr
    assert "facegate: " not in done.stderr
