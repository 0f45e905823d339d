import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facegate.errors import NotReadyError
from facegate.inference import open_network

WEIGHT = np.array([[1, -2], [3, 4]], np.int8)
SWITCH = "session.disable_quant_qdq"


def write(path, *, rounds):
    """A network whose weights are stored as whole numbers; what comes in is rounded as well, or not."""
    steps = [numpy_helper.from_array(np.float32(0.5), "step"), numpy_helper.from_array(np.uint8(0), "zero")]
    nodes = [helper.make_node("DequantizeLinear", ["weight", "step"], ["wide"])]
    if rounds:
        nodes += [
            helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["whole"]),
            helper.make_node("DequantizeLinear", ["whole", "step", "zero"], ["seen"]),
        ]
    nodes.append(helper.make_node("MatMul", ["seen" if rounds else "x", "wide"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(WEIGHT, "weight"), *steps],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.mark.parametrize(("rounds", "widened"), [(False, "1"), (True, "0")])
def test_weights_that_are_only_stored_as_whole_numbers_are_widened_at_load(tmp_path, rounds, widened):
    write(tmp_path / "network.onnx", rounds=rounds)
    session = open_network(tmp_path / "network.onnx")
    assert session.get_session_options().get_session_config_entry(SWITCH) == widened
    x = np.array([[1.0, 2.5], [0.5, 3.0]], np.float32)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ (WEIGHT / 2))


def test_a_file_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(NotReadyError) as refused:
        open_network(tmp_path / "none.onnx")
    assert "none.onnx" in str(refused.value)
    assert "\n" not in str(refused.value)
