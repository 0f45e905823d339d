import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from facegate.core.frame import Frame
from facegate.daemon.assembly import detector_of, engine_of
from facegate.daemon.gate import Gate
from facegate.daemon.remembering import aftermath_of
from facegate.daemon.shadow import Shadow
from facegate.settings import Settings
from facegate.storage import open_storage
from facegate.storage.photos import Enrollee
from facegate.verifier.finetuning.promotion import Tuning
from facegate.verifier.library import library_of
from tests.e2e.household import ENROLLED, STRANGERS, copy_household, picture_of, wait_until
from tests.fakes import MemoryDecisions, MemoryEvents, MemoryPublisher, StandingClock
from tests.storage.photos import a_photo
from tests.verifier.models import lesson


class House:
    """A household with a gate, in one process; decisions are recorded in its database and go nowhere."""

    def __init__(self, folder, **finetune) -> None:
        self.settings = Settings(data_dir=folder, finetune={"shadow": True} | finetune)
        self.storage = open_storage(self.settings)
        self.library = library_of(self.settings, self.storage.champions)
        self.clock = StandingClock()
        self.detector = detector_of(self.settings)
        self.shadow = Shadow(
            settings=self.settings,
            storage=self.storage,
            library=self.library,
            detector=self.detector,
            clock=self.clock,
            required=lambda *at, lone: self.gate.required(*at, lone=lone),
        )
        self.aftermath = aftermath_of(self.settings, self.storage, self.clock, self.shadow)
        self.gate = Gate(
            engine=engine_of(self.settings, self.storage.gallery, self.detector, self.clock),
            settings=self.settings.gate,
            decisions=self.storage.decisions,
            signer=self.storage.signer,
            publisher=MemoryPublisher(MemoryDecisions(MemoryEvents())),
            clock=self.clock,
            entropy=bytes,
            witness=self.aftermath,
        )

    def challenge(self, **changes):
        """Put a challenger into the shadow: the champion with its head moved a little."""
        tuning = Tuning(storage=self.storage, library=self.library, settings=self.settings, learn=lesson(**changes))
        return tuning.run(seed=1)

    def visit(self, slug, number):
        wait_until(self.aftermath._waiting.empty, what="room in the queue")
        self.clock.pass_seconds(60)
        now, picture = self.clock.now(), picture_of(slug, 1 + number % 4)
        digest = hashlib.sha256(picture + bytes([number])).hexdigest()
        return self.gate.decide(Frame("porch", f"e{number}", now, now, picture, digest))

    def a_day(self):
        """Let everybody come twice, and return the decisions without what differs from run to run."""
        people = [person.slug for person in (*ENROLLED, *STRANGERS)] * 2
        self.aftermath.start()
        made = [self.visit(slug, number) for number, slug in enumerate(people)]
        self.aftermath.stop(60)
        return [replace(one, milliseconds={}, jws="", id="") for one in made]


@pytest.fixture
def house(household):
    made = House(household)
    yield made
    made.storage.close()


def test_a_shadow_changes_no_decision(house, household_template, tmp_path):
    run = house.challenge()
    assert run.state == "shadow"
    alone = House(copy_household(household_template, tmp_path / "alone"))
    with_shadow, without = house.a_day(), alone.a_day()
    assert with_shadow == without
    assert {one.model for one in with_shadow} == {run.champion}
    assert alone.storage.shadow.count(run.number) == 0
    assert house.storage.shadow.count(run.number) > 0
    alone.storage.close()


def test_both_networks_are_recorded_for_each_visit(house):
    run = house.challenge()
    decisions = house.a_day()
    scores = house.storage.shadow.of_run(run.number)
    assert len(scores) == len(decisions)
    for score, decision in zip(scores, decisions, strict=True):
        assert score.champion.score == pytest.approx(decision.score, abs=1e-6)
        assert score.champion.threshold == decision.threshold
        assert score.challenger.threshold == pytest.approx(decision.threshold, abs=0.1)
        if decision.user is not None:  # the head was moved only a little; of a stranger another may be the nearest
            assert score.challenger.user == score.champion.user == decision.user
        assert score.challenger.score != score.champion.score
        assert score.challenger.score == pytest.approx(score.champion.score, abs=0.1)
    assert house.storage.frames.count() == len(decisions)


def test_in_a_hunt_both_networks_are_held_to_the_threshold_of_many_frames(house):
    run = house.challenge()
    house.aftermath.start()
    assert house.gate.begin_hunt("hunted", "porch")
    now, picture = house.clock.now(), picture_of(ENROLLED[0].slug, 1)
    frame = Frame("porch", "hunted", now, now, picture, hashlib.sha256(picture).hexdigest(), hunted=True)
    decision = house.gate.decide(frame)
    house.aftermath.stop(60)
    assert (decision.frames, decision.user) == (1, ENROLLED[0].slug)
    (score,) = house.storage.shadow.of_run(run.number)
    engine = house.shadow._challenger.engine
    alone, of_many = (
        house.gate.required(decision.door, engine, score.challenger.user, lone=lone) for lone in (True, False)
    )
    assert alone < of_many == score.challenger.threshold


def test_after_its_visits_the_challenger_is_promoted_and_leads(house):
    run = house.challenge()
    house.shadow.judge()
    assert house.storage.runs.find(run.number).state == "shadow"  # neither the visits nor the days are full
    house.a_day()
    house.clock.pass_seconds(7 * 86_400)
    house.clock.moment = run.started_at + timedelta(days=7)
    house.shadow.judge()
    ended = house.storage.runs.find(run.number)
    assert (ended.state, ended.verdict) == ("finished", "promoted"), ended.reason
    assert "visits beside the champion" in ended.reason
    assert ended.after["live"]["visits"] >= 10
    assert house.library.active() == run.challenger.partition("@")[0]


def test_a_challenger_that_loses_a_confirmed_visit_stays_on_the_shelf(house):
    run = house.challenge()
    house.a_day()
    granted = next(one for one in house.storage.decisions.newest() if one.document["outcome"] == "grant")
    decision = granted.document["decision"]
    house.storage.decisions.speak(decision, "confirmed", house.clock.now())
    with house.storage.engine.begin() as connection:  # the challenger did not know them
        connection.exec_driver_sql("UPDATE shadow_scores SET challenger_score = -1 WHERE decision = ?", (decision,))
    house.clock.moment = run.started_at + timedelta(days=7)
    house.shadow.judge()
    ended = house.storage.runs.find(run.number)
    assert (ended.verdict, house.library.active()) == ("kept", run.champion.partition("@")[0])
    assert f"shuts out somebody whom an operator confirmed: {decision}" in ended.reason


def test_a_challenger_that_nobody_met_is_kept_after_its_days(house):
    run = house.challenge()
    house.clock.moment = run.started_at + timedelta(days=8)
    house.shadow.judge()
    ended = house.storage.runs.find(run.number)
    assert ended.verdict == "kept"
    assert "0 visits are too few" in ended.reason


def test_a_challenger_is_kept_if_another_model_leads_by_now(house):
    from facegate.verifier.succession import put_in_charge
    from tests.verifier.models import a_model

    run = house.challenge()
    house.a_day()
    put_in_charge(house.storage, house.library, a_model(house.library, "other"))
    house.clock.moment = run.started_at + timedelta(days=7)
    house.shadow.judge()
    ended = house.storage.runs.find(run.number)
    assert ended.verdict == "kept"
    assert "Another model leads" in ended.reason
    assert house.library.active() == "other"


def test_who_is_enrolled_meanwhile_is_known_to_the_challenger_too(house):
    run = house.challenge()
    house.shadow.tend()
    assert house.shadow._challenger.run.number == run.number
    crop = house.storage.photos.of_user(ENROLLED[0].slug)[0].crop
    photo = replace(a_photo(1, dimension=384), crop=crop)
    house.storage.photos.enroll(Enrollee("newcomer"), [photo], model=run.champion, now=house.clock.now())
    house.clock.pass_seconds(10)
    house.shadow.tend()
    references = house.shadow._challenger.engine.roster.references
    assert references.users[int(references.owners[-1])] == "newcomer"


def test_a_challenger_whose_files_are_gone_scores_nothing_and_harms_nothing(house, caplog):
    run = house.challenge()
    (house.library.folder(run.challenger.partition("@")[0]) / "network.onnx").unlink()
    decisions = house.a_day()
    assert any(one.outcome == "grant" for one in decisions)
    assert house.storage.shadow.count(run.number) == 0
    assert caplog.text.count("the challenger in the shadow cannot score") == 1
