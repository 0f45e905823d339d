import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facegate.commands import main as root
from facegate.core.rates import clopper_pearson
from facegate.errors import UnusableInputError
from facegate.siamese.oneshot.drawings import SIDE, held_out_tasks, read_drawings, read_runs
from facegate.siamese.oneshot.networks import EmbeddingTwins, PaperTwins, save_twins
from facegate.siamese.oneshot.trials import Judge, evaluate, right_answers
from tests.siamese.oneshot.handwriting import drawn, write, write_alphabets, write_run


@pytest.fixture
def network(tmp_path):
    torch.manual_seed(0)
    save_twins(EmbeddingTwins(), tmp_path / "network.npz")
    return tmp_path / "network.npz"


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        ([[0.9, 0.1, 0.0], [0.2, 0.3, 0.1], [0.5, 0.4, 0.6]], 3),
        ([[0.9, 0.1, 0.0], [0.4, 0.3, 0.1], [0.5, 0.7, 0.6]], 1),
        ([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.1, 0.2, 0.3]], 1),
        ([[np.nan, 0.1, 0.0], [0.1, 0.3, 0.1], [np.nan, np.nan, np.nan]], 1),
    ],
)
def test_an_answer_is_right_where_it_alone_has_the_highest_score(scores, right):
    assert right_answers(np.array(scores, np.float32), np.arange(3)) == right


def test_the_answers_of_a_hand_made_run_are_counted(tmp_path):
    torch.manual_seed(0)
    write_run(tmp_path, "run01", wrong=(1, 3))
    write_run(tmp_path, "run02")
    told = []
    report = evaluate(read_runs(tmp_path), Judge(EmbeddingTwins().eval()), told.append)
    assert (report["trials"], report["right"], report["accuracy"]) == (10, 8, 0.8)
    assert report["runs"] == {"run01": {"trials": 5, "right": 3}, "run02": {"trials": 5, "right": 5}}
    assert (report["lower"], report["upper"]) == (clopper_pearson(8, 10).lower, clopper_pearson(8, 10).upper)
    assert report["chance"] == pytest.approx(0.2)
    assert [one.name for one in told] == ["run01", "run02"]


def test_of_copies_the_most_alike_pair_counts():
    class Ink(EmbeddingTwins):
        """Its features are a picture's ink in its left and right half: easily worked out by hand."""

        def forward(self, pictures):
            half = SIDE // 2
            return torch.stack((pictures[..., :half].sum((1, 2, 3)), pictures[..., half:].sum((1, 2, 3))), 1)

    judge = Judge(Ink().eval(), copies=3)
    asked, known = (judge.features(np.stack([drawn(n, 0) for n in own])) for own in ((1, 2), (3, 4, 5)))
    assert asked.shape == (3, 2, 2)
    assert asked[0, 0].sum() == drawn(1, 0).sum()  # the first copy is the drawing itself
    by_hand = [[max(float(a @ k) for a in asked[:, i] for k in known[:, j]) for j in range(3)] for i in range(2)]
    assert judge.scores(asked, known) == pytest.approx(np.array(by_hand), rel=1e-4)


@given(seed=st.integers(0, 1000))
def test_held_out_tasks_are_within_an_alphabet_and_between_two_drawers(seed, tmp_path_factory):
    drawings = alphabets(tmp_path_factory)
    at = {picture.tobytes(): row for row, picture in enumerate(drawings.pictures)}
    for task in held_out_tasks(drawings, np.random.default_rng(seed), tasks=2, ways=3):
        known, asked = ([at[picture.tobytes()] for picture in side] for side in (task.known, task.asked))
        assert len(known) == 3
        assert len(set(drawings.alphabets[known + asked])) == 1
        assert (drawings.characters[np.array(known)[task.answers]] == drawings.characters[asked]).all()
        drawers = {*drawings.drawers[known]}, {*drawings.drawers[asked]}
        assert len(drawers[0]) == len(drawers[1]) == 1
        assert not drawers[0] & drawers[1]


READ = {}


def alphabets(tmp_path_factory):
    if not READ:
        READ["drawings"] = read_drawings(write_alphabets(tmp_path_factory.mktemp("alphabets")))
    return READ["drawings"]


def test_drawings_are_read_with_what_they_show(tmp_path):
    drawings = read_drawings(write_alphabets(tmp_path, alphabets=2, characters=3, drawers=2))
    assert drawings.pictures.shape == (12, SIDE, SIDE)
    assert drawings.names == ("alphabet0", "alphabet1")
    assert drawings.characters.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert drawings.alphabets.tolist() == [0] * 6 + [1] * 6
    assert drawings.drawers.tolist() == [0, 1] * 6
    assert (drawings.pictures[7] == drawn(3, 1)).all()


def test_an_alphabet_that_one_person_drew_makes_no_tasks(tmp_path):
    drawings = read_drawings(write_alphabets(tmp_path, drawers=1))
    with pytest.raises(UnusableInputError, match="alphabet0 has too few drawings"):
        held_out_tasks(drawings, np.random.default_rng(0), tasks=1)


def test_the_command_prints_one_document(network, tmp_path, capsys):
    write_run(tmp_path / "runs", wrong=(0,))
    assert root.run(["evaluate", "oneshot", str(tmp_path / "runs"), "--model", str(network), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["trials"], report["accuracy"], report["network"], report["copies"]) == (5, 0.8, "embedding", 1)
    assert report["lower"] < 0.8 < report["upper"]


def test_the_command_prints_a_table_for_people(network, tmp_path, capsys):
    write_run(tmp_path / "runs")
    assert root.run(["evaluate", "oneshot", str(tmp_path / "runs"), "--model", str(network), "--copies", "2"]) == 0
    out = capsys.readouterr().out
    assert "5 of 5" in out
    assert "accuracy 100.00%" in out


def no_runs(folder, _):
    folder.joinpath("runs").mkdir()


def no_folder(folder, _):
    pass


def a_missing_drawing(folder, _):
    write_run(folder / "runs")
    (folder / "runs/run01/test/item2.png").unlink()


def a_broken_drawing(folder, _):
    write_run(folder / "runs")
    (folder / "runs/run01/test/item2.png").write_bytes(b"no picture")


def a_drawing_of_another_size(folder, _):
    write_run(folder / "runs")
    write(folder / "runs/run01/test/item2.png", np.ones((28, 28), np.uint8))


def a_listing_that_leads_out(folder, _):
    write_run(folder / "runs")
    (folder / "runs/run01/class_labels.txt").write_text("../network.npz run01/training/class0.png\n", "utf-8")


def an_empty_listing(folder, _):
    write_run(folder / "runs")
    (folder / "runs/run01/class_labels.txt").write_text("\n", "utf-8")


def a_binary_listing(folder, _):
    write_run(folder / "runs")
    (folder / "runs/run01/class_labels.txt").write_bytes(b"\xff\xfe\x00")


def no_network(folder, network):
    write_run(folder / "runs")
    network.unlink()


def a_foreign_network(folder, network):
    write_run(folder / "runs")
    np.savez(network, weight=np.zeros(3))


def a_truncated_network(folder, network):
    write_run(folder / "runs")
    network.write_bytes(network.read_bytes()[:10_000])


def a_pickled_network(folder, network):
    write_run(folder / "runs")
    np.savez(network, about=np.array([{"code": 1}], dtype=object))


def a_network_that_lacks_an_array(folder, network):
    write_run(folder / "runs")
    with np.load(network) as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "embed.weight"}
    np.savez(network, **kept)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_runs, "holds no one-shot runs"),
        (no_folder, "holds no one-shot runs"),
        (a_missing_drawing, "item2.png is missing"),
        (a_broken_drawing, "item2.png is no picture"),
        (a_drawing_of_another_size, "item2.png is 28 x 28"),
        (a_listing_that_leads_out, "has the line"),
        (an_empty_listing, "names fewer than two characters"),
        (a_binary_listing, "is no list of drawings"),
        (no_network, "There is no"),
        (a_foreign_network, "holds no one-shot network"),
        (a_truncated_network, "holds no one-shot network"),
        (a_pickled_network, "holds no one-shot network"),
        (a_network_that_lacks_an_array, "holds no one-shot network"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_unusable_is_one_line_and_code_2(spoil, said, network, tmp_path, capfd):
    spoil(tmp_path, network)
    assert root.run(["evaluate", "oneshot", str(tmp_path / "runs"), "--model", str(network), "--json"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_the_papers_network_is_judged_too(tmp_path):
    torch.manual_seed(0)
    write_run(tmp_path, wrong=(2,), count=4)
    report = evaluate(read_runs(tmp_path), Judge(PaperTwins().eval()))
    assert (report["trials"], report["right"]) == (4, 3)
