"""Who finds faces, and a picture with one."""

import pytest

from facegate.vision.composites import people
from facegate.vision.detect import YuNetDetector


@pytest.fixture(scope="session")
def detector():
    return YuNetDetector()


@pytest.fixture(scope="session")
def portrait():
    return people()[1].picture(0)
