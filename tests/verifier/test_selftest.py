import time
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from facegate.errors import NotReadyError
from facegate.resources import shipped
from facegate.verifier.card import CARD, NETWORK
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.library import DEFAULT
from facegate.verifier.selftest import judge, prove, read_proof

SHIPPED = sorted(path.parent.name for path in (shipped("models") / "verifier").glob(f"*/{CARD}"))


@pytest.fixture(scope="module")
def proof(model):
    return read_proof(model.folder)


def test_the_shipped_network_passes_within_a_second(detector, extractor, model, proof):
    started = time.process_time()
    result = judge(detector, extractor, model.calibration, proof, model.card.contract.alignment)
    assert time.process_time() - started < 1
    assert result.passed
    assert result.lowest_mated > result.threshold > result.highest_non_mated
    assert "likeness" in str(result)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_model_that_ships_is_what_its_card_says_and_judges_composites_rightly(library, detector, name):
    one = library.load(name)
    contract = one.card.contract
    result = judge(detector, one.extractor(), one.calibration, read_proof(one.folder), contract.alignment)
    assert result.passed
    assert result.likeness > 0.9999
    assert (one.folder / "card.md").is_file()
    assert (one.folder / NETWORK).stat().st_size <= 8_000_000


def test_there_is_a_second_model_for_those_who_need_any_use():
    assert set(SHIPPED) >= {DEFAULT, "open-1"}


def test_swapped_colours_are_caught(detector, model, proof):
    swapped = OnnxExtractor(
        model.folder / NETWORK, model=model.id, contract=replace(model.card.contract, rgb=not model.card.contract.rgb)
    )
    with pytest.raises(NotReadyError, match="fails its self-test"):
        judge(detector, swapped, model.calibration, proof, model.card.contract.alignment)


def test_wrongly_scaled_pixels_are_caught(detector, model, proof):
    scaled = OnnxExtractor(
        model.folder / NETWORK, model=model.id, contract=replace(model.card.contract, mean=127.5, std=127.5)
    )
    with pytest.raises(NotReadyError, match="fails its self-test"):
        judge(detector, scaled, model.calibration, proof, model.card.contract.alignment)


def test_weights_squeezed_into_four_bits_are_caught(detector, model, proof, tmp_path):
    graph = onnx.load(model.folder / NETWORK)
    for weight in graph.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.ndim == 4:
            step = np.abs(values.astype(np.float32)).max() / 7
            kind = np.int8 if values.dtype == np.int8 else np.float32
            weight.CopyFrom(numpy_helper.from_array((np.round(values / step) * step).astype(kind), weight.name))
    onnx.save(graph, tmp_path / "network.onnx")
    squeezed = OnnxExtractor(tmp_path / "network.onnx", model=model.id, contract=model.card.contract)
    with pytest.raises(NotReadyError, match="fails its self-test"):
        judge(detector, squeezed, model.calibration, proof, model.card.contract.alignment)


def test_crops_cut_for_another_alignment_are_caught(detector, extractor, model, proof):
    wrong = replace(model.card.contract, template="arcface", size=model.card.contract.size).alignment
    with pytest.raises(NotReadyError, match="fails its self-test"):
        judge(detector, extractor, model.calibration, proof, wrong)


def test_a_proof_survives_being_written(detector, extractor, model, tmp_path):
    fresh = prove(detector, extractor, model.card.contract.alignment)
    (tmp_path / "proof.json").write_bytes(fresh.document())
    read = read_proof(tmp_path)
    assert (read.landmarks == fresh.landmarks).all()
    assert read.templates == pytest.approx(fresh.templates, abs=1e-4)
    assert judge(detector, extractor, model.calibration, read, model.card.contract.alignment).likeness > 0.9999


def test_a_model_without_a_proof_is_not_ready(tmp_path):
    with pytest.raises(NotReadyError, match="is no proof"):
        read_proof(tmp_path)
