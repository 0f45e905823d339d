import numpy as np
import pytest

from facegate.commands import evaluate, importing
from facegate.verifier.contract import ARCFACE, LARGEST, SMALLEST, InputContract, own_contract


def test_the_contract_orders_colours_and_scales_values():
    blue = np.zeros((1, 112, 112, 3), np.uint8)
    blue[..., 0] = 255
    fed = InputContract(112, "arcface", rgb=True, mean=127.5, std=127.5).feed(blue)
    assert fed.shape == (1, 3, 112, 112)
    assert fed[0, :, 0, 0].tolist() == [-1, -1, 1]
    assert InputContract(112, "arcface").feed(blue)[0, :, 0, 0].tolist() == [255, 0, 0]


def test_an_alignment_grows_with_the_size_of_the_crop():
    assert InputContract(112, "arcface").alignment == ARCFACE
    doubled = InputContract(224, "arcface").alignment
    assert doubled.template == pytest.approx(2 * ARCFACE.template)


@pytest.mark.parametrize(("crop", "template"), [(128, "reid-0095"), (144, "reid-0095-wide")])
def test_our_own_networks_contracts_show_every_face_at_the_same_size(crop, template):
    contract = own_contract(crop)
    assert (contract.size, contract.template) == (crop, template)
    eyes = contract.alignment.template[1] - contract.alignment.template[0]
    assert eyes[0] == pytest.approx(46.98, abs=0.01)


def test_commands_take_crops_of_the_sizes_that_cards_may_name():
    for option in (importing.Size, evaluate.Size):
        (limits,) = option.__metadata__
        assert (limits.min, limits.max) == (SMALLEST, LARGEST)
