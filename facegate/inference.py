"""ONNX Runtime as every network of facegate runs in it: deterministic, quiet, and no core spins while it waits."""

import re
from pathlib import Path
from typing import Any, Final

import onnxruntime

from facegate.errors import NotReadyError

SOURCE: Final = re.compile(r"/onnxruntime_src\S*:\d+ .*?\) (?=[A-Z])")
"""In its messages: a line of its sources, and the function there with its arguments."""
INSIDE: Final = "Export it with its weights inside"


def open_network(network: Path, threads: int = 1, *, mend: str = "Fetch or import the model again") -> Any:
    """Open a network as a session of ONNX Runtime, which has no types; it may run in several threads at a time.

    Args:
        network: An ONNX file.
        threads: How many threads one run may use.
        mend: What to do about a file that cannot be opened.

    Raises:
        NotReadyError: There is no such file, or it is no network that ONNX Runtime can run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # it raises what it logs as an error, and that is told in one line
    options.enable_cpu_mem_arena = False  # no slower for networks this small, and 15 MB smaller
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_quant_qdq", str(int(_stores_alone(network))))
    try:
        return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own kinds, which share no public base
        why = SOURCE.sub("", str(error).splitlines()[0].rpartition(" failed:")[2]).strip(" .")  # without paths
        if "External data" in str(error):
            why, mend = "its weights lie in another file", INSIDE
        raise NotReadyError(f"ONNX Runtime cannot load {network.name}: {why[:160]}", mend) from error


def _stores_alone(network: Path) -> bool:
    """Tell whether weights are only stored as whole numbers, and nothing is multiplied as such.

    Then ONNX Runtime may widen them once, at load; it would do so at every run, in the hope of fusing something.
    """
    data = network.read_bytes() if network.is_file() else b""
    return b"DequantizeLinear" in data and b"QuantizeLinear" not in data
