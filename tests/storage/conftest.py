import pytest

from facegate.settings import Settings
from facegate.storage import open_storage
from tests.storage.decisions import a_decision
from tests.storage.photos import a_photo


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def storage(settings):
    with open_storage(settings, upgrade_empty=True) as opened:
        yield opened


@pytest.fixture
def decision():
    """Make a decision; what is not given is a grant for alice."""
    return a_decision


@pytest.fixture
def photo():
    """Make a photo whose template points along one axis."""
    return a_photo
