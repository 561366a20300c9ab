"""Checkpoints and readers: loading, saving, errors, and compatibility with transformers."""

import json
import platform
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from mrc.encoder.compute import (
    BF16_PAYS_FROM,
    has_bf16,
    one_thread_workers,
    out_of_memory,
    pick_device,
    pick_dtype,
    sorted_batches,
)
from mrc.errors import BadCheckpoint
from mrc.read.config import ReadConfig, WindowConfig
from mrc.read.data.windows import collate
from mrc.read.model.heads import new_head
from mrc.read.model.loading import load_model
from mrc.read.model.reader import Reader, model_hash
from tests.mrc import tiny

QUESTION, PASSAGE = "Who founded the mill?", "Mira Oland founded the mill of Tarn in 1893. " * 3
SMALL = ReadConfig(max_seq_length=96, doc_stride=16, max_answer_length=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.bert(tmp_path_factory.mktemp("start") / "bert")


def reader_logits(reader, question, passage):
    windower = reader.windower
    asked, read = windower.questions([question], max_seq_length=128)[0], windower.passages([passage])[0]
    return reader.logits(collate(windower.windows(asked, read, max_seq_length=128, doc_stride=16), pad_id=0), band=8)


def reference_logits(folder, question, passage):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForQuestionAnswering.from_pretrained(folder)
    with torch.inference_mode():
        return model(**tokenizer(question, passage, return_tensors="pt"))


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.electra, tiny.distilbert])
def test_a_saved_reader_loads_in_transformers_with_the_same_logits(make, tmp_path):
    reader = Reader.load(make(tmp_path / "start"), precision="fp32")
    reader.save(tmp_path / "saved")
    found = reader_logits(reader, QUESTION, PASSAGE)
    for place in ("start", "saved"):
        expected = reference_logits(tmp_path / place, QUESTION, PASSAGE)
        length = expected.start_logits.shape[1]
        np.testing.assert_allclose(found.start[:, :length], expected.start_logits, atol=1e-5)
        np.testing.assert_allclose(found.end[:, :length], expected.end_logits, atol=1e-5)
    again = Reader.load(tmp_path / "saved", precision="fp32")
    np.testing.assert_array_equal(reader_logits(again, QUESTION, PASSAGE).start, found.start)


def test_bfloat16_logits_are_close_to_those_of_float32(folder):
    exact, near = (
        reader_logits(Reader.load(folder, precision=name), QUESTION, PASSAGE).start for name in ("fp32", "bf16")
    )
    assert not np.array_equal(exact, near)
    np.testing.assert_allclose(near, exact, atol=0.05)


def test_answers_are_at_their_offsets_and_share_one_softmax(folder):
    reader = Reader.load(folder)
    predictions = reader.answer([(QUESTION, PASSAGE), (QUESTION, ""), ("누가?", "가람 선생이 세웠다.")], SMALL)
    for prediction, passage in zip(predictions, (PASSAGE, "", "가람 선생이 세웠다."), strict=True):
        assert all(passage[answer.start : answer.end] == answer.text for answer in prediction.answers)
        assert sum(answer.score for answer in prediction.answers) + prediction.null_score <= 1 + 1e-9
    assert predictions[1].answers == ()
    assert predictions[1].null_score == pytest.approx(1)


def test_the_hash_depends_on_weights_configuration_and_tokenizer_but_not_on_the_record(folder, tmp_path):
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
        (broken_config, "broken"),
        (unknown_kind, "holds no usable model"),
    ],
)
def test_a_damaged_folder_is_reported_in_one_line(damage, message, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    damage(copy)
    with pytest.raises(BadCheckpoint, match=message) as caught:
        Reader.load(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labeler_head": "oracle"}, "its head 'oracle' is none of linear, cnn, lstm, biaffine"),
        ({"labeler_head": "cnn"}, "its cnn head is missing"),
        ({"labeler_exact_match_features": "words"}, "its exact-match embedding is missing"),
        (
            {"labeler_exact_match_features": "smells"},
            "its exact_match_features 'smells' is none of none, words, stems, morphemes",
        ),
    ],
)
def test_a_checkpoint_that_lacks_what_its_configuration_names_is_refused(changes, message, folder, tmp_path):
    copy = change_config(shutil.copytree(folder, tmp_path / "copy"), **changes)
    with pytest.raises(BadCheckpoint, match=message) as caught:
        Reader.load(copy)
    assert "\n" not in str(caught.value)


def encoder_alone(folder):
    AutoModel.from_pretrained(folder).save_pretrained(folder)


def of_another_task(folder):
    AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(folder)


def three_outputs(folder):
    AutoModelForQuestionAnswering.from_pretrained(folder, num_labels=3, ignore_mismatched_sizes=True).save_pretrained(
        folder
    )


@pytest.mark.parametrize("change", [encoder_alone, of_another_task, three_outputs])
def test_a_checkpoint_without_a_question_answering_head_can_be_trained_but_not_read_with(change, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    change(copy)
    with pytest.raises(BadCheckpoint, match="it has no question-answering head: train it first") as caught:
        Reader.load(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)
    started = load_model(copy, device=torch.device("cpu"), dtype=torch.float32, head="linear", seed=2)
    assert torch.equal(started.head.qa_outputs.weight, new_head("linear", 32, seed=2).qa_outputs.weight)


def test_the_fingerprint_depends_on_the_architecture_and_survives_saving(folder, tmp_path):
    reader = Reader.load(folder, precision="fp32")
    reader.save(tmp_path / "saved")
    assert Reader.load(tmp_path / "saved", precision="fp32").fingerprint == reader.fingerprint
    found = {reader.fingerprint}
    for number, changes in enumerate(({"num_attention_heads": 4}, {"hidden_act": "relu"}, {"layer_norm_eps": 1e-3})):
        copy = change_config(shutil.copytree(folder, tmp_path / str(number)), **changes)
        found.add(Reader.load(copy, precision="fp32").fingerprint)
    assert len(found) == 4


def test_a_lone_surrogate_is_read_as_one_unknown_character(folder):
    reader = Reader.load(folder, precision="fp32")
    broken, clean = (("\ud83d who?", PASSAGE + mark + " in Tarn. \ud55c빛") for mark in ("\udcff", "\ufffd"))
    found, expected = reader.answer([broken, (broken[0].replace("\ud83d", "\ufffd"), clean[1])], SMALL)
    assert [(each.start, each.end, each.score) for each in found.answers] == [
        (each.start, each.end, each.score) for each in expected.answers
    ]
    assert all(broken[1][each.start : each.end] == each.text for each in found.answers)


def test_scores_that_are_not_finite_are_reported_in_one_line(folder, tmp_path):
    broken = AutoModelForQuestionAnswering.from_pretrained(folder)
    with torch.no_grad():
        broken.qa_outputs.weight[0, 0] = torch.nan
    broken.save_pretrained(shutil.copytree(folder, tmp_path / "copy"))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(BadCheckpoint, match=r"scores are not finite \(NaN or infinite\)") as caught:
            Reader.load(tmp_path / "copy").answer([(QUESTION, PASSAGE)], SMALL)
        assert torch.get_num_threads() == 3  # though the error still holds all that was under way
    finally:
        torch.set_num_threads(before)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_with_more_pieces_than_the_model_has_rows_is_refused(folder, tmp_path):
    other = tiny.bert(tmp_path / "other")
    tokenizer = AutoTokenizer.from_pretrained(other)
    before = len(tokenizer)
    tokenizer.add_tokens(["millstone"])
    tokenizer.save_pretrained(other)
    with pytest.raises(BadCheckpoint, match=f"the tokenizer has {before + 1} pieces, the model {before} rows"):
        Reader.load(other)


@pytest.mark.parametrize("head", ["linear", "cnn", "lstm", "biaffine"])
def test_a_head_and_an_exact_match_embedding_are_saved_and_loaded(head, folder, tmp_path):
    cpu = torch.device("cpu")
    model = load_model(folder, device=cpu, dtype=torch.float32, head=head, seed=3, exact_match_features="words")
    with torch.no_grad():
        model.match_embedding.weight[1:] = torch.randn(11, 32, generator=torch.Generator().manual_seed(0))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = reader_logits(Reader(model, tokenizer, device=cpu), QUESTION, PASSAGE)
    model.save(tmp_path / "saved", tokenizer)
    found = reader_logits(Reader.load(tmp_path / "saved", precision="fp32"), QUESTION, PASSAGE)
    np.testing.assert_array_equal(found.start, expected.start)
    np.testing.assert_array_equal(found.end, expected.end)
    assert (found.pair is not None) == (head == "biaffine")
    if head == "biaffine":
        assert found.pair.shape == (*found.start.shape, 8)
        np.testing.assert_array_equal(found.pair, expected.pair)
    with torch.no_grad():
        model.match_embedding.weight.zero_()
    assert not np.array_equal(reader_logits(Reader(model, tokenizer, device=cpu), QUESTION, PASSAGE).start, found.start)


def test_a_head_of_another_kind_is_replaced_and_the_log_says_so(folder, tmp_path, caplog):
    Reader.load(folder, precision="fp32").save(tmp_path / "linear")
    options = {"device": torch.device("cpu"), "dtype": torch.float32, "seed": 5}
    with caplog.at_level("INFO", logger="mrc"):
        replaced = load_model(tmp_path / "linear", head="cnn", **options)
    assert "its linear head is replaced by a new cnn one" in caplog.text
    fresh = new_head("cnn", 32, seed=5).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in replaced.head.state_dict().items())


def test_the_head_is_the_checkpoints_own_and_a_new_convolution_where_it_has_none(folder, tmp_path):
    options = {"device": torch.device("cpu"), "dtype": torch.float32, "head": "auto", "seed": 5}
    own = load_model(folder, **options).head.state_dict()
    assert torch.equal(own["qa_outputs.weight"], load_file(folder / "model.safetensors")["qa_outputs.weight"])
    assert own.keys() == {"qa_outputs.weight", "qa_outputs.bias"}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    biaffine = load_model(folder, **options | {"head": "biaffine"})
    biaffine.save(tmp_path / "biaffine", tokenizer)
    again = load_model(tmp_path / "biaffine", **options | {"seed": 6}).head.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in biaffine.head.state_dict().items())
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "encoder")
    made = load_model(tmp_path / "encoder", **options)
    fresh = new_head("cnn", 32, seed=5).state_dict()
    assert made.head.state_dict().keys() == fresh.keys()
    assert all(torch.equal(value, fresh[name]) for name, value in made.head.state_dict().items())
    made.save(tmp_path / "cnn", tokenizer)
    assert isinstance(Reader.load(tmp_path / "cnn")._model.head, type(made.head))


def test_an_exact_match_embedding_that_is_no_longer_wanted_leaves_the_configuration(folder, tmp_path):
    options = {"device": torch.device("cpu"), "dtype": torch.float32, "head": "linear"}
    load_model(folder, exact_match_features="words", **options).save(
        tmp_path / "words", AutoTokenizer.from_pretrained(folder)
    )
    assert load_model(tmp_path / "words", **options).match_embedding is None
    assert not hasattr(load_model(tmp_path / "words", **options).config, "labeler_exact_match_features")
    assert load_model(tmp_path / "words", exact_match_features="words", **options).match_embedding is not None


def test_attention_dropout_is_the_checkpoints_unless_one_is_given(folder):
    options = {"device": torch.device("cpu"), "dtype": torch.float32, "head": "linear"}
    shares = [
        {layer.attention.self.dropout.p for layer in load_model(folder, **options, **given).encoder.encoder.layer}
        for given in ({}, {"attention_dropout": 0.0}, {"attention_dropout": 0.25})
    ]
    assert shares == [{0.1}, {0.0}, {0.25}]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 8 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError("can't allocate memory"), False),
    ],
)
def test_out_of_memory_errors_are_recognised(error, expected):
    assert out_of_memory(error) is expected


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """As wide as what is read packed."""
    size = {"hidden_size": BF16_PAYS_FROM, "intermediate_size": 4 * BF16_PAYS_FROM, "num_attention_heads": 4}
    return tiny.bert(tmp_path_factory.mktemp("wide") / "bert", **size)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_number_of_workers_changes_no_bit_and_the_number_of_threads_is_restored(threads, precision, wide):
    reader = Reader.load(wide, device="cpu", precision=precision)
    assert (reader._model.is_packed, reader.precision) == (True, precision)
    windower = reader.windower
    asked, read = windower.questions([QUESTION], max_seq_length=64)[0], windower.passages([PASSAGE * 15])[0]
    windows = windower.windows(asked, read, max_seq_length=128, doc_stride=32)
    batches = [collate(windows[at : at + 2], pad_id=0) for at in range(0, len(windows), 2)]
    assert len(batches) > 1
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = list(reader.stream(batches, band=8))
        assert torch.get_num_threads() == threads
        unfinished = reader.stream(batches, band=8)
        next(unfinished)
        assert torch.get_num_threads() == 1
        unfinished.close()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert [batch for batch, _ in found] == batches
    for batch, logits in found:
        alone = reader.logits(batch, band=8)
        np.testing.assert_array_equal(logits.start, alone.start)
        np.testing.assert_array_equal(logits.end, alone.end)


def test_concurrent_streams_use_the_first_number_of_threads_and_the_last_restores_it():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        one, other = one_thread_workers(), one_thread_workers()
        assert (one.__enter__(), other.__enter__()) == (3, 3)
        one.__exit__(None, None, None)
        assert torch.get_num_threads() == 1
        other.__exit__(None, None, None)
        assert torch.get_num_threads() == 3
        found = []
        later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert found == [3]
    finally:
        torch.set_num_threads(before)


TWO_WORKERS = """
import resource, sys, threading, torch
from mrc.encoder.compute import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
torch.set_num_threads(1)
both = threading.Barrier(2)  # so that both workers hold a batch at a time, the first time too

def batches():
    for _ in range(5):
        held = [torch.ones(1 << 20) for _ in range(8)]
        both.wait()
        del held
        both.wait()

def workers():
    threads = [threading.Thread(target=batches) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    workers()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(min(faults() for _ in range(6)))  # the least: the pool grows until it fits, and more where pieces lie badly
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep what is freed")
def test_freed_memory_is_kept_for_the_next_batch():
    faults = {}
    for how in ("kept", "given back"):
        done = subprocess.run([sys.executable, "-c", TWO_WORKERS, how], capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["kept"] < 100  # pages of 4 KiB; a worker's batch has 8,192
    assert faults["given back"] > 4096  # of two workers' 16,384; how many are faulted in singly is the kernel's choice


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_a_hub_name_fails_at_once_and_the_message_says_so(monkeypatch, offline):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")  # nothing listens there
    with pytest.raises(BadCheckpoint, match=r"no such folder, and no network to look for the model on the hub$"):
        Reader.load("no-such-owner/no-such-model")


def test_a_window_longer_than_the_model_is_refused(folder):
    with pytest.raises(BadCheckpoint, match="set max_seq_length = 130 or less"):
        Reader.load(folder).answer([(QUESTION, PASSAGE)], ReadConfig())


def test_without_settings_a_reader_uses_the_lengths_that_its_encoder_has_positions_for(folder):
    reader = Reader.load(folder)
    config = reader.default_config
    assert (config.max_seq_length, config.doc_stride, config.max_answer_length) == (130, 43, 21)
    assert reader.answer([(QUESTION, PASSAGE * 9)]) == reader.answer([(QUESTION, PASSAGE * 9)], config)


def test_without_settings_a_reader_uses_the_lengths_that_it_was_trained_with(folder, tmp_path):
    cpu = torch.device("cpu")
    model = load_model(folder, device=cpu, dtype=torch.float32, head="linear", windows=WindowConfig(96, 20))
    model.save(tmp_path / "trained", AutoTokenizer.from_pretrained(folder))
    reader = Reader.load(tmp_path / "trained")
    config = reader.default_config
    assert (config.max_seq_length, config.doc_stride, config.max_answer_length) == (96, 20, 10)
    assert "max_seq_length=96, doc_stride=20" in repr(reader)
    assert reader.fingerprint == Reader.load(folder).fingerprint, "lengths change no score"


def test_no_pairs_give_no_predictions(folder):
    assert Reader.load(folder).answer([]) == []


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"question": QUESTION, "context": PASSAGE}, r"a list of .* pairs, not a dict"),
        ([{"question": QUESTION, "context": PASSAGE}], "pairs of two strings, not dict {'question'"),
        (QUESTION, r"a list of .* pairs, not a str"),
        ((QUESTION, PASSAGE), "pairs of two strings, not str 'Who"),
        ([(QUESTION, PASSAGE, "more")], "pairs of two strings, not tuple"),
        ([(QUESTION, None)], "pairs of two strings, not tuple"),
    ],
)
def test_anything_but_pairs_of_strings_is_refused(folder, pairs, message):
    with pytest.raises(TypeError, match=message):
        Reader.load(folder).answer(pairs)


def test_an_unknown_metric_is_refused_before_anything_is_read(folder):
    with pytest.raises(ValueError, match="unknown metric 'sqad': use squad, squad_v2, korquad"):
        Reader.load(folder).answer([], metric="sqad")


def test_a_reader_and_its_network_are_shown_in_one_line(folder):
    reader = Reader.load(folder, device="cpu")
    assert repr(reader) == (
        f"Reader('{folder}', head=linear, device=cpu, precision=fp32, max_seq_length=130, doc_stride=43)"
    )
    model = load_model(
        folder, device=torch.device("cpu"), dtype=torch.float32, head="cnn", exact_match_features="words"
    )
    assert repr(model) == "SpanModel(bert, 2 layers, hidden size 32, cnn head, exact-match embedding, 130 positions)"


def test_the_package_of_models_offers_the_reader_without_loading_torch():
    code = "import sys, mrc.read.model as model; assert 'torch' not in sys.modules; print(model.Reader)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mrc.read.model.reader.Reader" in done.stdout


def test_roberta_positions_start_after_its_padding_index(tmp_path):
    for pad in (0, 1):
        reader = Reader.load(tiny.roberta(tmp_path / f"pad-{pad}", pad=pad))
        assert reader.max_positions == 130 - (pad + 1)
        (read,) = reader.windower.passages([PASSAGE * 9])
        (longest, *_) = reader.windower.windows(
            reader.windower.questions([QUESTION], max_seq_length=130)[0],
            read,
            max_seq_length=reader.max_positions,
            doc_stride=16,
        )
        logits = reader.logits(collate([longest], pad_id=pad), band=1)
        assert logits.start.shape[1] >= reader.max_positions


def test_batches_keep_the_budget_longest_first_with_every_item_once():
    lengths = [5, 30, 8, 8, 2, 100]
    batches = sorted_batches(lengths, budget=60)
    assert batches == [[5], [1, 2], [3, 0, 4]]  # 100 alone; 2 x 30; 3 x 8
    assert sorted(index for batch in batches for index in batch) == list(range(6))


def test_narrow_encoders_stay_in_float32_on_a_cpu():
    cpu = pick_device("cpu")
    assert pick_dtype("auto", device=cpu, hidden_size=128) is torch.float32
    assert pick_dtype("auto", device=cpu, hidden_size=768) is (torch.bfloat16 if has_bf16(cpu) else torch.float32)
    assert pick_dtype("bf16", device=cpu, hidden_size=128) is torch.bfloat16
