"""What the network is asked: which cells answer for which face, and how wrong each answer is.

Cells answer for faces by SimOTA: a cell may answer if its centre lies within 2.5 strides of the face's centre or in the
box; each face takes as many cells as its ten best overlaps add up to, those with the lowest cost.

    loss = (BCE(class; overlap) + BCE(objectness; 1 or 0) + 5 EIoU(box) + 6 SmoothL1(points / face size)) / answers

summed over the cells that answer, as YuNet was trained, but for three things. Point errors were in strides there
and are in parts of the face here, so large faces do not outweigh small ones. And where the teacher, shown the clean
canvas, agrees with a face's label, each cell is asked for the box and points that the teacher's own cell says, so the
network learns to give in the dark what the teacher gives in the light. Where the network is shown the clean canvas
itself, it copies the teacher's objectness, class, box and points (times 3) cell by cell: the cell that suppression
keeps decides the landmarks.

SimOTA: Ge and others, YOLOX, 2021. EIoU: Zhang and others, 2021 (squared differences over the enclosing box).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.detector.recipe.network import STRIDES

CENTRE_RADIUS = 2.5
"""In strides."""
MOST_CELLS = 10
POINT_BETA = 0.02
"""Where the loss of a point turns from square to straight, in parts of the face."""
TEACHER_SCORE, TEACHER_OVERLAP, TEACHER_WIDTH = 0.5, 0.6, 160.0
"""The teacher's cell is taken at its word at this score, this overlap with the label, up to this width in pixels."""
COPIED_SCORE, COPIED_BETA, COPIED_POINTS = 0.3, 0.003, 3.0
"""Where both see the same pixels: the teacher's cells that are copied, and the bend and weight of their points."""
WEIGHTS = {"cls": 1.0, "obj": 1.0, "box": 5.0, "points": 6.0}


@dataclass(frozen=True)
class Targets:
    """What one canvas holds, in pixels."""

    faces: Tensor
    """float32 (g, 14): box x, y, w, h and five points."""
    pointed: Tensor
    """bool (g,): whether the points are known."""
    ignored: Tensor
    """float32 (m, 4): boxes about which nothing is asked."""


def cells(size: int) -> Tensor:
    """Column, row (in pixels, top left of the cell) and stride of each cell of a square canvas: (cells, 3)."""
    levels = []
    for stride in STRIDES:
        line = torch.arange(size // stride, dtype=torch.float32) * stride
        rows, columns = torch.meshgrid(line, line, indexing="ij")
        levels.append(torch.stack([columns, rows, torch.full_like(rows, stride)], -1).reshape(-1, 3))
    return torch.cat(levels)


def decoded(raw: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (..., 4) as two corners and points (..., 10), in pixels, of raw outputs (..., 16)."""
    stride = grid[:, 2:]
    middle = grid[:, :2] + raw[..., 2:4] * stride
    half = raw[..., 4:6].clamp(max=6).exp() * stride / 2
    points = raw[..., 6:16].reshape(*raw.shape[:-1], 5, 2) * stride[:, None] + grid[:, None, :2]
    return torch.cat([middle - half, middle + half], -1), points.flatten(-2)


def corners(boxes: Tensor) -> Tensor:
    """x, y, w, h to two corners."""
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:4]], 1)


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4), broadcast."""
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    common = sides.prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return common / (areas - common).clamp(min=1e-6)


@torch.no_grad()
def assigned(score: Tensor, boxes: Tensor, grid: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which cells answer (indices), for which face each, and the overlap of its box.

    Args:
        score: (cells,) sqrt(class * objectness), 0..1.
        boxes: (cells, 4) corners that the network says.
        grid: (cells, 3) of `cells`.
        truth: (g, 4) corners of the faces, g >= 1.
    """
    stride = grid[:, 2]
    centre = grid[:, :2] + stride[:, None] / 2
    middle = (truth[:, :2] + truth[:, 2:]) / 2
    near = ((centre[:, None] - middle[None]).abs() < CENTRE_RADIUS * stride[:, None, None]).all(-1)
    inside = ((centre[:, None] > truth[None, :, :2]) & (centre[:, None] < truth[None, :, 2:])).all(-1)
    candidates = (near | inside).any(1).nonzero()[:, 0]
    iou = overlaps(boxes[candidates, None], truth[None])  # (c, g)
    sure = F.binary_cross_entropy(
        score[candidates].clamp(1e-6, 1 - 1e-6), torch.ones(len(candidates)), reduction="none"
    )
    both = (near & inside)[candidates]
    cost = sure[:, None] - 3 * (iou + 1e-8).log() + 1e5 * ~both
    taken = torch.full_like(cost, torch.inf)
    for face in range(len(truth)):
        best = iou[:, face].topk(min(MOST_CELLS, len(candidates))).values
        count = min(max(int(best.sum()), 1), len(candidates))
        chosen = cost[:, face].topk(count, largest=False).indices
        taken[chosen, face] = cost[chosen, face]
    lowest, owner = taken.min(1)
    answers = torch.isfinite(lowest)
    owner = owner[answers]
    return candidates[answers], owner, iou[answers].gather(1, owner[:, None])[:, 0]


def eiou_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - IoU, plus the squared distances of centres, widths and heights over those of the enclosing box: (n,)."""
    enclosing = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    whole = enclosing.square()
    shift = ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2).square().sum(1) / whole.sum(1).clamp(min=1e-6)
    sides = ((a[:, 2:] - a[:, :2]) - (b[:, 2:] - b[:, :2])).square() / whole.clamp(min=1e-6)
    return 1 - overlaps(a, b) + shift + sides.sum(1)


def point_loss(found: Tensor, wanted: Tensor, size: Tensor, beta: float = POINT_BETA) -> Tensor:
    """Smooth L1 of points (n, 10) in parts of the face's size (n,), summed over the ten numbers: (n,)."""
    error = (found - wanted) / size[:, None]
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=beta, reduction="none").sum(1)


def taught(raw: Tensor, grid: Tensor, box: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (k, 4) and points (k, 10) to ask of cells: the label's, or the teacher's where it agrees."""
    theirs, their_points = decoded(raw, grid)
    score = _score(raw)
    narrow = theirs[:, 2] - theirs[:, 0] < TEACHER_WIDTH
    agree = ((score > TEACHER_SCORE) & (overlaps(theirs, box) > TEACHER_OVERLAP) & narrow)[:, None]
    return torch.where(agree, theirs, box), torch.where(agree, their_points, points)


def copied(raw: Tensor, teacher: Tensor, grid: Tensor) -> tuple[dict[str, Tensor], float]:
    """Sums over the cells (cells, 16) of the errors against the teacher's on the same picture, and their weight.

    A cell counts by the square of the teacher's score, so the one that suppression will keep counts most.
    """
    sure = _score(teacher)
    weight = torch.where(sure > COPIED_SCORE, sure.square(), torch.zeros_like(sure))
    cls = F.binary_cross_entropy_with_logits(raw[:, 0], teacher[:, 0].sigmoid(), reduction="none")
    at = weight.nonzero()[:, 0]
    boxes, points = decoded(raw[at], grid[at])
    wanted_boxes, wanted_points = decoded(teacher[at], grid[at])
    size = (wanted_boxes[:, 2:] - wanted_boxes[:, :2]).prod(1).clamp(min=1.0).sqrt()
    error = point_loss(points, wanted_points, size, COPIED_BETA)
    sums = {
        "cls": (cls * teacher[:, 1].sigmoid()).sum(),
        "box": (eiou_loss(boxes, wanted_boxes) * weight[at]).sum(),
        "points": (error * weight[at]).sum() * COPIED_POINTS,
    }
    return sums, float(weight.sum())


def answered(raw: Tensor, teacher: Tensor, grid: Tensor, target: Targets) -> tuple[dict[str, Tensor], Tensor]:
    """Sums over the cells (cells, 16) that answer for one canvas's faces (one or more), and which cells."""
    boxes, points = decoded(raw, grid)
    truth = corners(target.faces)
    answers, owner, iou = assigned(_score(raw).detach(), boxes.detach(), grid, truth)
    box, point = taught(teacher[answers], grid[answers], truth[owner], target.faces[owner, 4:14])
    error = point_loss(points[answers], point, target.faces[owner, 2:4].prod(1).sqrt())
    sums = {
        "cls": F.binary_cross_entropy_with_logits(raw[answers, 0], iou, reduction="sum"),
        "box": eiou_loss(boxes[answers], box).sum(),
        "points": (error * target.pointed[owner]).sum(),
    }
    return sums, answers


@torch.no_grad()
def unseen(teacher: Tensor, grid: Tensor, target: Targets) -> Targets:
    """The faces of a canvas that the teacher's cells (cells, 16) do not find; nothing is ignored."""
    at = (_score(teacher) > TEACHER_SCORE).nonzero()[:, 0]
    boxes = decoded(teacher[at], grid[at])[0]
    left = ~(overlaps(boxes[:, None], corners(target.faces)[None]) > TEACHER_OVERLAP).any(0)
    return Targets(target.faces[left], target.pointed[left], target.ignored[:0])


def loss(raw: Tensor, teacher: Tensor, grid: Tensor, targets: list[Targets], same: list[bool]) -> dict[str, Tensor]:
    """The four parts of the loss, weighted, over a batch of raw outputs and the teacher's (n, cells, 16).

    `same` says of each canvas whether the network was shown the very pixels that the teacher saw: there it copies.
    """
    wanted, asked = torch.zeros_like(raw[..., 1]), torch.ones_like(raw[..., 1])
    parts: list[dict[str, Tensor]] = []
    count = 0.0
    for i, (known, copy) in enumerate(zip(targets, same, strict=True)):
        target = unseen(teacher[i], grid, known) if copy else known
        asked[i] = _outside(grid, target.ignored)
        if copy:
            wanted[i] = teacher[i, :, 1].sigmoid()
            sums, weight = copied(raw[i], teacher[i], grid)
            parts.append(sums)
            count += weight
        if len(target.faces):
            sums, answers = answered(raw[i], teacher[i], grid, target)
            wanted[i, answers], asked[i, answers] = 1.0, 1.0
            parts.append(sums)
            count += len(answers)
    whole = {"obj": (F.binary_cross_entropy_with_logits(raw[..., 1], wanted, reduction="none") * asked).sum()}
    for name in ("cls", "box", "points"):
        whole[name] = torch.stack([sums[name] for sums in parts]).sum() if parts else raw.new_zeros(())
    return {name: weight * whole[name] / max(count, 1.0) for name, weight in WEIGHTS.items()}


def _score(raw: Tensor) -> Tensor:
    """sqrt(class * objectness) of raw outputs (..., 16): (...)."""
    return (raw[..., 0].sigmoid() * raw[..., 1].sigmoid()).sqrt()


def _outside(grid: Tensor, ignored: Tensor) -> Tensor:
    """1 for cells whose centre lies in no ignored box, else 0: (cells,)."""
    if not len(ignored):
        return torch.ones(len(grid))
    centre = (grid[:, :2] + grid[:, 2:] / 2)[:, None]
    box = corners(ignored)[None]
    inside = ((centre > box[..., :2]) & (centre < box[..., 2:])).all(-1).any(1)
    return (~inside).float()
