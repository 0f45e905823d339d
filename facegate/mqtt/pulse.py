"""Notices that the process stood still: stopped, paused with its container, or asleep with its machine.

What the network brought meanwhile lies in the kernel's buffers, and looks as if it came just now.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

BEAT_SECONDS: Final = 0.25
STILL_SECONDS: Final = 2.0
"""A beat that is late by more was no busy processor. For as long after it whatever comes may have waited."""


def seconds_since_boot() -> float:
    """Return seconds since the machine's start, with those that it slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Pulse:
    """Beats in a thread of its own. Safe to ask from any thread."""

    def __init__(self, clock: Callable[[], float] = seconds_since_boot) -> None:
        self._clock = clock
        self._last = clock()
        self._woke = -STILL_SECONDS

    def start(self, stopping: threading.Event) -> None:
        """Beat until `stopping` is set."""
        self.beat()

        def run() -> None:
            while not stopping.wait(BEAT_SECONDS):
                self.beat()

        threading.Thread(target=run, name="pulse", daemon=True).start()

    def beat(self) -> None:
        """Note that the process runs."""
        now = self._clock()
        if now - self._last > STILL_SECONDS:
            self._woke = now
        self._last = now

    @property
    def stood_still(self) -> bool:
        """Whether the process stood still until just now."""
        now = self._clock()
        return now - self._last > STILL_SECONDS or now - self._woke < STILL_SECONDS
