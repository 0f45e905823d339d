"""Puts itself under limits, then becomes the command it was given: `python limiting.py LIMITS COMMAND...`.

A process of its own does this, and not the fork of a program with threads: between fork and exec such a program may
do next to nothing. LIMITS is JSON: see `Limits` in `facegate.daemon.child`. Only the standard library is imported, and
nothing of facegate, so that this costs some ten milliseconds.
"""

import contextlib
import ctypes
import json
import os
import platform
import resource
import signal
import sys
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1
"""linux/prctl.h: the signal that this process gets when its parent is gone."""

IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}
"""Numbers of the system call ioprio_set(2), which the C library does not offer."""
IOPRIO_IDLE: Final = 3 << 13
"""linux/ioprio.h: the disk is used only when nobody else wants it."""

FIRST_TO_GO: Final = "1000"
"""/proc/self/oom_score_adj: if memory runs out, the kernel ends this process first, and never the gate."""


def die_with(parent: int) -> None:
    """Ask the kernel to end this process when its parent ends, however that ends; leave if it has by now."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def stand_back(nice: int, *, idle: bool) -> None:
    """Lower this process's claim on processor, disk and memory; what the system does not know is left out."""
    with contextlib.suppress(OSError):
        os.nice(nice)
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE if idle else os.SCHED_BATCH, os.sched_param(0))
    if number := IOPRIO_SET.get(platform.machine()):
        ctypes.CDLL(None).syscall(number, 1, 0, IOPRIO_IDLE)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(FIRST_TO_GO)


def bound(address_bytes: int) -> None:
    """Bound the address space, and leave no core file: pictures of people would be in it."""
    for name, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, address_bytes)):
        hard = resource.getrlimit(name)[1]
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(name, (soft, soft))


def main(arguments: list[str]) -> None:
    """Take the limits, and become the command."""
    limits: dict[str, Any] = json.loads(arguments[0])
    die_with(limits["parent"])
    stand_back(limits["nice"], idle=limits["idle"])
    bound(limits["address_bytes"])
    try:
        os.execvp(arguments[1], arguments[1:])  # noqa: S606 - that is its purpose
    except OSError as error:
        sys.exit(f"{arguments[1]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
