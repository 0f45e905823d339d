"""Which face of a photo is meant, where several are found."""

from collections.abc import Sequence

from facegate.core.frame import Face, Pixels


def central_face(faces: Sequence[Face], picture: Pixels) -> Face | None:
    """Return the face that a photo of one person is of: large and near the middle, or None of none.

    Area less twice the squared way from the middle, so that bystanders at the edge do not win by a few pixels.
    A door takes the largest face instead: who stands nearest wants to enter.
    """
    height, width = picture.shape[:2]

    def weight(face: Face) -> float:
        across = face.box.x + face.box.width / 2 - width / 2
        down = face.box.y + face.box.height / 2 - height / 2
        return float(face.box.area - 2 * (across * across + down * down))

    return max(faces, key=weight, default=None)
