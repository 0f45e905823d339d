import json

import pytest

from facegate.errors import NotReadyError
from facegate.verifier.card import CARD, read_card


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\xff"])
def test_a_card_that_is_none_is_one_clear_error(own_copy, text):
    (own_copy.local_dir / "copy" / CARD).write_bytes(text.encode("latin-1"))
    with pytest.raises(NotReadyError, match="no card of a model"):
        own_copy.load("copy")


@pytest.mark.parametrize("size", [0, 31, 513, 10**9])
def test_a_card_that_asks_for_crops_of_no_sensible_size_is_none(model, tmp_path, size):
    document = json.loads((model.folder / CARD).read_text())
    document["name"], document["input"]["size"] = tmp_path.name, size
    (tmp_path / CARD).write_text(json.dumps(document))
    with pytest.raises(NotReadyError, match="pixels"):
        read_card(tmp_path)
