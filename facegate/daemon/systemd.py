"""Words to systemd (`Type=notify`): ready, alive, stopping. Nothing happens where no systemd listens."""

import os
import socket
from collections.abc import Mapping
from typing import Final

READY: Final = "READY=1"
ALIVE: Final = "WATCHDOG=1"
STOPPING: Final = "STOPPING=1"


def tell(word: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send a word to systemd (sd_notify(3)); False if nobody listens."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(word.encode(), address)
    except OSError:
        return False
    return True
