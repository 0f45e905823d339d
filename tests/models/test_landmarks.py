"""The shipped network keeps its contract, and the recipe's parts do what their docstrings say."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from facegate.vision.align import ALIGNMENT, similarity
from facegate.vision.landmarks import NEAR
from models.detector.recipe.labels import mirrored
from models.landmarks.recipe.crops import PATCH, Patches, askew, crop, cut_out, load_patches
from models.landmarks.recipe.export import build
from models.landmarks.recipe.network import REACH, Placer
from models.landmarks.recipe.train import Batches, Run, train

MODELS = Path(__file__).parents[2] / "models"
SHIPPED = MODELS / "landmarks" / "landmarks.onnx"


def composite(person, number):
    return cv2.imread(str(MODELS / "composites" / f"person{person:02}" / f"{number}.webp"))


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Two photos with a labelled face each, one of which is unsure, and a third that has none."""
    folder = tmp_path_factory.mktemp("photos")
    paths = ["someone/0.png", "someone/1.png", "other/0.png"]
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / path), composite(number + 1, 0))
    points = ALIGNMENT.template * 1.5 + (150, 130)
    face = np.concatenate([[150, 100, 190, 230], points.ravel()]).astype(np.float32)
    np.savez(folder / "labels.npz", paths=paths, photo=[0, 2], faces=[face, face], score=[0.9, 0.5], sure=[True, False])
    return folder


def test_the_shipped_file_is_the_one_that_the_card_and_the_figures_name():
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert digest in (SHIPPED.parent / "card.md").read_text()
    assert json.loads((SHIPPED.parent / "figures.json").read_text())["sha256"] == digest


def test_names_and_shapes_are_the_contracts():
    graph = onnx.load(SHIPPED).graph
    (source,), (result,) = graph.input, graph.output
    shape = [dim.dim_value for dim in source.type.tensor_type.shape.dim]
    assert (source.name, result.name, shape[1:]) == ("crops", "shifts", [3, NEAR.size, NEAR.size])


def test_the_exported_graph_says_what_the_network_says():
    torch.manual_seed(3)
    network = Placer()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    crops = torch.randn(3, 3, NEAR.size, NEAR.size)
    session = onnxruntime.InferenceSession(build(network).SerializeToString(), providers=["CPUExecutionProvider"])
    (said,) = session.run(["shifts"], {"crops": crops.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(said, REACH * network.eval()(crops).numpy(), atol=1e-4)


def test_only_sure_faces_become_patches_and_lie_where_the_patch_has_them(labels):
    patches = load_patches(labels, labels / "labels.npz")
    assert patches.paths == ["someone/0.png"]
    assert patches.pixels.shape == (1, PATCH.size, PATCH.size, 3)
    np.testing.assert_allclose(patches.faces[0, 4:].reshape(5, 2), PATCH.template, atol=1e-3)


def dotted(points):
    """A black patch with a white dot on each point."""
    dots = np.zeros((PATCH.size, PATCH.size, 3), np.uint8)
    for x, y in points:
        cv2.circle(dots, (round(x * 16), round(y * 16)), 40, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return dots


def brightness(pixels, points):
    inside = np.round(points).astype(int).clip(0, len(pixels) - 1)
    return pixels[inside[:, 1], inside[:, 0]].mean(axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_however_a_face_is_cut_out_its_landmarks_are_where_it_says(seed):
    points = PATCH.template.astype(np.float32)
    pixels, there = cut_out(dotted(points), points, np.random.default_rng(seed))
    assert pixels.shape == (NEAR.size, NEAR.size, 3)
    assert (brightness(pixels, there) > 60).all()


def test_a_drawn_crop_has_its_landmarks_in_it_and_the_patch_stays_as_it_was(labels):
    patches = load_patches(labels, labels / "labels.npz")
    before = patches.pixels.copy()
    for seed in range(40):
        pixels, points = crop(patches.pixels[0], patches.faces[0], np.random.default_rng(seed))
        assert (pixels.shape, pixels.dtype) == ((NEAR.size, NEAR.size, 3), np.uint8)
        assert points.min() > 0
        assert points.max() < NEAR.size
        assert points[0, 0] < points[1, 0]  # mirrored or not, the right eye is on the left
    assert np.array_equal(patches.pixels, before)


def test_askew_is_a_similarity_that_is_right_on_average():
    drawn = np.stack([askew(PATCH.template.astype(np.float32), np.random.default_rng(n)) for n in range(2000)])
    assert np.allclose(drawn[:, 0, 0], drawn[:, 1, 1], atol=1e-5)
    assert np.allclose(drawn[:, 0, 1], -drawn[:, 1, 0], atol=1e-5)
    places = PATCH.template @ drawn[:, :, :2].transpose(0, 2, 1) + drawn[:, None, :, 2]
    assert np.abs(places.mean(0) - NEAR.template).max() < 0.4
    assert places.std(0).min() > 1.0
    straight = similarity(PATCH.template, NEAR.template)
    assert np.abs(places - (PATCH.template @ straight[:, :2].T + straight[:, 2])).max() < NEAR.size / 2


def test_the_landmarks_of_a_mirrored_patch_are_on_its_dots():
    points = PATCH.template.astype(np.float32) + np.float32((7, 0))
    face = np.concatenate([[3, 4, 50, 60], points.ravel()]).astype(np.float32)[None]
    turned = mirrored(face, PATCH.size - 1)[0]
    assert (brightness(dotted(points)[:, ::-1], turned[4:].reshape(5, 2)) > 200).all()
    np.testing.assert_allclose(mirrored(turned[None], PATCH.size - 1), face, atol=1e-4)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(labels, tmp_path):
    patches = load_patches(labels, labels / "labels.npz")
    ends = []
    for name, stops in (("one", [3]), ("two", [1, 3])):
        out = tmp_path / name
        out.mkdir()
        for stop in stops:
            torch.manual_seed(1)
            run = Run()
            if (out / "last.pt").exists():
                run.read(out / "last.pt")
            source = Batches(patches, [0], seed=4, first=run.step, crops=8)
            for batch in source:
                if run.step >= stop:
                    break
                run.learn(batch, 3)
            run.write(out)
        ends.append(torch.load(out / "mean.pt", weights_only=True))
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key]), key


def test_training_on_one_face_learns_it(labels, tmp_path):
    torch.manual_seed(1)
    run, patches = Run(), load_patches(labels, labels / "labels.npz")
    batches = iter(Batches(Patches(patches.pixels, patches.faces, patches.paths), [0], seed=4, first=0, crops=24))
    run.step = 200  # warmed up
    errors = [run.learn(next(batches), 2000) for _ in range(25)]
    assert np.mean(errors[-5:]) < 0.8 * np.mean(errors[:3])
    train(run, [next(batches)], tmp_path, steps=2000, save_every=1e9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "mean.pt"]
