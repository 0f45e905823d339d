"""The one place that wires everything: start, the loop that decides what is overdue, signals, stop.

    broker -> subscriber -> intake -> workers -> gate -> decisions -> broker
                  `-> hunting -^              `-> visits that are overdue, orders, status: the loop

Threads: the MQTT network's (hears), the workers (judge), one for each hunted camera (pulls), the scheduler's, and the
main one, which runs the loop and feeds the watchdog.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Final

from facegate.cameras.fetch import Fetcher
from facegate.cameras.sources import Sources
from facegate.core.decision import Decision
from facegate.core.policy import Mode
from facegate.core.ports import Clock
from facegate.daemon import alone, systemd
from facegate.daemon.assembly import detector_of, engine_of
from facegate.daemon.beat import Beat
from facegate.daemon.books import NOT_RECORDED, Books
from facegate.daemon.chores import Chores
from facegate.daemon.entities import Entities
from facegate.daemon.gate import Gate
from facegate.daemon.hunt import Prey
from facegate.daemon.hunting import Hunting
from facegate.daemon.intake import Intake
from facegate.daemon.jobs import schedule
from facegate.daemon.learning import Learning
from facegate.daemon.memory import give_back, keep_heaps_few
from facegate.daemon.modelevents import ModelEvents
from facegate.daemon.openvisits import Ended
from facegate.daemon.orders import Orders, Powers
from facegate.daemon.publishing import DecisionPublisher, Status, StatusPublisher
from facegate.daemon.remembering import aftermath_of
from facegate.daemon.shadow import Shadow
from facegate.daemon.subscriber import Subscriber
from facegate.daemon.workers import Workers
from facegate.errors import FacegateError, NotReadyError
from facegate.mqtt.broker import EmbeddedBroker
from facegate.mqtt.client import MqttClient
from facegate.mqtt.message import Message
from facegate.mqtt.topics import Topics
from facegate.settings import CameraSection, MqttSection, Settings
from facegate.storage.opening import open_storage
from facegate.verifier.card import Card
from facegate.verifier.finetuning.shelf import tidy_unless_busy
from facegate.verifier.library import library_of
from facegate.verifier.succession import roll_back
from facegate.vision.detect import use_one_thread_in_opencv

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.1
STATUS_SECONDS: Final = 1.0
REFRESH_SECONDS: Final = 0.5
TRIM_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 2.0
SWITCH_SECONDS: Final = 0.0005
"""Python hands its lock on after so long. With its usual 5 ms a flood of messages starves the workers, which need the
lock some fifty times for a frame."""

STUCK_SECONDS: Final = 20.0
"""A worker that has one frame in hand for so long is stuck, and the watchdog is not fed any more."""


class Service:
    """facegate, running.

    Args:
        settings: Everything that the operator set.
        clock: Tells the time.
        entropy: Returns so many random bytes.
    """

    _gate: Gate
    _workers: Workers

    def __init__(self, settings: Settings, clock: Clock, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self.settings = settings
        self.topics = Topics.of(settings)
        self._clock = clock
        self._entropy = entropy
        self._stop = threading.Event()
        self._greet = threading.Event()
        self._open = ExitStack()
        self._since = clock.now()

    def start(self) -> None:
        """Open, load, check, connect, and hear.

        Raises:
            NotReadyError: Schema, model, key or port is not as it must be; nothing was heard yet.
        """
        keep_heaps_few()
        sys.setswitchinterval(SWITCH_SECONDS)
        use_one_thread_in_opencv()
        self._wire_core()
        self._open.callback(self._intake.abandon, "stopped")  # what still came in while the channel closed
        self._channel.start()
        self._open.callback(self._channel.stop)
        self._aftermath.start()
        self._open.callback(self._aftermath.stop)
        self._workers.start()
        self._open.callback(self._workers.stop, 0.0)
        chores = Chores(
            settings=self.settings,
            storage=self._storage,
            engine=lambda: self._gate.engine,
            books=self._books,
            shadow=self._shadow,
            learning=self._learning,
            clock=self._clock,
            send=lambda text: self._channel.publish(self.topics.audit_checkpoint, text),
        )
        scheduler = schedule(chores.jobs())
        scheduler.start()
        self._open.callback(scheduler.shutdown, wait=False)
        log.info("ready", extra={"model": self._gate.engine.model, "doors": len(self._gate.engine.roster.doors)})
        give_back()
        systemd.tell(systemd.READY)

    def run(self) -> None:
        """Start, serve until a signal comes, then drain and stop.

        Raises:
            NotReadyError: It could not start.
        """
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self._stop.set())
        with self._open:
            self.start()
            try:
                self.serve()
            finally:
                self.stop()

    def serve(self) -> None:
        """Run the loop that decides what is overdue, until somebody calls `ask_to_stop`."""
        now = self._clock.now()
        status, refresh, trim = (Beat(each, now) for each in (STATUS_SECONDS, REFRESH_SECONDS, TRIM_SECONDS))
        while not self._stop.wait(TICK_SECONDS):
            now = self._clock.now()
            self._guarded(self._settle_overdue)
            self._guarded(self._orders.carry_out)
            if refresh.is_due(now):
                self._guarded(self._refresh)
            if self._greet.is_set():
                self._guarded(self._greet_broker)
            if trim.is_due(now):
                give_back()  # what a flood of pictures took
            if status.is_due(now):
                self._guarded(self._tell_status)
                self._guarded(self._model_events.tell_again)
                if self._workers.alive() and self._workers.longest_seconds() < STUCK_SECONDS:
                    systemd.tell(systemd.ALIVE)

    def ask_to_stop(self) -> None:
        """End `serve`."""
        self._stop.set()

    def stop(self) -> None:
        """Drain and stop: what is in hand is decided, what still waits is counted, and all is said and closed."""
        systemd.tell(systemd.STOPPING)
        log.info("stopping")
        self._learning.stop()
        self._hunting.close()
        self._workers.drain(DRAIN_SECONDS)
        self._guarded(lambda: self._conclude(self._gate.closing()))
        self._intake.abandon("stopped")
        self._learning.wait()
        self._guarded(self._tell_status)
        self._guarded(self._status.offline)
        self._open.close()
        log.info("stopped")

    def _wire_core(self) -> None:
        """Open what remembers and load what compares: everything up to the network."""
        settings = self.settings
        self._storage = open_storage(settings)
        self._open.enter_context(alone.lock(settings.data_dir))
        self._open.callback(self._storage.close)
        self._storage.vault.reload()  # keys that cannot be used are told now, not at the first visitor
        self._storage.signer.kid  # noqa: B018 - as above; it is made if there is none
        if interrupted := self._storage.events.recover():
            log.warning("events of a former run were interrupted", extra={"events": interrupted})
        self._books = Books(self._storage.events)
        self._detector = detector_of(settings)
        self._fetcher = Fetcher(settings, self._clock)
        self._sources = Sources(settings, self._clock)
        self._library = library_of(settings, self._storage.champions)
        tidy_unless_busy(self._storage, self._library, settings.data_dir, self._clock.now())
        self._headless = False
        self._leading = self._library.card_in_charge()  # before it is loaded: what changes meanwhile is taken up later
        engine = engine_of(settings, self._storage.gallery, self._detector, self._clock, self._library)
        self._storage.gallery.coverage(engine.model).require(engine.model)
        self._channel = MqttClient(
            self._broker(), self.topics, self._hear, self._greet.set, newest=bool(settings.mqtt.host)
        )
        self._status = StatusPublisher(self._channel, self.topics)
        self._model_events = ModelEvents(self._tell_models, self._storage.runs)
        self._learning = Learning(settings.finetune, self._model_events.tell)
        self._entities = Entities(self._channel, self.topics, settings, self._entropy(4).hex())
        self._shadow = Shadow(
            settings=settings,
            storage=self._storage,
            library=self._library,
            detector=self._detector,
            clock=self._clock,
            required=lambda *at, lone: self._gate.required(*at, lone=lone),
        )
        self._aftermath = aftermath_of(settings, self._storage, self._clock, self._shadow, lambda: self._workers.busy)
        self._gate = Gate(
            engine=engine,
            settings=settings.gate,
            decisions=self._storage.decisions,
            signer=self._storage.signer,
            publisher=DecisionPublisher(self._channel, self.topics, self._clock),
            clock=self._clock,
            entropy=self._entropy,
            witness=self._aftermath,
        )
        self._wire_intake()

    def _wire_intake(self) -> None:
        """Tie what comes in to the gate."""
        settings, gate = self.settings, self._gate
        self._intake = Intake(
            books=self._books,
            door_of=gate.door_of,
            wants_more=gate.wants_more,
            holds=gate.open_visits.holds,
            max_age_seconds=settings.gate.max_age_seconds,
            places=settings.gate.queue,
            clock=self._clock,
        )
        self._hunting = Hunting(
            gate=gate,
            intake=self._intake,
            prey_of=self._prey_of,
            decided=self._decided,
            hunt_seconds=settings.gate.hunt_seconds,
            clock=self._clock,
        )
        self._workers = Workers(
            number=settings.verifier.workers,
            gate=gate,
            intake=self._intake,
            fetch=self._fetcher.fetch,
            decided=self._decided,
            max_age_seconds=settings.gate.max_age_seconds,
            clock=self._clock,
        )
        self._orders = Orders(
            Powers(
                set_mode=self._set_mode,
                rollback=self._rollback,
                finetune=lambda: self._learning.begin("order"),
                tell_models=self._model_events.tell,
                announce=self._announce,
            )
        )
        self._subscriber = Subscriber(
            topics=self.topics,
            intake=self._intake,
            hunting=self._hunting,
            orders=self._orders,
            seen=self._seen,
            frigate_cameras=settings.frigate.cameras,
            clock=self._clock,
            entropy=self._entropy,
        )

    def _broker(self) -> MqttSection:
        """Return how the broker is reached, having started the embedded one if there is no other."""
        if self.settings.mqtt.host:
            return self.settings.mqtt
        broker = EmbeddedBroker(self.settings.mqtt.port)
        broker.start()
        self._open.callback(broker.stop)
        return self.settings.mqtt.model_copy(update={"host": broker.host, "port": broker.port})

    def _hear(self, message: Message) -> None:
        self._subscriber.hear(message)

    def _prey_of(self, camera: str) -> Prey | None:
        """Return how a camera is pulled."""
        source = self._sources.source_for(camera)
        if source is None:
            return None
        section = self.settings.cameras.get(camera, CameraSection())
        return Prey(source, section.frames_per_second)

    def _seen(self, digest: str) -> bool:
        """Tell whether a picture came before, as far back as events are remembered."""
        since = self._clock.now() - timedelta(days=self.settings.retention.events_days)
        return self._storage.events.seen(digest, since)

    def _settle_overdue(self) -> None:
        """Decide the visits whose time is up, and answer hunts that could not begin."""
        self._conclude(self._gate.overdue())
        self._hunting.settle_failures()

    def _conclude(self, ended: Sequence[Ended]) -> None:
        for visit in ended:
            events = visit.verdict.events
            try:
                decision = self._gate.conclude(visit, self._hunting.failure(visit.verdict.cameras))
            except Exception:
                log.exception("a visit could not be decided", extra={"door": visit.door})
                self._books.count(events, NOT_RECORDED)
                decision = None
            else:
                if decision is None:
                    self._books.count(events, "unknown_camera")
            self._intake.settled(events)
            if decision is not None:
                self._decided(decision)

    def _decided(self, decision: Decision) -> None:
        """Note that a decision went out: its events are answered."""
        self._intake.settled(decision.events)

    def _refresh(self) -> None:
        """Take up what other processes changed: enrollments, doors, the model in charge, what its scores mean."""
        changed = self._gate.engine.gallery.refresh()
        self._gate.confirm_roster()  # this network serves while another is loaded, which may take seconds
        if (leading := self._card_in_charge()) != self._leading:
            self._gate.engine = engine_of(
                self.settings, self._storage.gallery, self._detector, self._clock, self._library
            )
            self._leading, self._headless = leading, False
            log.info("another network or calibration is in charge", extra={"model": self._gate.engine.model})
            self._gate.confirm_roster()
            changed = True
        if changed:
            self._entities.follow(self._gate.engine.roster)

    def _card_in_charge(self) -> Card:
        """Return the card of the model in charge; where it cannot be read, the network that serves goes on."""
        try:
            return self._library.card_in_charge()
        except NotReadyError as error:
            log.log(
                logging.DEBUG if self._headless else logging.WARNING, "no other network is taken up: %s", error.what
            )
            self._headless = True
            return self._leading

    def _greet_broker(self) -> None:
        """Say everything that is retained: the broker may be new, or have the last will lying there."""
        self._greet.clear()
        self._tell_status(again=True)
        self._announce()

    def _tell_status(self, *, again: bool = False) -> None:
        roster = self._gate.engine.roster
        self._status.publish(
            Status(
                since=self._since,
                model=self._gate.engine.model,
                doors=len(roster.doors),
                users=len(roster.users),
                queue=self._intake.waiting,
                events=self._books.tally(),
            ),
            again=again,
        )

    def _announce(self) -> None:
        self._entities.announce(self._gate.engine.roster)

    def _set_mode(self, door: str, mode: Mode) -> None:
        self._storage.doors.set_mode(door, mode)
        self._gate.engine.gallery.refresh()

    def _rollback(self) -> str:
        roll_back(self._storage, self._library, threads=self.settings.verifier.threads)
        self._refresh()
        return self._gate.engine.model

    def _tell_models(self, text: str) -> bool:
        return self._channel.publish(self.topics.models_event, text)

    @staticmethod
    def _guarded(step: Callable[[], None]) -> None:
        """Do one thing of the loop; the loop goes on whatever happens to it."""
        try:
            step()
        except FacegateError as error:
            log.warning("a step of the loop failed", extra={"step": step.__name__, "why": error.what})
        except Exception:
            log.exception("a step of the loop failed", extra={"step": step.__name__})
