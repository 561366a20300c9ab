"""Training: it learns, resumes after a kill, and lists unusable examples."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mrc.errors import BadCheckpoint, DataError, TrainingDiverged
from mrc.read.config import ReadConfig, WindowConfig
from mrc.read.model.loading import load_model
from mrc.read.model.reader import Reader, model_hash
from mrc.read.train import update
from mrc.read.train.trainer import train
from mrc.read.train_config import HEADS, TrainConfig, TrainingExample
from tests.mrc import tiny
from tests.mrc.read.train.examples import CONFIG, batch_of, example

READ = ReadConfig(max_seq_length=96, doc_stride=16, max_answer_length=8)
EXAMPLES = [example(number) for number in range(8)]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return tiny.bert(tmp_path_factory.mktemp("start") / "bert")


def run(start, folder, *, examples=EXAMPLES, config=CONFIG, seed=0, **more):
    return train(examples, start=start, config=config, seed=seed, folder=folder, device="cpu", **more)


@pytest.mark.parametrize("head", HEADS)
def test_a_reader_memorises_eight_examples(head, start, tmp_path):
    config = replace(CONFIG, head=head, max_steps=120, batch_size=8, learning_rate=3e-3, head_learning_rate=1e-2)
    nothing = TrainingExample("q8", "Who founded 8?", "The mill stands in Tarn.", -1, -1)
    result = run(start, tmp_path / "reader", examples=[*EXAMPLES, nothing], config=config)
    assert (result.examples, result.steps, result.unusable) == (9, 120, ())
    *found, empty = Reader.load(result.folder).answer(
        [(item.question, item.context) for item in [*EXAMPLES, nothing]], READ
    )
    assert [prediction.answers[0].text for prediction in found] == [
        item.context[item.start : item.end] for item in EXAMPLES
    ]
    assert empty.null_score > empty.answers[0].score
    assert result.loss < 0.2
    assert Reader.load(result.folder).default_config.windows == config.windows


PRESSED = """
import json, os, signal, sys
from pathlib import Path
from tests.mrc.read.train.test_train import CONFIG, replace, run
start, folder = map(Path, sys.argv[1:])
def press(step, total, loss, seconds_left):
    print(step, flush=True)
    if step == 3:
        os.kill(os.getpid(), signal.SIGINT)
try:
    print(run(start, folder, config=replace(CONFIG, checkpoint_every=100), progress=press).hash)
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_ctrl_c_keeps_every_update_that_was_made(start, tmp_path):
    """In processes of their own: only the main thread of a process hears Ctrl-C."""
    whole = run(start, tmp_path / "whole", config=replace(CONFIG, checkpoint_every=100))
    command = [sys.executable, "-c", PRESSED, str(start), str(tmp_path / "stopped")]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first.split() == ["1", "2", "3", "interrupted", "True"]
    assert second.split() == ["4", "5", "6", whole.hash], "no update was repeated, none left out"


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_a_training_stopped_anywhere_ends_in_the_same_bits(stop, start, tmp_path):
    whole = run(start, tmp_path / "whole")

    def interrupt(step, total, loss, seconds_left):
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(start, tmp_path / "stopped", progress=interrupt)
    assert not (tmp_path / "stopped").exists()
    steps = []
    resumed = run(start, tmp_path / "stopped", progress=lambda step, total, loss, left: steps.append((step, total)))
    assert steps == [(step, 6) for step in range(stop - stop % 2 + 1, 7)]  # a checkpoint every 2 updates
    assert (resumed.hash, resumed.loss) == (whole.hash, whole.loss)
    assert not (tmp_path / "stopped.partial").exists()


def record(result):
    return json.loads((result.folder / "training.json").read_text())


@pytest.mark.parametrize("stop", [2, 4, 5])  # before the average begins, within it, between two checkpoints
def test_the_average_and_the_losses_of_a_training_survive_a_kill(stop, start, tmp_path):
    config = replace(CONFIG, average=0.5)
    whole = run(start, tmp_path / "whole", config=config)

    def interrupt(step, total, loss, seconds_left):
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(start, tmp_path / "stopped", config=config, progress=interrupt)
    resumed = run(start, tmp_path / "stopped", config=config)
    assert resumed.hash == whole.hash
    assert record(resumed)["main_losses"] == record(whole)["main_losses"]


@pytest.mark.parametrize(("share", "count"), [(0.5, 3), (0.1, 1), (1.0, 6)])
def test_the_saved_weights_are_the_mean_after_the_last_updates(share, count, start, tmp_path, monkeypatch):
    after = []
    apply = update.apply_gradients

    def kept(model, *rest):
        wrong = apply(model, *rest)
        after.append({name: weights.detach().clone() for name, weights in model.named_parameters()})
        return wrong

    monkeypatch.setattr(update, "apply_gradients", kept)
    result = run(start, tmp_path / "averaged", config=replace(CONFIG, average=share))
    assert len(after) == 6
    stored = dict(
        load_model(result.folder, device=torch.device("cpu"), dtype=torch.float32, head="auto").named_parameters()
    )
    assert stored.keys() == after[0].keys()
    for name, weights in stored.items():
        mean = torch.stack([each[name].double() for each in after[-count:]]).mean(0)
        torch.testing.assert_close(weights.detach().double(), mean, rtol=1e-5, atol=1e-7)


def test_without_an_average_the_last_weights_are_saved(start, tmp_path):
    last = run(start, tmp_path / "last")
    one = run(start, tmp_path / "one", config=replace(CONFIG, average=0.1))  # of the last update alone
    assert last.hash == one.hash


def test_an_average_and_early_stopping_exclude_each_other():
    with pytest.raises(ValueError, match="average and early_stopping_patience exclude each other"):
        TrainConfig(average=0.2, early_stopping_patience=2)


def test_the_losses_of_both_ends_of_the_main_phase_are_recorded(start, tmp_path):
    seen = []
    config = replace(CONFIG, max_steps=20)
    result = run(start, tmp_path / "reader", config=config, progress=lambda step, total, loss, left: seen.append(loss))
    assert record(result)["main_losses"] == [np.mean(seen[:2]), np.mean(seen[-2:])]


def test_an_incomplete_checkpoint_is_never_used(start, tmp_path):
    partial = tmp_path / "reader.partial" / "draft"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_bytes(b"half")
    assert run(start, tmp_path / "reader").hash == run(start, tmp_path / "undisturbed").hash


def test_a_checkpoint_of_another_training_is_not_continued(start, tmp_path, caplog):
    def interrupt(step, total, loss, seconds_left):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(start, tmp_path / "reader", progress=interrupt, seed=1)
    assert run(start, tmp_path / "reader").hash == run(start, tmp_path / "undisturbed").hash
    assert "another training" in caplog.text


def test_a_finished_folder_is_returned_and_one_with_something_else_is_refused(start, tmp_path):
    first = run(start, tmp_path / "reader")
    assert run(start, tmp_path / "reader") == first
    assert first.hash == model_hash(first.folder)
    with pytest.raises(BadCheckpoint, match="holds something else"):
        run(start, tmp_path / "reader", seed=1)


def test_seed_data_and_settings_each_change_the_result(start, tmp_path):
    heard = [
        run(start, tmp_path / "a").hash,
        run(start, tmp_path / "b", seed=1).hash,
        run(start, tmp_path / "c", examples=EXAMPLES[1:]).hash,
        run(start, tmp_path / "d", config=replace(CONFIG, learning_rate=2e-3)).hash,
        run(start, tmp_path / "e", examples=[replace(EXAMPLES[0], weight=0.5), *EXAMPLES[1:]]).hash,
    ]
    assert len(set(heard)) == len(heard)


def test_training_does_not_change_the_callers_random_state(start, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run(start, tmp_path / "reader")
    assert torch.equal(torch.rand(2), expected)


def test_a_loss_that_is_not_finite_stops_at_the_update(start, tmp_path):
    broken = tiny.bert(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["qa_outputs.weight"][:] = math.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        TrainingDiverged, match="update 1, phase main: the loss is nan; there is no checkpoint yet; lower"
    ):
        run(broken, tmp_path / "reader")


def test_unusable_examples_are_listed_and_without_usable_ones_there_is_an_error(start, tmp_path):
    lost = TrainingExample("lost", "Who?", "Tarn \u200b\u200b.", 5, 7)
    result = run(start, tmp_path / "reader", examples=[*EXAMPLES, lost])
    assert result.unusable == ("lost",)
    assert result.examples == 8
    assert json.loads((result.folder / "training.json").read_text())["unusable"] == ["lost"]
    with pytest.raises(DataError, match="none of 1 examples can train"):
        run(start, tmp_path / "none", examples=[lost])


def test_windows_beyond_the_models_positions_are_refused(start, tmp_path):
    with pytest.raises(BadCheckpoint, match="set max_seq_length = 130 or less"):
        run(start, tmp_path / "reader", config=TrainConfig())


@pytest.mark.parametrize(("start_at", "end_at"), [(0, 0), (3, 2), (-1, 4), (0, 10**6)])
def test_a_span_outside_its_context_is_refused(start_at, end_at):
    with pytest.raises(ValueError, match="q1: span"):
        TrainingExample("q1", "Who?", "Tarn", start_at, end_at)


def test_an_answer_in_two_windows_counts_in_both_and_no_answer_is_the_first_token_of_each():
    context = "mill " * 60 + "Tarn " + "mill " * 60
    seen = TrainingExample("seen", "Who?", context, 300, 304)
    nothing = TrainingExample("nothing", "Who?", context, -1, -1)
    (with_answer,) = batch_of([seen], batch_tokens=10_000, windows=WindowConfig(96, 38))
    (without,) = batch_of([nothing], batch_tokens=10_000, windows=WindowConfig(96, 38))
    rows = len(with_answer.batch.ids)
    tarn = tiny.wordpiece().convert_tokens_to_ids("tarn")
    assert with_answer.start.sum() == (with_answer.batch.ids == tarn).sum() >= 1
    assert np.array_equal(without.start, without.end)
    assert without.start[:, 0].all()
    assert without.start.sum() == rows


def test_a_question_is_never_split_over_two_forward_passes():
    examples = [example(number, negatives=("mill " * 30,) * 3) for number in range(4)]
    batches = batch_of(examples, batch_tokens=8)
    assert [batch.sizes for batch in batches] == [(4,)] * 4


def test_gradients_do_not_depend_on_how_an_update_is_split(start, tmp_path):
    config = replace(CONFIG, max_steps=1, batch_size=8)
    still = tiny.bert(tmp_path / "still", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    one = run(still, tmp_path / "one", config=replace(config, batch_tokens=10_000), precision="fp32")
    many = run(still, tmp_path / "many", config=replace(config, batch_tokens=1), precision="fp32")
    whole, cut = (load_file(result.folder / "model.safetensors") for result in (one, many))
    assert one.loss == pytest.approx(many.loss, rel=1e-5)
    assert sum(float((whole[name] - cut[name]).abs().mean()) for name in whole) < 1e-3
