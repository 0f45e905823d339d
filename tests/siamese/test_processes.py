"""Two processes on gloo, started by torchrun as an operator would."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from facegate.errors import UnusableInputError
from facegate.siamese import processes
from facegate.siamese.batches import Batches
from facegate.siamese.processes import Team
from facegate.siamese.training import Run
from tests.siamese.test_training import RECIPE, collection, start

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("two_processes.py")


def trained(folder, head, count):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(SCRIPT), str(folder), head],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [dict(np.load(folder / f"weights{count}-{rank}.npz")) for rank in range(count)]


@pytest.mark.parametrize("head", ["none", "arcface"])
def test_two_processes_learn_what_one_learns_from_the_joint_batch(tmp_path, head):
    (alone,) = trained(tmp_path, head, 1)
    one, other = trained(tmp_path, head, 2)
    before = start().state_dict()
    for name, weight in alone.items():
        assert np.array_equal(one[name], other[name]), name  # the same step in both, to the last bit
        learnt = np.abs(weight - before[name].numpy()).max()
        assert np.abs(one[name] - weight).max() <= 0.02 * learnt + 1e-7, name
    assert np.abs(alone["embed.weight"] - before["embed.weight"].numpy()).max() > 1e-4


def test_each_process_augments_its_own_part_and_knows_the_labels_of_all():
    whole = Batches(collection(), RECIPE)[3]
    parts = [Batches(collection(), RECIPE, Team(rank, 2))[3] for rank in range(2)]
    assert [len(part.crops) for part in parts] == [4, 4]
    assert all(torch.equal(part.people, parts[0].people) for part in parts)
    together = torch.cat([part.crops for part in parts])
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    assert torch.equal(together, whole.crops[order])
    assert torch.equal(parts[0].people, whole.people[order])
    assert torch.equal(parts[1].targets, whole.targets[order])


@pytest.mark.parametrize("given", [{"WORLD_SIZE": "two"}, {"WORLD_SIZE": "2"}, {"LOCAL_RANK": "first"}])
def test_an_environment_that_torchrun_did_not_make_is_one_line(monkeypatch, given):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnusableInputError, match="torchrun"), processes.team():
        pass


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    with pytest.raises(UnusableInputError, match="3 processes cannot share a batch of 8"):
        Run(start(), collection(), RECIPE, tmp_path, team=Team(0, 3))


def test_a_process_alone_gathers_what_it_has_and_adds_nothing():
    alone = Team()
    templates = torch.rand(3, 4)
    assert alone.gather(templates) is templates
    alone.sum_gradients([])
    alone.wait()
    assert alone.leads
