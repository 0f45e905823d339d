"""Tiny alphabets drawn by code: a character is a line through random points, a drawer shakes."""

import cv2
import numpy as np

from facegate.siamese.oneshot.drawings import SIDE


def drawn(character, drawer):
    """A drawing, uint8 (105, 105), 1 where there is ink."""
    points = np.random.default_rng(character).uniform(15, 90, (5, 2))
    shaken = points + np.random.default_rng((character, drawer)).normal(0, 3, points.shape)
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    cv2.polylines(canvas, [np.rint(shaken).astype(np.int32)], isClosed=False, color=1, thickness=3)
    return canvas


def write(path, drawing):
    """A file like Omniglot's: black ink on white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.where(drawing == 1, 0, 255).astype(np.uint8))


def write_alphabets(folder, *, alphabets=3, characters=4, drawers=4):
    for alphabet in range(alphabets):
        for number in range(characters):
            for drawer in range(drawers):
                character = alphabet * characters + number
                own = folder / f"alphabet{alphabet}" / f"character{number:02}"
                write(own / f"{character:04}_{drawer + 1:02}.png", drawn(character, drawer))
    return folder


def write_run(folder, name="run01", *, wrong=(), count=5):
    """A run whose asked drawings are the known ones, so that any network knows them; the key is wrong for some."""
    lines = []
    for number in range(count):
        write(folder / name / "training" / f"class{number}.png", drawn(number, 0))
        write(folder / name / "test" / f"item{number}.png", drawn(number, 0))
        answer = (number + 1) % count if number in wrong else number
        lines.append(f"{name}/test/item{number}.png {name}/training/class{answer}.png")
    (folder / name / "class_labels.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder
