"""facegate: camera events in, signed grant or deny decisions for doors out."""

import os

__version__ = "0.1.0"

# ONNX Runtime's wheels report each session to their maker, with an id of the machine that they keep in the home folder.
# This is read when the library is loaded, so it must be said before anything of facegate imports it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
