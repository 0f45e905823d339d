"""Everything that a run needs, checked one by one: what `facegate doctor` prints. A check never changes anything."""

import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import httpx

from facegate.core.arming import measured
from facegate.core.policy import Door, Mode
from facegate.core.ports import Clock
from facegate.daemon.assembly import detector_of, judge_model
from facegate.errors import FacegateError
from facegate.mqtt.broker import LOOPBACK
from facegate.mqtt.client import MqttClient
from facegate.mqtt.topics import Topics
from facegate.settings import Settings
from facegate.storage.doors import check
from facegate.storage.opening import ChampionsAtRest, Storage, open_storage
from facegate.verifier.library import Model, library_of
from facegate.verifier.strangers import strangers_of
from facegate.verifier.thresholds import Told, of_door

BUILT: Final = datetime(2026, 11, 1, tzinfo=UTC)
"""No clock that shows a day before this one is right."""

MORE_PEOPLE: Final = "Calibrate on more people (facegate calibrate DIR), or raise gate.target_fmr or its --target-fmr"
VERSION: Final = re.compile(r"[0-9A-Za-z.+_-]{1,40}")
FREE_BYTES: Final = 200_000_000
BROKER_SECONDS: Final = 5.0


class Health(StrEnum):
    """How a check came out."""

    WELL = "ok"
    NOTE = "note"
    ILL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was checked, how it is, and how to mend it."""

    what: str
    health: Health
    detail: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the JSON form."""
        return {"check": self.what, "health": str(self.health), "detail": self.detail, "mend": self.mend}


def well(what: str, detail: str) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding(what, Health.WELL, detail)


def note(what: str, detail: str, mend: str) -> Finding:
    """Return a finding that an operator may want to know."""
    return Finding(what, Health.NOTE, detail, mend)


def ill(what: str, error: FacegateError) -> Finding:
    """Return a finding that keeps facegate from its work."""
    return Finding(what, Health.ILL, error.what, error.mend)


def check_up(settings: Settings, clock: Clock, *, quick: bool = False) -> Iterator[Finding]:
    """Check everything, a finding at a time.

    Args:
        settings: What is in force.
        clock: Tells the time.
        quick: Leave out the self-test of the network and Frigate: for a container's health check.
    """
    yield check_clock(clock)
    yield check_folder(settings.data_dir)
    yield from check_storage(settings)
    yield from check_models(settings, quick=quick)
    yield from check_broker(settings)
    if settings.frigate.url and not quick:
        yield check_frigate(settings)


def check_clock(clock: Clock) -> Finding:
    """Frames are judged by their own time, so the machine's must be right."""
    now = clock.now()
    if now < BUILT:
        return Finding("clock", Health.ILL, f"it is {now:%Y-%m-%d %H:%M} UTC here", "Set the clock; run an NTP client")
    return well("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC; frames older than the limit are denied by it")


def check_folder(folder: Path) -> Finding:
    """The data folder must be writable and must have room."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(place, os.W_OK):
        return Finding("data folder", Health.ILL, f"{place} is not writable", "Mend its rights, or set data_dir")
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES:
        return Finding("data folder", Health.ILL, f"{free / 1e6:.0f} MB are free on {folder}", "Free some space")
    return well("data folder", f"{folder}, {free / 1e9:.1f} GB free")


def check_storage(settings: Settings) -> Iterator[Finding]:
    """Database, schema, keys, people and doors."""
    try:
        with open_storage(settings) as storage:
            yield well("database", f"{storage.describe()}, schema {storage.schema}")
            keys = list(check_keys(settings, storage))
            yield from keys
            if all(key.health is not Health.ILL for key in keys):
                yield from check_household(settings, storage)
    except FacegateError as error:
        yield ill("database", error)


def check_keys(settings: Settings, storage: Storage) -> Iterator[Finding]:
    """Both key files must be readable by their owner alone; one that is not there yet is made when it is needed."""
    vault, signing = settings.vault_key, settings.signing_key
    later = "not made yet: facegate makes it when it first needs it"

    def vault_key() -> str:
        storage.vault.reload()
        return str(vault) if vault.exists() else later

    yield tried("vault key", vault_key)
    if not signing.exists() and storage.decisions.last_position():
        mend = f"Put {signing} back; without it another is made, and locks have to be given its public half: keys show"
        yield note("signing key", "it is gone, and decisions were signed with it", mend)
    else:
        yield tried("signing key", lambda: f"kid {storage.signer.kid}" if signing.exists() else later)


def check_household(settings: Settings, storage: Storage) -> Iterator[Finding]:
    """A gate without doors or people decides nothing; one with too many people for its target is not armed."""
    try:
        model = library_of(settings).load()
    except FacegateError:
        return  # the check of the models says so
    roster = storage.gallery.roster(model.id)
    enrolled = len(roster.references.users)
    if not roster.doors:
        yield note("doors", "none: every event is counted as unknown_camera", "facegate doors add front --camera porch")
    try:
        arming = measured(roster.references, model.at_doors, strangers_of(settings, model))
    except FacegateError as error:
        yield Finding("doors", Health.ILL, error.what, error.mend)
        return
    for door in roster.doors.values():
        try:
            check(door)  # its row may have been edited by hand, or come from a machine that knows more time zones
        except FacegateError as error:
            yield Finding("doors", Health.ILL, f"{door.slug}: {error.what}", error.mend)
            continue
        told = of_door(door, settings.gate, model.at_doors, arming)
        yield armed(door, told, model, enrolled=len(roster.references), wished=settings.gate.frames_per_visit)
    try:
        storage.gallery.coverage(model.id).require(model.id)
    except FacegateError as error:
        yield ill("users", error)
        return
    if not enrolled:
        yield note("users", "nobody is enrolled", "facegate enroll USER PHOTO")
    else:
        yield well("users", f"{enrolled} enrolled with {len(roster.references)} references")
    usual = of_door(None, settings.gate, model.at_doors, arming).alone
    if usual is not None and (raised := arming.raised(usual, settings.gate.margin)):
        yield note(
            "users", f"too alike for one threshold: {', '.join(sorted(raised))}", "facegate calibrate tells more"
        )


def armed(door: Door, told: Told, model: Model, *, enrolled: int, wished: int) -> Finding:
    """Tell whether a door can be passed, and whether its visits have as many frames as is wished."""
    chance = f"one stranger in {1 / told.target:,.0f}"
    if door.mode is not Mode.ARMED:
        return note("doors", f"{door.slug} is {door.mode}", f"facegate doors set {door.slug} --mode armed")
    if not model.calibration.measured:
        what = f"{door.slug} is not armed: {model.id} is not calibrated"
        return Finding("doors", Health.ILL, what, f"facegate calibrate DIR --model {model.card.name}")
    if told.alone is None:
        what = f"{door.slug} is not armed: the calibration does not support {chance} against {enrolled} references"
        return Finding("doors", Health.ILL, what, MORE_PEOPLE)
    if told.frames < wished:
        what = f"{door.slug}: a visit ends after {told.frames} frames, not {wished}"
        why = f"more would be too many tries against {enrolled} references"
        return note("doors", f"{what}: {why}", "Raise the door's --agreeing-frames or --target-fmr")
    return well("doors", f"{door.slug}: {', '.join(door.cameras)}; {chance} visits at most")


def check_models(settings: Settings, *, quick: bool) -> Iterator[Finding]:
    """Detector and network must load, and must judge the shipped pairs rightly."""
    try:
        detector = detector_of(settings)
        yield well("detector", str(settings.vision.detector or "the shipped one"))
        model = leading_model(settings)
        if not quick:
            judge_model(detector, model, model.extractor(settings.verifier.threads))
        yield well("model", f"{model.id}{'' if quick else ', judges the shipped pairs rightly'}")
    except FacegateError as error:
        yield ill("model", error)


def leading_model(settings: Settings) -> Model:
    """Load the model in charge; the default where the database does not say who that is, which it tells by itself.

    Raises:
        NotReadyError: There is no model, or its files were changed.
    """
    library = library_of(settings)
    try:
        ChampionsAtRest(settings.database_url).leading()
    except FacegateError:
        return library.load(library.default().name)
    return library.load()


def check_broker(settings: Settings) -> Iterator[Finding]:
    """The broker must let facegate in; the embedded one is for a first try."""
    if not settings.mqtt.host:
        yield check_embedded(settings.mqtt.port)
        return
    section = settings.mqtt.model_copy(update={"client_id": f"{settings.mqtt.client_id[:50]}-doctor"})
    client = MqttClient(section, Topics(prefix=f"{settings.mqtt.prefix}/doctor"), lambda _: None, lambda: None)
    try:
        client.start()
        if client.wait_connected(BROKER_SECONDS):
            yield well("broker", f"{section.host}:{section.port} speaks MQTT {client.protocol}")
        else:
            yield Finding(
                "broker",
                Health.ILL,
                f"{section.host}:{section.port}: {client.problem}",
                "Start it, or mend mqtt.host, mqtt.port, mqtt.tls and the login",
            )
    except FacegateError as error:
        yield ill("broker", error)
    finally:
        client.stop()


def check_embedded(port: int) -> Finding:
    """The embedded broker is for a first try; whoever listens on its port may be facegate itself."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return note(
            "broker",
            f"the embedded one on {LOOPBACK}:{port}: MQTT 3.1.1 only, nothing outside this machine reaches it",
            "With Home Assistant use mosquitto: set mqtt.host",
        )
    return note(
        "broker",
        f"something listens on {LOOPBACK}:{port}, where the embedded one belongs: facegate itself, if it runs",
        f"If it is another broker, use it: set mqtt.host to {LOOPBACK}; or set another mqtt.port",
    )


def check_frigate(settings: Settings) -> Finding:
    """Frigate must answer; its version decides how its traps are avoided."""
    try:
        with httpx.Client(timeout=5.0, follow_redirects=False, trust_env=False) as client:
            answer = client.get(f"{settings.frigate.url.rstrip('/')}/api/version")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Finding("frigate", Health.ILL, f"it does not answer: {type(error).__name__}", "Mend frigate.url")
    if answer.status_code in (401, 403):
        return note("frigate", "it asks for a login", "Set frigate.username and frigate.password_file")
    if answer.status_code != httpx.codes.OK:
        return Finding("frigate", Health.ILL, f"it answers {answer.status_code}", "Mend frigate.url")
    version = answer.text.strip()
    if not VERSION.fullmatch(version):
        return Finding("frigate", Health.ILL, "what answers there is no Frigate", "Mend frigate.url")
    return well("frigate", f"version {version}")


def tried(what: str, read: Callable[[], Any]) -> Finding:
    """Return what could be read, or why not."""
    try:
        return well(what, str(read()))
    except FacegateError as error:
        return ill(what, error)
