"""Options of training: the effect of each, and resuming with all of them."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mrc.encoder.loading import load_tokenizer
from mrc.errors import DataError, OutOfMemory, TrainingDiverged
from mrc.read.config import BuiltinConfig
from mrc.read.data.batches import masked_words, micro_batches
from mrc.read.data.tokenized import tokenize_examples
from mrc.read.data.windows import Windower
from mrc.read.model import loading
from mrc.read.model.builtin import build_builtin
from mrc.read.model.loading import load_model
from mrc.read.model.network import SpanModel
from mrc.read.model.reader import Reader, windower_of
from mrc.read.train import dev, loop, update
from mrc.read.train.dev import DevScore
from mrc.read.train.losses import EXCLUDED
from mrc.read.train.rl import RlRewards
from mrc.read.train.schedule import balanced
from mrc.read.train.trainer import train
from mrc.read.train_config import DevExample, TrainingExample
from tests.mrc import tiny
from tests.mrc.read.train.examples import CONFIG, changed, example, impossible

EXAMPLES = [example(number) for number in range(8)]
ALL = changed(
    CONFIG,
    head="biaffine",
    exact_match_features="words",
    max_steps=4,
    batch_size=4,
    token_masking=0.2,
    question_dropout=0.1,
    soft_spans=0.1,
    gold_epochs=1,
    rl_epochs=1,
    layer_decay=0.9,
    balance="both",
    checkpoint_every=3,
)
DEV = [DevExample(item.id, item.question, item.context, (item.context[item.start : item.end],)) for item in EXAMPLES]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return tiny.bert(tmp_path_factory.mktemp("start") / "bert")


def run(start, folder, *, examples=EXAMPLES, config=CONFIG, seed=0, **more):
    return train(examples, start=start, config=config, seed=seed, folder=folder, device="cpu", **more)


def stopped(start, folder, *, after, **more):
    """A training that was killed after an update."""

    def interrupt(step, total, loss, seconds_left):
        if step == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(start, folder, progress=interrupt, **more)


def plain_updates(*, seed):
    """Six updates of nine examples, every third one human-labelled: 4 x 3 against 2 x 6 passes are half of each kind,
    1.5 of 3 in turn."""
    rng = np.random.default_rng(seed)
    human = np.concatenate([rng.permutation([0, 3, 6]) for _ in range(3)]).tolist()
    others = np.concatenate([rng.permutation([1, 2, 4, 5, 7, 8]) for _ in range(2)]).tolist()
    for count in (2, 1, 1, 2, 2, 1):  # 1.5, 3, 4.5, 6, 7.5, 9 rounded half to even
        yield [*human[:count], *others[: 3 - count]]
        del human[:count], others[: 3 - count]


def plain_windows(item, windower):
    """The windows of an example, each with its right first and last positions."""
    (question,) = windower.questions([item.question], max_seq_length=96)
    found = []
    for rank, tokens in enumerate(windower.passages([item.context, *item.negatives])):
        inside = [n for n, (begin, end) in enumerate(tokens.offsets) if begin < item.end and end > item.start]
        (window,) = windower.windows(question, tokens, max_seq_length=96, doc_stride=16)
        right = (window.null, window.null) if item.start < 0 else ()
        if item.start >= 0 and rank == 0:
            right = (window.first + inside[0], window.first + inside[-1])
        found.append((window, right))
    return found


def plain_batch(examples, windower):
    """Inputs (B, T), masks (B, T) of all positions that may be right and of those that are, windows and weight of each
    example; the longest example comes first."""
    groups = [(plain_windows(item, windower), item.weight) for item in examples]
    groups.sort(key=lambda group: -max(len(window.ids) for window, _ in group[0]))
    rows = [row for windows, _ in groups for row in windows]
    width = -(-max(len(window.ids) for window, _ in rows) // 8) * 8
    ids, types, attention, match_levels = (torch.zeros(len(rows), width, dtype=torch.int64) for _ in range(4))
    ids[:] = windower.pad_id
    allowed, *right = (torch.zeros(len(rows), width, dtype=torch.bool) for _ in range(3))
    for row, (window, places) in enumerate(rows):
        length = len(window.ids)
        ids[row, :length], types[row, :length] = torch.from_numpy(window.ids), torch.from_numpy(window.types)
        attention[row, :length] = 1
        allowed[row, window.first : window.first + window.count] = allowed[row, window.null] = True
        for side, place in zip(right, places, strict=False):
            side[row, place] = True
    sizes, weights = [len(windows) for windows, _ in groups], [weight for _, weight in groups]
    return (ids, types, attention, match_levels), allowed, right, sizes, torch.tensor(weights)


def plain_training(start, examples, *, seed):
    """The weights after the same updates by the shortest loop there is: without any of the options."""
    model = load_model(start, device=torch.device("cpu"), dtype=torch.float32, head="linear", seed=seed)
    windower = windower_of(load_tokenizer(start), model.config, start)
    parts = [(model.encoder, 1e-3), (model.head, 5e-4)]
    groups = [
        {"params": [p for p in part.parameters() if (p.dim() > 1) == decays], "peak": rate, "weight_decay": decay}
        for part, rate in parts
        for decays, decay in ((True, 0.01), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    rates = (1 / 2, 5 / 5, 4 / 5, 3 / 5, 2 / 5, 1 / 5)  # one update of warm-up
    for step, (rate, numbers) in enumerate(zip(rates, plain_updates(seed=seed), strict=True)):
        torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint32)[0]))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        model.train()
        inputs, allowed, right, sizes, weights = plain_batch([examples[number] for number in numbers], windower)
        scores, losses = model(*inputs), []
        for logits, found in zip((scores.start, scores.end), right, strict=True):
            sums = [
                torch.split(logits.masked_fill(~mask, EXCLUDED).logsumexp(dim=1), sizes) for mask in (allowed, found)
            ]
            losses.append(torch.stack([a.logsumexp(dim=0) - b.logsumexp(dim=0) for a, b in zip(*sums, strict=True)]))
        (((losses[0] + losses[1]) / 2 * weights).sum() / 3).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model.weights()


def test_default_options_equal_a_plain_training_loop_bit_for_bit(tmp_path):
    texts = [item.context for item in EXAMPLES] + [item.question for item in EXAMPLES]
    small = BuiltinConfig(vocab_size=300, hidden_size=32, heads=2, positions=96)
    folder = build_builtin(texts, tmp_path / "builtin", seed=0, config=small)
    examples = [
        replace(item, weight=0.5, human_labelled=False, negatives=(EXAMPLES[0].context,)) if number % 3 else item
        for number, item in enumerate([*EXAMPLES, impossible(9)])
    ]
    result = run(folder, tmp_path / "reader", examples=examples)
    found = load_file(result.folder / "model.safetensors")
    expected = plain_training(folder, examples, seed=0)
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], rtol=0, atol=0, equal_nan=True) for name in found)


@pytest.mark.parametrize("after", [2, 4, 5, 7])
def test_all_phases_and_options_killed_anywhere_end_in_the_same_bits(after, start, tmp_path):
    some = [replace(item, human_labelled=number % 4 > 0) for number, item in enumerate(EXAMPLES)]
    whole = run(start, tmp_path / "whole", examples=some, config=ALL)
    assert whole.steps == 4 + 2 + 2  # 6 of the 8 are human-labelled: two updates for each later phase
    stopped(start, tmp_path / "stopped", after=after, examples=some, config=ALL)
    assert run(start, tmp_path / "stopped", examples=some, config=ALL).hash == whole.hash
    record = json.loads((tmp_path / "stopped" / "training.json").read_text())
    assert len(record["rewards"]) == 2
    assert record["rewards"] == json.loads((tmp_path / "whole" / "training.json").read_text())["rewards"]


@pytest.mark.parametrize(
    "change",
    [
        {"head": "biaffine"},
        {"exact_match_features": "words"},
        {"token_masking": 0.3},
        {"span_masking": 0.3},
        {"question_dropout": 0.5},
        {"soft_spans": 0.2},
        {"gold_epochs": 1},
        {"rl_epochs": 1},
        {"human_labelled_share": 0.9},
        {"pseudo_epochs": 2},
        {"rl_epochs": 1, "rl_weight": 0.02},
        {"rl_epochs": 1, "rl_samples": 1},
        {"layer_decay": 0.8},
        {"average": 0.5},
        {"attention_dropout": 0.0},
        {"balance": "repeats"},
        {"balance": "weights"},
        {"distill_temperature": 3.0, "distill_weight": 0.5},
    ],
)
def test_each_option_changes_the_trained_weights(change, start, tmp_path):
    asked = ["Who founded it?"] * 7 + ["When was it founded?"]
    mixed = [replace(item, question=asked[n], human_labelled=n > 2) for n, item in enumerate(EXAMPLES)]
    teachers = {"teachers": [Reader.load(start, device="cpu")]} if "distill_weight" in change else {}
    config = changed(
        CONFIG, batch_size=4, pseudo_epochs=6, rl_epochs=change.get("rl_epochs", 0) if len(change) > 1 else 0
    )
    under = run(start, tmp_path / "changed", examples=mixed, config=changed(config, **change), **teachers)
    plain = run(start, tmp_path / "plain", examples=mixed, config=config)
    one, other = (load_file(result.folder / "model.safetensors") for result in (under, plain))
    assert any(not torch.equal(one[name], other[name]) for name in other)


def test_masked_words_avoid_the_answer_and_do_not_depend_on_how_an_update_is_split():
    config = changed(CONFIG, token_masking=0.6, span_masking=0.4, question_dropout=0.5)
    windower = Windower(tiny.wordpiece())
    items, _, _ = tokenize_examples([*EXAMPLES, impossible(9)], windower, config)

    def noised(budget):
        for batch in micro_batches(items, windower, config, budget=budget):
            noise = masked_words(batch, config, mask_id=windower.mask_id, rng_of=np.random.default_rng)
            for member, rows in zip(batch.members, batch.rows(), strict=True):
                length = int(batch.batch.attention[rows].sum(axis=1).max())
                yield member, (batch.batch.ids[rows, :length], noise.batch.ids[rows, :length], batch, rows.start)

    whole, cut = dict(noised(10_000)), dict(noised(1))
    assert all(np.array_equal(whole[member][1], cut[member][1]) for member in range(len(items)))
    for member, (before, after, batch, row) in whole.items():
        assert member == 8 or not np.array_equal(before, after)
        for _, first, more in batch.spans[batch.spans[:, 0] == row]:
            assert np.array_equal(before[0, first : first + more + 1], after[0, first : first + more + 1])


def test_the_later_phases_mask_no_words_and_the_last_has_no_dropout(start, tmp_path, monkeypatch):
    seen = []
    noise, losses = update.masked_words, update.question_losses
    monkeypatch.setattr(update, "masked_words", lambda *args, **more: seen.append("noise") or noise(*args, **more))
    monkeypatch.setattr(update, "question_losses", lambda *args: seen.append("read") or losses(*args))
    forward = SpanModel.forward
    monkeypatch.setattr(
        SpanModel, "forward", lambda self, *args: seen.append(self.encoder.training) or forward(self, *args)
    )
    config = changed(CONFIG, max_steps=1, token_masking=0.3, gold_epochs=0.5, rl_epochs=0.5, batch_size=8)
    run(start, tmp_path / "reader", examples=[example(n) for n in range(16)], config=config)
    assert seen == ["noise", True, "read", True, "read", False, "read"]


def test_the_reward_is_a_share_of_the_loss_over_the_requested_number_of_samples(start, tmp_path, monkeypatch):
    asked, reported = [], []

    def rewarded(scores, batch, *, samples, **more):
        asked.append(samples)
        return scores.start.sum(dim=1) * 0 + 10, [RlRewards(0.5, 0.5)] * len(batch.sizes)

    monkeypatch.setattr(update, "rl_losses", rewarded)
    monkeypatch.setattr(update, "question_losses", lambda scores, *_: scores.start.sum(dim=1) * 0 + 2)
    config = changed(CONFIG, max_steps=1, batch_size=8, rl_epochs=1, rl_weight=0.05, rl_samples=7)
    run(start, tmp_path / "reader", config=config, progress=lambda step, total, loss, left: reported.append(loss))
    assert reported == pytest.approx([2, 0.95 * 2 + 0.05 * 10])
    assert asked == [7]


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(start, tmp_path, monkeypatch):
    config = changed(CONFIG, gold_epochs=2)
    total = update.weighted_sum
    monkeypatch.setattr(update, "weighted_sum", lambda losses, batch: total(losses, batch) * broken.pop(0))
    broken = [1.0] * 8 + [float("nan")] * 9
    with pytest.raises(TrainingDiverged) as raised:
        run(start, tmp_path / "reader", config=config)
    kept = tmp_path / "reader.partial"
    assert str(raised.value) == (
        "update 9, phase gold: the loss is nan; the checkpoint of update 8 is kept in "
        f"{kept}; lower learning_rate and train again"
    )
    assert [folder.name for folder in kept.glob("step-*")] == ["step-00000008"]
    good = load_file(kept / "step-00000008" / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in good.values())
    monkeypatch.undo()
    assert run(start, tmp_path / "reader", config=config).hash == run(start, tmp_path / "other", config=config).hash


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change(start, tmp_path, monkeypatch):
    losses = update.question_losses
    monkeypatch.setattr(update, "question_losses", lambda *args: losses(*args) + (0 * args[0].start).sum().abs().sqrt())
    with pytest.raises(TrainingDiverged, match="update 1, phase main: the gradient is nan"):
        run(start, tmp_path / "reader")


def short_of_memory(monkeypatch, error, *, room):
    """Forward passes of more than `room` padded tokens fail."""
    forward = SpanModel.forward

    def failing(self, ids, *others):
        if ids.numel() > room:
            raise error
        return forward(self, ids, *others)

    monkeypatch.setattr(SpanModel, "forward", failing)


ERRORS = [
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory: you tried"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
]


@pytest.mark.parametrize("error", ERRORS, ids=["cpu", "cuda"])
def test_out_of_memory_halves_the_forward_passes_and_the_log_says_so(error, start, tmp_path, monkeypatch, caplog):
    config = changed(CONFIG, batch_size=8, batch_tokens=512)
    small = run(start, tmp_path / "small", config=changed(config, batch_tokens=128))
    short_of_memory(monkeypatch, error, room=130)
    with caplog.at_level(logging.WARNING):
        halved = run(start, tmp_path / "halved", config=config)
    reported = [record.getMessage() for record in caplog.records if "out of memory" in record.getMessage()]
    assert reported == [f"out of memory: forward passes of {tokens} tokens from now on" for tokens in (256, 128)]
    one, other = (load_file(result.folder / "model.safetensors") for result in (small, halved))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("after", [2, 3])
def test_a_training_killed_after_a_halving_resumes_with_the_smaller_passes(after, start, tmp_path, monkeypatch):
    config = changed(CONFIG, batch_size=8, batch_tokens=200, checkpoint_every=100)
    forward, calls = SpanModel.forward, []

    def fails_once(self, ids, *others):
        calls.append(ids.numel())
        if len(calls) == 2:  # in the second update; it does not come again in the resumed training
            raise ERRORS[0]
        return forward(self, ids, *others)

    monkeypatch.setattr(SpanModel, "forward", fails_once)
    whole = run(start, tmp_path / "whole", config=config)
    calls.clear()
    stopped(start, tmp_path / "stopped", after=after, config=config)
    assert run(start, tmp_path / "stopped", config=config).hash == whole.hash


def test_a_single_question_too_large_for_memory_is_an_error_with_a_remedy(start, tmp_path, monkeypatch):
    short_of_memory(monkeypatch, ERRORS[1], room=8)
    with pytest.raises(OutOfMemory, match=r"a single question .* lower max_seq_length"):
        run(start, tmp_path / "reader")


def test_another_runtime_error_is_not_taken_for_a_lack_of_memory(start, tmp_path, monkeypatch):
    short_of_memory(monkeypatch, RuntimeError("shapes differ"), room=8)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(start, tmp_path / "reader")


def test_training_stops_when_dev_is_no_better_and_the_best_weights_are_saved(start, tmp_path):
    never_right = [
        DevExample("d", "Who?", "Tarn", ("nobody at all",))
    ]  # never right: the first evaluation remains the best
    config = changed(CONFIG, max_steps=None, epochs=20, batch_size=8, early_stopping_patience=2, evaluate_every=2.0)
    found = run(start, tmp_path / "reader", config=config, dev=never_right)
    assert found.steps == 6  # evaluated after updates 2, 4 and 6: two without a better score
    record = json.loads((found.folder / "training.json").read_text())
    assert record["best"] == {"step": 2, "exact_match": 0.0, "f1": 0.0}
    stopped(start, tmp_path / "second", after=2, config=config, dev=never_right)
    then = load_file(tmp_path / "second.partial" / "best.safetensors")["head.qa_outputs.weight"]
    stopped(start, tmp_path / "fourth", after=4, config=config, dev=never_right)
    later = max((tmp_path / "fourth.partial").glob("step-*")) / "model.safetensors"
    saved = load_file(found.folder / "model.safetensors")["qa_outputs.weight"]
    assert torch.equal(saved, then)
    assert not torch.equal(saved, load_file(later)["head.qa_outputs.weight"])


@pytest.mark.parametrize("after", [1, 3, 5])
def test_early_stopping_killed_anywhere_ends_in_the_same_bits(after, start, tmp_path):
    config = changed(
        CONFIG, max_steps=12, early_stopping_patience=2, evaluate_every=0.5, learning_rate=3e-3, batch_size=4
    )
    whole = run(start, tmp_path / "whole", config=config, dev=DEV)
    stopped(start, tmp_path / "stopped", after=after, config=config, dev=DEV)
    again = run(start, tmp_path / "stopped", config=config, dev=DEV)
    assert (again.hash, again.steps) == (whole.hash, whole.steps)


NEVER_RIGHT = [
    DevExample("d", "Who?", "Tarn", ("nobody at all",))
]  # never right: the first evaluation remains the best
PATIENT = changed(
    CONFIG,
    max_steps=None,
    epochs=20,
    batch_size=4,
    early_stopping_patience=2,
    gold_epochs=1,
    rl_epochs=1,
    checkpoint_every=3,
)


def test_a_main_phase_that_gets_no_better_is_stopped_and_the_later_ones_start_from_its_best(
    start, tmp_path, monkeypatch
):
    began, gradients = {}, update.compute_gradients

    def watched(model, ctx, step, **more):
        weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        began.setdefault(ctx.plan.updates[step].phase, weights)
        return gradients(model, ctx, step, **more)

    monkeypatch.setattr(update, "compute_gradients", watched)
    reported = []
    found = run(
        start, tmp_path / "reader", config=PATIENT, dev=NEVER_RIGHT, progress=lambda *each: reported.append(each[:2])
    )
    assert reported == [(step, 44) for step in (*range(1, 7), *range(41, 45))]  # evaluated after 2, 4, 6 of 40
    assert found.steps == 6 + 2 + 2
    record = json.loads((found.folder / "training.json").read_text())
    assert record["best"]["step"] == 2
    assert len(record["rewards"]) == 2
    best = load_file(found.folder / "model.safetensors")  # of the second update
    for name, value in best.items():
        mine = name if name.startswith("bert.") else f"head.{name}"
        assert torch.equal(began["gold"][mine.replace("bert.", "encoder.", 1)], value)


def test_a_later_phase_with_a_better_dev_score_is_saved(start, tmp_path, monkeypatch):
    likes = {2: 0.5, 8: 0.9}  # the gold phase ends with the eighth update
    monkeypatch.setattr(loop, "dev_score", lambda *_, step, **__: DevScore(step, likes.get(step, 0.1), 0.0))
    found = run(start, tmp_path / "reader", config=PATIENT, dev=NEVER_RIGHT)
    assert json.loads((found.folder / "training.json").read_text())["best"]["step"] == 8


@pytest.mark.parametrize("after", [3, 5, 6, 41, 42, 43])
def test_a_training_stopped_early_and_killed_anywhere_ends_in_the_same_bits(after, start, tmp_path, monkeypatch):
    likes = {
        2: 0.5,
        7: 0.7,
        10: 0.9,
    }  # the seventh update's weights take the place of those that were gone on from
    monkeypatch.setattr(loop, "dev_score", lambda *_, step, **__: DevScore(step, likes.get(step, 0.1), 0.0))
    config = replace(PATIENT, gold_epochs=2, evaluate_every=0.5, early_stopping_patience=4, checkpoint_every=4)
    whole = run(start, tmp_path / "whole", config=config, dev=NEVER_RIGHT)
    assert json.loads((whole.folder / "training.json").read_text())["best"]["step"] == 10
    stopped(start, tmp_path / "stopped", after=after, config=config, dev=NEVER_RIGHT)
    again = run(start, tmp_path / "stopped", config=config, dev=NEVER_RIGHT)
    assert (again.hash, again.steps) == (whole.hash, whole.steps) == (whole.hash, 6 + 4 + 2)


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_dev_is_read_in_the_precision_of_the_finished_reader(precision, expected, start, tmp_path, monkeypatch):
    seen, score = [], dev.Reader.read

    def reading(self, *args, **more):
        seen.append((next(self._model.encoder.parameters()).dtype, next(self._model.head.parameters()).dtype))
        return score(self, *args, **more)

    monkeypatch.setattr(dev.Reader, "read", reading)
    config = changed(CONFIG, max_steps=2, early_stopping_patience=1, checkpoint_every=1)
    stopped(start, tmp_path / "reader", after=2, config=config, dev=DEV, precision=precision)
    assert seen[0] == (expected, torch.float32)
    kept = load_file(tmp_path / "reader.partial" / "best.safetensors")
    assert {value.dtype for value in kept.values()} == {torch.float32}


def test_a_reader_trained_without_attention_dropout_is_saved_with_that_of_its_start(tmp_path, caplog):
    start = tiny.bert(tmp_path / "start", attention_probs_dropout_prob=0.1)
    found = run(start, tmp_path / "reader", config=changed(CONFIG, max_steps=1, attention_dropout=0.0))
    assert json.loads((found.folder / "config.json").read_text())["attention_probs_dropout_prob"] == 0.1
    again = load_model(found.folder, device=torch.device("cpu"), dtype=torch.float32, head="linear")
    assert again.config.attention_probs_dropout_prob == 0.1
    assert "attention_dropout" not in caplog.text


def test_an_attention_dropout_unknown_to_the_configuration_is_logged(start, monkeypatch, caplog):
    monkeypatch.setattr(loading, "ATTENTION_DROPOUTS", ("drop_some_attention",))
    load_model(start, device=torch.device("cpu"), dtype=torch.float32, head="linear", attention_dropout=0.0)
    assert "attention_dropout has no effect" in caplog.text


def test_early_stopping_without_dev_questions_is_refused(start, tmp_path):
    with pytest.raises(DataError, match="patience = 2 needs dev questions"):
        run(start, tmp_path / "reader", config=changed(CONFIG, early_stopping_patience=2))


def test_checkpointed_activations_give_the_same_reader_and_store_less(start, tmp_path):
    deep = tiny.bert(tmp_path / "deep", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    config = changed(CONFIG, max_steps=2, batch_size=8)
    held = []
    for name, twice in (("once", False), ("twice", True)):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):  # noqa: B023
            run(deep, tmp_path / name, config=changed(config, checkpoint_activations=twice))
        held.append(sum(saved))
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("once", "twice"))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)
    assert held[1] < held[0]


def test_balancing_gives_every_stratum_its_wanted_share():
    who = [TrainingExample(f"a{n}", "Who founded it?", "Mira of Tarn", 0, 4) for n in range(6)]
    when = [TrainingExample(f"b{n}", "When was it?", "Mira of Tarn", 0, 12, human_labelled=n > 0) for n in range(3)]
    examples = [*who, *when]
    factors, none = balanced(examples, changed(CONFIG, balance="weights"), {"who 1": 1, "when 2-3": 1})
    assert none is None
    # shares 1/2 and 1/2 of 6 and 3 among 9 examples: (1/2) / (6/9) and (1/2) / (3/9)
    assert factors == pytest.approx([0.75] * 6 + [1.5] * 3)
    kept, _ = balanced(examples, changed(CONFIG, balance="weights"), None)
    # the mix of the 8 human-labelled ones, 6 to 2: (6/8) / (6/9) and (2/8) / (3/9)
    assert kept == pytest.approx([1.125] * 6 + [0.75] * 3)
    ones, often = balanced(examples, changed(CONFIG, balance="repeats"), None)
    assert ones.tolist() == [1] * 9
    assert often.tolist() == [1] * 6 + [1, 2, 2]  # 4 human labels a kind on average, and 2 of the second


def test_weights_and_repeats_together_give_the_wanted_shares():
    who = [TrainingExample(f"a{n}", "Who founded it?", "Mira of Tarn", 0, 4, weight=0.5) for n in range(6)]
    when = [TrainingExample(f"b{n}", "When was it?", "Mira of Tarn", 0, 12) for n in range(2)]
    factors, often = balanced([*who, *when], changed(CONFIG, balance="both"), {"who 1": 1, "when 2-3": 1})
    assert often.tolist() == [1] * 6 + [2] * 2
    # masses 0.5 * 6 = 3 and 2 * 2 = 4 of 7
    assert factors == pytest.approx([7 / 6] * 6 + [7 / 8] * 2)
