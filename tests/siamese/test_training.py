import json
import math
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch

from facegate.errors import UnusableInputError
from facegate.siamese.augment import MARGIN
from facegate.siamese.batches import Batches, Collection
from facegate.siamese.checkpoints import CHECKPOINT, replacing
from facegate.siamese.corpus import Source, held_out, labels_of, person_key, training_rows
from facegate.siamese.losses import Head
from facegate.siamese.networks import Trunk
from facegate.siamese.plan import Recipe
from facegate.siamese.shapes import BlockShape, TrunkShape
from facegate.siamese.training import LOG, Progress, Run
from facegate.siamese.weights import accompanied, fresh_trunk
from tests.siamese.small_trunks import small_companion

SMALL = TrunkShape(32, 8, (BlockShape(8, 16, 8, 2, 4), BlockShape(8, 16, 8, 2, 4)), 16, 24)
SHORTLY = {"steps": 6, "people": 4, "pictures": 2, "every": 2, "warmup": 2, "rate": 1e-3, "bf16": False}
RECIPE = Recipe(frozen=1, together=False, **SHORTLY)


def collection():
    draw = np.random.default_rng(0)
    side = 32 + 2 * MARGIN
    faces = draw.integers(0, 256, (8, side, side, 3), np.uint8)
    paths = tuple(f"set_train/person{n // 3}/{n}.jpg" for n in range(24))
    source = Source("set_train", faces[np.arange(24) // 3], paths)
    targets = draw.normal(size=(8, 24)).astype(np.float32)[np.arange(24) // 3]
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    return Collection((source,), labels_of((source,)), np.arange(24), targets, np.ones(1))


def start():
    torch.manual_seed(0)
    return Trunk(SMALL)


def weights(trunk):
    return torch.cat([value.flatten() for value in trunk.state_dict().values()])


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    def ignore(progress):
        pass

    whole = Run(start(), collection(), RECIPE, tmp_path / "whole").train(ignore)

    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.step == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        Run(start(), collection(), RECIPE, tmp_path / "parts").train(stop)
    run = Run(start(), collection(), RECIPE, tmp_path / "parts")
    assert run.resume()
    assert run.step == 4
    assert torch.allclose(weights(run.train(ignore)), weights(whole), atol=1e-6)


def test_frozen_blocks_and_slopes_stay_as_they_are_and_the_rest_learns(tmp_path):
    run = Run(start(), collection(), RECIPE, tmp_path)
    run.train(lambda _: None)
    before, after = start().state_dict(), run.student.state_dict()
    for name, value in before.items():
        fixed = name.startswith(("stem", "dw0", "in_", "blocks.0")) or "act" in name
        assert torch.equal(value, after[name]) == fixed, name


def with_companion():
    return accompanied(start(), small_companion(1))


def lesson():
    """What a start and a companion of twelve values are taught."""
    beside = np.random.default_rng(1).normal(size=(24, 12)).astype(np.float32)
    return replace(collection(), targets=np.hstack((collection().targets, beside)))


def test_beside_a_start_that_stays_the_companion_learns_but_for_its_first_layers(tmp_path):
    before = with_companion().state_dict()
    run = Run(with_companion(), lesson(), replace(RECIPE, frozen=3), tmp_path)
    run.train(lambda _: None)
    for trunk in (run.student, run.averaged):
        for name, value in trunk.state_dict().items():
            fixed = not name.startswith("companion.") or name.startswith(
                tuple(f"companion.layers.{n}." for n in range(3))
            )
            fixed |= name.endswith((".step", ".slope", ".zero"))
            assert torch.equal(before[name], value) == fixed, name


def test_start_and_companion_learn_together_but_for_slopes_first_layers_and_the_projection(tmp_path):
    before = with_companion().state_dict()
    recipe = replace(RECIPE, together=True, frozen=3)
    run = Run(with_companion(), lesson(), recipe, tmp_path)
    run.train(lambda _: None)
    stays = ("embed", "in_", *(f"companion.layers.{n}." for n in range(3)))
    for name, value in run.averaged.state_dict().items():
        fixed = name.startswith(stays) or "act" in name or name.endswith((".step", ".slope", ".zero"))
        assert torch.equal(before[name], value) == fixed, name


def test_a_run_with_a_companion_that_was_stopped_while_it_rounded_goes_on_as_if_it_had_not_been(tmp_path):
    def stop(progress):
        if progress.step == 4:
            raise KeyboardInterrupt

    whole = Run(with_companion(), lesson(), RECIPE, tmp_path / "whole").train(lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        Run(with_companion(), lesson(), RECIPE, tmp_path / "parts").train(stop)
    run = Run(with_companion(), lesson(), RECIPE, tmp_path / "parts")
    assert run.resume()
    assert torch.allclose(weights(run.train(lambda _: None)), weights(whole), atol=1e-6)


@pytest.mark.parametrize(("rounded", "wanted"), [(0.0, 6), (0.5, 3), (1.0, 0)])
def test_a_companion_computes_in_whole_numbers_from_a_step_on(tmp_path, rounded, wanted):
    run, seen = Run(with_companion(), lesson(), replace(RECIPE, rounded=rounded, every=1), tmp_path), []
    run.train(lambda _: seen.append(run.student.companion.rounds))
    assert seen == [False] * (6 - wanted) + [True] * wanted
    assert run.averaged.companion.rounds  # whatever it learnt as, it is used in whole numbers


def test_a_run_writes_its_recipe_and_losses_and_a_checkpoint_without_code(tmp_path):
    Run(start(), collection(), RECIPE, tmp_path).train(lambda _: None)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[0]["recipe"]["seed"] == RECIPE.seed
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 6


def test_a_batch_depends_on_the_seed_and_its_number_alone():
    one, again = Batches(collection(), RECIPE)[3], Batches(collection(), RECIPE)[3]
    other = Batches(collection(), RECIPE)[4]
    assert torch.equal(one.crops, again.crops)
    assert not torch.equal(one.crops, other.crops)


@pytest.mark.parametrize(("masked", "worn"), [(0.0, [0]), (1.0, [8]), (0.5, range(1, 8))])
def test_of_the_pictures_that_are_not_at_a_door_a_share_wears_a_mask(masked, worn):
    faces = collection()
    grey = replace(faces.sources[0], crops=np.full_like(faces.sources[0].crops, 128))
    batch = Batches(replace(faces, sources=(grey,)), replace(RECIPE, doors=0.0, masked=masked))[0]
    changed = int((batch.crops != 128).flatten(1).any(1).sum())
    assert changed in worn


def test_training_takes_the_loss_down(tmp_path):
    seen = []
    recipe = Recipe(steps=60, people=8, pictures=2, every=20, warmup=5, frozen=0, rate=3e-3, bf16=False, doors=0.0)
    Run(start(), collection(), recipe, tmp_path).train(seen.append)
    assert seen[-1].anchor < 0.95 * seen[0].anchor


def test_held_out_people_are_held_out_under_every_spelling_and_never_trained_on():
    assert person_key("George_W_Bush") == person_key("george w bush") == "georgewbush"
    assert person_key("london_001") != person_key("london_002")
    names = [f"Person {chr(97 + n % 26)}{chr(97 + n // 26)}x" for n in range(300)]
    names += [f"user_{n:03}" for n in range(300)]
    share = np.mean([held_out(name) for name in names])
    assert 0.1 < share < 0.2
    source = Source("s", np.zeros((600, 1, 1, 3), np.uint8), tuple(f"s/{name}/1.jpg" for name in names))
    assert not any(held_out(names[row]) for row in training_rows((source,)))


def test_a_run_without_any_loss_is_refused(tmp_path):
    nothing = replace(RECIPE, contrastive=0.0, anchor=0.0, relations=0.0)
    with pytest.raises(UnusableInputError, match="no loss left"):
        Run(start(), collection(), nothing, tmp_path)


def test_a_checkpoint_of_another_kind_of_run_is_not_gone_on_with(tmp_path):
    Run(start(), collection(), RECIPE, tmp_path).train(lambda _: None)
    with pytest.raises(UnusableInputError, match="holds a run of another kind"):
        Run(with_companion(), lesson(), RECIPE, tmp_path).resume()
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    torch.save({**state, "optimizer": {"state": {}, "param_groups": []}}, tmp_path / CHECKPOINT)
    with pytest.raises(UnusableInputError, match="holds a run of another kind"):
        Run(start(), collection(), RECIPE, tmp_path).resume()


def test_a_run_goes_on_only_by_the_recipe_that_it_began_with(tmp_path):
    Run(start(), collection(), RECIPE, tmp_path).train(lambda _: None)
    for other, differs in (
        (replace(RECIPE, seed=1), "seed 20261126, not 1"),
        (replace(RECIPE, steps=9), "steps 6, not 9"),
    ):
        with pytest.raises(UnusableInputError, match=differs):
            Run(start(), collection(), other, tmp_path).resume()
    assert Run(start(), collection(), replace(RECIPE, every=3, workers=0), tmp_path).resume()


@pytest.mark.parametrize("kept", [0, 10, 3000])
def test_a_checkpoint_that_was_cut_off_is_one_line(tmp_path, kept):
    Run(start(), collection(), RECIPE, tmp_path).train(lambda _: None)
    file = tmp_path / CHECKPOINT
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UnusableInputError, match="holds no checkpoint that can be read"):
        Run(start(), collection(), RECIPE, tmp_path).resume()


def test_a_run_goes_on_only_with_the_pictures_that_it_began_with(tmp_path):
    Run(start(), collection(), RECIPE, tmp_path).train(lambda _: None)
    (source,) = collection().sources
    other = replace(source, paths=tuple(path.replace("person0", "somebody") for path in source.paths))
    with pytest.raises(UnusableInputError, match="on other pictures"):
        Run(start(), replace(collection(), sources=(other,)), RECIPE, tmp_path).resume()
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    torch.save({name: value for name, value in state.items() if name != "lessons"}, tmp_path / CHECKPOINT)
    with pytest.raises(UnusableInputError, match="earlier state of facegate"):
        Run(start(), collection(), RECIPE, tmp_path).resume()


def test_training_that_comes_apart_says_so_and_keeps_the_checkpoint_before(tmp_path):
    run = Run(start(), collection(), replace(RECIPE, workers=0), tmp_path)
    told = []

    def spoil(progress):
        told.append(progress.step)
        run.student.embed.weight.data[:] = np.nan

    with pytest.raises(UnusableInputError, match="no number any more"):
        run.train(spoil)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == told[-1] < RECIPE.steps


@pytest.mark.parametrize("rate", [math.nan, math.inf])
def test_a_recipe_holds_numbers(rate):
    with pytest.raises(UnusableInputError, match=f"rate is {rate}"):
        replace(RECIPE, rate=rate)


def test_a_disk_without_room_is_one_line_and_leaves_the_checkpoint_before(tmp_path):
    run = Run(start(), collection(), RECIPE, tmp_path)
    run.train(lambda _: None)
    before = (tmp_path / CHECKPOINT).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(UnusableInputError, match=r"checkpoint\.pt cannot be written"):
            run._write(Progress(6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not list(tmp_path.glob(f".*{CHECKPOINT}"))


def test_what_cannot_be_written_whole_leaves_what_was_there(tmp_path):
    file = tmp_path / "kept"
    file.write_bytes(b"before")
    with pytest.raises(TypeError), replacing(file) as path, path.open("w") as half:
        json.dump({"half": object()}, half)
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("head", list(Head))
def test_a_run_with_a_head_goes_on_with_it(tmp_path, head):
    recipe = replace(RECIPE, steps=4, head=head, heading=1.0)
    Run(start(), collection(), recipe, tmp_path).train(lambda _: None)
    again = Run(start(), collection(), recipe, tmp_path)
    before = [weight.clone() for weight in again.head.parameters()]
    assert again.resume()
    assert len(before) == (1 if head is Head.ARCFACE else 0)
    assert all(not torch.equal(one, other) for one, other in zip(before, again.head.parameters(), strict=True))


def test_random_weights_learn_to_tell_drawn_people_apart(tmp_path):
    seen = []
    recipe = replace(
        RECIPE,
        steps=160,
        people=8,
        every=20,
        frozen=0,
        rate=1e-2,
        doors=0.0,
        masked=0.0,
        anchor=0.0,
        relations=0.0,
        hardest=1.0,
    )
    Run(fresh_trunk(SMALL, seed=1), collection(), recipe, tmp_path).train(seen.append)
    assert seen[-1].contrastive < 0.75 * seen[0].contrastive
