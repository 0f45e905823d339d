import numpy as np
import pytest

from facegate.errors import NotReadyError
from facegate.settings import load_settings
from facegate.verifier.strangers import keep_strangers, place_of, strangers_of


@pytest.fixture
def settings(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path))
    return load_settings()


def templates(count, dimension=256):
    raw = np.random.default_rng(1).normal(size=(count, dimension)).astype(np.float32)
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def test_strangers_come_back_as_templates_of_unit_length(settings, model):
    assert strangers_of(settings, model) is None
    kept = templates(50, model.card.dimension)
    keep_strangers(settings, model.id, kept)
    found = strangers_of(settings, model)
    assert found == pytest.approx(kept, abs=1e-3)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)


def test_strangers_that_are_damaged_or_of_another_network_are_no_reason_to_be_laxer(settings, model):
    place = keep_strangers(settings, model.id, templates(50, model.card.dimension))
    whole = place.read_bytes()
    other = keep_strangers(settings, "twin-9@0123456789ab", templates(5, model.card.dimension)).read_bytes()
    keep_strangers(settings, model.id, np.zeros((4, model.card.dimension), np.float32))
    empty = place.read_bytes()
    keep_strangers(settings, model.id, templates(4, 16))
    for spoilt in (whole[: len(whole) // 2], b"", other, empty, place.read_bytes()):
        place.write_bytes(spoilt)
        with pytest.raises(NotReadyError, match="cannot be used"):
            strangers_of(settings, model)
    assert place_of(settings, model.id) == place
