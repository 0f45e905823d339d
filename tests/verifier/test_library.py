import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from facegate.core.calibration import calibrate
from facegate.core.levelling import FEWEST, levelled_by
from facegate.errors import NotReadyError, UnusableInputError
from facegate.verifier.calibrations import (
    CROWD,
    LEVELLED,
    as_kept,
    calibration_document,
    levelled_documents,
    read_calibration,
    read_levelled,
)
from facegate.verifier.card import CALIBRATION, CARD, NETWORK, read_card
from facegate.verifier.library import DEFAULT, Library, library_of, write_model
from tests.fakes import NobodyAppointed


def test_the_shipped_model_is_what_its_card_says(model):
    assert model.card.files.keys() >= {NETWORK, CALIBRATION}
    assert model.id == f"{model.card.name}@{model.card.files[NETWORK][:12]}"
    assert model.calibration.model == model.id
    assert (model.folder / NETWORK).stat().st_size <= 8_000_000
    assert model.calibration.gallery_threshold(1e-3, 1000) is not None


def test_the_shipped_model_is_in_charge_until_another_is(library, model):
    assert library.active() == model.card.name
    assert model.card.name in [card.name for card in library.cards()]


def test_of_the_models_that_ship_the_default_leads_whatever_the_others_are_called(model, tmp_path):
    for name in ("another", DEFAULT):
        folder = tmp_path / "shipped" / name
        folder.mkdir(parents=True)
        (folder / CARD).write_text((model.folder / CARD).read_text().replace(f'"{model.card.name}"', f'"{name}"'))
    for place in ("shipped", model.folder.parent):
        library = Library(
            shipped_dir=tmp_path / place,
            local_dir=tmp_path / "none",
            pointer=NobodyAppointed(),
            legacy=tmp_path / "active.json",
        )
        assert library.active() == DEFAULT


@pytest.mark.parametrize("file", [NETWORK, CALIBRATION, "proof.json"])
def test_a_tampered_file_is_refused(own_copy, file):
    path = own_copy.local_dir / "copy" / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(NotReadyError, match="was changed"):
        own_copy.load("copy")


def test_a_missing_file_is_refused(own_copy):
    (own_copy.local_dir / "copy" / NETWORK).unlink()
    with pytest.raises(NotReadyError, match="cannot be read"):
        own_copy.load("copy")


def test_a_calibration_of_another_network_is_refused(own_copy):
    folder = own_copy.local_dir / "copy"
    foreign = calibrate(model="other@123456789abc", source="s", people=2, mated=[0.5], non_mated=[0.1])
    write_model(folder, read_card(folder), (folder / NETWORK).read_bytes(), foreign)
    with pytest.raises(NotReadyError, match="belongs to other@123456789abc"):
        own_copy.load("copy")


@pytest.mark.parametrize("name", ["nobody", "../copy", "/etc", "", "COPY"])
def test_a_name_that_is_no_models_is_refused_and_never_leaves_the_library(own_copy, name):
    if not name:
        name = " "
    with pytest.raises(UnusableInputError, match="There is no model"):
        own_copy.load(name)


def test_a_file_from_before_the_history_says_who_leads(own_copy, model, tmp_path):
    (tmp_path / "active.json").write_text(json.dumps({"models": [model.card.name, "gone", "copy"]}))
    assert own_copy.active() == "copy"
    assert [lead.name for lead in own_copy.former()] == [model.card.name, "copy"]


def test_a_file_from_before_the_history_that_cannot_be_read_is_one_clear_error(own_copy, tmp_path):
    (tmp_path / "active.json").write_text("{")
    with pytest.raises(NotReadyError, match="cannot be read"):
        own_copy.active()


def test_an_empty_library_says_so(tmp_path):
    empty = Library(
        shipped_dir=tmp_path / "a", local_dir=tmp_path / "b", pointer=NobodyAppointed(), legacy=tmp_path / "c"
    )
    assert empty.cards() == []
    with pytest.raises(NotReadyError, match="There is no model"):
        empty.load()


def test_card_and_calibration_survive_being_written(own_copy, tmp_path):
    folder = own_copy.local_dir / "copy"
    card, calibration = read_card(folder), read_calibration(folder / CALIBRATION)
    assert json.loads(calibration_document(calibration)) == calibration.to_json()
    written = write_model(tmp_path / "new" / "copy", card, (folder / NETWORK).read_bytes(), calibration)
    assert read_card(tmp_path / "new" / "copy") == written
    assert written.id == card.id


def test_the_library_of_the_settings_keeps_models_in_the_data_folder(tmp_path):
    from facegate.settings import Settings

    assert library_of(Settings(data_dir=tmp_path)).local_dir == tmp_path / "models"


def levelled(own_copy):
    """Give the copy a crowd and a levelled calibration of its own; return both."""
    folder = own_copy.local_dir / "copy"
    card, calibration = read_card(folder), read_calibration(folder / CALIBRATION)
    raw = np.random.default_rng(1).normal(size=(FEWEST, card.dimension))
    crowd = as_kept((raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32))
    whole = replace(calibration, levelling=levelled_by(crowd, crowd))
    more = {"proof.json": (folder / "proof.json").read_bytes()}
    write_model(folder, card, (folder / NETWORK).read_bytes(), calibration, more | levelled_documents(whole))
    return whole, folder


def test_a_crowd_levels_what_scores_mean_at_doors_and_nothing_else(own_copy):
    whole, _ = levelled(own_copy)
    model = own_copy.load("copy")
    assert model.calibration.levelling is None
    assert model.at_doors.levelling.ordinary == whole.levelling.ordinary
    assert (model.at_doors.levelling.crowd == whole.levelling.crowd).all()
    asked = whole.levelling.crowd[:7]
    assert model.at_doors.rises(asked) == pytest.approx(whole.rises(asked))


def test_without_a_crowd_a_score_means_the_same_everywhere(own_copy):
    folder = own_copy.local_dir / "copy"
    write_model(folder, read_card(folder), (folder / NETWORK).read_bytes(), read_calibration(folder / CALIBRATION))
    model = own_copy.load("copy")
    assert model.at_doors is model.calibration


@pytest.mark.parametrize("file", [LEVELLED, CROWD])
def test_a_crowd_or_a_curve_that_was_changed_is_refused(own_copy, file):
    _, folder = levelled(own_copy)
    (folder / file).write_bytes((folder / file).read_bytes()[:-40])
    with pytest.raises(NotReadyError, match="was changed"):
        own_copy.load("copy")
    (folder / file).unlink()
    with pytest.raises(NotReadyError, match="cannot be read"):
        own_copy.load("copy")


@pytest.mark.parametrize(("file", "data"), [(LEVELLED, b"{}"), (LEVELLED, b"["), (CROWD, b""), (CROWD, b"PK\3\4 no")])
def test_a_crowd_that_is_none_is_one_clear_error(own_copy, file, data):
    whole, folder = levelled(own_copy)
    (folder / file).write_bytes(data)
    with pytest.raises(NotReadyError, match="is no calibration"):
        read_levelled(folder, whole.levelling.crowd.shape[1])


def test_a_crowd_of_another_network_is_refused(own_copy):
    whole, folder = levelled(own_copy)
    with pytest.raises(NotReadyError, match="holds no templates of this network"):
        read_levelled(folder, whole.levelling.crowd.shape[1] + 1)
    with pytest.raises(ValueError, match="has no crowd"):
        levelled_documents(replace(whole, levelling=None))


def test_a_calibration_without_a_digest_is_refused(model, tmp_path):
    document = json.loads((model.folder / CARD).read_text())
    copy = tmp_path / "models" / document["name"]
    shutil.copytree(model.folder, copy)
    del document["files"][CALIBRATION]
    (copy / CARD).write_text(json.dumps(document))
    library = Library(
        shipped_dir=tmp_path / "none",
        local_dir=copy.parent,
        pointer=NobodyAppointed(),
        legacy=tmp_path / "active.json",
    )
    with pytest.raises(NotReadyError, match=f"no digest of {CALIBRATION}"):
        library.load(document["name"])
