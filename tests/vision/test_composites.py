from facegate.resources import shipped
from facegate.vision.composites import PICTURES, people

CREDIT = (
    "Composites made for facegate from the Face Research Lab London Set"
    " (DeBruine and Jones 2017, figshare 5047666, CC BY 4.0), altered."
)


def test_there_are_eight_to_enrol_and_six_strangers():
    composites = people()
    assert [person.stranger for person in composites] == [False] * 8 + [True] * 6
    assert len({person.slug for person in composites}) == 14


def test_every_picture_ships_and_is_square():
    for person in people():
        for number in range(PICTURES):
            assert person.picture(number).shape == (480, 480, 3)


def test_the_credit_stands_beside_them():
    assert CREDIT in (shipped("models") / "composites" / "README.md").read_text(encoding="utf-8")


def test_together_they_stay_small():
    files = (shipped("models") / "composites").rglob("*.webp")
    assert sum(path.stat().st_size for path in files) < 1_500_000
