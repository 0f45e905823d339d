"""`facegate users drift`: whose scores sink, which cameras grow dim, who are too alike."""

from datetime import UTC, datetime

from facegate.commands.output import print_json, print_table, say
from facegate.settings import load_settings
from facegate.storage.opening import Storage
from facegate.verifier.drifting import drift
from facegate.verifier.library import library_of


def show_drift(storage: Storage, *, as_json: bool) -> None:
    """Print the report."""
    settings = load_settings()
    model = library_of(settings).load()
    references = storage.gallery.roster(model.id).references
    threshold = model.calibration.gallery_threshold(settings.gate.target_fmr, len(references))
    report = drift(storage.decisions, references, threshold, settings.gate.margin, datetime.now(UTC))
    if as_json:
        print_json(report.to_json())
        return
    print_table(
        f"Scores by month: {report.visits} visits",
        ("month", "user", "door", "camera", "visits", "median", "p10"),
        [(m.month, m.user, m.door, m.camera, m.visits, f"{m.median:.3f}", f"{m.low:.3f}") for m in report.months],
    )
    for line in report.advice() or ["Nobody's scores sink, no camera grows dim, and no two users are too alike."]:
        say(line)
