"""Models as tests want them: the shipped network under another name, or with one weight changed."""

from dataclasses import replace

from facegate.verifier.library import CALIBRATION, CARD, NETWORK, write_model


def a_model(library, name):
    """Put the shipped network into the library under a name."""
    shipped = library.load("twin-1")
    card = replace(shipped.card, name=name)
    more = {
        path.name: path.read_bytes()
        for path in shipped.folder.iterdir()
        if path.name not in {CARD, NETWORK, CALIBRATION} and path.name in shipped.card.files
    }
    calibration = replace(shipped.calibration, model=card.id)
    write_model(library.local_dir / name, card, (shipped.folder / NETWORK).read_bytes(), calibration, more)
    return library.load(name)
