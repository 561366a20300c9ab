"""Pretraining: on passages alone, resumable, with an ordinary starting checkpoint as result."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from mrc.errors import BadCheckpoint, OutOfMemory, TrainingDiverged
from mrc.read.config import BuiltinConfig, ReadConfig
from mrc.read.model.builtin import build_builtin
from mrc.read.model.heads import new_head
from mrc.read.model.loading import load_model
from mrc.read.model.reader import Reader, model_hash
from mrc.read.pretrain import mlm, pretraining
from mrc.read.pretrain.mlm_masking import IGNORED, WordMasking
from mrc.read.pretrain.pretraining import pretrain
from mrc.read.train.param_groups import default_rate
from mrc.read.train_config import PretrainConfig
from tests.mrc import tiny

SHORT = ReadConfig(max_seq_length=128, doc_stride=32, max_answer_length=8)
PLACES = ("Tarn", "Norden", "Hollow", "Ember", "Vale")


def texts(count=12):
    return [
        f"The old mill of {place} was built in {1800 + number}. Many people came to see the mill of {place} "
        f"every year. A fire in {1800 + number} took the roof away."
        for number, place in ((number, PLACES[number % len(PLACES)]) for number in range(count))
    ]


@pytest.fixture
def start(tmp_path):
    return tiny.bert(tmp_path / "start", attention_probs_dropout_prob=0.1)


def test_the_loss_of_the_masked_language_model_falls_on_a_small_corpus(start, tmp_path):
    losses = []
    config = PretrainConfig(mlm_epochs=12, learning_rate=2e-3, batch_size=4)
    pretrain(
        start, texts(), tmp_path / "made", config=config, seed=0, progress=lambda *reported: losses.append(reported)
    )
    assert [reported[0] for reported in losses] == list(range(1, 12 * 3 + 1))
    first, last = (np.mean([reported[2] for reported in part]) for part in (losses[:6], losses[-6:]))
    assert last < 0.8 * first


def test_the_result_is_a_starting_checkpoint_without_a_head_and_with_its_dropout(start, tmp_path):
    config = PretrainConfig(mlm_epochs=1, learning_rate=1e-3)
    folder = pretrain(start, texts(4), tmp_path / "made", config=config, seed=0)
    written = AutoConfig.from_pretrained(folder)
    assert written.attention_probs_dropout_prob == 0.1
    assert "packed" not in (folder / "config.json").read_text(encoding="utf-8")
    assert model_hash(folder) != model_hash(start)
    with pytest.raises(BadCheckpoint, match="no question-answering head"):
        Reader.load(folder)  # a start: training gives it one
    assert not (tmp_path / "made.partial").exists()


@pytest.mark.parametrize("head", ["linear", "cnn"])
def test_pretraining_a_reader_drops_its_head_and_exact_match_embedding(start, tmp_path, head):
    cpu = {"device": torch.device("cpu"), "dtype": torch.float32}
    trained = load_model(start, head=head, exact_match_features="words", **cpu)
    trained.save(tmp_path / "reader", AutoTokenizer.from_pretrained(start))
    made = [tmp_path / name for name in ("mlm", "spans")]
    for folder, config in zip(
        made, (PretrainConfig(mlm_epochs=1), PretrainConfig(recurring_span_epochs=1)), strict=True
    ):
        pretrain(tmp_path / "reader", texts(4), folder, config=config, seed=0)
    heads = [type(load_model(folder, head="auto", exact_match_features="words", **cpu).head) for folder in made]
    assert heads == [type(new_head("cnn", 32, seed=0)), type(trained.head)]


@pytest.mark.parametrize("head", ["linear", "biaffine"])
def test_span_selection_trains_the_head_that_is_asked_for(start, tmp_path, head):
    config = PretrainConfig(recurring_span_epochs=1, recurring_span_examples=4, batch_size=4)
    folder = pretrain(start, texts(4), tmp_path / "made", config=config, seed=0, head=head)
    cpu = {"device": torch.device("cpu"), "dtype": torch.float32}
    kept, fresh = (load_model(place, head=head, seed=0, **cpu) for place in (folder, start))
    assert kept.head_name == head
    assert load_model(folder, head="auto", **cpu).head_name == head
    trained = [not torch.equal(*pair) for pair in zip(kept.head.parameters(), fresh.head.parameters(), strict=True)]
    assert any(trained), "the training on labels starts from it"
    with pytest.raises(BadCheckpoint, match="something else"):
        pretrain(start, texts(4), folder, config=config, seed=0, head="cnn")


def test_the_built_in_encoder_is_pretrained_at_a_rate_of_its_own(start, tmp_path, monkeypatch):
    seen = []
    honest = mlm.weight_groups

    def watched(parameters, *, rate, weight_decay):
        seen.append(rate)
        return honest(parameters, rate=rate, weight_decay=weight_decay)

    monkeypatch.setattr(mlm, "weight_groups", watched)
    small = BuiltinConfig(layers=1, hidden_size=32, heads=2, positions=128)
    own = build_builtin(texts(), tmp_path / "builtin", seed=0, config=small)
    config = PretrainConfig(mlm_epochs=1)
    for place, name in ((own, "own"), (start, "other")):
        pretrain(place, texts(4), tmp_path / name, config=config, seed=0)
    pretrain(own, texts(4), tmp_path / "named", config=replace(config, learning_rate=2e-4), seed=0)
    assert seen == [1e-3, 1e-4, 2e-4]
    assert default_rate(AutoConfig.from_pretrained(tmp_path / "own")) == 1e-3, "it stays a built-in encoder"


def test_recurring_span_selection_trains_a_span_head_after_the_masked_language_model(start, tmp_path):
    reported = []
    config = PretrainConfig(
        mlm_epochs=0.5, recurring_span_epochs=1, recurring_span_examples=6, learning_rate=1e-3, batch_size=3
    )
    folder = pretrain(
        start, texts(), tmp_path / "made", config=config, seed=0, progress=lambda *each: reported.append(each[:2])
    )
    # 6 texts in 2 updates of the masked language model, then 6 questions in 2 updates
    assert reported == [(1, 2), (2, 2), (3, 4), (4, 4)]
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert record["start"] == str(start)
    assert record["config"]["recurring_span_examples"] == 6
    assert Reader.load(folder).answer([("Where is the mill?", texts(1)[0])], SHORT)[0].answers


@pytest.mark.parametrize(
    "config", [{"mlm_epochs": 3}, {"mlm_epochs": 1, "recurring_span_epochs": 3, "recurring_span_examples": 8}]
)
def test_a_killed_and_resumed_pretraining_ends_in_the_same_bits(start, tmp_path, monkeypatch, config):
    monkeypatch.setattr(mlm, "CHECKPOINT_EVERY", 2)
    settings = PretrainConfig(**config, learning_rate=1e-3, batch_size=4)

    def make(name, progress=None):
        return pretrain(start, texts(), tmp_path / name, config=settings, seed=1, progress=progress)

    def kill(step, total, loss, left):
        if step == 5:
            raise KeyboardInterrupt

    whole = make("whole")
    with pytest.raises(KeyboardInterrupt):
        make("killed", kill)
    assert (tmp_path / "killed.partial").is_dir()
    assert not (tmp_path / "killed").exists()
    assert model_hash(make("killed")) == model_hash(whole)
    assert make("whole") == whole  # what is finished is returned
    with pytest.raises(BadCheckpoint, match="something else"):
        pretrain(start, texts(3), whole, config=settings, seed=1)


@pytest.mark.parametrize(
    "config", [{"mlm_epochs": 1}, {"mlm_epochs": 1, "recurring_span_epochs": 1, "recurring_span_examples": 8}]
)
@pytest.mark.parametrize("where", ["record", "rename", "sweep"])
def test_a_pretraining_killed_in_its_last_steps_ends_in_the_same_bits(start, tmp_path, monkeypatch, config, where):
    settings = PretrainConfig(**config, learning_rate=1e-3, batch_size=4)

    def make(name):
        return pretrain(start, texts(), tmp_path / name, config=settings, seed=1)

    def killed(at, name):
        honest = getattr(at, name)

        def method(given, *more, **options):
            paths = [str(each) for each in (given, *more)]
            last = str(tmp_path / "killed") in paths or paths[0].endswith("killed.partial/finished/training.json")
            if last or (paths[0].endswith("killed.partial") and (tmp_path / "killed").exists()):
                raise KeyboardInterrupt
            return honest(given, *more, **options)

        monkeypatch.setattr(at, name, method)

    whole = make("whole")
    killed(
        *{"record": (Path, "write_text"), "rename": (Path, "rename"), "sweep": (pretraining, "remove_folder")}[where]
    )
    with pytest.raises(KeyboardInterrupt):
        make("killed")
    monkeypatch.undo()
    assert model_hash(make("killed")) == model_hash(whole)
    assert not (tmp_path / "killed.partial").exists()


def test_another_precision_is_another_pretraining(start, tmp_path):
    config = PretrainConfig(mlm_epochs=0.5, learning_rate=1e-3)
    pretrain(start, texts(4), tmp_path / "made", config=config, seed=0, precision="fp32")
    with pytest.raises(BadCheckpoint, match="something else"):
        pretrain(start, texts(4), tmp_path / "made", config=config, seed=0, precision="bf16")


def test_the_share_of_masked_words_is_that_of_the_settings(start, tmp_path, monkeypatch):
    shares, whole = [], mlm.MaskedLM.loss

    def counted(self, windows, **options):
        hidden = sum(int((targets != IGNORED).sum()) for _, targets in windows)
        shares.append(hidden / sum(len(ids) - 2 for ids, _ in windows))
        return whole(self, windows, **options)

    monkeypatch.setattr(mlm.MaskedLM, "loss", counted)
    for share in (0.1, 0.5):
        config = PretrainConfig(mlm_epochs=1, mask_share=share, batch_size=12)
        pretrain(start, texts(), tmp_path / str(share), config=config, seed=0)
    assert shares == pytest.approx([0.1, 0.5], abs=0.05)


def test_another_pretraining_does_not_resume_the_first(start, tmp_path):
    def kill(step, total, loss, left):
        raise KeyboardInterrupt

    config = PretrainConfig(mlm_epochs=1, recurring_span_epochs=1, learning_rate=1e-3)
    with pytest.raises(KeyboardInterrupt):
        pretrain(start, texts(), tmp_path / "made", config=config, seed=0, progress=kill)
    other = PretrainConfig(mlm_epochs=1, learning_rate=1e-3)
    one = pretrain(start, texts(), tmp_path / "made", config=other, seed=0)
    two = pretrain(start, texts(), tmp_path / "fresh", config=other, seed=0)
    assert model_hash(one) == model_hash(two)


def test_out_of_memory_halves_the_forward_passes_and_the_resumed_training_does_too(
    start, tmp_path, monkeypatch, caplog
):
    config = PretrainConfig(mlm_epochs=3, learning_rate=1e-3, batch_size=4)
    whole = mlm.MaskedLM.loss

    def scarce(self, windows, **options):
        if len(windows) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return whole(self, windows, **options)

    def kill(step, total, loss, left):
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(mlm, "BATCH_TOKENS", 256)  # four windows of this corpus
    monkeypatch.setattr(mlm.MaskedLM, "loss", scarce)
    made = pretrain(start, texts(), tmp_path / "scarce", config=config, seed=0)
    assert "forward passes of 128 tokens from now on" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        pretrain(start, texts(), tmp_path / "killed", config=config, seed=0, progress=kill)
    monkeypatch.setattr(mlm.MaskedLM, "loss", whole)  # memory is there again
    assert model_hash(pretrain(start, texts(), tmp_path / "killed", config=config, seed=0)) == model_hash(made)


def test_a_passage_too_large_for_memory_is_an_error(start, tmp_path, monkeypatch):
    def never(self, windows, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(mlm.MaskedLM, "loss", never)
    with pytest.raises(OutOfMemory, match="single passage"):
        pretrain(start, texts(), tmp_path / "made", config=PretrainConfig(mlm_epochs=1), seed=0)


def test_there_is_no_attention_dropout_in_masked_language_modelling(start, tmp_path, monkeypatch):
    seen, whole = set(), mlm.MaskedLM.loss

    def watched(self, windows, **options):
        seen.add(self.model.config.attention_probs_dropout_prob)
        return whole(self, windows, **options)

    monkeypatch.setattr(mlm.MaskedLM, "loss", watched)
    pretrain(start, texts(2), tmp_path / "made", config=PretrainConfig(mlm_epochs=1), seed=0)
    assert seen == {0.0}


def test_a_loss_that_is_not_finite_stops_it_and_names_the_update(start, tmp_path, monkeypatch):
    whole = mlm.MaskedLM.loss
    monkeypatch.setattr(mlm.MaskedLM, "loss", lambda *given, **options: whole(*given, **options) * np.nan)
    with pytest.raises(TrainingDiverged, match="pretraining, update 1: the loss is nan"):
        pretrain(start, texts(), tmp_path / "made", config=PretrainConfig(mlm_epochs=1), seed=0)


def test_pretraining_without_epochs_and_a_tokenizer_without_a_mask_are_refused(start, tmp_path):
    with pytest.raises(ValueError, match="mlm_epochs or recurring_span_epochs"):
        pretrain(start, texts(1), tmp_path / "made", config=PretrainConfig(), seed=0)
    tokenizer = AutoTokenizer.from_pretrained(start)
    tokenizer.mask_token = None
    with pytest.raises(BadCheckpoint, match="no mask token"):
        WordMasking.of(tokenizer, longest=64, share=0.15)


def test_whole_words_are_masked_and_everything_else_is_unchanged():
    tokenizer = tiny.wordpiece()
    masking = WordMasking.of(tokenizer, longest=40, share=0.3)
    (plain,) = masking.tokenize(["Miranda Orlando refounded some mills " * 20])
    (ids, targets), *rest = masking.windows(
        ["Miranda Orlando refounded some mills " * 20, " "], np.random.default_rng(0)
    )
    assert not rest  # a text without tokens has nothing to guess
    assert len(ids) == 40
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    restored = np.where(targets == IGNORED, ids, targets)[1:-1]
    begin = next(at for at in range(len(plain.ids)) if np.array_equal(plain.ids[at : at + 38], restored))
    hidden = targets[1:-1] != IGNORED
    starts = plain.word_start[begin : begin + 38]
    assert starts.sum() < 20  # most words have several pieces
    assert np.all((hidden[1:] == hidden[:-1]) | starts[1:])
    assert 0 < hidden.sum() < 38


def test_at_least_one_word_is_masked():
    masking = WordMasking.of(tiny.wordpiece(), longest=40, share=1e-9)
    for seed in range(5):
        (_, targets), *_ = masking.windows(["the mill"], np.random.default_rng(seed))
        assert (targets != IGNORED).sum() >= 1
