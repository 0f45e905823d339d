import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from facegate.commands import main as root
from facegate.errors import UnusableInputError
from facegate.siamese.checkpoints import CHECKPOINT
from facegate.siamese.oneshot.batches import BatchShape, Sampler, pair_cross_entropy, trial_cross_entropy
from facegate.siamese.oneshot.distortion import Distortion, affine_maps, distort
from facegate.siamese.oneshot.drawings import Drawings
from facegate.siamese.oneshot.networks import UNITS, EmbeddingTwins, PaperTwins
from facegate.siamese.oneshot.recipe import stages, start
from facegate.siamese.oneshot.training import LOG, Recipe, Run, split
from tests.siamese.oneshot.handwriting import drawn, write_alphabets

RECIPE = Recipe(
    steps=6, shape=BatchShape(2, 3, 2), held_out=1, drawers=2, tasks=2, every=2, warmup=2, trials=1.0, bf16=False
)


def drawings(alphabets=3, characters=4, drawers=4):
    places = [(c, c // characters, d) for c in range(alphabets * characters) for d in range(drawers)]
    numbers = np.array(places, np.int64)
    names = tuple(f"alphabet{number}" for number in range(alphabets))
    pictures = np.stack([drawn(character, drawer) for character, _, drawer in places])
    return Drawings(pictures, numbers[:, 0], numbers[:, 1], numbers[:, 2], names)


def embedding():
    torch.manual_seed(0)
    return EmbeddingTwins(16)


def weights(twins):
    return torch.cat([value.flatten().float() for value in twins.state_dict().values()])


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def ignore(*_):
    pass


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    whole = Run(embedding(), drawings(), RECIPE, tmp_path / "whole")
    whole.train(ignore)

    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.step == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        Run(embedding(), drawings(), RECIPE, tmp_path / "parts").train(stop)
    run = Run(embedding(), drawings(), RECIPE, tmp_path / "parts")
    assert run.resume()
    assert run.step == 4
    run.train(ignore)
    assert torch.equal(weights(run.averaged), weights(whole.averaged))
    assert run.best == whole.best
    assert not torch.equal(weights(whole.averaged), weights(embedding()))


def test_a_run_without_a_checkpoint_begins(tmp_path):
    assert not Run(embedding(), drawings(), RECIPE, tmp_path).resume()


def test_a_run_learns_and_writes_what_it_did(tmp_path):
    told = []
    recipe = replace(RECIPE, steps=40, every=20, cooling=0.2, average=0.9)
    run = Run(embedding(), drawings(), recipe, tmp_path)
    best = run.train(told.append)
    assert [at.step for at in told] == [20, 40]
    assert told[1].loss < told[0].loss
    assert best == max(at.held_out for at in told)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines] == [20, 40]
    assert lines[0]["recipe"]["rate"] == recipe.rate
    assert int(torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"]) == 40


def test_no_alphabet_is_both_learnt_and_held_out():
    learnt, held = split(drawings(), RECIPE)
    assert len(set(held.alphabets)) == 1
    assert not set(held.alphabets) & set(learnt.alphabets)
    assert not set(held.characters) & set(learnt.characters)
    assert len(held.pictures) + len(learnt.pictures) == len(drawings().pictures)


@given(seed=st.integers(0, 2**32))
def test_a_batch_holds_characters_of_whole_alphabets_and_each_of_them_as_often(seed):
    known = drawings()
    alphabet_of = dict(zip(known.characters.tolist(), known.alphabets.tolist(), strict=True))
    batch = Sampler(known, BatchShape(2, 3, 2)).draw(np.random.default_rng(seed))
    assert batch.pictures.shape == (12, 1, 105, 105)
    assert np.unique(batch.characters, return_counts=True)[1].tolist() == [2] * 6
    for rows in batch.alphabets():
        assert len({alphabet_of[int(what)] for what in batch.characters[rows]}) == 1
    assert sorted(torch.cat(batch.alphabets()).tolist()) == list(range(12))


def test_the_drawings_of_a_character_in_a_batch_are_by_different_people():
    batch = Sampler(drawings(), BatchShape(3, 4, 4)).draw(np.random.default_rng(0))
    for character in batch.characters.unique():
        own = batch.pictures[batch.characters == character]
        assert len({picture.numpy().tobytes() for picture in own}) == 4


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@given(seed=st.integers(0, 1000), hardest=st.floats(0.05, 1))
def test_the_pairs_loss_is_what_a_loop_over_pairs_gives(seed, hardest):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    characters = [0, 0, 1, 1, 2, 2, 3, 3]
    own, other = [], []
    for i in range(8):
        for j in range(i + 1, 8):
            p = sigmoid(float(logits[i, j]))
            (own if characters[i] == characters[j] else other).append(
                -math.log(p if characters[i] == characters[j] else 1 - p)
            )
    other = sorted(other, reverse=True)[: max(1, round(hardest * len(other)))]
    slow = (sum(own) / len(own) + sum(other) / len(other)) / 2
    fast = pair_cross_entropy(logits, torch.tensor(characters), hardest=hardest)
    assert float(fast) == pytest.approx(slow, abs=1e-9)


@given(seed=st.integers(0, 1000))
def test_the_trials_loss_is_what_a_loop_over_trials_gives(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(7, 7, generator=generator, dtype=torch.float64)
    characters = [0, 0, 0, 1, 1, 2, 2]
    slow = []
    for i in range(7):
        rivals = [math.exp(logits[i, j]) for j in range(7) if characters[j] != characters[i]]
        slow += [
            -math.log(math.exp(logits[i, j]) / (math.exp(logits[i, j]) + sum(rivals)))
            for j in range(7)
            if j != i and characters[j] == characters[i]
        ]
    assert float(trial_cross_entropy(logits, torch.tensor(characters))) == pytest.approx(np.mean(slow), abs=1e-9)


def test_a_drawing_that_is_not_distorted_stays_as_it_is():
    picture = torch.from_numpy(drawn(1, 0)).float().view(1, 1, 105, 105)
    same = distort(picture, Distortion(probability=0.0), np.random.default_rng(0))
    assert torch.allclose(same, picture, atol=1e-3)


def test_a_distortion_comes_from_the_seed_and_keeps_the_ink():
    pictures = torch.stack([torch.from_numpy(drawn(number, 0)).float()[None] for number in range(8)])
    waver = Distortion(elastic=2.0)
    first, again, other = (distort(pictures, waver, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1.001
    assert (first.sum((1, 2, 3)) / pictures.sum((1, 2, 3))).sub(1).abs().max() < 0.6


@given(seed=st.integers(0, 1000), turn=st.floats(0, 30))
def test_a_turn_alone_keeps_lengths_and_stays_within_its_limit(seed, turn):
    plan = Distortion(turn=turn, shear=0, scale=0, shift=0, probability=1.0)
    for linear in affine_maps(5, plan, np.random.default_rng(seed), 105)[:, :, :2]:
        assert linear @ linear.T == pytest.approx(np.eye(2), abs=1e-5)
        assert abs(math.degrees(math.atan2(linear[1, 0], linear[0, 0]))) <= turn + 1e-3


def test_each_part_is_there_with_its_probability():
    plan = Distortion(turn=0, shear=0, scale=0, shift=2, probability=0.5)
    shifts = affine_maps(4000, plan, np.random.default_rng(0), 105)[:, :, 2]
    assert (shifts != 0).mean() == pytest.approx(0.5, abs=0.03)
    assert np.abs(shifts).max() <= 2 * 2 / 105 + 1e-6


def test_the_papers_network_is_learnt_in_three_stages():
    teacher, sketch, paper = stages("paper", seed=3, steps=2)
    assert (teacher.name, sketch.name, paper.name) == ("turned", "sketch", "paper")
    assert {(stage.recipe.steps, stage.recipe.seed) for stage in (teacher, sketch, paper)} == {(2, 3)}
    first = start("sketch", None)
    second = start("paper", first)
    assert isinstance(first, PaperTwins)
    assert isinstance(second, PaperTwins)
    assert (first.sketch, second.sketch) == (True, False)
    assert torch.equal(first.units.weight, second.units.weight)


class Small(PaperTwins):
    """Four units a drawing, made from its ink by one layer: fast, and enough to hold hints."""

    def __init__(self):
        super().__init__(sketch=True)
        self.convolutions = nn.ModuleList()
        self.units = nn.Linear(105 * 105, UNITS)

    def forward(self, pictures):
        return torch.sigmoid(self.units(pictures.flatten(1)))


def test_a_teacher_s_templates_are_hints(tmp_path):
    torch.manual_seed(0)
    teacher = EmbeddingTwins(8).eval()
    recipe = replace(RECIPE, units_rate=1.0, hints=5.0)
    run = Run(Small(), drawings(), recipe, tmp_path, teacher=teacher)
    batch = run._draw(0)
    first = run._hints(run.twins(batch.pictures), batch).item()
    assert 0 < first < 10
    for _ in range(8):
        run._learn(batch)
    assert run._hints(run.twins(batch.pictures), batch).item() < first
    alone = Run(Small(), drawings(), recipe, tmp_path)
    assert alone._hints(alone.twins(batch.pictures), batch).item() == 0


def test_the_command_trains_goes_on_and_says_how_it_did(tmp_path, capfd):
    write_alphabets(tmp_path / "data", alphabets=7, characters=3, drawers=15)
    command = ["models", "train-oneshot", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--json"]
    assert root.run([*command, "--steps", "2"]) == 0
    out, err = capfd.readouterr()
    report = json.loads(out)
    assert 0 <= report["held_out"] <= 1
    assert "turned 2: loss" in err
    assert "embedding 2: loss" in err
    assert root.run([*command, "--steps", "3", "--resume"]) == 0
    out, err = capfd.readouterr()
    assert "embedding 3: loss" in err
    assert "embedding 2: loss" not in err
    written = (tmp_path / "out" / "embedding" / "network.npz").read_bytes()
    assert root.run([*command, "--steps", "3"]) == 2
    assert "holds a run already" in capfd.readouterr().err
    assert root.run([*command, "--steps", "3", "--resume", "--seed", "1"]) == 2
    assert "seed 20151103, not 1" in capfd.readouterr().err
    assert (tmp_path / "out" / "embedding" / "network.npz").read_bytes() == written
    (tmp_path / "out" / "turned" / CHECKPOINT).write_bytes(b"")
    assert root.run([*command, "--steps", "3", "--resume"]) == 2
    assert "holds no checkpoint that can be read" in capfd.readouterr().err


def test_alphabets_of_which_all_would_be_held_out_are_refused():
    with pytest.raises(UnusableInputError, match="leave none to learn from"):
        split(drawings(alphabets=2), replace(RECIPE, held_out=2))


def test_a_folder_without_drawings_is_one_line_and_code_2(tmp_path, capfd):
    command = ["models", "train-oneshot", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert root.run(command) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "holds no drawings" in err
    assert err.count("\n") == 1
