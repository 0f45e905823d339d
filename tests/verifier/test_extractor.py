import numpy as np
import pytest

from facegate.core.comparison import is_template
from facegate.errors import NotReadyError
from facegate.verifier.contract import InputContract
from facegate.verifier.extractor import OnnxExtractor, normalised


def crops(count, size=144):
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)


def test_each_crop_gets_a_template_of_unit_length(extractor, model):
    templates = extractor.extract(crops(3))
    assert templates.shape == (3, model.card.dimension)
    assert templates.dtype == np.float32
    assert all(is_template(template) for template in templates)
    assert extractor.model == model.id


def test_a_batch_gives_what_single_crops_give(extractor):
    many = crops(4)
    assert extractor.extract(many) == pytest.approx(
        np.concatenate([extractor.extract(one[None]) for one in many]), abs=1e-5
    )


@pytest.mark.parametrize("shape", [(1, 128, 128, 3), (144, 144, 3), (1, 3, 144, 144), (1, 144, 144, 4)])
def test_crops_of_another_shape_are_refused(extractor, shape):
    with pytest.raises(ValueError, match="crops are uint8"):
        extractor.extract(np.zeros(shape, np.uint8))


def test_crops_of_another_type_are_refused(extractor):
    with pytest.raises(ValueError, match="crops are uint8"):
        extractor.extract(crops(1).astype(np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_vector_without_a_direction_is_refused(bad):
    with pytest.raises(ValueError, match="no direction"):
        normalised(np.full((1, 8), bad, np.float32))


def test_a_file_that_is_no_network_is_not_ready(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"text")
    with pytest.raises(NotReadyError, match="cannot load"):
        OnnxExtractor(tmp_path / "network.onnx", model="m", contract=InputContract(112, "arcface"))
