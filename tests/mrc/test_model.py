"""Checkpoints: what loads, what is refused and how, and that others load ours."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from mrc.encoder import has_bf16, pick_device, pick_dtype, sorted_batches
from mrc.errors import BadCheckpoint
from mrc.read.config import ReadConfig
from mrc.read.features import collate
from mrc.read.model import Reader, model_hash
from tests.mrc import tiny

QUESTION, PASSAGE = "Who founded the mill?", "Mira Oland founded the mill of Tarn in 1893. " * 3
SMALL = ReadConfig(max_seq_length=96, doc_stride=16, max_answer_length=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.bert(tmp_path_factory.mktemp("start") / "bert")


def reader_logits(reader, question, passage):
    windower = reader.windower
    asked, read = windower.questions([question], max_seq_length=128)[0], windower.passages([passage])[0]
    return reader.logits(collate(windower.windows(asked, read, max_seq_length=128, doc_stride=16), pad_id=0))


def reference_logits(folder, question, passage):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForQuestionAnswering.from_pretrained(folder)
    with torch.inference_mode():
        return model(**tokenizer(question, passage, return_tensors="pt"))


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.distilbert])
def test_a_saved_reader_loads_in_transformers_with_the_same_logits(make, tmp_path):
    reader = Reader.load(make(tmp_path / "start"), precision="fp32")
    reader.save(tmp_path / "saved")
    start, end = reader_logits(reader, QUESTION, PASSAGE)
    for place in ("start", "saved"):
        expected = reference_logits(tmp_path / place, QUESTION, PASSAGE)
        length = expected.start_logits.shape[1]
        np.testing.assert_allclose(start[:, :length], expected.start_logits, atol=1e-5)
        np.testing.assert_allclose(end[:, :length], expected.end_logits, atol=1e-5)
    again = Reader.load(tmp_path / "saved", precision="fp32")
    np.testing.assert_array_equal(reader_logits(again, QUESTION, PASSAGE)[0], start)


def test_bfloat16_logits_are_near_those_of_float32(folder):
    exact, near = (
        reader_logits(Reader.load(folder, precision=name), QUESTION, PASSAGE)[0] for name in ("fp32", "bf16")
    )
    assert not np.array_equal(exact, near)
    np.testing.assert_allclose(near, exact, atol=0.05)


def test_answers_stand_at_their_offsets_and_share_one_softmax(folder):
    reader = Reader.load(folder)
    predictions = reader.answer([(QUESTION, PASSAGE), (QUESTION, ""), ("누가?", "가람 선생이 세웠다.")], SMALL)
    for prediction, passage in zip(predictions, (PASSAGE, "", "가람 선생이 세웠다."), strict=True):
        assert all(passage[answer.start : answer.end] == answer.text for answer in prediction.answers)
        assert sum(answer.score for answer in prediction.answers) + prediction.null_score <= 1 + 1e-9
    assert predictions[1].answers == ()
    assert predictions[1].null_score == pytest.approx(1)


def test_the_hash_follows_weights_configuration_and_tokenizer_but_not_the_record(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert model_hash(copy) == model_hash(folder)
    (copy / "training.json").write_text("{}")
    assert model_hash(copy) == model_hash(folder)
    hashes = {model_hash(folder)}
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content + b" ")
        hashes.add(model_hash(copy))
        (copy / name).write_bytes(content)
    assert len(hashes) == 4


def empty(folder):
    for path in folder.iterdir():
        path.unlink()


def without_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def truncated(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def garbage(folder):
    (folder / "model.safetensors").write_bytes(b"not weights at all")


def other_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))


def more_layers(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))


def broken_config(folder):
    (folder / "config.json").write_text("{")


def unknown_kind(folder):
    (folder / "config.json").write_text('{"model_type": "no-such-thing"}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (empty, "no config.json"),
        (without_tokenizer, "no tokenizer in this folder"),
        (without_weights, "holds no usable model"),
        (truncated, "broken weights"),
        (garbage, "broken weights"),
        (other_shape, "holds no usable model"),
        (more_layers, "weights are missing"),
        (broken_config, "holds no usable model"),
        (unknown_kind, "holds no usable model"),
    ],
)
def test_a_damaged_folder_is_named_in_one_line(damage, message, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    damage(copy)
    with pytest.raises(BadCheckpoint, match=message) as caught:
        Reader.load(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_without_a_network_is_named(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadCheckpoint, match="no such folder, and no such model on the hub") as caught:
        Reader.load("no-such-owner/no-such-model")
    assert "\n" not in str(caught.value)


def test_a_window_longer_than_the_model_is_refused(folder):
    with pytest.raises(BadCheckpoint, match="set max_seq_length = 130 or less"):
        Reader.load(folder).answer([(QUESTION, PASSAGE)])


def test_roberta_positions_begin_after_its_padding_index(tmp_path):
    assert Reader.load(tiny.roberta(tmp_path / "roberta")).max_seq_length == 130 - 2


def test_batches_hold_the_budget_longest_first_and_every_item_once():
    lengths = [5, 30, 8, 8, 2, 100]
    batches = sorted_batches(lengths, budget=60)
    assert batches == [[5], [1, 2], [3, 0, 4]]  # 100 alone; 2 x 30; 3 x 8
    assert sorted(index for batch in batches for index in batch) == list(range(6))


def test_narrow_encoders_stay_in_float32_on_a_cpu():
    cpu = pick_device("cpu")
    assert pick_dtype("auto", device=cpu, hidden_size=128) is torch.float32
    assert pick_dtype("auto", device=cpu, hidden_size=768) is (torch.bfloat16 if has_bf16(cpu) else torch.float32)
    assert pick_dtype("bf16", device=cpu, hidden_size=128) is torch.bfloat16
