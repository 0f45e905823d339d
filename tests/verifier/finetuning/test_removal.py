"""Whoever is removed takes along what was learned from them."""

import pytest

from facegate.errors import RefusedError
from facegate.verifier.library import DEFAULT
from facegate.verifier.removal import remove
from tests.verifier.finetuning.household import ALICE, BOB, CAROL, enroll, folders


def test_a_removed_user_takes_along_what_was_learned_and_the_others_stay_known(storage, library, tune):
    runs = [tune(seed=seed) for seed in range(2)]
    removed = remove(storage, library, BOB.slug)
    assert set(removed.unlearned) == {run.challenger for run in runs}
    assert removed.heir == library.load(DEFAULT).id
    assert library.active() == DEFAULT
    assert folders(library) == []
    roster = storage.gallery.roster(removed.heir)
    assert roster.references.users == (ALICE.slug,)
    for run in runs:
        assert storage.gallery.roster(run.challenger).references.users == ()
        assert storage.learned.users_of(run.challenger) == []
    assert storage.runs.due().trigger == "removal"
    assert tune().trigger == "removal"


def test_the_newest_model_that_never_saw_the_user_takes_over(settings, storage, library, tune):
    first = tune()
    enroll(settings, storage, CAROL)
    second = tune(seed=1)
    removed = remove(storage, library, CAROL.slug)
    assert removed.unlearned == (second.challenger,)
    assert library.load().id == first.challenger
    assert storage.gallery.coverage(first.challenger).missing == 0


def test_a_learned_model_on_the_shelf_goes_too_and_the_champion_leads_on(storage, library, tune):
    run = tune("kept")
    removed = remove(storage, library, BOB.slug)
    assert (removed.unlearned, removed.heir) == ((run.challenger,), None)
    assert folders(library) == []


def test_a_user_is_removed_from_what_was_learned_even_if_the_key_is_lost(settings, storage, library, tune):
    tune()
    settings.vault_key.unlink()
    storage.vault.reload()
    assert remove(storage, library, BOB.slug).heir == library.load(DEFAULT).id
    remove(storage, library, ALICE.slug)
    enroll(settings, storage, CAROL)
    assert storage.gallery.coverage(library.load().id).missing == 0


def test_nobody_is_removed_past_what_was_learned_from_them(storage, tune):
    run = tune()
    with pytest.raises(RefusedError, match=f"{run.challenger} learned from {BOB.slug}"):
        storage.users.remove(BOB.slug)
    assert len(storage.users.listed()) == 2


def test_what_a_champion_learned_before_counts_as_learned_by_those_that_follow(storage, tune):
    tune()
    second = tune(seed=1)
    assert storage.learned.models_of(BOB.slug) >= {second.challenger}
