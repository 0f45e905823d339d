import numpy as np
import pytest

from facegate.errors import UnusableInputError
from facegate.siamese.corpus import Source
from facegate.siamese.tuning.doorcam import KINDS, door_camera
from facegate.siamese.tuning.households import VISITS, Size, draw_household, households, people_of
from facegate.vision.view import Light, look
from tests.siamese.household_of_composites import crops


@pytest.fixture(scope="module")
def people():
    return [list(pictures) for pictures in crops()]


def test_a_person_must_have_photos_for_all_that_is_asked():
    assert Size(10, 3, 20).wanted == 6
    assert Size(20, 5, 20).wanted == 7
    assert Size(10, 1, 0).wanted == 2
    assert str(Size(10, 1, 0)) == "10 users, 1 photo, 0 frames"


def test_no_photo_has_two_parts_to_play(people):
    marked = [[np.full((160, 160, 3), 1 + 6 * at + number, np.uint8) for number in range(6)] for at in range(14)]
    marked = [[np.where(crop > 0, real // 2 + crop, 0).astype(np.uint8) for crop, real in zip(ones, own, strict=True)]
              for ones, own in zip(marked, people, strict=True)]  # fmt: skip
    drawn = draw_household(marked, Size(5, 3, 5), Light.DAY, 20, np.random.default_rng(0))
    enrolled = {photo.tobytes() for photo in drawn.household.photos}
    assert len(enrolled) == 15
    assert len(drawn.household.frames) == 5
    assert len(drawn.unseen) == 5 * 2 * VISITS
    assert len(drawn.unseen) == len(drawn.unseen_owners)
    assert len(drawn.strangers) == 20
    assert set(drawn.household.views) == {"front"}


def test_the_same_seed_draws_the_same_households(people):
    one, two = (list(households(people, [Size(5, 2, 5)], 3, 4, 10)) for _ in range(2))
    assert [drawn.light for drawn in one] == list(KINDS)
    for left, right in zip(one, two, strict=True):
        assert np.array_equal(left.unseen, right.unseen)
        assert np.array_equal(left.household.photos, right.household.photos)


def test_too_few_people_make_no_household(people):
    with pytest.raises(UnusableInputError, match="people have 6 photos"):
        draw_household(people[:5], Size(10, 3, 20), Light.DAY, 10, np.random.default_rng(0))


def test_one_name_in_two_sources_is_one_person_and_a_number_is_not():
    crop = np.zeros((1, 4, 4, 3), np.uint8)
    sources = [Source(name, crop, (f"{name}/{person}/0.jpg",)) for name, person in (
        ("lfw_val", "Ann_Lee"), ("pins_val", "ann lee"), ("celeba_val", "celeba_7"), ("glint_val", "celeba_7"),
    )]  # fmt: skip
    assert sorted(len(photos) for photos in people_of(sources)) == [1, 1, 2]


@pytest.mark.parametrize("light", KINDS)
def test_a_door_camera_shows_its_light_and_never_the_same_picture_twice(people, light):
    camera, draw = door_camera(light, np.random.default_rng(2)), np.random.default_rng(3)
    seen = [camera.picture(person[0], draw) for person in people]
    assert all(picture.shape == (144, 144, 3) and picture.dtype == np.uint8 for picture in seen)
    assert not np.array_equal(seen[0], camera.picture(people[0][0], draw))
    grey = [look(picture, camera.size).light is Light.INFRARED for picture in seen]
    assert all(grey) == (light is Light.INFRARED)
    assert np.mean([look(picture, camera.size).detail for picture in seen]) < np.mean(
        [look(person[0][8:-8, 8:-8], 110).detail for person in people]
    )
