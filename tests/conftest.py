from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.mosquitto import Mosquitto, mosquitto_in
from tests.postgresql import cluster, database_of

settings.register_profile("untimed", deadline=None)  # a busy machine is slow, and not wrong
settings.load_profile("untimed")


@pytest.fixture
def mosquitto(tmp_path_factory) -> Iterator[Mosquitto]:
    """A mosquitto of the test's own: `.host`, `.port`, `.stop()`, `.start()`, `.restart()`."""
    with mosquitto_in(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@pytest.fixture(scope="session")
def household_template(tmp_path_factory) -> Path:
    """A data folder in which the composites are enrolled and the front door has two cameras; copy it, do not use it."""
    from tests.e2e.household import make_household

    folder = tmp_path_factory.mktemp("household") / "data"
    make_household(folder)
    return folder


@pytest.fixture
def household(household_template, tmp_path) -> Path:
    """A household of the test's own."""
    from tests.e2e.household import copy_household

    return copy_household(household_template, tmp_path / "data")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL of the session's own; its URL without a database."""
    with cluster() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    with database_of(postgresql_server) as url:
        yield url
