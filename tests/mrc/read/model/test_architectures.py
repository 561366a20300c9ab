"""Every architecture with a question-answering head in transformers is read as transformers reads it, or refused."""

from __future__ import annotations

import inspect
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForQuestionAnswering,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES as CLASSES

from mrc.encoder.compute import PACKED_KINDS
from mrc.errors import BadCheckpoint
from mrc.read.config import ReadConfig, WindowConfig
from mrc.read.data.windows import Window, collate
from mrc.read.model.architectures import ARCHITECTURES
from mrc.read.model.heads import new_head
from mrc.read.model.loading import load_model
from mrc.read.model.reader import Reader
from mrc.read.train.trainer import train
from mrc.read.train_config import TrainConfig
from tests.mrc import tiny
from tests.mrc.architectures import build
from tests.mrc.read.train.examples import example

READ = sorted(kind for kind, how in ARCHITECTURES.items() if not how.refused)
REFUSED = sorted(kind for kind, how in ARCHITECTURES.items() if how.refused)
QUESTION = "Who founded the mill?"
PASSAGES = (tiny.TEXTS[0], "Tarn.", tiny.TEXTS[1], tiny.TEXTS[0] * 9)
CPU = torch.device("cpu")


def test_the_table_lists_every_architecture_of_transformers_and_no_other() -> None:
    assert sorted(ARCHITECTURES) == sorted(CLASSES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


@pytest.fixture
def folder(request: pytest.FixtureRequest, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of the architecture that the test names, made once."""
    kind = request.getfixturevalue("kind")
    if kind not in folders:
        folders[kind] = build(kind, tmp_path_factory.mktemp(kind) / "model")
    return folders[kind]


def windows_of(reader: Reader) -> list[Window]:
    """The windows of all passages, the last ones as long as the network has positions for."""
    longest = min(reader.max_positions, 130)
    windower = reader.windower
    (question,) = windower.questions([QUESTION], max_seq_length=longest)
    return [
        window
        for passage in windower.passages(PASSAGES)
        for window in windower.windows(question, passage, max_seq_length=longest, doc_stride=16)
    ]


def expected(network: Any, named: list[str], window: Window) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The scores of transformers for a window by itself, with the inputs that its tokenizer names."""
    inputs = {"input_ids": window.ids, "attention_mask": np.ones_like(window.ids), "token_type_ids": window.types}
    accepted = inspect.signature(network.forward).parameters
    given = {name: torch.tensor(inputs[name])[None] for name in named if name in accepted}
    with torch.inference_mode():
        found = network(**given)
    return found.start_logits[0].numpy(), found.end_logits[0].numpy()


def assert_equal_logits(reader: Reader, folder: Path, *, atol: float = 1e-4) -> None:
    windows = windows_of(reader)
    assert len({len(window.ids) for window in windows}) > 2
    assert max(len(window.ids) for window in windows) == min(reader.max_positions, 130)
    logits = reader.logits(collate(windows, pad_id=reader.windower.pad_id, limit=reader.max_positions), band=1)
    network = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    named, spread = AutoTokenizer.from_pretrained(folder).model_input_names, []
    for row, window in enumerate(windows):
        start, end = expected(network, named, window)
        length = len(window.ids)
        np.testing.assert_allclose(logits.start[row, :length], start, atol=atol, rtol=1e-5)
        np.testing.assert_allclose(logits.end[row, :length], end, atol=atol, rtol=1e-5)
        spread.append(start[window.first :].std())
    assert max(spread) > 10 * atol, "scores so alike that anything would be equal"


def load(folder: Path) -> Reader:
    return Reader.load(folder, device="cpu", precision="fp32")


@pytest.mark.parametrize("kind", READ)
def test_logits_equal_those_of_transformers(kind: str, folder: Path) -> None:
    reader = load(folder)
    assert_equal_logits(reader, folder)
    for passage, found in zip(PASSAGES, reader.answer([(QUESTION, passage) for passage in PASSAGES]), strict=True):
        best = found.answers[0]
        assert passage[best.start : best.end] == best.text
        assert math.isfinite(best.score)
        assert best.text


@pytest.mark.parametrize("kind", sorted(PACKED_KINDS))
def test_packed_logits_equal_those_of_transformers(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mrc.encoder.compute.BF16_PAYS_FROM", 0)
    reader = load(folder)
    assert reader._model.is_packed
    assert_equal_logits(reader, folder)


@pytest.mark.parametrize("kind", READ)
def test_what_the_linear_head_writes_loads_in_transformers(kind: str, folder: Path, tmp_path: Path) -> None:
    reader = load(folder)
    reader.save(tmp_path / "saved")
    assert_equal_logits(reader, tmp_path / "saved")
    assert load(tmp_path / "saved").fingerprint == reader.fingerprint


@pytest.mark.parametrize("kind", READ)
def test_transformers_refuses_a_head_that_it_does_not_have(kind: str, folder: Path, tmp_path: Path) -> None:
    model = load_model(folder, device=CPU, dtype=torch.float32, head="cnn")
    model.save(tmp_path / "cnn", AutoTokenizer.from_pretrained(folder))
    with pytest.raises((RuntimeError, ValueError), match=r"(?i)mismatch"):
        AutoModelForQuestionAnswering.from_pretrained(tmp_path / "cnn")
    assert load(tmp_path / "cnn")._model.head_name == "cnn"


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_reason(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    tiny.wordpiece().save_pretrained(tmp_path)
    for attempt in (Reader.load, partial(load_model, device=CPU, dtype=torch.float32, head="auto")):
        with pytest.raises(BadCheckpoint) as refused:
            attempt(tmp_path)
        assert "\n" not in str(refused.value)
        assert ARCHITECTURES[kind].refused in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("ibert", {"quant_mode": True}, "quant_mode"),
        ("nystromformer", {"num_landmarks": 32}, "num_landmarks"),
        ("xmod", {"default_language": None}, "default_language"),
        ("yoso", {"use_expectation": False}, "use_expectation"),
    ],
)
def test_settings_that_cannot_be_read_are_refused(
    kind: str, changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(BadCheckpoint, match=reason):
        Reader.load(build(kind, tmp_path, **changes))


@pytest.mark.parametrize("kind", ["gemma", "clip", "made-up"])
def test_an_architecture_without_a_head_in_transformers_is_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    tiny.wordpiece().save_pretrained(tmp_path)
    with pytest.raises(BadCheckpoint) as refused:
        Reader.load(tmp_path)
    assert "\n" not in str(refused.value)
    assert kind in str(refused.value)


@pytest.mark.parametrize("kind", ["bart", "big_bird", "funnel", "longformer", "modernbert", "splinter", "t5", "xlnet"])
def test_every_way_of_reading_trains_and_is_saved_for_transformers(kind: str, folder: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        head="linear", max_steps=4, batch_size=3, learning_rate=1e-2, windows=WindowConfig(96, 16), checkpoint_every=2
    )
    losses: list[float] = []
    found = train(
        [example(number) for number in range(4)],
        start=folder,
        config=config,
        seed=1,
        folder=tmp_path / "trained",
        progress=lambda step, total, loss, left: losses.append(loss),
        device="cpu",
        precision="fp32",
    )
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert_equal_logits(load(found.folder), found.folder)


@pytest.mark.parametrize("kind", ["bert", "electra", "modernbert"])
def test_a_new_head_of_the_architecture_depends_on_the_seed_alone(kind: str, folder: Path, tmp_path: Path) -> None:
    network = AutoModelForQuestionAnswering.from_pretrained(folder)
    network.base_model.save_pretrained(tmp_path / "encoder")
    tiny.wordpiece().save_pretrained(tmp_path / "encoder")
    with pytest.raises(BadCheckpoint, match="no question-answering head"):
        load(tmp_path / "encoder")
    made = []
    for state, seed in ((1, 3), (2, 3), (2, 4)):
        torch.manual_seed(state)
        head = load_model(tmp_path / "encoder", device=CPU, dtype=torch.float32, head="linear", seed=seed).head
        made.append(torch.cat([value.flatten() for value in head.state_dict().values()]))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[1], made[2])


def test_a_classifier_of_texts_is_no_reader_though_its_weights_have_the_same_names(tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(build("modernbert", tmp_path / "reader"))
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "classifier")
    tiny.wordpiece().save_pretrained(tmp_path / "classifier")
    with pytest.raises(BadCheckpoint, match="no question-answering head"):
        load(tmp_path / "classifier")


@pytest.mark.parametrize("head", ["cnn", "lstm", "biaffine", "linear"])
def test_every_class_of_transformers_refuses_what_it_cannot_compute_and_reads_its_encoder(
    head: str, tmp_path: Path
) -> None:
    """A linear head with exact-match features is such a reader too."""
    start, features = tiny.bert(tmp_path / "start"), "words" if head == "linear" else "none"
    model = load_model(start, device=CPU, dtype=torch.float32, head=head, exact_match_features=features)
    model.save(tmp_path / "reader", tiny.wordpiece())
    for load_it in (AutoModelForQuestionAnswering, BertForQuestionAnswering):
        with pytest.raises((RuntimeError, ValueError), match=r"(?i)mismatch"):
            load_it.from_pretrained(tmp_path / "reader")
    encoder = AutoModel.from_pretrained(tmp_path / "reader")
    weights = model.encoder.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in encoder.state_dict().items() if name in weights)


def test_a_linear_head_does_not_begin_with_the_last_layer_of_another(tmp_path: Path) -> None:
    options: dict[str, Any] = {"device": CPU, "dtype": torch.float32}
    load_model(tiny.bert(tmp_path / "start"), head="cnn", seed=1, **options).save(tmp_path / "cnn", tiny.wordpiece())
    linear = load_model(tmp_path / "cnn", head="linear", seed=2, **options).head.state_dict()
    fresh = new_head("linear", 32, seed=2).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in linear.items())


def test_a_network_that_reads_from_left_to_right_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build("bert", tmp_path / "bert", is_decoder=True)
    monkeypatch.setattr("mrc.encoder.compute.BF16_PAYS_FROM", 0)
    reader = load(folder)
    assert not reader._model.is_packed
    assert_equal_logits(reader, folder)


def test_windows_that_transformers_reads_sparsely_are_refused(tmp_path: Path) -> None:
    reader = load(build("big_bird", tmp_path / "model"))
    assert reader.max_positions == 7 * 16  # five blocks and two for the random one
    with pytest.raises(BadCheckpoint, match="set max_seq_length = 112 or less"):
        reader.answer([(QUESTION, PASSAGES[0])], ReadConfig(max_seq_length=120, doc_stride=16, max_answer_length=8))
    assert load(build("big_bird", tmp_path / "full", attention_type="original_full")).max_positions == 130


def test_the_positions_of_encoder_and_decoder_both_bound_a_window(tmp_path: Path) -> None:
    folder = build("led", tmp_path / "led", max_decoder_position_embeddings=64)
    assert load(folder).max_positions == 64


@pytest.mark.parametrize("kind", ["convbert", "longformer", "t5"])
def test_onnx_refuses_what_it_cannot_express(kind: str, folder: Path) -> None:
    pytest.importorskip("onnxruntime", reason='needs pip install "labeler[onnx]"')
    pytest.importorskip("onnxscript", reason='needs pip install "labeler[onnx]"')
    with pytest.raises(BadCheckpoint, match=f"ONNX cannot express how {kind} is read; set backend torch"):
        Reader.load(folder, device="cpu", backend="onnx")
