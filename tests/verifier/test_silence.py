"""The network's runtime tells nobody that it runs."""

import os
import subprocess
import sys

from facegate.resources import shipped


def test_onnx_runtime_leaves_no_identity_in_the_home_folder(tmp_path):
    network = shipped("models") / "detector" / "face_detector.onnx"
    script = f"import facegate, onnxruntime; onnxruntime.InferenceSession({str(network)!r})"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment | {"HOME": str(tmp_path)})
    assert list(tmp_path.rglob("*")) == []
