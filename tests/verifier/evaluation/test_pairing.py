from pathlib import Path

import numpy as np
import pytest

from facegate.errors import UnusableInputError
from facegate.verifier.evaluation.pairing import Pair, people_of, read_pairs, score_pairs
from facegate.verifier.photos import Photo


def photo(name, angle=None):
    template = None if angle is None else np.array([np.cos(angle), np.sin(angle)], np.float32)
    return Photo(Path(name), template, "" if angle is not None else "no face was found")


@pytest.fixture
def photos(tmp_path):
    for name in ("a.jpg", "b.jpg", "d.jpg", 'c "quoted.jpg'):
        (tmp_path / name).touch()
    return tmp_path


def test_a_list_of_pairs_is_read_and_scored(photos):
    (photos / "pairs.tsv").write_text("a.jpg\tb.jpg\t1\n\na.jpg\td.jpg\t0\r\n")
    pairs = read_pairs(photos / "pairs.tsv", photos)
    assert pairs[0] == Pair(photos / "a.jpg", photos / "b.jpg", mated=True)
    angles = {"a.jpg": 0.0, "b.jpg": 0.5, "d.jpg": 1.0}
    scored = score_pairs(pairs, {photos / name: photo(name, angle) for name, angle in angles.items()})
    assert scored.mated.scores == pytest.approx(np.cos(0.5), abs=1e-6)
    assert scored.top.scores == pytest.approx(np.cos(1.0), abs=1e-6)


def test_names_may_hold_quotes_and_a_list_may_begin_with_a_byte_order_mark(photos):
    (photos / "pairs.tsv").write_bytes('\ufeffa.jpg\tc "quoted.jpg\t1\na.jpg\tb.jpg\t0\n'.encode())
    assert read_pairs(photos / "pairs.tsv", photos)[0].right == photos / 'c "quoted.jpg'


def test_what_is_said_twice_counts_once_however_it_is_written(photos):
    lines = "a.jpg\tb.jpg\t1\n./b.jpg\ta.jpg\t1\na.jpg\td.jpg\t0\nd.jpg\td.jpg\t1\na.jpg\tx/../d.jpg\t0\n"
    (photos / "pairs.tsv").write_text(lines)
    told = []
    pairs = read_pairs(photos / "pairs.tsv", photos, told.append)
    assert pairs == [
        Pair(photos / "a.jpg", photos / "b.jpg", mated=True),
        Pair(photos / "a.jpg", photos / "d.jpg", mated=False),
    ]
    assert [": 3 lines are not counted" in line for line in told] == [True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.jpg\tb.jpg\n", ":1 is no pair"),
        ("a.jpg\tb.jpg\t1\na.jpg\tc.jpg\t0\n", ":2: there is no"),
        ("a.jpg\tb.jpg\tyes\n", ":1 is no pair"),
        ("a.jpg b.jpg 1\n", ":1 is no pair"),
        ("a.jpg\tb.jpg\t1\n", "lacks mated or non-mated"),
        ("a.jpg\tb.jpg\t1\na.jpg\td.jpg\t0\nb.jpg\ta.jpg\t0\n", ":3 contradicts line 1"),
        ("a.jpg\tb.jpg\t1\n./x/../a.jpg\tb.jpg\t0\n", ":2 contradicts line 1"),
        ("a.jpg\tb.jpg\t1\na.jpg\ta.jpg\t0\n", ":2: one photo is said to show two people"),
        ("", "lacks mated or non-mated"),
    ],
)
def test_a_list_that_is_none_is_one_clear_error(photos, text, words):
    (photos / "pairs.tsv").write_text(text)
    with pytest.raises(UnusableInputError, match=words):
        read_pairs(photos / "pairs.tsv", photos)


def test_a_list_or_a_root_that_is_not_there_is_one_clear_error(photos):
    (photos / "binary.tsv").write_bytes(b"\xff\xfe\x00\x01")
    for listing, root in (("no.tsv", photos), ("binary.tsv", photos), ("binary.tsv", photos / "nowhere")):
        with pytest.raises(UnusableInputError):
            read_pairs(photos / listing, root)


def pair(left, right, mated):
    return Pair(Path(left), Path(right), bool(mated))


def test_people_are_the_folders_where_photos_lie_by_person():
    pairs = [pair("ada/1", "ada/2", 1), pair("ada/1", "bea/1", 0), pair("bea/1", "cat/9", 0)]
    people = people_of(pairs)
    assert people[Path("ada/1")] == people[Path("ada/2")]
    assert len(set(people.values())) == 3


def test_people_are_what_mated_pairs_join_where_folders_say_nothing():
    pairs = [pair("1", "2", 1), pair("2", "3", 1), pair("4", "5", 1), pair("1", "4", 0), pair("3", "6", 0)]
    people = people_of(pairs)
    assert people[Path("1")] == people[Path("3")] != people[Path("4")] == people[Path("5")]
    assert len(set(people.values())) == 3


def test_pairs_that_cannot_be_compared_are_counted_by_kind_and_person():
    pairs = [pair("a/1", "a/2", 1), pair("a/1", "a/3", 1), pair("a/1", "b/1", 0), pair("a/3", "b/1", 0)]
    shown = {Path("a/1"): photo("1", 0.1), Path("a/2"): photo("2", 0.2), Path("a/3"): photo("3"),
             Path("b/1"): photo("b", 1.0)}  # fmt: skip
    scored = score_pairs(pairs, shown)
    assert scored.lost.tolist() == [1, 0]
    assert (scored.mated_failures, scored.non_mated_failures, scored.failures_to_acquire) == (1, 1, 1)


def test_pairs_without_a_face_on_any_are_one_clear_error():
    pairs = [pair("a/1", "a/2", 1), pair("a/1", "b/1", 0)]
    with pytest.raises(UnusableInputError, match="no comparisons of one"):
        score_pairs(pairs, {Path(name): photo(name) for name in ("a/1", "a/2", "b/1")})
