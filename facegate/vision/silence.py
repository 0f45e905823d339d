"""Keep libjpeg, libpng and OpenCV from writing to our standard error.

libjpeg answers a damaged picture with a line through C's `stderr`, one for each picture that a stranger sends. Closing
or redirecting file descriptor 2 would take the log, crash reports and child processes along, so only C's stream is
turned away: in the GNU C library `stderr` is a variable like any other (its manual, 12.2), and Python writes to the
descriptor, never to that stream. Elsewhere (musl has it in read-only memory) nothing is done.
"""

import ctypes
import platform
from functools import cache

import cv2


@cache
def silence_decoders() -> None:
    """Turn C's standard error of this process to the null device, and OpenCV's own log off; once, at first use."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    nowhere = libc.fopen(b"/dev/null", b"w")
    if nowhere:
        ctypes.c_void_p.in_dll(libc, "stderr").value = nowhere
