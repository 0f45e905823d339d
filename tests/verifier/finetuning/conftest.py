"""A run on a real database with the shipped network; only the learning is a nudge."""

import pytest

from facegate.settings import FinetuneSection, Settings
from facegate.storage import open_storage
from facegate.verifier.finetuning.promotion import Tuning
from facegate.verifier.library import library_of
from tests.verifier.finetuning.household import ALICE, BOB, enroll
from tests.verifier.models import lesson


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, finetune=FinetuneSection(keep=1))


@pytest.fixture
def storage(settings):
    with open_storage(settings, upgrade_empty=True) as opened:
        enroll(settings, opened, ALICE)
        enroll(settings, opened, BOB)
        yield opened


@pytest.fixture
def library(settings, storage):
    return library_of(settings, storage.champions)


@pytest.fixture
def tune(settings, storage, library):
    """Make a run; what is not given is a promotion."""

    def run(verdict="promoted", *, report=None, learn=None, settings=settings, **changes):
        tuning = Tuning(
            storage=storage,
            library=library,
            settings=settings,
            learn=learn or lesson(verdict, **changes),
            report=report or (lambda *_: None),
        )
        return tuning.run(seed=7)

    return run
