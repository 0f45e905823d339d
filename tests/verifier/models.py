"""Models as tests want them: the shipped network under another name, or with one weight changed."""

from dataclasses import replace

from facegate.verifier.calibrations import levelled_documents
from facegate.verifier.card import CALIBRATION, CARD, NETWORK
from facegate.verifier.library import DEFAULT, write_model


def a_model(library, name):
    """Put the shipped network into the library under a name."""
    shipped = library.load(DEFAULT)
    card = replace(shipped.card, name=name)
    more = {
        path.name: path.read_bytes()
        for path in shipped.folder.iterdir()
        if path.name not in {CARD, NETWORK, CALIBRATION} and path.name in shipped.card.files
    }
    if shipped.levelled is not None:
        more |= levelled_documents(replace(shipped.levelled, model=card.id))
    calibration = replace(shipped.calibration, model=card.id)
    write_model(library.local_dir / name, card, (shipped.folder / NETWORK).read_bytes(), calibration, more)
    return library.load(name)


def nudged(network, seed=0, *, collapsed=False):
    """Return a network whose head was moved a little: what a fine-tune does, without the learning.

    Collapsed, it gives the same template for everybody.
    """
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(network)
    head = model.graph.initializer[-1]
    stored = numpy_helper.to_array(head).dtype
    values = numpy_helper.to_array(head).astype(np.float32)
    moved = values + np.random.default_rng(seed).normal(0, 0.02 * values.std(), values.shape)
    moved = np.repeat(values[:1], len(values), axis=0) if collapsed else moved
    head.CopyFrom(numpy_helper.from_array(moved.astype(stored), head.name))
    return model.SerializeToString()


def lesson(verdict="promoted", *, seed=0, learnt=True, collapsed=False, **changes):
    """Return what learns by nudging the champion's head, and says a verdict of its own."""
    import numpy as np

    from facegate.verifier.calibrations import read_calibration
    from facegate.verifier.finetuning.promotion import Lesson
    from facegate.vision.chart import Curve

    def learn(_, folder, report):
        report("learn", 0.0)
        draw = np.random.default_rng(seed)
        curves = tuple(
            Curve(name, draw.normal(0.7, 0.1, 50).clip(-1, 1), draw.normal(0, 0.1, 50), 0.5)
            for name in ("before", "after")
        )
        return Lesson(
            verdict,
            "FNMR falls",
            {"fnmr": 0.2},
            {"fnmr": 0.1},
            network=nudged((folder / NETWORK).read_bytes(), seed, collapsed=collapsed) if learnt else None,
            calibration=read_calibration(folder / CALIBRATION) if learnt else None,
            curves=curves,
            **changes,
        )

    return learn
