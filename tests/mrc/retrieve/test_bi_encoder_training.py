"""Training a bi-encoder: loss and gradients, negatives, mining, and resuming after a stop or kill."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mrc.errors import BadCheckpoint, DataError, TrainingDiverged
from mrc.retrieve.dense.checkpoint_info import checkpoint_hash
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.training.contrastive import ContrastiveTargets, Embedder, backward, contrastive_loss
from mrc.retrieve.training.contrastive_batches import ContrastiveExamples, Rows
from mrc.retrieve.training.mining import Relevance, interleave, plan_epochs, rotate, softmax_mask
from mrc.retrieve.training.train_config import BiEncoderExample, BiEncoderTrainConfig, BiEncoderTrainResult
from mrc.retrieve.training.trainer import train
from mrc.text import normalize, passage_id
from mrc.types import Passage
from tests.mrc import tiny

CONFIG = BiEncoderTrainConfig(
    max_steps=6,
    batch_size=4,
    learning_rate=1e-3,
    max_seq_length=32,
    chunk_tokens=64,
    dropout=True,
    checkpoint_every=2,
    precision="fp32",
)
PLACES = ("Tarn", "the mill", "Oland", "1893", "가람", "학당", "한빛", "1921")
PASSAGES = [
    Passage(passage_id(text), text) for text in (f"{place} stands in {number}." for number, place in enumerate(PLACES))
]
EXAMPLES = [
    BiEncoderExample(f"q{number}", f"Where is {place}?", (passage.id,), (f"in {number}",))
    for number, (place, passage) in enumerate(zip(PLACES, PASSAGES, strict=True))
]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert(tmp_path_factory.mktemp("start") / "bert")


def run(
    start: Path,
    folder: Path,
    *,
    examples: Sequence[BiEncoderExample] = EXAMPLES,
    passages: Sequence[Passage] = PASSAGES,
    config: BiEncoderTrainConfig = CONFIG,
    seed: int = 0,
    progress: Callable[[int, int, float, float], None] | None = None,
    **said: Any,
) -> BiEncoderTrainResult:
    begin = DenseConfig(model=str(start), **{"precision": "fp32"} | said)
    return train(
        examples, passages, start=begin, config=config, seed=seed, folder=folder, device="cpu", progress=progress
    )


def encoder(folder: Path, **said: Any) -> BiEncoder:
    return BiEncoder.load(DenseConfig(model=str(folder), **{"precision": "fp32"} | said), device="cpu")


# Learning


def test_a_bi_encoder_memorises_eight_questions(start: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, max_steps=60, batch_size=8, learning_rate=3e-3)
    result = run(start, tmp_path / "trained", config=config)
    assert (result.examples, result.steps, result.unusable) == (8, 60, ())
    assert result.loss < 0.2
    trained = encoder(result.folder)
    products = trained.questions([item.question for item in EXAMPLES]) @ trained.passages([p.text for p in PASSAGES]).T
    assert products.argmax(axis=1).tolist() == list(range(8))


def test_a_weight_of_two_doubles_the_loss_of_a_question(start: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, max_steps=1, batch_size=8, dropout=False)
    full = run(start, tmp_path / "full", config=config).loss
    halves = [replace(example, weight=0.5) for example in EXAMPLES]
    assert run(start, tmp_path / "half", config=config, examples=halves).loss == pytest.approx(full / 2, rel=1e-5)


def test_equal_vectors_have_the_log_of_the_number_of_passages_as_loss() -> None:
    allowed = torch.tensor([[True, True, True, True], [True, True, False, False]])
    contrast = ContrastiveTargets(torch.tensor([0, 1]), allowed, torch.tensor([1.0, 0.5]))
    loss = contrastive_loss(torch.ones(2, 3), torch.ones(4, 3), contrast, temperature=0.05)
    assert float(loss) == pytest.approx((1.0 * math.log(4) + 0.5 * math.log(2)) / 2)


def test_the_temperature_divides_the_cosines() -> None:
    contrast = ContrastiveTargets(torch.tensor([0]), torch.tensor([[True, True]]), torch.ones(1))
    question, passages = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    loss = contrastive_loss(question, passages, contrast, temperature=0.5)
    assert float(loss) == pytest.approx(math.log(1 + math.exp((1.0 - 0.6) / 0.5)))


# Gradient caching


def rows_of(encoder: BiEncoder) -> Rows:
    texts = [*(example.question for example in EXAMPLES), *(passage.text for passage in PASSAGES)]
    rows: Rows = encoder.tokenizer(texts)["input_ids"]
    return rows


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_gradients_in_chunks_equal_those_of_one_pass(start: Path, dropout: bool, pooling: Any) -> None:
    network = encoder(start)
    network.model.train(dropout)
    rows = rows_of(network)
    contrast = ContrastiveTargets(torch.arange(8), torch.ones(8, 8, dtype=torch.bool), torch.ones(8))

    def loss_of(vectors: torch.Tensor) -> torch.Tensor:
        return contrastive_loss(vectors[:8], vectors[8:], contrast, temperature=0.05)

    def gradients() -> list[torch.Tensor]:
        found = [p.grad.clone() for p in network.model.parameters() if p.grad is not None]
        network.model.zero_grad()
        return found

    embed = Embedder(network.model, pooling, 0, bf16=False)
    calls: list[tuple[Rows, torch.Tensor]] = []  # each chunk and the random state in which it was encoded

    def noting(chunk: Rows) -> torch.Tensor:
        calls.append((chunk, torch.get_rng_state()))
        return embed(chunk)

    with torch.random.fork_rng():
        loss = backward(noting, rows, loss_of, chunk_tokens=40, seed=3)
        cached = gradients()
        chunks = len(calls) // 2
        assert chunks > 2
        assert [chunk for chunk, _ in calls[:chunks]] == [chunk for chunk, _ in calls[chunks:]]
        places = {tuple(row): place for place, row in enumerate(rows)}
        parts, order = [], []
        for chunk, state in calls[:chunks]:  # the plain form: one graph over all texts
            torch.set_rng_state(state)
            parts.append(embed(chunk))
            order += [places[tuple(row)] for row in chunk]
        plain = loss_of(torch.cat(parts)[torch.argsort(torch.tensor(order))])
        plain.backward()  # type: ignore[no-untyped-call]
        expected = gradients()
    assert loss == pytest.approx(float(plain.detach()), rel=1e-5)
    assert len(cached) == len(expected) > 10
    for one, other in zip(cached, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_chunk_size_does_not_change_the_training(start: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, dropout=False, max_steps=1, batch_size=8)
    one = run(start, tmp_path / "one", config=replace(config, chunk_tokens=10_000))
    many = run(start, tmp_path / "many", config=replace(config, chunk_tokens=1))
    assert one.loss == pytest.approx(many.loss, rel=1e-5)


# False negatives


def known() -> Relevance:
    passages = [Passage(name, text) for name, text in (("a", "Ann"), ("b", "Ben"), ("c", "Ann and Cid"), ("d", "Dan"))]
    return Relevance(
        [
            BiEncoderExample("0", "Who?", ("a",), ("Ann",)),
            BiEncoderExample("1", "who ?", ("b",), ("Ben",)),
            BiEncoderExample("2", "Where?", ("d", "b"), ("Dan",)),
        ],
        passages,
    )


def test_a_relevant_passage_is_never_a_negative() -> None:
    # columns a b c d; c contains Ann's name, and b is relevant to the same question by another label
    assert softmax_mask(known(), [0, 1, 2], [0, 1, 3], [0, 1, 2, 3]).tolist() == [
        [True, False, False, True],
        [False, True, True, True],
        [True, False, True, True],
    ]


def test_non_relevant_passages_are_taken_in_ranked_order() -> None:
    assert known().non_relevant(0, [2, 3, 1, -1, 0], count=4) == (3,)
    assert known().non_relevant(2, [2, 3, 1, -1, 0], count=4) == (2, 0)
    assert known().non_relevant(2, [2, 3, 1, -1, 0], count=1) == (2,)


def test_given_and_mined_negatives_alternate_and_rotate_by_epoch() -> None:
    assert interleave((1, 2, 3), (7, 1)) == (1, 7, 2, 3)
    assert [rotate((1, 2, 3), epoch, 2) for epoch in range(3)] == [(1, 2), (3, 1), (2, 3)]
    assert rotate((1,), 4, 3) == (1,)
    assert rotate((), 0, 2) == ()


@pytest.mark.parametrize(("examples", "batch", "epochs"), [(8, 4, 3), (9, 4, 2), (3, 64, 1), (129, 64, 2.5)])
def test_every_epoch_has_every_question_once_in_batches_of_equal_size(examples: int, batch: int, epochs: float) -> None:
    config = replace(CONFIG, max_steps=None, epochs=epochs, batch_size=batch)
    plan = plan_epochs([""] * examples, config, seed=0)
    count = -(-examples // batch)
    assert len(plan) == round(epochs * count)
    first = [numbers for epoch, numbers in plan if epoch == 0]
    assert sorted(number for numbers in first for number in numbers) == list(range(examples))
    assert {len(numbers) for numbers in first} <= {examples // count, -(-examples // count)}
    assert plan == plan_epochs([""] * examples, config, seed=0)
    assert len(plan_epochs([""] * examples, replace(config, max_steps=7), seed=0)) == 7


def test_questions_of_one_document_share_a_batch() -> None:
    config = replace(CONFIG, max_steps=None, epochs=2, batch_size=8, questions_per_document=4)
    documents = [f"document {number % 5}" for number in range(40)]  # 8 questions of each
    plan = plan_epochs(documents, config, seed=0)
    for epoch in (0, 1):
        batches = [numbers for number, numbers in plan if number == epoch]
        assert sorted(number for numbers in batches for number in numbers) == list(range(40))
        assert all(len({documents[number] for number in numbers}) <= 2 for numbers in batches)
    assert plan[:5] != plan[5:]
    apart = plan_epochs(documents, replace(config, questions_per_document=1), seed=0)
    assert max(len({documents[number] for number in numbers}) for _, numbers in apart) > 2


# Cost


def idle(count: int, *, length: int = 10) -> list[Passage]:
    """Passages that no example refers to."""
    return [Passage(f"idle {number}", f"{number:0{length}}") for number in range(count)]


def letters(texts: Sequence[str]) -> Rows:
    """Tokens as a tokenizer returns them: lists of separate integers."""
    return [[1000 + number for number, _ in enumerate(text)] for text in texts]


def test_only_passages_that_a_batch_needs_are_tokenised_and_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    from mrc.retrieve.training import mining

    cut: list[str] = []
    folded: list[str] = []

    def noted(texts: Sequence[str]) -> Rows:
        cut.extend(texts)
        return letters(texts)

    def noted_too(text: str) -> str:
        folded.append(text)
        return normalize(text)

    monkeypatch.setattr(mining, "normalize", noted_too)
    passages = [Passage(name, f"text {name}") for name in "abcdefgh"]
    examples = [
        BiEncoderExample("0", "Who?", ("a",), ("text c",), negatives=("c", "d", "e", "f")),
        BiEncoderExample("1", "Where?", ("b",), ("nowhere",)),
    ]
    tokenized = ContrastiveExamples.of(examples, [*idle(5), *passages], letters, noted)
    assert cut == []
    assert sorted(folded) == ["Where?", "Who?"]
    first = tokenized.batch([0, 1], {1: (11,)}, epoch=0, hard_negatives=1)  # c contains the answer, so d; g is mined
    assert cut == ["text a", "text b", "text d", "text g"]
    assert {text for text in folded if "?" not in text} == {f"text {name}" for name in "abcdg"}
    assert [list(row) for row in first.texts] == letters(["Who?", "Where?", *cut])
    tokenized.batch([0, 1], {1: (11,)}, epoch=1, hard_negatives=1)
    assert cut == ["text a", "text b", "text d", "text g", "text e"]
    assert len(folded) == len(set(folded)) == 8  # each once, and f, h and the unused ones never


def test_an_unused_passage_costs_hardly_any_memory() -> None:
    def most(passages: Sequence[Passage]) -> int:
        tracemalloc.start()
        tokenized = ContrastiveExamples.of(EXAMPLES, passages, letters, letters)
        for epoch in range(3):
            tokenized.batch(range(8), {0: (1, 2)}, epoch=epoch, hard_negatives=2)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    few, many = ([*PASSAGES, *idle(count, length=1000)] for count in (10, 2010))
    assert most(many) - most(few) < 2000 * 200  # bytes; of a thousand letters the tokens alone take 36,000


# Mined negatives


def test_mined_negatives_are_the_non_relevant_passages_that_the_encoder_ranks_high(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mrc.retrieve.training import trainer

    searched = []
    original = trainer.mine

    def noted(*arguments: Any) -> Any:
        searched.append(original(*arguments))
        return searched[-1]

    monkeypatch.setattr(trainer, "mine", noted)
    config = replace(CONFIG, max_steps=None, epochs=4, mine_every=2, mine_depth=8, mine_skip=1)
    run(start, tmp_path / "trained", config=config)
    (mined,) = searched  # before the third of four epochs, never before the first
    assert sorted(mined) == list(range(8))
    assert all(number not in rows and 6 <= len(rows) <= 7 for number, rows in mined.items())
    run(start, tmp_path / "few", config=replace(config, mine_passages=3, mine_depth=8, mine_skip=0))
    assert len({row for rows in searched[-1].values() for row in rows}) <= 3


def test_mining_changes_the_trained_weights(start: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, max_steps=None, epochs=3)
    plain = run(start, tmp_path / "plain", config=config)
    mined = run(start, tmp_path / "mined", config=replace(config, mine_every=1))
    assert plain.hash != mined.hash


# Stopping and resuming


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_a_training_stopped_anywhere_ends_in_the_same_bits(stop: int, start: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, mine_every=1)  # two updates an epoch: mined before the third and the fifth
    whole = run(start, tmp_path / "whole", config=config)

    def interrupt(step: int, total: int, loss: float, left: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(start, tmp_path / "stopped", config=config, progress=interrupt)
    assert not (tmp_path / "stopped").exists()
    steps: list[int] = []
    resumed = run(
        start, tmp_path / "stopped", config=config, progress=lambda step, total, loss, left: steps.append(step)
    )
    assert steps == list(range(stop - stop % 2 + 1, 7))  # a checkpoint every 2 updates
    assert (resumed.hash, resumed.loss) == (whole.hash, whole.loss)
    assert not (tmp_path / "stopped.partial").exists()


KILLED = """
import sys
from tests.mrc.retrieve.test_bi_encoder_training import CONFIG, run, replace
from pathlib import Path
start, folder = map(Path, sys.argv[1:])
run(start, folder, config=replace(CONFIG, max_steps=60), progress=lambda step, *_: print(step, flush=True))
"""


def test_a_training_killed_with_no_warning_ends_in_the_same_bits(start: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, max_steps=60)
    root = Path(__file__).parent.parent.parent.parent
    command = [sys.executable, "-c", KILLED, str(start), str(tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 5:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    steps: list[int] = []
    resumed = run(
        start, tmp_path / "killed", config=config, progress=lambda step, total, loss, left: steps.append(step)
    )
    assert steps[0] >= 5  # not from the beginning
    assert resumed.hash == run(start, tmp_path / "whole", config=config).hash


def test_a_training_stopped_after_mining_and_not_mining_again_ends_in_the_same_bits(
    start: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, max_steps=8, mine_every=2, checkpoint_every=1)  # mined before the fifth update alone
    whole = run(start, tmp_path / "whole", config=config)

    def interrupt(step: int, total: int, loss: float, left: float) -> None:
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(start, tmp_path / "stopped", config=config, progress=interrupt)
    assert run(start, tmp_path / "stopped", config=config).hash == whole.hash


def test_an_incomplete_checkpoint_is_never_used(start: Path, tmp_path: Path) -> None:
    draft = tmp_path / "trained.partial" / "draft"
    draft.mkdir(parents=True)
    (draft / "model.safetensors").write_bytes(b"half")
    assert run(start, tmp_path / "trained").hash == run(start, tmp_path / "undisturbed").hash


def test_a_finished_folder_is_returned_and_one_with_something_else_is_refused(start: Path, tmp_path: Path) -> None:
    first = run(start, tmp_path / "trained")
    assert run(start, tmp_path / "trained") == first
    assert first.hash == checkpoint_hash(first.folder)
    with pytest.raises(BadCheckpoint, match="holds something else"):
        run(start, tmp_path / "trained", seed=1)


def test_seed_data_and_settings_each_change_the_result(start: Path, tmp_path: Path) -> None:
    heard = [
        run(start, tmp_path / "a").hash,
        run(start, tmp_path / "b", seed=1).hash,
        run(start, tmp_path / "c", examples=EXAMPLES[1:]).hash,
        run(start, tmp_path / "d", config=replace(CONFIG, temperature=0.1)).hash,
        run(start, tmp_path / "e", examples=[replace(EXAMPLES[0], weight=0.5), *EXAMPLES[1:]]).hash,
        run(start, tmp_path / "f", query_prefix="query: ").hash,
        run(start, tmp_path / "g", config=replace(CONFIG, dropout=False)).hash,
    ]
    assert len(set(heard)) == len(heard)


def test_training_does_not_change_the_callers_random_state(start: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run(start, tmp_path / "trained")
    assert torch.equal(torch.rand(2), expected)


# Unusable input


def test_a_loss_that_is_not_finite_stops_training_and_keeps_the_last_checkpoint(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mrc.retrieve.training import trainer

    original, calls = trainer.backward, []

    def breaks(*arguments: Any, **options: Any) -> float:
        calls.append(1)
        found = original(*arguments, **options)
        return math.nan if len(calls) == 4 else found

    monkeypatch.setattr(trainer, "backward", breaks)
    with pytest.raises(TrainingDiverged, match="update 4: the loss is nan"):
        run(start, tmp_path / "trained")
    (kept,) = (tmp_path / "trained.partial").iterdir()
    assert kept.name == "step-00000002"
    assert all(np.isfinite(value.numpy()).all() for value in load_file(kept / "model.safetensors").values())
    assert run(start, tmp_path / "trained").hash == run(start, tmp_path / "undisturbed").hash


def test_broken_weights_are_reported_before_the_first_update(tmp_path: Path) -> None:
    broken = tiny.bert(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["bert.embeddings.LayerNorm.weight"][:] = math.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingDiverged, match="update 1: the loss is nan"):
        run(broken, tmp_path / "trained")


def test_unusable_examples_are_listed_and_having_no_usable_one_is_an_error(start: Path, tmp_path: Path) -> None:
    lost = BiEncoderExample("lost", "Where?", ("gone",))
    empty = BiEncoderExample("empty", "  ", (PASSAGES[0].id,))
    result = run(start, tmp_path / "trained", examples=[*EXAMPLES, lost, empty])
    assert (result.examples, result.unusable) == (8, ("lost", "empty"))
    assert json.loads((result.folder / "training.json").read_text())["unusable"] == ["lost", "empty"]
    with pytest.raises(DataError, match="none of 2 examples can train"):
        run(start, tmp_path / "none", examples=[lost, empty])
    with pytest.raises(DataError, match="another passage"):
        run(start, tmp_path / "alone", passages=PASSAGES[:1])


def test_a_question_without_negatives_has_no_loss(start: Path, tmp_path: Path) -> None:
    example = BiEncoderExample("0", "Where?", (PASSAGES[0].id,), ("stands in",), negatives=(PASSAGES[1].id,))
    assert run(start, tmp_path / "trained", examples=[example]).loss == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"batch_size": 1},
        {"max_steps": 0},
        {"hard_negatives": -1},
        {"warmup_ratio": 1.5},
        {"mine_skip": 20},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} .*must be|must be .*{next(iter(wrong))}"):
        BiEncoderTrainConfig(**wrong)


@pytest.mark.parametrize("weight", [0.0, -1.0, 1.5, math.nan])
def test_a_weight_outside_0_to_1_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="q: weight must be"):
        BiEncoderExample("q", "Where?", ("a",), weight=weight)


# The folder


def test_the_trained_folder_holds_pooling_prefixes_and_length(start: Path, tmp_path: Path) -> None:
    said = {"pooling": "cls", "query_prefix": "query: ", "passage_prefix": "passage: ", "max_seq_length": 40}
    folder = run(start, tmp_path / "trained", **said).folder
    found = encoder(folder).encoding
    assert (found.pooling, found.query_prefix, found.passage_prefix, found.max_seq_length) == tuple(said.values())


def test_files_of_the_starting_checkpoint_are_kept(start: Path, tmp_path: Path) -> None:
    begin = tiny.bert(tmp_path / "begin")
    said = {"1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True},
            "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
            "config_sentence_transformers.json": {"prompts": {"query": "q: ", "document": "d: "}, "similarity": "cos"},
            "modules.json": [{"idx": 0, "type": "sentence_transformers.models.Transformer"}]}  # fmt: skip
    for name, values in said.items():
        (begin / name).parent.mkdir(exist_ok=True)
        (begin / name).write_text(json.dumps(values))
    folder = run(begin, tmp_path / "trained").folder
    before, after = encoder(begin).encoding, encoder(folder).encoding
    assert replace(before, source="", checkpoint="") == replace(after, source="", checkpoint="")
    assert json.loads((folder / "1_Pooling/config.json").read_text()) == said["1_Pooling/config.json"]
    assert json.loads((folder / "config_sentence_transformers.json").read_text())["similarity"] == "cos"
    assert json.loads((folder / "modules.json").read_text()) == said["modules.json"]


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.distilbert])
def test_any_encoder_trains_and_is_saved_whole(make: Any, tmp_path: Path) -> None:
    folder = run(make(tmp_path / "begin"), tmp_path / "trained").folder
    again = run(folder, tmp_path / "again")
    assert again.steps == 6
    assert np.isfinite(encoder(again.folder).passages(["Tarn"])).all()


def test_bfloat16_trains_too(start: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, max_steps=60, batch_size=8, learning_rate=3e-3, precision="bf16")
    result = run(start, tmp_path / "trained", config=config)
    assert result.loss < 0.3
    assert {value.dtype for value in load_file(result.folder / "model.safetensors").values()} == {torch.float32}
