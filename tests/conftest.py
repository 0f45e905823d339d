from collections.abc import Iterator

import pytest

from tests.mosquitto import Mosquitto, mosquitto_in


@pytest.fixture
def mosquitto(tmp_path_factory) -> Iterator[Mosquitto]:
    """A mosquitto of the test's own: `.host`, `.port`, `.stop()`, `.start()`, `.restart()`."""
    with mosquitto_in(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker
