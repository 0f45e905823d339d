"""Milliseconds of detectors in `cv2.FaceDetectorYN` at 640x360 on one core, turn and turn about in one run.

    python -m models.detector.recipe.speed a.onnx b.onnx c.onnx

Processor time of the calling thread, so that a busy machine disturbs it less; the least and the median of the rounds.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from models.detector.recipe.backdrops import clouds

WIDTH, HEIGHT = 640, 360
WARM_UP = 5


def main() -> None:
    """Time the detectors that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detectors", type=Path, nargs="+", help="YuNet-like .onnx files")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    picture = clouds(WIDTH, np.random.default_rng(1))[:HEIGHT]
    nets = [cv2.FaceDetectorYN.create(str(path), "", (WIDTH, HEIGHT), 0.6, 0.3, 5000) for path in options.detectors]
    spent = np.zeros((options.rounds, len(nets)))
    for turn in range(-WARM_UP, options.rounds):
        for number, net in enumerate(nets):
            begun = time.thread_time()
            net.detect(picture)
            spent[turn, number] = 1000 * (time.thread_time() - begun)
    for number, path in enumerate(options.detectors):
        least, median = spent[:, number].min(), float(np.median(spent[:, number]))
        print(json.dumps({"detector": path.stem, "least_ms": round(least, 2), "median_ms": round(median, 2)}))


if __name__ == "__main__":
    main()
