import json
from pathlib import Path

import pytest

from facegate.resources import shipped
from facegate.verifier.library import Library
from facegate.vision.detect import YuNetDetector
from tests.fakes import NobodyAppointed


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    place = tmp_path_factory.mktemp("library")
    return Library(
        shipped_dir=shipped("models") / "verifier",
        local_dir=place / "models",
        pointer=NobodyAppointed(),
        legacy=place / "active.json",
    )


@pytest.fixture(scope="session")
def model(library):
    return library.load()


@pytest.fixture(scope="session")
def extractor(model):
    return model.extractor()


@pytest.fixture(scope="session")
def detector():
    return YuNetDetector()


@pytest.fixture
def own_copy(model, tmp_path):
    """A library of one's own to spoil, with a copy of the shipped model as `copy`."""
    folder = tmp_path / "models" / "copy"
    folder.mkdir(parents=True)
    for path in model.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    rename(folder, model.card.name, "copy")
    return Library(
        shipped_dir=Path(model.folder).parent,
        local_dir=folder.parent,
        pointer=NobodyAppointed(),
        legacy=tmp_path / "active.json",
    )


def rename(folder, old, new):
    """Give a copied model another name in its card and calibration, with the digests that follow."""
    import hashlib

    calibration = folder / "calibration.json"
    calibration.write_text(calibration.read_text().replace(f'"{old}@', f'"{new}@'))
    card = json.loads((folder / "model.json").read_text())
    card["name"] = new
    card["files"]["calibration.json"] = hashlib.sha256(calibration.read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(card))
