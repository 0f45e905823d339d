import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from facegate.siamese import losses


def drawn(count=12, dimension=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dimension, generator=generator, dtype=torch.float64), dim=1)


def slow_batch_loss(templates, people, groups, *, near, far, hardest):
    """Hadsell, Chopra, LeCun 2006, eq. 4, pair by pair."""
    own, other = [], []
    for i in range(len(people)):
        for j in range(i + 1, len(people)):
            d = math.dist(templates[i].tolist(), templates[j].tolist())
            if people[i] == people[j]:
                own.append(max(0.0, d - near) ** 2 / 2)
            elif groups[i] == groups[j]:
                other.append(max(0.0, far - d) ** 2 / 2)
    other = sorted(other, reverse=True)[: max(1, round(hardest * len(other)))] if other else []
    return (sum(own) / len(own) if own else 0.0) + (sum(other) / len(other) if other else 0.0)


@given(seed=st.integers(0, 1000), hardest=st.floats(0.05, 1), near=st.floats(0, 1), far=st.floats(0.5, 2))
def test_the_batch_loss_is_what_a_loop_over_pairs_gives(seed, hardest, near, far):
    templates, generator = drawn(seed=seed), torch.Generator().manual_seed(seed)
    people = torch.randint(0, 5, (12,), generator=generator)
    groups = people % 2
    fast = losses.batch_contrastive(templates, people, groups, near=near, far=far, hardest=hardest)
    slow = slow_batch_loss(templates, people.tolist(), groups.tolist(), near=near, far=far, hardest=hardest)
    assert float(fast) == pytest.approx(slow, abs=1e-6)


def test_the_gradient_of_the_batch_loss_is_its_difference_quotient():
    people = torch.tensor([0, 0, 1, 1, 2, 2])
    raw = drawn(6, 4, seed=3).requires_grad_()

    def loss(values):
        return losses.batch_contrastive(
            normalize(values, dim=1), people, torch.zeros(6), near=0.3, far=1.6, hardest=1.0
        )

    assert torch.autograd.gradcheck(loss, (raw,))


def test_two_equal_templates_give_a_finite_gradient():
    templates = torch.ones(2, 4, requires_grad=True)
    losses.batch_contrastive(
        normalize(templates, dim=1), torch.tensor([0, 1]), torch.zeros(2), near=0.5, far=1.0, hardest=1.0
    ).backward()
    assert torch.isfinite(templates.grad).all()


def test_mated_pairs_within_the_near_margin_and_strangers_beyond_the_far_one_cost_nothing():
    distance = torch.tensor([0.7, 0.8, 1.3, 1.2])
    loss = losses.contrastive(distance, torch.tensor([True, True, False, False]), near=0.75, far=1.25)
    assert loss.tolist() == pytest.approx([0, 0.05**2 / 2, 0, 0.05**2 / 2], abs=1e-6)


def test_people_of_two_sources_are_no_strangers_since_they_may_be_one_person():
    templates = normalize(torch.ones(2, 4), dim=1)
    loss = losses.batch_contrastive(
        templates, torch.tensor([0, 1]), torch.tensor([0, 1]), near=0.75, far=1.25, hardest=1.0
    )
    assert float(loss) == 0


def test_the_anchor_is_nothing_at_the_target_and_two_opposite_to_it():
    templates = drawn()
    assert float(losses.anchor(templates, templates)) == pytest.approx(0)
    assert float(losses.anchor(templates, -templates)) == pytest.approx(2)


def test_each_part_is_held_to_its_own_teacher_whatever_it_counts_beside_the_other():
    draw = torch.Generator().manual_seed(0)
    one, other, said = (torch.randn(5, 4, generator=draw) for _ in range(3))
    held = losses.anchor(torch.cat((one, 3 * other), 1), torch.cat((one, said), 1), (4, 4))
    assert float(held) == pytest.approx(float(losses.anchor(other, said)) / 2, abs=1e-6)


def test_relations_ask_only_for_scores_and_not_for_directions():
    templates = drawn()
    turn, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    assert float(losses.relations(templates, templates @ turn)) == pytest.approx(0, abs=1e-12)
    assert float(losses.relations(templates, drawn(seed=9))) > 0.01


def test_multi_similarity_agrees_with_its_formula_pair_by_pair():
    templates, people, groups = drawn(8), torch.tensor([0, 0, 1, 1, 2, 3, 3, 3]), torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])
    total = 0.0
    for i in range(8):
        scores = [(float(templates[i] @ templates[j]), j) for j in range(8) if j != i]
        pull = sum(math.exp(-2.0 * (s - 0.4)) for s, j in scores if people[j] == people[i])
        push = sum(math.exp(40.0 * (s - 0.4)) for s, j in scores if people[j] != people[i] and groups[j] == groups[i])
        total += math.log1p(pull) / 2.0 + math.log1p(push) / 40.0
    assert float(losses.multi_similarity(templates, people, groups)) == pytest.approx(total / 8, rel=1e-6)


def test_arcface_adds_the_angle_to_ones_own_and_knows_strangers_within_a_group_alone():
    head = losses.ArcFace(5, torch.tensor([0, 0, 1, 1]), scale=8.0, angle=0.3).double()
    templates, people = drawn(3), torch.tensor([0, 1, 3])
    centres = normalize(head.centres.detach(), dim=1)
    total = 0.0
    for template, person in zip(templates, people.tolist(), strict=True):
        known = [0, 1] if person < 2 else [2, 3]
        logits = {k: 8.0 * float(template @ centres[k]) for k in known}
        logits[person] = 8.0 * math.cos(math.acos(logits[person] / 8.0) + 0.3)
        total -= logits[person] - math.log(sum(math.exp(value) for value in logits.values()))
    assert float(head(templates, people).detach()) == pytest.approx(total / 3, rel=1e-6)


def test_arcface_past_the_pole_still_pulls_towards_ones_own():
    head = losses.ArcFace(3, torch.zeros(2, dtype=torch.long), angle=0.5)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    angles = torch.tensor([2.5, 2.6, 2.7, 2.9, 3.1])  # the pole of 0.5 is at 2.64
    templates = torch.stack((angles.cos(), torch.zeros(5), angles.sin()), dim=1)
    lost = [float(head(template[None], torch.tensor([0])).detach()) for template in templates]
    assert lost == sorted(lost)
    assert len(set(lost)) == 5
