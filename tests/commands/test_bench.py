import json

from facegate.commands.main import run
from facegate.verifier.library import DEFAULT


def test_bench_models_times_installed_models_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path))
    options = ["--rounds", "1", "--threads", "1", "--references", "50"]
    assert run(["bench", "models", *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "28 composites" in document["machine"]
    assert {row["model"].partition("@")[0] for row in document["models"]} >= {DEFAULT}
    assert all(row["milliseconds"]["total"]["median"] > 0 for row in document["models"])

    assert run(["bench", "models", *options, "--model", DEFAULT]) == 0
    assert "extract" in capsys.readouterr().out
    assert run(["bench", "models", "--model", "nobody"]) == 2
