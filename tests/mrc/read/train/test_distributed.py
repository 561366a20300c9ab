"""Distributed training: the same reader as with one process, and no process outlives the others."""

import json
import os

import numpy as np
import pytest
import torch

from mrc.errors import BadCheckpoint, NoDevice, TrainingDiverged, WorkerDied
from mrc.read.model.reader import Reader
from mrc.read.train import distributed, worker
from mrc.read.train.job import Job
from mrc.read.train.trainer import train
from mrc.read.train_config import DevExample
from tests.mrc import tiny
from tests.mrc.read.train.examples import CONFIG, batch_of, changed, example, impossible

EXAMPLES = [example(0, negatives=("The mill stands in Tarn.",), golds=("Mira",), weight=0.5), impossible(1)]
EXAMPLES += [example(number, human_labelled=number % 3 > 0, also=((0, 8),)) for number in range(2, 8)]
DEV = [DevExample("d", "Who?", "Tarn", ("Tarn",))]
TWO = changed(CONFIG, processes=2, max_steps=5, batch_size=3, layer_decay=0.9, token_masking=0.2)


@pytest.fixture
def start(tmp_path):
    return tiny.bert(tmp_path / "still", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def test_a_job_is_read_back_as_it_was_written(tmp_path):
    job = Job(
        EXAMPLES,
        "start",
        TWO,
        3,
        tmp_path / "reader",
        DEV,
        {"who 1": 0.5},
        "korquad",
        ("teacher",),
        False,
        "cpu",
        "fp32",
    )
    job.write(tmp_path / "job.json")
    again = Job.read(tmp_path / "job.json")
    assert again == job
    assert again.fingerprint == job.fingerprint


def test_two_processes_train_the_same_reader_as_one(start, tmp_path):
    more = {"start": start, "seed": 0, "dev": DEV}
    config = changed(TWO, rl_epochs=0.5, early_stopping_patience=3)
    reported = []
    both = train(
        EXAMPLES, folder=tmp_path / "two", config=config, progress=lambda *step: reported.append(step[:2]), **more
    )
    alone = train(EXAMPLES, folder=tmp_path / "one", config=changed(config, processes=1), **more)
    assert reported == [(step, 6) for step in range(1, 7)]
    assert (both.steps, both.examples) == (alone.steps, alone.examples) == (6, 8)
    assert both.loss == pytest.approx(alone.loss, rel=1e-5)
    one, two = (Reader.load(result.folder, device="cpu", precision="fp32") for result in (alone, both))
    (batch,) = batch_of(EXAMPLES, batch_tokens=10_000)
    for side in ("start", "end"):
        logits = [getattr(reader.logits(batch.batch, band=1), side) for reader in (one, two)]
        one_says, two_say = (
            each - each.mean() for each in logits
        )  # a softmax knows no constant, nor has it a gradient
        np.testing.assert_allclose(one_says, two_say, atol=1e-5)
    assert not (tmp_path / "two.partial").exists()


def test_an_error_of_a_worker_is_the_error_of_the_training(start, tmp_path):
    job = Job(EXAMPLES, start, TWO, 0, tmp_path / "reader")
    job.partial.mkdir()
    distributed.write_error(job, 1, TrainingDiverged("update 3, phase main: the loss is nan"))
    raised = distributed.worker_error(job)
    assert (type(raised), str(raised)) == (TrainingDiverged, "update 3, phase main: the loss is nan")


def test_an_error_before_a_worker_joins_the_group_is_raised_too(start, tmp_path, monkeypatch):
    job = Job(EXAMPLES, start, TWO, 0, tmp_path / "reader")
    job.write(job.partial / distributed.JOB_FILE)
    (start / "config.json").write_text("{broken")
    monkeypatch.setenv("RANK", "1")
    assert worker.main(str(job.partial / distributed.JOB_FILE), str(os.getpid())) == 1
    raised = distributed.worker_error(job)
    assert type(raised) is BadCheckpoint
    assert str(start) in str(raised)


def test_a_worker_that_dies_gives_one_clear_line(start, tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "WORKER", "tests.mrc.read.train.dying_worker")
    reported = []
    with pytest.raises(WorkerDied, match=r"a training process died; its output is in .*workers\.log; train again"):
        train(EXAMPLES, start=start, seed=0, folder=tmp_path / "r", config=TWO, progress=lambda *s: reported.append(s))
    assert reported in ([], [(1, 6, 0.5, 1.0)])
    assert "exitcode" in (tmp_path / "r.partial" / "workers.log").read_text()


def test_a_process_without_its_parent_exits(monkeypatch):
    class Nobody:
        process_index, num_processes, device = 0, 2, "cpu"

        def reduce(self, values, reduction):
            return values

    gone = os.fork()
    if not gone:
        os._exit(0)
    os.waitpid(gone, 0)
    assert distributed.AccelerateGroup(Nobody(), os.getpid()).any(True) is True
    with pytest.raises(SystemExit):
        distributed.AccelerateGroup(Nobody(), gone).any(False)


def test_there_are_at_most_as_many_processes_as_gpus_and_0_means_one_for_each(monkeypatch):
    assert distributed.process_count(changed(TWO, processes=0), device="cpu") == 1  # no GPU asked for
    assert distributed.process_count(TWO, device="cpu") == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert distributed.process_count(changed(TWO, processes=0), device="cuda") == 3
    with pytest.raises(NoDevice, match="processes = 4: this machine has 3 usable GPUs"):
        distributed.process_count(changed(TWO, processes=4), device="cuda")


def test_all_reduce_sums_gradients_and_skips_weights_without_one():
    class Double:
        process_index, num_processes, device = 0, 2, "cpu"

        def reduce(self, values, reduction):
            return values * 2

    model = torch.nn.ModuleList([torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(2, 1)])
    model[0].weight.grad = torch.tensor([[1.0, 2.0]])
    assert distributed.AccelerateGroup(Double(), os.getpid()).all_reduce(model, [0.5, 3]) == [1, 6]
    assert model[0].weight.grad.tolist() == [[2, 4]]
    assert model[1].weight.grad is None
    assert json.dumps([1, 6])  # plain numbers
