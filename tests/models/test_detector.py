"""The shipped detector keeps YuNet's contract, and the recipe's parts do what their docstrings say."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from models.detector.recipe import losses, narrow, network
from models.detector.recipe.canvases import placed, similarity
from models.detector.recipe.degrade import filmed, spoil
from models.detector.recipe.export import build
from models.detector.recipe.labels import mirrored, overlap

MODELS = Path(__file__).parents[2] / "models"
SHIPPED = MODELS / "detector" / "face_detector.onnx"
SCORE = json.loads((SHIPPED.parent / "figures.json").read_text())["score_threshold"]
WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def composite(person: int, number: int) -> np.ndarray:
    return cv2.imread(str(MODELS / "composites" / f"person{person:02}" / f"{number}.webp"))


def run(model: bytes, picture: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {"input": picture.transpose(2, 0, 1)[None].astype(np.float32)})
    return dict(zip(names, values, strict=True))


def decoded(outputs: dict[str, np.ndarray], width: int) -> np.ndarray:
    """The rows that the contract's formulas give, before suppression: box, points, score."""
    rows = []
    for stride in (8, 16, 32):
        cls, obj, box, points = (outputs[f"{part}_{stride}"][0] for part in WIDTHS)
        for i in range(len(cls)):
            row, column = divmod(i, width // stride)
            centre = (np.array([column, row]) + box[i, :2]) * stride
            size = np.exp(box[i, 2:]) * stride
            at = (points[i].reshape(5, 2) + np.array([column, row])) * stride
            score = np.sqrt(np.clip(cls[i, 0], 0, 1) * np.clip(obj[i, 0], 0, 1))
            rows.append(np.concatenate([centre - size / 2, size, at.ravel(), [score]]))
    return np.array(rows)


def test_the_shipped_file_is_the_one_that_the_card_and_the_figures_name():
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert digest in (SHIPPED.parent / "card.md").read_text()
    assert json.loads((SHIPPED.parent / "figures.json").read_text())["sha256"] == digest


def test_everything_that_ships_for_the_detector_is_under_a_megabyte():
    assert sum(path.stat().st_size for path in SHIPPED.parent.iterdir() if path.is_file()) < 1_000_000


def test_names_and_shapes_are_the_contracts_and_height_and_width_are_free():
    graph = onnx.load(SHIPPED).graph
    (source,) = graph.input
    batch, channels, height, width = source.type.tensor_type.shape.dim
    assert (source.name, batch.dim_value, channels.dim_value) == ("input", 1, 3)
    assert height.dim_param
    assert width.dim_param
    shapes = {output.name: output.type.tensor_type.shape.dim[2].dim_value for output in graph.output}
    assert shapes == {f"{part}_{stride}": size for part, size in WIDTHS.items() for stride in (8, 16, 32)}


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 320), (352, 640)])
def test_every_cell_has_an_answer_at_any_size(height, width):
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3))
    outputs = run(SHIPPED.read_bytes(), picture)
    for part, size in WIDTHS.items():
        for stride in (8, 16, 32):
            assert outputs[f"{part}_{stride}"].shape == (1, height // stride * (width // stride), size)
    assert all(outputs[f"{part}_{stride}"].min() >= 0 for part in ("cls", "obj") for stride in (8, 16, 32))


def test_opencv_decodes_what_the_contract_says():
    picture = cv2.resize(composite(1, 0), (192, 192), interpolation=cv2.INTER_AREA)
    (found,) = cv2.FaceDetectorYN.create(str(SHIPPED), "", (192, 192), SCORE, 0.3).detect(picture)[1]
    rows = decoded(run(SHIPPED.read_bytes(), picture), 192)
    np.testing.assert_allclose(found, rows[rows[:, 14].argmax()], atol=0.01)


@pytest.mark.parametrize("person", range(1, 15))
def test_a_composite_is_found_once_with_its_eyes_over_its_mouth(person):
    picture = cv2.resize(composite(person, person % 6), (200, 200), interpolation=cv2.INTER_AREA)
    detector = cv2.FaceDetectorYN.create(str(SHIPPED), "", (200, 200), SCORE, 0.3)
    (row,) = detector.detect(picture)[1]
    eyes, nose, mouth = row[4:8].reshape(2, 2), row[8:10], row[10:14].reshape(2, 2)
    assert eyes[0, 0] < nose[0] < eyes[1, 0]
    assert eyes[:, 1].max() < nose[1] < mouth[:, 1].min()


def test_a_composite_is_found_in_the_dark():
    picture = cv2.resize(composite(2, 0), (200, 200), interpolation=cv2.INTER_AREA)
    detector = cv2.FaceDetectorYN.create(str(SHIPPED), "", (200, 200), SCORE, 0.3)
    assert detector.detect((picture * 0.15).astype(np.uint8))[1] is not None


def random_network(shape: network.Shape = network.OURS) -> network.Detector:
    """A network whose norms are not the identity, so that folding them has something to do."""
    torch.manual_seed(3)
    made = network.Detector(shape).train()
    with torch.no_grad():
        made(torch.rand(2, 3, 64, 64) * 255)
    return made.eval()


def test_the_exported_graph_computes_what_the_network_computes():
    made = random_network()
    picture = np.random.default_rng(2).integers(0, 256, (64, 96, 3))
    outputs = run(build(made).SerializeToString(), picture)
    with torch.no_grad():
        raw = network.flatten(made(torch.from_numpy(picture.transpose(2, 0, 1)[None]).float()))[0].numpy()
    joined = {part: np.concatenate([outputs[f"{part}_{s}"][0] for s in (8, 16, 32)]) for part in WIDTHS}
    np.testing.assert_allclose(joined["bbox"], raw[:, 2:6], atol=1e-4)
    np.testing.assert_allclose(joined["kps"], raw[:, 6:], atol=1e-4)
    np.testing.assert_allclose(joined["cls"][:, 0], 1 / (1 + np.exp(-raw[:, 0])), atol=1e-4)
    np.testing.assert_allclose(joined["obj"][:, 0], 1 / (1 + np.exp(-raw[:, 1])), atol=1e-4)


def test_weights_survive_a_round_trip(tmp_path):
    made, again = random_network(), network.Detector()
    network.save(made, tmp_path / "weights.npz")
    network.load(again, tmp_path / "weights.npz")
    assert all(torch.equal(a, b) for a, b in zip(made.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_blend_lies_between_its_ends():
    first, last, half = random_network(), random_network(), random_network()
    with torch.no_grad():
        last.stem.weight += 2.0
        half.stem.weight += 2.0
    network.blend(half, first, 0.25)
    torch.testing.assert_close(half.stem.weight, first.stem.weight + 0.5)
    network.blend(last, first, 0.0)
    assert torch.equal(last.stem.weight, first.stem.weight)


def test_a_fit_recovers_a_linear_map():
    generator = torch.Generator().manual_seed(1)
    inputs, weight, bias = (torch.randn(*size, generator=generator) for size in ((500, 4), (3, 4), (3,)))
    found, shift = narrow.fitted(inputs, inputs @ weight.T + bias)
    torch.testing.assert_close(found, weight, atol=1e-3, rtol=0)
    torch.testing.assert_close(shift, bias, atol=1e-3, rtol=0)


def test_a_narrowed_network_is_nearer_to_the_wide_one_than_an_unfitted_one():
    wide, pictures = random_network(network.YUNET_N), torch.rand(2, 3, 64, 64) * 255
    with torch.no_grad():
        wanted = network.flatten(wide(pictures))
        near, far = (network.flatten(net(pictures)) for net in (narrow.narrowed(wide, pictures), random_network()))
    assert (near - wanted).abs().mean() < (far - wanted).abs().mean()


FACE = torch.tensor([[40.0, 30, 48, 64, 52, 52, 76, 52, 64, 66, 54, 78, 74, 78]])


def perfect(grid: torch.Tensor) -> torch.Tensor:
    """Raw outputs in which every cell says FACE, without a doubt."""
    stride, place = grid[:, 2:], grid[:, :2]
    box = (FACE[:, :2] + FACE[:, 2:4] / 2 - place) / stride
    points = ((FACE[:, 4:].reshape(1, 5, 2) - place[:, None]) / stride[:, None]).reshape(-1, 10)
    return torch.cat([torch.full_like(place, 20), box, (FACE[:, 2:4] / stride).log(), points], 1)[None]


def none_ignored() -> list[losses.Targets]:
    return [losses.Targets(FACE, torch.tensor([True]), torch.zeros(0, 4))]


def test_decoding_inverts_encoding():
    grid = losses.cells(128)
    boxes, points = losses.decoded(perfect(grid), grid)
    torch.testing.assert_close(boxes[0], losses.corners(FACE[:, :4]).expand(len(grid), 4), atol=1e-3, rtol=0)
    torch.testing.assert_close(points[0], FACE[:, 4:].expand(len(grid), 10), atol=1e-3, rtol=0)


def test_a_perfect_answer_costs_nothing_for_class_box_and_points():
    grid = losses.cells(128)
    parts = losses.loss(perfect(grid), torch.full((1, len(grid), 16), -20.0), grid, none_ignored(), [False])
    assert all(parts[name] < 1e-3 for name in ("cls", "box", "points"))


def test_a_shifted_answer_costs_more():
    grid = losses.cells(128)
    raw, teacher = perfect(grid), torch.full((1, len(grid), 16), -20.0)
    raw[..., 2] += 0.3
    raw[..., 6:] += 0.1
    parts = losses.loss(raw, teacher, grid, none_ignored(), [False])
    assert parts["box"] > 0.1
    assert parts["points"] > 0.1


def test_nothing_is_asked_about_ignored_places():
    grid = losses.cells(128)
    raw = torch.full((1, len(grid), 16), 3.0)
    whole = torch.tensor([[-1.0, -1, 200, 200]])
    nothing = losses.Targets(torch.zeros(0, 14), torch.zeros(0, dtype=torch.bool), whole)
    assert losses.loss(raw, raw, grid, [nothing], [False])["obj"] == 0


def test_copying_the_teacher_on_the_same_pixels_costs_no_box_and_no_points_and_deviating_does():
    grid = losses.cells(128)
    teacher = perfect(grid)
    exact = losses.loss(teacher, teacher, grid, none_ignored(), [True])
    assert all(part < 1e-3 for part in exact.values())
    moved = teacher.clone()
    moved[..., 6:] += 0.1
    assert losses.loss(moved, teacher, grid, none_ignored(), [True])["points"] > 0.1


def test_a_face_that_the_teacher_overlooks_is_asked_for_where_it_is_copied():
    grid = losses.cells(128)
    blind, seeing = torch.full((1, len(grid), 16), -20.0), perfect(grid)
    assert len(losses.unseen(blind[0], grid, none_ignored()[0]).faces) == 1
    assert len(losses.unseen(seeing[0], grid, none_ignored()[0]).faces) == 0
    assert losses.loss(blind, blind, grid, none_ignored(), [True])["obj"] > 1


def test_each_face_gets_a_cell_and_no_cell_two_faces():
    grid = losses.cells(128)
    truth = torch.tensor([[10.0, 10, 40, 50], [60, 60, 120, 124], [12, 90, 26, 106]])
    torch.manual_seed(0)
    raw = torch.randn(len(grid), 16)
    cells, owner, _ = losses.assigned(torch.rand(len(grid)), losses.decoded(raw, grid)[0], grid, truth)
    assert set(owner.tolist()) == {0, 1, 2}
    assert len(set(cells.tolist())) == len(cells)


def test_the_teacher_is_believed_only_where_it_agrees_with_the_label():
    grid = losses.cells(128)
    teacher = perfect(grid)[0]
    label = losses.corners(FACE[:, :4]).expand(len(grid), 4)
    torch.testing.assert_close(losses.taught(teacher, grid, label + 2, FACE[:, 4:])[0], label, atol=1e-3, rtol=0)
    elsewhere = label + 200
    assert torch.equal(losses.taught(teacher, grid, elsewhere, FACE[:, 4:])[0], elsewhere)


def test_mirroring_twice_changes_nothing_and_once_swaps_the_eyes():
    face = FACE.numpy()
    np.testing.assert_allclose(mirrored(mirrored(face, 128), 128), face)
    assert mirrored(face, 128)[0, 4] == 128 - face[0, 6]


def test_a_turned_face_keeps_its_points_inside_its_box():
    face = FACE.numpy()
    matrix = similarity(1.5, np.radians(20), np.array([64, 62], np.float32), np.array([100, 100], np.float32))
    moved = placed(face, matrix)[0]
    points = moved[4:].reshape(5, 2)
    assert (points > moved[:2]).all()
    assert (points < moved[:2] + moved[2:4]).all()
    assert overlap(moved[None, :4], moved[None, :4])[0, 0] == pytest.approx(1)


@pytest.mark.parametrize("change", [spoil, filmed])
def test_spoiling_is_repeatable_and_keeps_the_size(change):
    picture = composite(3, 0)[::4, ::4]
    for seed in range(40):
        first, second = (change(picture, np.random.default_rng(seed))[0] for _ in range(2))
        assert first.shape == picture.shape
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, second)
