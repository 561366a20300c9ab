"""A hybrid index: its hits, its fusion weight, its folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrc.errors import BadCheckpoint, DataError, StaleIndex
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.fuse import MIN_QUESTIONS, FusionWeight
from mrc.retrieve.index import Index, IndexConfig
from mrc.types import Passage
from tests.mrc import tiny

WORDS = ("mill", "stands", "founded", "tarn", "mira", "oland", "1893", "who", "the", "in", "of")
TEXTS = [f"{WORDS[n % 11]} {WORDS[n * 3 % 11]} {WORDS[n * 7 % 11]} {n}" for n in range(120)]
PASSAGES = [Passage(f"p{number:03}", text) for number, text in enumerate(TEXTS)]
ENGLISH = IndexConfig(analyzer="whitespace")
ASKED = [TEXTS[3], "mill 77", "no known term", "", " \t", "\ud800 1893"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert(tmp_path_factory.mktemp("hybrid") / "bert")


def built(checkpoint: Path, passages: list[Passage] = PASSAGES, *, terms: IndexConfig = ENGLISH, **how: Any) -> Index:
    dense = DenseConfig(model=str(checkpoint), precision="fp32", **how)
    return Index.build(passages, terms, dense=dense, device="cpu")


@pytest.fixture(scope="module")
def index(checkpoint: Path) -> Index:
    return built(checkpoint)


def test_dense_settings_without_a_model_give_a_lexical_index() -> None:
    plain, other = Index.build(PASSAGES, ENGLISH), Index.build(PASSAGES, ENGLISH, dense=DenseConfig())
    assert (other.dense, other.fingerprint) == (None, plain.fingerprint)
    assert other.retrieve(ASKED, 5) == plain.retrieve(ASKED, 5)
    assert {hit.dense for hits in other.retrieve(ASKED, 5) for hit in hits} == {None}


def test_hits_have_the_scores_of_both_rankings_and_the_fused_one(index: Index) -> None:
    plain = {hit.passage_id: hit.score for hit in replace(index, dense=None).retrieve(ASKED, 120)[0]}
    assert index.dense is not None
    cosine = index.dense.vectors @ index.dense.encoder().questions(ASKED)[0]
    hits = index.retrieve(ASKED, 10)[0]
    assert [hit.rank for hit in hits] == list(range(10))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert hit.bm25 == plain.get(hit.passage_id)
        assert hit.dense is None or hit.dense == pytest.approx(cosine[int(hit.passage_id[1:])], abs=1e-5)
    assert hits[0].passage_id == "p003"


def test_dense_retrieval_answers_unknown_terms_but_no_empty_question(index: Index) -> None:
    found = index.retrieve(ASKED, 5)
    assert [len(hits) for hits in found] == [5, 5, 5, 0, 0, 5]
    assert {hit.bm25 for hit in found[2]} == {None}
    assert [hit.dense for hit in found[2]] == sorted((hit.dense or 0 for hit in found[2]), reverse=True)


def test_a_weight_of_0_or_1_ranks_as_one_ranking_does(index: Index) -> None:
    assert index.dense is not None
    lexical = replace(index, dense=replace(index.dense, weight=FusionWeight(0)))
    plain = replace(index, dense=None).retrieve([TEXTS[3]], 5)[0]
    assert [hit.passage_id for hit in lexical.retrieve([TEXTS[3]], 5)[0]] == [hit.passage_id for hit in plain]
    dense = replace(index, dense=replace(index.dense, weight=FusionWeight(1)))
    cosine = index.dense.vectors @ index.dense.encoder().questions([TEXTS[3]])[0]
    hits = dense.retrieve([TEXTS[3]], 5)[0]
    assert cosine[[int(hit.passage_id[1:]) for hit in hits]] == pytest.approx(np.sort(cosine)[::-1][:5], abs=1e-5)


@pytest.mark.parametrize("k", [1, 4, 50])
def test_fewer_hits_are_the_first_of_more(index: Index, k: int) -> None:
    for few, many in zip(index.retrieve(ASKED, k), index.retrieve(ASKED, 120), strict=True):
        assert [(hit.passage_id, hit.rank, hit.score) for hit in few] == [
            (hit.passage_id, hit.rank, hit.score) for hit in many[:k]
        ]


@pytest.mark.parametrize("method", ["atire", "okapi", "bm25l", "bm25plus"])
@pytest.mark.parametrize("fusion", ["zscore", "minmax", "rrf"])
def test_every_formula_can_be_fused_in_every_way(checkpoint: Path, method: str, fusion: Any) -> None:
    index = built(checkpoint, PASSAGES[:9], terms=IndexConfig(analyzer="whitespace", method=method), fusion=fusion)
    hits = index.retrieve([TEXTS[3], "7"], 20)
    assert hits[0][0].passage_id == "p003"
    assert [len(row) for row in hits] == [9, 9]  # more than there are


def test_passages_of_several_windows_are_fused_as_passages(checkpoint: Path) -> None:
    long = [Passage(f"q{number}", f"{text}. " * 30) for number, text in enumerate(TEXTS[:6])]
    hits = built(checkpoint, long, terms=IndexConfig(analyzer="whitespace", window_chars=100)).retrieve(["5."], 6)[0]
    assert sorted(hit.passage_id for hit in hits) == [f"q{number}" for number in range(6)]
    assert hits[0].passage_id == "q5"


def test_an_index_may_have_one_passage(checkpoint: Path) -> None:
    hits = built(checkpoint, [Passage("only", "the mill")]).retrieve(["mill", "else"], 3)
    assert [[hit.passage_id for hit in row] for row in hits] == [["only"], ["only"]]


def test_no_passages_are_an_error_that_says_what_to_do(checkpoint: Path) -> None:
    with pytest.raises(DataError, match="0 passages hold no term; import"):
        built(checkpoint, [])


# The weight


def test_the_weight_is_tuned_on_labelled_questions_and_saved(index: Index, tmp_path: Path) -> None:
    questions = [f"{number}" for number in range(60)]
    golds = [[f"p{number:03}"] for number in range(60)]
    tuned = index.tuned(questions, golds, [number % 9 for number in range(60)], seed=0)
    assert tuned.dense is not None
    weight = tuned.dense.weight
    assert (weight.questions, weight.documents) == (60, 9)
    assert weight.low <= weight.value <= weight.high
    tuned.save(tmp_path)
    loaded = Index.load(tmp_path, expect_corpus=None, device="cpu")
    assert loaded.dense is not None
    assert loaded.dense.weight == weight


def test_a_weight_given_in_the_settings_is_not_tuned(checkpoint: Path) -> None:
    index = built(checkpoint, weight=0.8)
    golds = [["p003"]] * MIN_QUESTIONS
    same = index.tuned(["3"] * MIN_QUESTIONS, golds, list(range(MIN_QUESTIONS)), seed=0)
    assert same.dense is not None
    assert same.dense.weight == FusionWeight(0.8, 0.8, 0.8)


def test_labels_of_missing_passages_are_ignored_in_tuning(index: Index) -> None:
    golds = [["gone"]] * MIN_QUESTIONS
    tuned = index.tuned(["3"] * MIN_QUESTIONS, golds, list(range(MIN_QUESTIONS)), seed=0)
    assert tuned.dense is not None
    assert tuned.dense.weight.value == 0.5


# The folder


@pytest.mark.parametrize("search", ["flat", "ivf"])
def test_a_loaded_index_retrieves_as_the_saved_one_did(checkpoint: Path, tmp_path: Path, search: Any) -> None:
    index = built(checkpoint, search=search)
    index.save(tmp_path)
    loaded = Index.load(tmp_path, expect_corpus=index.corpus, expect_config=index.config, device="cpu")
    assert loaded.retrieve(ASKED, 5) == index.retrieve(ASKED, 5)  # so few vectors are one cluster or three
    assert loaded.fingerprint == index.fingerprint
    assert loaded.dense is not None
    assert isinstance(loaded.dense.vectors.base, np.memmap)
    loaded.save(tmp_path / "again")
    again = Index.load(tmp_path / "again", expect_corpus=None, device="cpu")
    assert again.retrieve(ASKED, 5) == index.retrieve(ASKED, 5)


def test_the_fingerprint_changes_with_all_that_scores_depend_on(checkpoint: Path, index: Index, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"pooling": "cls"}, {"query_prefix": "q: "}, {"passage_prefix": "p: "}, {"max_seq_length": 9}, {"weight": 0.3},
        {"fusion": "rrf"}, {"rrf_constant": 2.0}, {"search": "ivf"},
    ]  # fmt: skip
    few = PASSAGES[:5]
    fingerprints = {built(checkpoint, few, **change).fingerprint for change in [{}, *changes]}
    fingerprints |= {
        built(tiny.bert(tmp_path / "other", seed=1), few).fingerprint,
        Index.build(few, ENGLISH).fingerprint,
    }
    assert len(fingerprints) == len(changes) + 3
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    assert built(copy).fingerprint == index.fingerprint


@pytest.mark.parametrize("damage", ["missing", "truncated", "altered"])
def test_broken_vectors_are_named(index: Index, tmp_path: Path, damage: str) -> None:
    index.save(tmp_path)
    (path,) = tmp_path.glob("*/vectors.npy")
    content = bytearray(path.read_bytes())
    path.unlink()
    content[-2] ^= 1
    if damage != "missing":
        path.write_bytes(content if damage == "altered" else content[:-2])
    with pytest.raises(DataError, match=r"vectors\.npy.*run `labeler index`"):
        Index.load(tmp_path, expect_corpus=None)


@pytest.mark.parametrize("stored", [{}, {"config": {}, "encoding": {}, "weight": {}}, [], "x"])
def test_broken_meta_values_are_an_error_that_says_what_to_run(index: Index, tmp_path: Path, stored: object) -> None:
    index.save(tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps(meta | {"dense": stored or {"config": 1}}))
    with pytest.raises(DataError, match="run `labeler index`"):
        Index.load(tmp_path, expect_corpus=None)


def test_a_changed_or_lost_checkpoint_is_reported_at_the_first_question(checkpoint: Path, tmp_path: Path) -> None:
    own = shutil.copytree(checkpoint, tmp_path / "own")
    built(own, PASSAGES[:3]).save(tmp_path / "index")
    tiny.bert(own, seed=5)
    loaded = Index.load(tmp_path / "index", expect_corpus=None, device="cpu")
    with pytest.raises(StaleIndex, match="its files changed since the index was built; run `labeler index`"):
        loaded.retrieve(["mill"], 1)
    shutil.rmtree(own)
    with pytest.raises(BadCheckpoint, match="no such folder"):
        Index.load(tmp_path / "index", expect_corpus=None, device="cpu").retrieve(["mill"], 1)


def test_loading_an_index_loads_no_encoder(index: Index, tmp_path: Path) -> None:
    index.save(tmp_path)
    code = (
        "import sys; from pathlib import Path; from mrc.retrieve.index import Index\n"
        f"Index.load(Path({str(tmp_path)!r}), expect_corpus=None)\n"
        "print([name for name in ('torch', 'transformers', 'faiss') if name in sys.modules])"
    )
    root = Path(__file__).parent.parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
