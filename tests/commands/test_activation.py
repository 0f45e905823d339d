"""Another model takes charge, and nobody has to be enrolled again."""

from dataclasses import replace

from facegate.commands.main import run
from facegate.settings import load_settings
from facegate.storage import open_storage
from facegate.verifier.card import NETWORK
from facegate.verifier.library import library_of, write_model
from facegate.verifier.selftest import PROOF
from facegate.vision.composites import people


def references():
    with open_storage(load_settings()) as storage:
        return storage.users.find("alice").references


def test_whoever_is_enrolled_stays_so_under_another_model_and_after_a_rollback(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path))
    alice = people()[0]
    assert run(["enroll", "alice", str(alice.picture_path(0))]) == 0
    library = library_of(load_settings())
    shipped = library.load()
    folder = library.local_dir / "again"
    folder.mkdir(parents=True)
    card = replace(shipped.card, name="again")
    (folder / PROOF).write_bytes((shipped.folder / PROOF).read_bytes())
    write_model(folder, card, (shipped.folder / NETWORK).read_bytes(), replace(shipped.calibration, model=card.id))
    assert run(["models", "activate", "again"]) == 0
    assert references() == {shipped.id: 1, card.id: 1}
    assert run(["enroll", "alice", str(alice.picture_path(1))]) == 0
    assert run(["models", "rollback"]) == 0
    assert references() == {shipped.id: 2, card.id: 2}
    assert "made anew" in capsys.readouterr().err
