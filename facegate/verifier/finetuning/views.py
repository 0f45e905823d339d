"""How cameras see, between the database and `vision.view`: a row for each light of each camera."""

from collections.abc import Mapping
from datetime import datetime

from facegate.storage.views import CameraView, CameraViews
from facegate.vision.view import View, ViewStatistics, statistics_from_json


def statistics_of(views: CameraViews) -> dict[str, ViewStatistics]:
    """Return what each camera has shown so far; a row that cannot be read is passed over."""
    found: dict[str, ViewStatistics] = {}
    for row in views.listed():
        try:
            read = statistics_from_json({row.kind: row.statistics})
        except ValueError:
            continue  # measured by another version; it will be measured anew
        known = found.get(row.camera)
        found[row.camera] = read if known is None else known.plus(read)
    return found


def views_of(views: CameraViews) -> dict[str, View]:
    """Return the view of each camera that has shown enough faces."""
    return {camera: view for camera, seen in statistics_of(views).items() if (view := seen.view()) is not None}


def store(views: CameraViews, seen: Mapping[str, ViewStatistics], now: datetime) -> None:
    """Store what cameras have shown."""
    for camera, statistics in seen.items():
        for kind, sums in statistics.to_json().items():
            views.put(CameraView(camera, kind, sums, now))
