"""`facegate bench gate`: what the whole must keep, measured on the real daemon over real MQTT on this machine.

The household is synthetic: the composites, and so many unit vectors drawn at random as further users, who cost as much
to compare as anybody. Frames are drawn scenes of 1280x720 with one person.
"""

import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from facegate.core.comparison import References, best_match
from facegate.core.policy import EVERYONE, Door, Permission
from facegate.core.ports import Clock
from facegate.daemon.harness import DaemonProcess, Harness, free_port, missing
from facegate.settings import Settings
from facegate.storage.opening import Storage, open_storage
from facegate.storage.packing import Crop
from facegate.storage.photos import Enrollee, NewPhoto
from facegate.verifier.enrollment import Enrollment
from facegate.verifier.library import Model, library_of
from facegate.vision.composites import people
from facegate.vision.programme import place_of
from facegate.vision.scenes import Guest, Scene, encode, render

CAMERAS: Final = 4
ANSWER_SECONDS: Final = 10.0
LEARNING_SECONDS: Final = 600.0
PUPILS_PHOTOS: Final = 3
MANY_REFERENCES: Final = 100_000
MOSQUITTO: Final = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure beside the bar that it must keep."""

    name: str
    value: float
    unit: str
    bar: float | None
    detail: str
    at_least: bool = False

    @property
    def kept(self) -> bool | None:
        """Whether the bar is kept; None where there is none."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "figure": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "bar": self.bar,
            "kept": self.kept,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load: events sent, named in decisions, counted, lost; and how old judged frames were."""

    sent: int
    decided: int
    counted: dict[str, int]
    seconds: float
    unaccounted: int
    waits: list[float] = field(default_factory=list)


def measure(folder: Path, *, users: int, seconds: float, frames: int, clock: Clock) -> Iterator[Figure]:
    """Measure everything, a figure at a time.

    Args:
        folder: An empty folder.
        users: People in the gallery.
        seconds: How long each load lasts.
        frames: Frames of the latency run.
        clock: Tells the time.
    """
    settings = Settings(data_dir=folder)
    open_household(settings, users, clock)
    pictures = drawn_pictures(12)
    yield from on_one_core(folder, pictures, frames, users)
    yield from on_all_cores(folder, pictures, seconds)
    yield while_learning(folder / "learning", pictures, frames)
    yield many_references(library_of(settings).load().card.dimension)


def on_one_core(folder: Path, pictures: Sequence[bytes], frames: int, users: int) -> Iterator[Figure]:
    """Start, latency and memory of a daemon that has one core."""
    with serving(folder, cores=1) as (daemon, harness, started):
        yield Figure(
            "start to ready", started, "s", 3.0, f"process start to `online` on P/status, one core; {broker_name()}"
        )
        rows = [timed(harness, pictures[at % len(pictures)], f"latency-{at}") for at in range(frames)]
        walls = [wall for wall, _ in rows]
        yield Figure(
            "frame in to decision out, median",
            statistics.median(walls) * 1000,
            "ms",
            60.0,
            f"{frames} frames of 1280x720, one person, {users} users, one core; "
            f"p95 {percentile(walls, 95) * 1000:.0f} ms; granted {sum(row['outcome'] == 'grant' for _, row in rows)}",
        )
        for stage in ("detect", "extract", "compare"):
            spent = [row["milliseconds"][stage] for _, row in rows]
            yield Figure(
                f"  {stage}, median", statistics.median(spent), "ms", None, f"p95 {percentile(spent, 95):.1f} ms"
            )
        yield Figure("resident memory", resident_megabytes(daemon.pid), "MB", 300.0, f"after {frames} frames")
        loaded = float("libtorch" in Path(f"/proc/{daemon.pid}/maps").read_text("utf-8"))
        yield Figure("torch in the daemon", loaded, "", 0.0, "0: never loaded")


def on_all_cores(folder: Path, pictures: Sequence[bytes], seconds: float) -> Iterator[Figure]:
    """What is sustained with every core, and what happens at ten times of it."""
    cores = len(os.sched_getaffinity(0))
    rate = 10.0 * cores
    with serving(folder, cores=cores) as (daemon, harness, _):
        sustained = loaded(harness, pictures, rate, seconds, "sustained")
        yield Figure(
            "frames a second, sustained",
            sustained.decided / sustained.seconds,
            "/s",
            rate * 0.98,
            f"{sustained.sent} sent at {rate:g} a second over {CAMERAS} cameras on {cores} cores; "
            f"counted {sustained.counted or 'none'}; a frame waited {percentile(sustained.waits, 95):.0f} ms (p95)",
            at_least=True,
        )
        flood = loaded(harness, pictures, 10 * rate, seconds / 2, "flood")
        yield Figure(
            "ten times the load: events unaccounted for",
            float(flood.unaccounted),
            "",
            0.0,
            f"{flood.sent} sent in {flood.seconds:.1f} s: {flood.decided} decided, counted {flood.counted}; "
            f"a judged frame waited {percentile(flood.waits, 95):.0f} ms (p95)",
        )
        yield Figure("resident memory after the flood", resident_megabytes(daemon.pid), "MB", 300.0, "")


def while_learning(folder: Path, pictures: Sequence[bytes], frames: int) -> Figure:
    """Latency while a fine-tune runs beside the gate, against the idle gate before and after it."""
    folder.mkdir()
    open_pupils(Settings(data_dir=folder))
    idle: list[float] = []
    busy: list[float] = []
    with serving(folder, cores=len(os.sched_getaffinity(0))) as (_, harness, _):
        numbers = count()

        def measured() -> float:
            number = next(numbers)
            return timed(harness, pictures[number % len(pictures)], f"beside-{number}")[0]

        idle += [measured() for _ in range(frames // 2)]
        harness.send_raw("models/command", b"finetune")
        begun = time.monotonic()
        while (verdict := harness.verdict(0.0)) is None and time.monotonic() - begun < LEARNING_SECONDS:
            busy.append(measured())
        spent = time.monotonic() - begun
        idle += [measured() for _ in range(frames - frames // 2)]
    told = "no verdict" if verdict is None else f"{verdict['verdict']}: {verdict['reason']}"
    ran = verdict is not None and "run" in verdict
    return Figure(
        "decision while a fine-tune runs, median to idle median",
        statistics.median(busy) / statistics.median(idle) if busy and ran else float("inf"),
        "x",
        1.5,
        f"{summary(busy)} in {spent:.1f} s of learning; idle, before and after: {summary(idle)}; the run: {told}",
    )


def summary(seconds: Sequence[float]) -> str:
    """Say how many frames were measured, and their median and 95th percentile."""
    median, late = percentile(seconds, 50) * 1000, percentile(seconds, 95) * 1000
    return f"{len(seconds)} frames, median {median:.0f} ms, p95 {late:.0f} ms"


def open_pupils(settings: Settings) -> None:
    """Make the doors, and enroll the composites from three pictures each, so that there is something to learn from."""
    storage = open_storage(settings, upgrade_empty=True)
    try:
        add_doors(storage)
        enrollment = Enrollment.of(settings, storage)
        for person in (person for person in people() if not person.stranger):
            enrollment.enroll(person.slug, person.name, [person.picture_path(at) for at in range(PUPILS_PHOTOS)])
    finally:
        storage.close()


def many_references(dimension: int) -> Figure:
    """Compare a probe with 100,000 references, templates of so many values."""
    rng = np.random.default_rng(7)
    templates = units(rng, MANY_REFERENCES, dimension)
    owners = np.arange(MANY_REFERENCES) % (MANY_REFERENCES // 2)
    references = References("bench@000000000000", templates, owners, tuple(str(n) for n in range(MANY_REFERENCES // 2)))
    probes = units(rng, 30, dimension)
    spent = []
    for probe in probes:
        begun = time.perf_counter()
        best_match(probe, references)
        spent.append(time.perf_counter() - begun)
    return Figure(
        "comparison against 100,000 references, median",
        statistics.median(spent) * 1000,
        "ms",
        10.0,
        f"30 probes of {dimension} numbers, {MANY_REFERENCES // 2:,} users; p95 {percentile(spent, 95) * 1000:.1f} ms",
    )


def open_household(settings: Settings, users: int, clock: Clock) -> None:
    """Make the doors, enroll the composites, and fill the gallery up with drawn users."""
    storage = open_storage(settings, upgrade_empty=True)
    try:
        add_doors(storage)
        enrollment = Enrollment.of(settings, storage)
        known = [person for person in people() if not person.stranger]
        for person in known:
            enrollment.enroll(person.slug, person.name, [person.picture_path(0)])
        fill_up(storage, library_of(settings).load(), users - len(known), clock)
    finally:
        storage.close()


def add_doors(storage: Storage) -> None:
    """Make a door for each camera."""
    for at in range(CAMERAS):
        storage.doors.add(Door(f"door{at}", f"Door {at}", (f"camera{at}",), permissions=(Permission(EVERYONE),)))


def fill_up(storage: Storage, model: Model, users: int, clock: Clock) -> None:
    """Enroll drawn users, one reference each."""
    crop = Crop(np.zeros((5, 2), np.float32), cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    for at, template in enumerate(units(np.random.default_rng(3), max(0, users), model.card.dimension)):
        photo = NewPhoto(f"{at:064x}", crop, template, {})
        storage.photos.enroll(Enrollee(f"drawn{at:06d}"), [photo], model=model.id, now=clock.now())


def drawn_pictures(count: int) -> list[bytes]:
    """Draw frames of 1280x720, each with one person who is enrolled."""
    rng = np.random.default_rng(5)
    known = [person for person in people() if not person.stranger]
    scenes = [
        Scene(guests=(Guest(known[at % len(known)], 1 + at % 5, place_of(rng, float(rng.uniform(110, 200)))),))
        for at in range(count)
    ]
    return [encode(render(scene, rng)) for scene in scenes]


@contextmanager
def serving(folder: Path, *, cores: int) -> Iterator[tuple[DaemonProcess, Harness, float]]:
    """Run a daemon on so many cores, and yield it with a harness and the seconds that it took to come online."""
    before = os.sched_getaffinity(0)
    with mosquitto(folder) as port:
        reached = {"FACEGATE_MQTT__HOST": "127.0.0.1", "FACEGATE_MQTT__PORT": str(port)} if port else {}
        daemon = DaemonProcess(folder, reached)
        with Harness(daemon.port) as harness:
            begun = time.monotonic()
            os.sched_setaffinity(0, set(sorted(before)[:cores]))  # inherited by the daemon
            try:
                daemon.start()
            finally:
                os.sched_setaffinity(0, before)
            try:
                harness.wait_until_online(daemon)
                yield daemon, harness, time.monotonic() - begun
            finally:
                daemon.stop()


def broker_name() -> str:
    """Say which broker the figures are measured with."""
    return "mosquitto" if MOSQUITTO else "the embedded broker (install mosquitto for figures that count)"


@contextmanager
def mosquitto(folder: Path) -> Iterator[int | None]:
    """Run a mosquitto on loopback, if there is one, and yield its port; None: the embedded broker has to do."""
    if MOSQUITTO is None:
        yield None
        return
    port, config = free_port(), folder / "mosquitto.conf"
    kept = "max_queued_messages 0"  # what does not come in is then facegate's doing, not the broker's
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n{kept}\n", "utf-8")
    broker = subprocess.Popen(  # noqa: S603 - found on the path, with a configuration of our own
        [MOSQUITTO, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        broker.terminate()
        broker.wait(5)


def timed(harness: Harness, picture: bytes, name: str) -> tuple[float, dict[str, Any]]:
    """Send one frame and wait for its decision: seconds, and the decision."""
    sent = harness.send("camera0", name, picture)
    decision = harness.decision_on(name, ANSWER_SECONDS)
    if decision is None:
        return ANSWER_SECONDS, {"outcome": "none", "milliseconds": dict.fromkeys(("detect", "extract", "compare"), 0.0)}
    return harness.arrived_at(name) - sent, decision


def loaded(harness: Harness, pictures: Sequence[bytes], rate: float, seconds: float, name: str) -> Load:
    """Send frames at a rate over all cameras, and wait until every event is accounted for.

    One that comes in twice, since the broker sent it again after a connection was lost, is accounted for twice.
    """
    before = harness.status["events"]
    total = round(rate * seconds)
    begun = time.monotonic()
    pause = threading.Event()
    for at in range(total):
        pause.wait(max(0.0, begun + at / rate - time.monotonic()))
        harness.send(f"camera{at % CAMERAS}", f"{name}-{at}", pictures[at % len(pictures)])
    spent = time.monotonic() - begun
    harness.wait_for_status(lambda status: not missing(status, before["in"] + total), ANSWER_SECONDS + spent)
    unaccounted, after = missing(harness.status, before["in"] + total), harness.status.get("events") or before
    counted = {
        reason: count - before["counted"].get(reason, 0)
        for reason, count in after["counted"].items()
        if count != before["counted"].get(reason, 0)
    }
    answers = (harness.decision_on(f"{name}-{at}", 0.0) for at in range(total))
    waits = [answer["milliseconds"]["wait"] for answer in answers if answer]
    return Load(total, after["decided"] - before["decided"], counted, spent, unaccounted, waits)


def units(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Draw unit vectors, float32, shape (count, dimension)."""
    drawn = rng.standard_normal((count, dimension), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, 0 where nothing was measured."""
    return float(np.percentile(values, percent)) if values else 0.0


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process, megabytes of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def machine() -> str:
    """Say what machine this is: processor, cores, memory."""
    model = next(
        (line.partition(":")[2].strip() for line in cpu_lines() if line.startswith("model name")), "unknown processor"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, load {os.getloadavg()[0]:.1f}"


def cpu_lines() -> list[str]:
    """Return what the kernel says of the processor."""
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
