"""How each camera sees, as it was measured from its frames; by kind of light. No picture is kept for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from facegate.storage.engine import reading, writing
from facegate.storage.tables import CameraViewRow


@dataclass(frozen=True, slots=True)
class CameraView:
    """How a camera sees in one kind of light; what the statistics mean is `vision.view`'s."""

    camera: str
    kind: str
    statistics: Mapping[str, Any]
    updated_at: datetime


class CameraViews:
    """The views of all cameras. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, view: CameraView) -> None:
        """Store a view in the place of the older one of its camera and kind."""
        here = (CameraViewRow.camera == view.camera) & (CameraViewRow.kind == view.kind)
        row = {
            "camera": view.camera,
            "kind": view.kind,
            "statistics": json.dumps(dict(view.statistics), allow_nan=False),
            "updated_at": view.updated_at,
        }
        with writing(self._engine) as connection:
            connection.execute(delete(CameraViewRow).where(here))
            connection.execute(insert(CameraViewRow), row)

    def listed(self) -> list[CameraView]:
        """Return all views, by camera and kind."""
        statement = select(
            CameraViewRow.camera, CameraViewRow.kind, CameraViewRow.statistics, CameraViewRow.updated_at
        ).order_by(CameraViewRow.camera, CameraViewRow.kind)
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return [CameraView(row.camera, row.kind, json.loads(row.statistics), row.updated_at) for row in rows]

    def forget(self, before: datetime) -> int:
        """Delete the views that were last measured before a moment; return how many those were."""
        with writing(self._engine) as connection:
            return connection.execute(delete(CameraViewRow).where(CameraViewRow.updated_at < before)).rowcount
