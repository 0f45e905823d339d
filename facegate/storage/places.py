"""Where sealed blobs belong: the associated data that bind a blob to its row, so that it opens nowhere else."""

from facegate.storage.vault import associated


def crop_place(user_id: int, digest: str) -> bytes:
    """Name the place of a photo's crop."""
    return associated("photos", "crop", user_id, digest)


def template_place(user_id: int, digest: str, model: str) -> bytes:
    """Name the place of a reference's template."""
    return associated("user_references", "template", user_id, digest, model)


def frame_place(decision: str, user_id: int | None) -> bytes:
    """Name the place of the face that a decision was made on."""
    return associated("decision_frames", "crop", decision, user_id)
