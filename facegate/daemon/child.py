"""A command in a process of its own, under limits: what learns beside the gate must never hold the gate up.

The child is in a process group of its own, gives way to everybody else (`nice`, and where asked SCHED_IDLE and idle
disk priority), may use so much resident memory and so many seconds, and is killed when its time is up, when it is asked
to stop, and when its parent is gone, however that went. What it prints is kept up to a bound.

Resident memory is watched, twice a second and more: a framework maps far more address space than it ever uses, so the
limit of the kernel on address space is only a generous backstop.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from facegate.daemon import limiting
from facegate.errors import NotReadyError

POLL_SECONDS: Final = 0.1
GRACE_SECONDS: Final = 1.0
"""Between the word to end and the end."""
MAX_OUTPUT: Final = 1_000_000
"""Bytes of each of the two streams that are kept: the last ones."""
ADDRESS_SHARE: Final = 16
"""Address space that may be mapped, in shares of the resident memory that may be used."""
MEGABYTE: Final = 1_000_000

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
UNTOLD: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
"""What systemd tells the daemon is not for its children."""


class Killed(StrEnum):
    """Why a child was ended before its own time."""

    NOT = ""
    TIME = "time"
    MEMORY = "memory"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes:
        returncode: Its exit code; negative: the signal that ended it.
        stdout: The last of what it printed, at most `MAX_OUTPUT` bytes.
        stderr: The same of its errors.
        killed: Why it was ended, or empty if it ended by itself.
        seconds: How long it ran.
        megabytes: The most resident memory that was seen, megabytes of 10^6 bytes.
    """

    returncode: int
    stdout: str
    stderr: str
    killed: Killed
    seconds: float
    megabytes: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What `limiting.py` puts itself under."""

    parent: int
    nice: int
    idle: bool
    address_bytes: int


def run_limited(
    arguments: Sequence[str],
    *,
    seconds: float,
    megabytes: float,
    nice: int = 10,
    idle: bool = False,
    threads: int | None = None,
    environ: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Ended:
    """Run a command to its end, or until a limit ends it.

    Args:
        arguments: The command and its arguments.
        seconds: How long it may run.
        megabytes: Resident memory that it and its children may use, megabytes of 10^6 bytes.
        nice: Taken from its priority, 0 to 19.
        idle: Let it run only when nobody else wants the processor, where the system can do so.
        threads: Threads of its numerics; none: all cores but one, which is left to the gate.
        environ: Its environment; none: this process's.
        stop: When this is set the child is ended.
        on_line: Is told each line that it prints on stderr, as it comes.

    Raises:
        NotReadyError: The system gives no process.
    """
    limits = Limits(os.getpid(), nice, idle, int(megabytes * MEGABYTE * ADDRESS_SHARE))
    begun = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - what is run is our caller's own
            [sys.executable, "-I", "-S", str(limiting.__file__), json.dumps(asdict(limits)), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(os.environ if environ is None else environ, threads),
            start_new_session=True,
        )
    except OSError as error:
        raise NotReadyError(f"No process can be started: {error.strerror}", "Free some memory") from error
    watch = _Watch(process, begun + seconds, megabytes, stop or threading.Event(), _Streams(process, on_line))
    try:
        return watch.to_the_end(begun)
    finally:
        _end_group(process)


def cores_to_spare() -> int:
    """Return how many cores a child may use: all but one, which is the gate's."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores - 1)


class _Streams:
    """What a child prints: read as it comes, so that it never waits for us, and kept up to a bound."""

    def __init__(self, process: subprocess.Popen[bytes], on_line: Callable[[str], None] | None) -> None:
        self._kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._line = bytearray()
        self._on_line = on_line
        self._selector = selectors.DefaultSelector()
        self._pipes: list[IO[bytes]] = []
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            if pipe is not None:
                self._selector.register(pipe, selectors.EVENT_READ, name)
                self._pipes.append(pipe)

    def read(self, seconds: float) -> bool:
        """Take what comes within so long; False once both streams have ended."""
        if not self._selector.get_map():
            return False
        for key, _ in self._selector.select(seconds):
            data = os.read(key.fd, 65536)
            if not data:
                self._selector.unregister(key.fileobj)
                continue
            kept = self._kept[key.data]
            kept += data
            del kept[:-MAX_OUTPUT]
            if key.data == "stderr":
                self._tell(data)
        return True

    def text(self, name: str) -> str:
        """Return what was kept of a stream."""
        return self._kept[name].decode("utf-8", "replace")

    def close(self) -> None:
        """Let go of both."""
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()

    def _tell(self, data: bytes) -> None:
        if self._on_line is None:
            return
        self._line += data
        *lines, rest = bytes(self._line).split(b"\n")
        self._line = bytearray(rest[-MAX_OUTPUT:])
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))


@dataclass(slots=True)
class _Watch:
    """Looks after one child until it has ended."""

    process: subprocess.Popen[bytes]
    deadline: float
    megabytes: float
    stop: threading.Event
    streams: _Streams
    most: float = 0.0
    killed: Killed = Killed.NOT
    told_at: float = 0.0

    def to_the_end(self, begun: float) -> Ended:
        """Read what it prints and hold it to its limits until it has ended."""
        try:
            while not _has_ended(self.process):
                if not self.streams.read(POLL_SECONDS):
                    self.stop.wait(POLL_SECONDS)
                self._hold()
            _end_group(self.process)  # what it left behind would hold the streams open
            while self.streams.read(POLL_SECONDS) and time.monotonic() < self.deadline + GRACE_SECONDS:
                pass
        finally:
            self.streams.close()
        return Ended(
            self.process.returncode,
            self.streams.text("stdout"),
            self.streams.text("stderr"),
            self.killed,
            time.monotonic() - begun,
            self.most,
        )

    def _hold(self) -> None:
        """End it if a limit is reached: memory at once, otherwise with a word before."""
        now = time.monotonic()
        self.most = max(self.most, resident_megabytes(self.process.pid))
        if self.killed is not Killed.NOT:
            if now - self.told_at > GRACE_SECONDS:
                _signal_group(self.process, signal.SIGKILL)
            return
        if self.most > self.megabytes:
            self.killed = Killed.MEMORY
            _signal_group(self.process, signal.SIGKILL)
        elif self.stop.is_set() or now > self.deadline:
            self.killed = Killed.STOPPED if self.stop.is_set() else Killed.TIME
            _signal_group(self.process, signal.SIGTERM)
        self.told_at = now


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process and its descendants, megabytes of 10^6 bytes; 0 if it cannot be read."""
    total = 0.0
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        total = pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text("ascii").split():
                total += resident_megabytes(int(child))
    return total


def _environment(given: Mapping[str, str], threads: int | None) -> dict[str, str]:
    """Return the child's environment: as given, its numerics kept to so many threads."""
    count = str(threads or cores_to_spare())
    return {name: value for name, value in given.items() if name not in UNTOLD} | dict.fromkeys(THREAD_VARIABLES, count)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the child and all that it started in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether the child has ended, and leave it to be waited for: until then its number is nobody else's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the child behind."""
    if process.returncode is None:
        _signal_group(process, signal.SIGKILL)
        process.wait()
