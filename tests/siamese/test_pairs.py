import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facegate.siamese.pairs import Labels, PeopleSampler

PEOPLE = np.repeat(np.arange(30), np.arange(30) % 4 + 1)
LABELS = Labels(PEOPLE, PEOPLE % 3)


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 1000))
def test_a_batch_holds_k_pictures_of_each_of_its_people(people, pictures, seed):
    sampler = PeopleSampler(LABELS, people=people, pictures=pictures, weights=np.array([0.5, 0.3, 0.2]))
    rows = sampler.draw(np.random.default_rng(seed))
    drawn = LABELS.people[rows].reshape(-1, pictures)
    assert (drawn == drawn[:, :1]).all()
    assert len(set(drawn[:, 0])) == len(drawn) <= people


@given(st.integers(0, 1000))
def test_no_picture_comes_twice_where_a_person_has_enough(seed):
    rows = PeopleSampler(LABELS, people=10, pictures=2, weights=np.ones(3)).draw(np.random.default_rng(seed))
    for pair in rows.reshape(-1, 2):
        assert pair[0] != pair[1] or (LABELS.people == LABELS.people[pair[0]]).sum() == 1


def test_equal_seeds_draw_equal_batches_and_others_draw_others():
    sampler = PeopleSampler(LABELS, people=8, pictures=2, weights=np.ones(3))
    first, again, other = (sampler.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_sources_come_by_their_weights_and_an_empty_one_gives_nobody():
    sampler = PeopleSampler(LABELS, people=10, pictures=1, weights=np.array([0.8, 0.2, 0.0, 5.0]))
    draw = np.random.default_rng(0)
    sources = np.concatenate([LABELS.sources[sampler.draw(draw)] for _ in range(200)])
    assert set(sources) == {0, 1}
    assert 0.7 < (sources == 0).mean() < 0.9
