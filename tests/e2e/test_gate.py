"""The gate from outside: a real daemon on a real mosquitto, spoken to by an ordinary MQTT client."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from facegate.core.decision import rfc3339
from facegate.settings import Settings
from facegate.storage.opening import open_storage
from facegate.verifier.library import DEFAULT
from tests.e2e.household import (
    ENROLLED,
    STRANGERS,
    empty_picture,
    picture_of,
    public_keys,
    serving,
    signed_claims,
    varied,
    wait_until,
)
from tests.e2e.neighbours import neighbour, push

ALICE = ENROLLED[0].slug


def now(offset: float = 0.0) -> str:
    return rfc3339(datetime.now(UTC) + timedelta(seconds=offset))


def test_the_enrolled_are_granted_strangers_are_not_and_every_decision_is_signed(household, mosquitto):
    with serving(household, mosquitto.port) as (daemon, listener):
        for person in ENROLLED:
            decision = listener.ask("porch", picture_of(person.slug), f"in-{person.slug}", captured_at=now())
            assert decision["outcome"] == "grant", decision
            assert decision["user"] == person.slug
            assert decision["score"] >= decision["threshold"]
        for person in STRANGERS:
            decision = listener.ask("yard", picture_of(person.slug), f"out-{person.slug}", captured_at=now())
            assert (decision["outcome"], decision["reason"], decision["user"]) == ("deny", "no_match", None)
        keys = public_keys(household)
        for decision in listener.decisions:
            claims = signed_claims(decision, keys)
            assert {name: claims[name] for name in decision if name != "jws"} == {
                name: value for name, value in decision.items() if name != "jws"
            }
            assert (claims["aud"], claims["jti"]) == ("front", decision["decision"])
            assert claims["exp"] > time.time() - 60
        outgoing = [message for message in listener.messages if message.topic.endswith("/decision")]
        assert not any(message.retain for message in outgoing)
        grants = [m for m in outgoing if json.loads(m.payload)["outcome"] == "grant"]
        assert all(0 < m.properties.MessageExpiryInterval <= 5 for m in grants)
        assert "torch" not in Path(f"/proc/{daemon.pid}/maps").read_text()
        listener.wait_for_balance(len(ENROLLED) + len(STRANGERS))


def event(picture: bytes | None = None, **fields: object) -> bytes:
    document: dict[str, object] = {"event": "e", "captured_at": now()}
    if picture is not None:
        document["image"] = base64.b64encode(picture).decode()
    return json.dumps(document | fields).encode()


def stamped(name: str, offset: float) -> bytes:
    return event(picture_of(ALICE), event=name, captured_at=now(offset))


def huge_png() -> bytes:
    """The header of a PNG of 200 megapixels, and nothing that would fill it."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


#: Title: (topic, payload, reason that is decided or counted).
BAD = {
    "an empty payload": ("image", lambda: b"", "bad_image"),
    "one byte": ("image", lambda: b"x", "bad_image"),
    "a truncated JPEG": ("image", lambda: picture_of(ALICE)[:9000], "bad_image"),
    "a PNG of 200 megapixels": ("image", huge_png, "bad_image"),
    "text called a picture": ("image", lambda: b"GET / HTTP/1.1\r\n" * 50, "bad_image"),
    "no JSON": ("event", lambda: b"{nonsense", "bad_image"),
    "JSON that is no object": ("event", lambda: b"[1, 2]", "bad_image"),
    "invalid UTF-8": ("event", lambda: b'{"event": "\xff\xfe"}', "bad_image"),
    "a time that is no number": ("event", lambda: b'{"event": "n", "captured_at": NaN, "image": "AA=="}', "bad_image"),
    "deep nesting": ("event", lambda: b"[" * 100_000 + b"]" * 100_000, "bad_image"),
    "1.8 MB of JSON": ("event", lambda: b'{"event": "big", "image": "' + b"A" * 1_800_000 + b'"}', "bad_image"),
    "no base64": ("event", lambda: event(event="b64", image="§§§"), "bad_image"),
    "an event id that is none": ("event", lambda: event(picture_of(ALICE), event="../../etc"), "bad_image"),
    "a frame of yesterday": ("event", lambda: stamped("old", -86_400), "too_old"),
    "a frame of tomorrow": ("event", lambda: stamped("new", 86_400), "from_the_future"),
    "a file as URL": ("event", lambda: event(event="file", image_url="file:///etc/passwd"), "image_unreachable"),
    "a service on loopback as URL": (
        "event", lambda: event(event="loop", image_url="http://127.0.0.1:22/x.jpg"), "image_unreachable"
    ),
    "a private address as URL": (
        "event", lambda: event(event="priv", image_url="http://169.254.169.254/latest/meta-data"), "image_unreachable"
    ),
    "nobody there": ("image", empty_picture, "no_face"),
}  # fmt: skip


def test_bad_input_gets_its_own_reason_and_the_daemon_lives_on(household, mosquitto):
    with serving(household, mosquitto.port) as (daemon, listener):
        for at, (title, (topic, payload, reason)) in enumerate(BAD.items(), 1):
            seen = len(listener.decisions)
            listener.publish(f"cameras/porch/{topic}", payload())
            assert listener.wait(lambda seen=seen: len(listener.decisions) > seen, 15), title
            assert listener.decisions[-1]["reason"] == reason, title
            assert listener.decisions[-1]["outcome"] == "deny"
            listener.wait_for_balance(at)
        assert listener.ask("porch", picture_of(ALICE), "after-all")["outcome"] == "grant"
        daemon.check()
        assert "Traceback" not in daemon.log.read_text()


def test_repetitions_retained_messages_and_unknown_cameras_cause_nothing_and_are_counted(household, mosquitto):
    listener_first = picture_of(ALICE, 3)
    with serving(household, mosquitto.port) as (_, listener):
        assert listener.ask("porch", picture_of(ALICE), "once")["outcome"] == "grant"
        listener.publish("cameras/porch/image", picture_of(ALICE), event="once")
        listener.publish("cameras/porch/image", varied(picture_of(ALICE), 1), event="once")
        listener.publish("cameras/attic/image", picture_of(ALICE), event="attic")
        listener.publish("cameras/Not A Slug/image", picture_of(ALICE), event="slug")
        listener.wait_for_balance(5)
        _, decided, counted = listener.balance()
        assert decided == 1
        assert counted["replayed"] == 2
        assert counted["unknown_camera"] == 1
        assert counted["bad_topic"] == 1
        # A picture without id and time is its own name: the same bytes again are a replay.
        listener.publish("cameras/porch/image", listener_first)
        assert listener.wait(lambda: len(listener.decisions) == 2)
        listener.publish("cameras/porch/image", listener_first)
        assert listener.wait(lambda: len(listener.decisions) == 3)
        assert [one["reason"] for one in listener.decisions[-2:]] == ["match", "replayed"]
        listener.publish("cameras/porch/image", picture_of(ALICE, 4), retain=True, event="kept")
        assert listener.decision_on("kept")["outcome"] == "grant"  # live, as it was published
    with serving(household, mosquitto.port) as (_, listener):  # the broker has it lying there
        assert listener.ask("porch", picture_of(ALICE, 5), "fresh")["outcome"] == "grant"
        assert [one["events"] for one in listener.decisions] == [["fresh"]]


def test_orders_to_a_door_work_and_retained_ones_do_not(household, mosquitto):
    with serving(household, mosquitto.port) as (_, listener):
        listener.publish("doors/front/command", "lockdown")
        time.sleep(0.3)  # the loop carries orders out within 0.1 s; nothing tells that it has
        assert listener.ask("porch", picture_of(ALICE), "locked")["reason"] == "lockdown"
        listener.publish("doors/front/command", "disarm")
        time.sleep(0.3)
        assert listener.ask("porch", picture_of(ALICE, 3), "disarmed")["reason"] == "not_armed"
        listener.publish("doors/front/command", "arm")
        time.sleep(0.3)
        assert listener.ask("porch", picture_of(ALICE, 4), "armed")["outcome"] == "grant"
        listener.publish("doors/front/command", "lockdown", retain=True)
        time.sleep(0.3)
        listener.publish("doors/front/command", "arm")
        time.sleep(0.3)
    with serving(household, mosquitto.port) as (_, listener):
        assert listener.ask("porch", picture_of(ALICE, 5), "later")["outcome"] == "grant"


def test_an_enrollment_of_another_process_is_noticed_within_two_seconds(household, mosquitto):
    stranger = STRANGERS[0]
    with serving(household, mosquitto.port) as (_, listener):
        assert listener.ask("porch", picture_of(stranger.slug), "before")["reason"] == "no_match"
        settings = Settings(data_dir=household)
        storage = open_storage(settings)
        from facegate.verifier.enrollment import Enrollment

        Enrollment.of(settings, storage).enroll("newcomer", None, [stranger.picture_path(0)])
        begun = time.monotonic()
        assert listener.wait(lambda: listener.status["users"] == len(ENROLLED) + 1, 2.0)
        assert time.monotonic() - begun < 2.0
        assert listener.ask("porch", picture_of(stranger.slug, 3), "after")["user"] == "newcomer"
        storage.users.suspend("newcomer")
        wait_until(lambda: listener.ask("porch", varied(picture_of(stranger.slug, 3), int(time.time() * 1000)),
                                        f"s{time.time()}")["reason"] == "suspended", 3)  # fmt: skip
        storage.close()


def test_the_daemon_stops_within_five_seconds_and_says_so(household, mosquitto):
    with serving(household, mosquitto.port) as (daemon, listener):
        for number in range(20):
            listener.publish("cameras/porch/image", varied(picture_of(ALICE), number), event=f"e{number}")
        stopped = daemon.stop()
        assert stopped.code == 0
        assert stopped.seconds < 5
        assert listener.wait(lambda: listener.status["state"] == "offline", 5)
    settings = Settings(data_dir=household)
    storage = open_storage(settings)
    tally = storage.events.tally()
    assert tally["in"] == tally["decided"] + sum(tally["counted"].values())
    storage.close()


def test_agreeing_frames_wait_for_one_another(household, mosquitto):
    with serving(household, mosquitto.port, FACEGATE_GATE__AGREEING_FRAMES="2", FACEGATE_GATE__VISIT_SECONDS="3") as (
        _,
        listener,
    ):
        listener.publish("cameras/porch/image", picture_of(ALICE), event="a1")
        listener.publish("cameras/yard/image", picture_of(ALICE, 3), event="a2")
        decision = listener.decision_on("a2")
        assert decision["outcome"] == "grant"
        assert sorted(decision["events"]) == ["a1", "a2"]
        assert sorted(decision["cameras"]) == ["porch", "yard"]
        alone = listener.ask("porch", picture_of(ALICE, 4), "a3")
        assert (alone["reason"], alone["detail"]) == ("no_match", "1 of 2 agreeing frames")
        listener.wait_for_balance(3)


@pytest.mark.parametrize(("how", "told"), [("name", ENROLLED[0].name), ("none", None)])
def test_messages_name_the_user_as_the_settings_say(household, mosquitto, how, told):
    with serving(household, mosquitto.port, FACEGATE_GATE__USER_IN_MESSAGES=how) as (_, listener):
        decision = listener.ask("porch", picture_of(ALICE), "one")
        assert decision["outcome"] == "grant"
        assert decision["user"] == told
        assert signed_claims(decision, public_keys(household))["user"] == told


def test_a_rollback_over_mqtt_keeps_those_who_were_enrolled_since(household, mosquitto):
    import hashlib
    import shutil

    from facegate.resources import shipped
    from facegate.verifier.enrollment import Enrollment
    from facegate.verifier.library import library_of
    from facegate.verifier.succession import put_in_charge

    newer, stranger = household / "models" / "newer", STRANGERS[0]
    shutil.copytree(shipped("models") / "verifier" / DEFAULT, newer)
    for name in ("calibration.json", "levelled.json", "model.json"):
        (newer / name).write_text((newer / name).read_text().replace(DEFAULT, "newer"))
    card = json.loads((newer / "model.json").read_text())
    for name in ("calibration.json", "levelled.json"):
        card["files"][name] = hashlib.sha256((newer / name).read_bytes()).hexdigest()
    (newer / "model.json").write_text(json.dumps(card))
    settings = Settings(data_dir=household)
    with open_storage(settings) as storage:
        library = library_of(settings, storage.champions)
        put_in_charge(storage, library, library.load("newer"))
        Enrollment.of(settings, storage).enroll("newcomer", None, [stranger.picture_path(0)])
    with serving(household, mosquitto.port) as (_, listener):
        assert listener.ask("porch", picture_of(stranger.slug), "newer")["model"].startswith("newer@")
        listener.publish("models/command", "rollback")
        assert listener.wait(lambda: listener.status["model"].startswith(f"{DEFAULT}@"), 10)
        decision = listener.ask("porch", picture_of(stranger.slug, 3), "older")
        assert (decision["model"].partition("@")[0], decision["user"]) == (DEFAULT, "newcomer")


def test_a_calibration_is_taken_up_by_the_daemon_that_runs(household, mosquitto):
    from dataclasses import replace

    from facegate.verifier.calibrations import levelled_documents
    from facegate.verifier.library import library_of, write_model
    from facegate.verifier.selftest import PROOF

    settings = Settings(data_dir=household)
    shipped = library_of(settings).load()
    stricter = [replace(knot, score=knot.score + 0.05) for knot in shipped.levelled.knots]
    kept = {name: (shipped.folder / name).read_bytes() for name in (PROOF, "cohort.npz")}
    more = kept | levelled_documents(replace(shipped.levelled, knots=tuple(stricter)))
    with serving(household, mosquitto.port) as (_, listener):
        before = listener.ask("porch", picture_of(ALICE), "before")
        network = (shipped.folder / "network.onnx").read_bytes()
        write_model(household / "models" / shipped.card.name, shipped.card, network, shipped.calibration, more)

        def is_stricter() -> bool:
            after = listener.ask("porch", picture_of(ALICE), f"after-{time.monotonic_ns()}")
            return after["threshold"] == pytest.approx(before["threshold"] + 0.05, abs=1e-3)

        wait_until(is_stricter, what="the new threshold")


def test_a_picture_that_waited_at_the_broker_opens_nothing_unless_it_says_its_time(household, mosquitto):
    with serving(household, mosquitto.port) as (_, listener):
        assert listener.ask("porch", picture_of(ALICE), "before")["outcome"] == "grant"
    with neighbour(mosquitto.port) as camera:
        push(camera, "facegate/cameras/porch/image", picture_of(ALICE, 2), event="old")
        push(camera, "facegate/cameras/porch/event", event(picture_of(ALICE, 3), event="told", captured_at=now(-1)))
        push(camera, "facegate/cameras/porch/event", json.dumps({"event": "url", "image_url": "http://127.0.0.1:9/a"}))
    with serving(household, mosquitto.port) as (_, listener):
        waited = [listener.decision_on(event) for event in ("old", "url")]
        assert {(one["outcome"], one["reason"]) for one in waited} == {("deny", "too_old")}
        assert listener.decision_on("told")["reason"] in {"match", "too_old"}  # judged by its own time
        assert listener.ask("porch", picture_of(ALICE, 4), "after")["outcome"] == "grant"


def test_a_picture_that_came_while_the_process_stood_still_opens_nothing(household, mosquitto):
    import os
    import signal

    with serving(household, mosquitto.port) as (daemon, listener):
        os.kill(daemon.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{daemon.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="the stop")
        try:
            listener.publish("cameras/porch/image", picture_of(ALICE), event="frozen")
            time.sleep(4)
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
        assert listener.decision_on("frozen")["reason"] == "too_old"
        time.sleep(3)
        assert listener.ask("porch", picture_of(ALICE, 2), "awake")["outcome"] == "grant"


def test_the_same_message_twice_is_a_replay_though_it_says_its_time(household, mosquitto):
    with serving(household, mosquitto.port) as (_, listener):
        taken = now()
        for _ in range(2):
            listener.publish("cameras/porch/image", picture_of(ALICE), captured_at=taken)
        assert listener.wait(lambda: len(listener.decisions) == 2)
        assert sorted(one["reason"] for one in listener.decisions) == ["match", "replayed"]


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_database_that_is_gone_under_the_daemon_lets_nobody_in(household, mosquitto, how):
    import shutil

    file = household / "facegate.db"
    with serving(household, mosquitto.port) as (_, listener):
        assert listener.ask("porch", picture_of(ALICE), "before")["outcome"] == "grant"
        if how == "replaced":
            shutil.copy(file, household / "copy.db")
        file.rename(household / "lost.db")
        if how == "replaced":
            (household / "copy.db").rename(file)
        for number in range(2):
            listener.publish("cameras/porch/image", picture_of(ALICE, 2 + number), event=f"after{number}")
            time.sleep(1)
        assert [one["events"] for one in listener.decisions] == [["before"]]


def test_a_backup_is_not_put_back_while_the_daemon_runs(household, mosquitto):
    from facegate.commands.main import run

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGATE_DATA_DIR", str(household))
        assert run(["db", "backup", str(household / "kept.db")]) == 0
        with serving(household, mosquitto.port):
            assert run(["db", "restore", str(household / "kept.db")]) == 3
        assert run(["db", "restore", str(household / "kept.db")]) == 0
