"""What runs leave behind, and what of it goes."""

from dataclasses import replace

import pytest

from facegate.errors import NotReadyError
from facegate.verifier.finetuning import shelf
from facegate.verifier.library import DEFAULT
from tests.verifier.finetuning.household import NOW, folders
from tests.verifier.models import a_model


def test_what_a_dead_run_left_goes_and_nothing_else(settings, storage, library, tune):
    import shutil

    kept = tune("kept")
    folder = library.folder(kept.challenger.partition("@")[0])
    for name in (f".draft-{DEFAULT}-home9", f".gone-{DEFAULT}-home8", f"{DEFAULT}-home7"):
        shutil.copytree(folder, library.local_dir / name)
    a_model(library, "imported")
    left = storage.runs.start(trigger="schedule", champion=kept.champion, seed=1, now=NOW)
    assert shelf.tidy_unless_busy(storage, library, settings.data_dir, NOW)
    assert folders(library) == sorted(["imported", folder.name])
    assert storage.runs.find(left.number).state == "failed"
    with shelf.alone(settings.data_dir, storage.engine):
        assert not shelf.tidy_unless_busy(storage, library, settings.data_dir, NOW)


def test_pictures_are_bounded(tmp_path):
    folder = tmp_path / shelf.PICTURES
    folder.mkdir()
    for number in range(1, 60):
        (folder / f"{number}.png").touch()
    shelf.trim_pictures(tmp_path)
    assert sorted(int(path.stem) for path in folder.iterdir()) == list(range(10, 60))


def test_a_challenger_is_never_written_over_a_model(library, tune):
    a_model(library, f"{DEFAULT}-home1")
    with pytest.raises(NotReadyError, match="cannot be written"):
        tune()
    assert replace(library.load(f"{DEFAULT}-home1").card, files={}).name == f"{DEFAULT}-home1"
