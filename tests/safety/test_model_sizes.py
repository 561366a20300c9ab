"""A configuration chooses no kernel and no code, and its sizes are those of the weights; else nothing is built."""

from __future__ import annotations

import json
import math
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mrc.encoder.loading import load_config
from mrc.errors import BadCheckpoint
from mrc.read.model import Reader
from mrc.read.model.loading import load_model
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.rerank.cross_encoder import CrossEncoder
from tests.mrc import tiny

HUGE = 10**6
GROWTH = 64 << 10  # KiB that a refusal may take

Load = Callable[[Path], Any]


def start(folder: Path) -> Any:
    """The network that a training starts from."""
    return load_model(folder, device=torch.device("cpu"), dtype=torch.float32, head="auto")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert(tmp_path_factory.mktemp("reader") / "bert")


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.cross_encoder(tmp_path_factory.mktemp("reranker") / "bert")


def changed(folder: Path, target: Path, **values: Any) -> Path:
    """A copy whose configuration has these values; None removes a key."""
    shutil.copytree(folder, target)
    path = target / "config.json"
    config = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return target


def refusal(load: Load, folder: Path) -> str:
    """The one line of a refusal, which takes no memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadCheckpoint) as refused:
        load(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH
    message = str(refused.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


CHOICES = {
    "_attn_implementation": "somebody/kernel",
    "attn_implementation": "somebody/kernel",
    "_attn_implementation_internal": "flash_attention_2",
    "_experts_implementation": "somebody/kernel",
    "experts_implementation": "grouped_mm",
    "auto_map": {"AutoModelForQuestionAnswering": "code.C"},
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "transformers_weights": "../other.safetensors",
    "fusion_config": {"patch": True},
    "return_dict": False,
    "output_attentions": True,
    "output_hidden_states": True,
    "torchscript": True,
}


@pytest.mark.parametrize("nested", [False, True])
def test_what_a_configuration_chooses_is_ignored(nested: bool, reader: Path, tmp_path: Path) -> None:
    choices = {**CHOICES, "text_config": dict(CHOICES)} if nested else CHOICES
    folder = changed(reader, tmp_path / "copy", **choices)
    config = load_config(folder)
    assert config._attn_implementation is None
    assert "somebody" not in json.dumps(config.to_dict(), default=str)
    found, expected = Reader.load(folder), Reader.load(reader)
    for each in (found, expected):
        assert each._model.config._attn_implementation == "eager"
    pairs = [("Who founded the mill?", tiny.TEXTS[0])]
    assert found.answer(pairs) == expected.answer(pairs)


@pytest.mark.parametrize("load", [BiEncoder.load, start])
def test_retrieval_and_training_ignore_these_choices_too(load: Load, reader: Path, tmp_path: Path) -> None:
    load(changed(reader, tmp_path / "copy", **CHOICES))


def test_a_reranker_ignores_these_choices_too(reranker: Path, tmp_path: Path) -> None:
    found = CrossEncoder.load(changed(reranker, tmp_path / "copy", **CHOICES)).scores("Who?", tiny.TEXTS)
    np.testing.assert_array_equal(found, CrossEncoder.load(reranker).scores("Who?", tiny.TEXTS))


SIZES = [
    {"hidden_size": HUGE, "num_hidden_layers": HUGE},
    {"hidden_size": HUGE, "num_attention_heads": 10},
    {"num_hidden_layers": HUGE},
    {"num_hidden_layers": 1000},
    {"num_hidden_layers": -1000},
    {"intermediate_size": 1 << 24},
    {"vocab_size": HUGE},
    {"max_position_embeddings": 1 << 24},
    {"max_position_embeddings": 1 << 40},
    {"type_vocab_size": 1 << 24},
    {"num_attention_heads": 0},
    {"num_attention_heads": 3},
    {"hidden_size": 0},
    {"hidden_size": -32},
    {"hidden_size": 32.0},
    {"hidden_size": 32.5},
    {"hidden_size": "32"},
    {"hidden_size": True},
    {"hidden_size": [32]},
    {"hidden_size": {"value": 32}},
    {"hidden_size": None},
    {"vocab_size": None},
    {"hidden_size": math.nan},
    {"layer_norm_eps": math.nan},
    {"hidden_dropout_prob": math.inf},
    {"hidden_dropout_prob": 2.0},
    {"num_labels": 10**9},
    {"chunk_size_feed_forward": 1 << 60},
    {"pad_token_id": 10**7},
    {"architectures": 7},
    {"architectures": [None]},
    {"model_type": ["bert"]},
    {"model_type": None},
]


@pytest.mark.parametrize("load", [Reader.load, start, BiEncoder.load])
@pytest.mark.parametrize("values", SIZES, ids=lambda values: "-".join(f"{k}={v}" for k, v in values.items()))
def test_a_configuration_that_does_not_fit_the_weights_is_refused(
    values: dict[str, Any], load: Load, reader: Path, tmp_path: Path
) -> None:
    path = changed(reader, tmp_path / "copy")
    config = {**json.loads((path / "config.json").read_text()), **values}
    missing = [key for key, value in values.items() if value is None]
    (path / "config.json").write_text(json.dumps({key: value for key, value in config.items() if key not in missing}))
    refusal(load, path)


@pytest.mark.parametrize("values", SIZES[:8], ids=lambda values: "-".join(f"{k}={v}" for k, v in values.items()))
def test_a_reranker_that_does_not_fit_its_weights_is_refused(
    values: dict[str, Any], reranker: Path, tmp_path: Path
) -> None:
    refusal(CrossEncoder.load, changed(reranker, tmp_path / "copy", **values))


@pytest.mark.parametrize("kind", ["gpt2", "albert", "xlnet", "funnel", "flaubert", "t5"])
def test_every_kind_of_network_is_compared_with_the_weights(kind: str, reader: Path, tmp_path: Path) -> None:
    """Also one whose configuration names its sizes otherwise."""
    folder = changed(reader, tmp_path / "copy", model_type=kind)
    config = {"model_type": kind, "n_embd": HUGE, "d_model": HUGE, "emb_dim": HUGE, "hidden_size": HUGE, "n_layer": 900}
    (folder / "config.json").write_text(json.dumps(config))
    refusal(Reader.load, folder)


def test_pickled_weights_bound_the_network_by_their_bytes(reader: Path, tmp_path: Path) -> None:
    folder = changed(reader, tmp_path / "copy", hidden_size=1 << 16, num_attention_heads=2)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert "the configuration describes" in refusal(Reader.load, folder)


def test_compressed_pickled_weights_are_refused(reader: Path, tmp_path: Path) -> None:
    folder = changed(reader, tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert Reader.load(folder).fingerprint == Reader.load(reader).fingerprint
    with zipfile.ZipFile(folder / "pytorch_model.bin") as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert "compressed weights" in refusal(Reader.load, folder)


def test_a_folder_without_weights_is_refused(reader: Path, tmp_path: Path) -> None:
    folder = changed(reader, tmp_path / "copy", hidden_size=HUGE)
    (folder / "model.safetensors").unlink()
    assert "no usable model" in refusal(Reader.load, folder)


def test_quantised_weights_are_refused(reader: Path, tmp_path: Path) -> None:
    folder = changed(reader, tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("query.weight"))
    save_file({**weights, name: weights[name].to(torch.int8)}, folder / "model.safetensors", metadata={"format": "pt"})
    assert "quantised" in refusal(Reader.load, folder)


@pytest.mark.parametrize("length", [1 << 40, (1 << 64) - 1])
def test_a_header_that_claims_many_bytes_is_refused(length: int, reader: Path, tmp_path: Path) -> None:
    folder = changed(reader, tmp_path / "copy")
    path = folder / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    assert "broken weights" in refusal(Reader.load, folder)


def test_a_configuration_nested_very_deeply_is_refused(reader: Path, tmp_path: Path) -> None:
    folder = changed(reader, tmp_path / "copy")
    (folder / "config.json").write_text('{"a":' * 200_000 + "1" + "}" * 200_000)
    assert "nested too deeply" in refusal(Reader.load, folder)


@pytest.mark.parametrize(
    "values",
    [
        {"labeler_head": ["linear"]},
        {"labeler_head": {"a": 1}},
        {"labeler_exact_match_ignored": "abc"},
        {"labeler_exact_match_ignored": [1.5]},
        {"labeler_windows": 384},
        {"labeler_windows": {"max_seq_length": "long", "doc_stride": 1}},
        {"labeler_windows": {"max_seq_length": 64, "doc_stride": 16, "more": 1}},
        {"labeler_exact_match_types": True},
    ],
)
def test_what_a_reader_stores_of_itself_is_checked(values: dict[str, Any], reader: Path, tmp_path: Path) -> None:
    refusal(Reader.load, changed(reader, tmp_path / "copy", **values))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("sentence_bert_config.json", {"max_seq_length": 10**30}),
        ("sentence_bert_config.json", {"max_seq_length": "long"}),
        ("sentence_bert_config.json", {"max_seq_length": -5}),
        ("sentence_bert_config.json", []),
        ("modules.json", {"type": "Transformer"}),
        ("modules.json", [7]),
        ("config_sentence_transformers.json", {"prompts": ["query"]}),
    ],
)
def test_what_sentence_transformers_stores_is_checked(name: str, content: object, reader: Path, tmp_path: Path) -> None:
    folder = changed(reader, tmp_path / "copy")
    (folder / name).write_text(json.dumps(content))
    refusal(BiEncoder.load, folder)
