import functools
import json
import shutil
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from facegate.errors import UnusableInputError
from facegate.siamese import recipe
from facegate.siamese.corpus import Source, held_out
from facegate.siamese.losses import Head
from facegate.siamese.networks import Trunk
from facegate.siamese.plan import Recipe
from facegate.siamese.recipe import Place
from facegate.siamese.selection import (
    COMPANION_SHARES,
    WAYS,
    Candidate,
    candidate_templates,
    fnmr,
    judged,
    judged_rows,
    ranked,
    speaks,
    templates_of,
    untouched_rows,
)
from facegate.siamese.shapes import BlockShape, TrunkShape, accompanied_by
from facegate.siamese.teaching import Teacher, said_of
from facegate.siamese.weights import accompanied, alone, between
from facegate.vision.align import ALIGNMENT
from facegate.vision.composites import people
from facegate.vision.detect import YuNetDetector
from tests.siamese.small_trunks import SHORT, small_chain, small_companion

TINY = TrunkShape(128, 8, tuple(BlockShape(8, 16, 8, 2, 4) for _ in range(3)), 16, 24)
PLAN = Recipe(steps=2, people=4, pictures=2, every=1, companion=False, together=False, frozen=1, bf16=False)


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


HUGE = b"\x89PNG\r\n\x1a\n" + b"".join(
    (
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)),
        png_chunk(b"IDAT", zlib.compress(b"")),
        png_chunk(b"IEND", b""),
    )
)
"""A picture of more pixels than OpenCV takes, as its header says."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Forty folders of composites under made-up names; who is whom does not matter here."""
    root = tmp_path_factory.mktemp("data")
    known = people()
    for number in range(40):
        folder = root / "set_train" / f"number{number:02}{chr(97 + number % 26)}{chr(97 + number // 26)}"
        folder.mkdir(parents=True)
        for picture in range(5):
            shutil.copy(known[number % len(known)].picture_path(picture), folder)
    return root


def start():
    torch.manual_seed(0)
    return Trunk(TINY).eval()


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Where the runs of these tests share what was aligned."""
    return tmp_path_factory.mktemp("crops")


def train(place, *, resume=False, plan=PLAN, teachers=None, report=lambda _: None, share=None, chain=None):
    trunk, said = start(), []
    teacher = Teacher(lambda crops: templates_of(trunk, crops), ALIGNMENT)
    trained = recipe.train(
        place,
        start=trunk,
        teachers=[teacher] if teachers is None else teachers,
        detector=YuNetDetector(),
        recipe=plan,
        chain=chain,
        resume=resume,
        say=said.append,
        report=report,
        share=share,
    )
    return trained, said


def test_photos_go_in_and_a_chosen_trunk_comes_out(data, tmp_path, crops):
    place = Place(data, tmp_path, crops)
    trained, said = train(place)
    assert trained.missed == {"set_train": 0}
    assert sorted(each.share for each in trained.candidates) == [0, 0.25, 0.5, 0.75, 1]
    assert said[0] == "aligning set_train"

    with pytest.raises(UnusableInputError, match="holds a run already"):
        train(place)
    again, said = train(place, resume=True)
    assert "going on at step 2" in said
    assert again.candidates == trained.candidates

    (source,) = trained.sources
    judged, untouched = judged_rows(source), untouched_rows(source)
    assert all(held_out(source.people[row]) for row in np.concatenate((judged, untouched)))
    assert not {source.people[row] for row in judged} & {source.people[row] for row in untouched}


def test_a_source_with_one_held_out_person_to_judge_by_says_nothing():
    names = [f"somebody{chr(97 + number)}" for number in range(26)]
    kept = [name for name in names if held_out(name)][:2]
    paths = tuple(f"set_train/{name}/{photo}.jpg" for name in kept for photo in range(12))
    crops = np.zeros((len(paths), 160, 160, 3), np.uint8)
    source = Source("set_train", crops, paths)
    assert len({source.people[row] for row in judged_rows(source)}) == 1  # half of them stays untouched
    assert not speaks(source, judged_rows(source))
    assert judged(start(), 1.0, [source], seed=1).plain == {}


def test_a_companion_stands_where_there_is_none_yet_and_the_recipe_wants_one():
    given, companion = start(), small_companion()
    assert recipe.beginning(given, Recipe(), companion).shape == accompanied_by(TINY, SHORT)
    assert recipe.beginning(given, Recipe(companion=False)) is given
    with pytest.raises(UnusableInputError, match="no network to make a companion of"):
        recipe.beginning(given, Recipe())


def test_a_start_with_a_companion_goes_on_with_it_and_its_steps_follow_the_weights_again():
    given, companion = start(), small_companion()
    companion.settle()
    both = accompanied(given, companion)
    again = recipe.beginning(both, Recipe(), both.companion)
    assert again.shape == both.shape
    assert not any(bool(layer.step.any()) for layer, _ in again.companion.stages())
    assert torch.equal(again.companion.layers[1].weight, companion.layers[1].weight)
    assert bool(companion.layers[1].step.all())  # what was given stays
    bare = alone(both)
    assert bare.shape == given.shape
    assert all(torch.equal(value, bare.state_dict()[name]) for name, value in given.state_dict().items())
    assert alone(given) is given


def test_start_and_companion_come_out_as_far_and_as_heavy_as_held_out_people_choose(data, tmp_path, crops):
    def said(seen):
        values = seen[:, ::11, ::11].reshape(len(seen), -1)[:, :12].astype(np.float32)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    trunk, place = start(), Place(data, tmp_path, crops)
    teachers = [Teacher(lambda seen: templates_of(trunk, seen), ALIGNMENT), Teacher(said, ALIGNMENT)]
    plan = replace(PLAN, companion=True, together=True)
    trained, _ = train(place, plan=plan, teachers=teachers, chain=small_chain())
    points = {(each.share, each.way) for each in trained.candidates}
    assert points == {(share, way) for share in COMPANION_SHARES for way in WAYS}
    whole, _ = train(place, plan=plan, teachers=teachers, chain=small_chain(), resume=True, share=0.5)
    assert [(each.share, each.way) for each in whole.candidates] == [(0.5, 1.0), (0.0, 0.0)]
    assert not torch.equal(whole.trunk.gdw.weight, start().gdw.weight)


def test_a_companion_is_made_once_learns_and_comes_out_settled(data, tmp_path, crops):
    def said(seen):
        values = seen[:, ::11, ::11].reshape(len(seen), -1)[:, :12].astype(np.float32)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    place, plan = Place(data, tmp_path, crops), replace(PLAN, companion=True)
    teachers = [Teacher(lambda seen: templates_of(start(), seen), ALIGNMENT), Teacher(said, ALIGNMENT)]
    trained, told = train(place, plan=plan, teachers=teachers, chain=small_chain(), share=0.5)
    assert "making a companion of SFace" in told
    assert trained.trunk.shape == accompanied_by(TINY, SHORT)
    assert all(bool((layer.step > 0).all()) for layer, _ in trained.trunk.companion.stages())
    whole, told = train(place, plan=plan, teachers=teachers, chain=small_chain(), resume=True, share=1.0)
    assert "making a companion of SFace" not in told
    (file,) = tmp_path.glob("companion-*.pt")
    file.write_bytes(b"cut off")
    with pytest.raises(UnusableInputError, match="Delete it"):
        train(place, plan=plan, teachers=teachers, chain=small_chain(), resume=True)
    half, all_of_it = (each.trunk.embed.weight[-12:].detach() for each in (trained, whole))
    assert torch.allclose(half, all_of_it / 2)


def test_every_share_of_a_companion_is_judged_by_what_its_own_trunk_says():
    begun = start()
    trained = accompanied(begun, small_companion())
    crops = np.random.default_rng(0).integers(0, 256, (5, 128, 128, 3), np.uint8)
    with torch.no_grad():
        trained.gdw.weight.mul_(1 + torch.rand_like(trained.gdw.weight))
    points = [(0.0, 0.0), (0.5, 0.0), (1.0, 0.5), (0.0, 1.0), (0.5, 1.0)]
    told = candidate_templates(begun, trained, points)(crops)
    for point, templates in zip(points, told, strict=True):
        assert templates == pytest.approx(templates_of(between(begun, trained, *point), crops), abs=1e-5)
    assert np.abs(told[0] - told[3]).max() > 1e-3


def test_what_loses_in_daylight_never_leads_however_good_at_the_door():
    mated = {"a": 1000, "b": 1000}
    start = Candidate(0.0, {"a": 0.10, "b": 0.02}, {"a": 0.5, "b": 0.4}, {"a": 0.5, "b": 0.4}, mated)
    mild = Candidate(0.5, {"a": 0.09, "b": 0.021}, {"a": 0.4, "b": 0.4}, {"a": 0.4, "b": 0.4}, mated)
    bold = Candidate(1.0, {"a": 0.05, "b": 0.05}, {"a": 0.1, "b": 0.1}, {"a": 0.1, "b": 0.1}, mated)
    assert [each.share for each in ranked([start, bold, mild])] == [0.5, 0.0, 1.0]


def test_a_tenth_fewer_misses_in_daylight_counts_as_much_as_at_a_door():
    mated = {"a": 10_000}
    start = Candidate(0.0, {"a": 0.04}, {"a": 0.4}, {"a": 0.4}, mated)
    light = Candidate(0.5, {"a": 0.02}, {"a": 0.39}, {"a": 0.39}, mated)
    night = Candidate(1.0, {"a": 0.04}, {"a": 0.3}, {"a": 0.3}, mated)
    assert [each.share for each in ranked([start, night, light])] == [0.5, 1.0, 0.0]
    assert start.cost(start) == 1
    assert light.cost(start) == pytest.approx((201 / 401 * (3901 / 4001) ** 2) ** (1 / 3))


def test_of_two_that_are_as_good_the_nearer_to_the_start_leads():
    mated = {"a": 10_000}
    start = Candidate(0.0, {"a": 0.040}, {"a": 0.400}, {"a": 0.400}, mated)
    nearer = Candidate(0.5, {"a": 0.0361}, {"a": 0.361}, {"a": 0.361}, mated)
    farther = Candidate(1.0, {"a": 0.0320}, {"a": 0.390}, {"a": 0.370}, mated)
    best = Candidate(0.75, {"a": 0.0310}, {"a": 0.310}, {"a": 0.300}, mated)
    assert [each.share for each in ranked([start, farther, nearer])] == [0.5, 1.0, 0.0]
    assert [each.share for each in ranked([start, farther, nearer, best])] == [0.75, 1.0, 0.5, 0.0]


def test_a_masked_probe_is_compared_with_the_others_as_they_are():
    people = np.array([0, 0, 1, 1])
    enrolled = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    probes = np.eye(4, dtype=np.float32)[[0, 2, 1, 3]]  # of each person one is not known again
    assert fnmr(enrolled, enrolled, people) == 0
    assert fnmr(enrolled, probes, people) == 0.5
    assert fnmr(probes, probes, people) == 1


def test_a_few_misses_more_where_there_are_few_comparisons_are_chance():
    start = Candidate(0.0, {"a": 0.10, "b": 0.02}, {"a": 0.5, "b": 0.4}, {"a": 0.5, "b": 0.4}, {"a": 1000, "b": 100})
    bold = Candidate(1.0, {"a": 0.10, "b": 0.05}, {"a": 0.1, "b": 0.1}, {"a": 0.1, "b": 0.1}, {"a": 1000, "b": 100})
    assert [each.share for each in ranked([start, bold])] == [1.0, 0.0]


def test_a_share_that_was_chosen_elsewhere_is_taken(data, tmp_path, crops):
    trained, _ = train(Place(data, tmp_path, crops), share=0.4)
    assert [each.share for each in trained.candidates] == [0.4, 0.0]
    whole, _ = train(Place(data, tmp_path, crops), resume=True, share=1.0)
    begun, now, end = (trunk.embed.weight for trunk in (start(), trained.trunk, whole.trunk))
    assert torch.allclose(now, begun.lerp(end, 0.4), atol=1e-6)


def test_a_folder_without_people_and_too_few_people_are_refused(data, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusableInputError, match="no folder of people"):
        train(Place(tmp_path / "empty", tmp_path / "out"))
    with pytest.raises(UnusableInputError, match="holds no moon_train"):
        train(Place(data, tmp_path / "out", only=("moon_train",)))
    few = tmp_path / "few" / "set_train"
    few.mkdir(parents=True)
    shutil.copytree(next((data / "set_train").iterdir()), few / "one")
    with pytest.raises(UnusableInputError, match="too few people"):
        train(Place(tmp_path / "few", tmp_path / "other"))


def test_a_run_looks_at_held_out_people_now_and_then(data, tmp_path, crops):
    seen = []
    train(Place(data, tmp_path, crops), plan=replace(PLAN, steps=3, look_every=2), report=seen.append)
    looked = [at.held_out for at in seen]
    assert looked[0] is None
    assert looked[2] is None
    assert 0 <= looked[1].plain <= 1
    assert 0 <= looked[1].masked <= 1
    assert 0 <= looked[1].door <= 1


@pytest.mark.parametrize("head", list(Head))
def test_without_teachers_a_run_learns_from_who_is_who_alone(data, tmp_path, crops, head):
    seen = []
    plan = replace(PLAN, steps=1, anchor=0.0, relations=0.0, head=head)
    trained, _ = train(Place(data, tmp_path, crops), plan=plan, teachers=[], report=seen.append)
    assert trained is not None
    assert (seen[0].anchor, seen[0].relations) == (0, 0)
    assert (seen[0].heading > 0) == (head is not Head.NONE)


def test_with_nobody_to_teach_what_needs_a_teacher_is_refused(data, tmp_path, crops):
    with pytest.raises(UnusableInputError, match="There is no teacher"):
        train(Place(data, tmp_path, crops), teachers=[])


def test_a_teacher_with_a_name_is_asked_once(data, tmp_path, crops):
    asked = []

    def extract(seen):
        asked.append(len(seen))
        return np.ones((len(seen), 4), np.float32) / 2

    if not (crops / "set_train.json").exists():
        recipe.prepare(Place(data, tmp_path, crops), [], YuNetDetector(), PLAN, lambda _: None)
    source = recipe.read_source(crops, "set_train")
    teacher = Teacher(extract, ALIGNMENT, "patient@1")
    first, again = said_of(source, teacher, tmp_path), said_of(source, teacher, tmp_path)
    assert np.array_equal(first, again)
    assert sum(asked) == 2 * len(source.paths)  # mirrored too


def test_crops_that_show_less_than_todays_are_refused(tmp_path):
    from facegate.siamese import corpus

    np.save(tmp_path / "set_train.npy", np.zeros((1, 144, 144, 3), np.uint8))
    (tmp_path / "set_train.json").write_text(json.dumps({"names": ["set_train/a/1.jpg"], "missed": 0}))
    with pytest.raises(UnusableInputError, match="of 144 pixels, not 160"):
        corpus.align_source(tmp_path, "set_train", YuNetDetector(), tmp_path)


def test_crops_of_other_photos_are_refused(data, tmp_path):
    from facegate.siamese import corpus

    few, crops = tmp_path / "few" / "set_train", tmp_path / "crops"
    people = sorted((data / "set_train").iterdir())[:3]
    for person in people:
        shutil.copytree(person, few / person.name)
    (few / people[0].name / "huge.png").write_bytes(HUGE)
    align = functools.partial(corpus.align_source, few.parent, "set_train", YuNetDetector(), crops)
    assert align() == align() == 1  # OpenCV does not take it: no face was found
    shutil.rmtree(few / people[1].name)
    with pytest.raises(UnusableInputError, match="of other photos of set_train"):
        align()
    shutil.copytree(people[1], few / "another")
    with pytest.raises(UnusableInputError, match="of other photos of set_train"):
        align()


def test_what_a_teacher_said_is_asked_again_where_it_was_cut_off(crops, tmp_path):
    source = recipe.read_source(crops, "set_train")
    teacher = Teacher(lambda seen: templates_of(start(), seen), ALIGNMENT, "cut@1")
    first = said_of(source, teacher, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    assert np.array_equal(said_of(source, teacher, tmp_path), first)


def test_aligning_tells_how_far_it_is_and_gives_the_same_with_several_threads(data, tmp_path, monkeypatch):
    from facegate.siamese import corpus

    told = []
    monkeypatch.setattr(corpus, "TELL_EVERY", 80)
    detector, one, several = YuNetDetector(), tmp_path / "one", tmp_path / "several"
    corpus.align_source(data, "set_train", detector, one, tell=lambda done, of: told.append((done, of)))
    assert told == [(80, 200), (160, 200)]
    corpus.align_source(data, "set_train", detector, several, threads=3)
    first, second = (corpus.read_source(folder, "set_train") for folder in (one, several))
    assert first.paths == second.paths
    assert np.array_equal(first.crops, second.crops)
