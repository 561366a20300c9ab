"""The pruned search of BM25 returns the documents and scores of an exhaustive search, bit by bit."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc.analyzers import get_analyzer
from mrc.retrieve import bm25, bounds, kernel
from mrc.retrieve.bm25 import BM25, METHODS
from mrc.retrieve.bounds import Bounds, Postings, query_batch
from mrc.retrieve.term_counts import TermCounts

WORDS = "abcdefghij"


def index_of(documents: list[list[str]], method: str = "atire") -> BM25:
    analyzer = get_analyzer("whitespace")
    return BM25.from_counts(TermCounts.of(map(Counter, documents)), analyzer, method=method, k1=1.5, b=0.75)


def drawn(
    documents: int, *, words: int, longest: int, method: str = "atire", seed: int = 0
) -> tuple[BM25, np.random.Generator]:
    """Documents of 1 to `longest` words, drawn by Zipf's law: short ones have many equal scores."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, words + 1)
    rows = rng.choice(words, size=(documents, longest), p=share / share.sum()).astype(str).tolist()
    lengths = rng.integers(1, longest + 1, size=documents).tolist()
    return index_of([row[:length] for row, length in zip(rows, lengths, strict=True)], method), rng


def assert_same(index: BM25, queries: list[str], k: int, *, threads: int | None = 1) -> None:
    _ = index._bounds  # made first: otherwise few queries are scored exhaustively
    expected, expected_scores = index.search_exhaustive(queries, k)
    for small in (0, bounds.SMALL):  # by bounds; and, up to so many documents, by the score of each
        with mock.patch.object(bounds, "SMALL", small):
            documents, scores = index.search(queries, k, threads=threads)
        assert documents.tolist() == expected.tolist()
        assert scores.tolist() == expected_scores.tolist()


def resolved(index: BM25, queries: list[str], k: int) -> list[bool]:
    """Whether the pruned search resolved each query."""
    assert index._bounds is not None
    columns = [index._term_ids(query.split()) for query in queries]
    with mock.patch.object(bounds, "SMALL", 0):
        answers: list[bool] = index._bounds.search(columns, index.base, k, threads=1)[2].tolist()
    return answers


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None)
@given(
    documents=st.lists(st.lists(st.sampled_from(WORDS), max_size=9), min_size=1, max_size=300).filter(any),
    queries=st.lists(st.lists(st.sampled_from(WORDS + "x"), max_size=40).map(" ".join), max_size=4),
    k=st.integers(1, 400),
)
def test_a_search_equals_an_exhaustive_search(
    method: str, documents: list[list[str]], queries: list[str], k: int
) -> None:
    assert_same(index_of(documents, method), queries, k)


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=25)
@given(
    size=st.integers(1, 2500), words=st.integers(1, 400), longest=st.integers(1, 30), k=st.integers(1, 130),
    length=st.integers(1, 300), seed=st.integers(0, 1000),
)  # fmt: skip
def test_random_corpora_are_searched_exactly(
    method: str, size: int, words: int, longest: int, k: int, length: int, seed: int
) -> None:
    index, rng = drawn(size, words=words, longest=longest, method=method, seed=seed)
    assert_same(index, [" ".join(rng.integers(words, size=length).astype(str)) for _ in range(5)], k)


@pytest.fixture(scope="module", params=METHODS)
def blocks(request: pytest.FixtureRequest) -> tuple[BM25, np.random.Generator]:
    """Three blocks of documents, the last of them cut short inside a chunk."""
    return drawn(2 * kernel.BLOCK + 1000, words=2000, longest=12, method=request.param)


@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_a_corpus_of_several_blocks_is_searched_exactly(blocks: tuple[BM25, np.random.Generator], k: int) -> None:
    index, rng = blocks
    queries = [" ".join(rng.integers(limit, size=length).astype(str)) for limit in (3, 2000) for length in (1, 4, 20)]
    assert_same(index, queries, k)


def test_the_first_and_the_last_document_of_a_block_are_found() -> None:
    edges = [0, kernel.CHUNK - 1, kernel.CHUNK, kernel.BLOCK - 1, kernel.BLOCK, 2 * kernel.BLOCK - 1, 2 * kernel.BLOCK]
    documents = [["often"] for _ in range(2 * kernel.BLOCK + 1)]
    for edge in edges:
        documents[edge] = ["often", "rare"]
    index = index_of(documents)
    assert resolved(index, ["rare", "rare often"], 7) == [True, True]
    assert index.search(["rare", "rare often"], 7)[0].tolist() == [edges, edges]


def test_k_may_exceed_the_number_of_documents(blocks: tuple[BM25, np.random.Generator]) -> None:
    index, _ = blocks
    assert_same(index, ["0 1", "1999 5"], index.size + 7)


def test_the_result_does_not_depend_on_the_number_of_threads(blocks: tuple[BM25, np.random.Generator]) -> None:
    index, rng = blocks
    queries = [" ".join(rng.integers(2000, size=6).astype(str)) for _ in range(300)]
    for threads in (1, 2, 3, None):
        assert_same(index, queries, 10, threads=threads)


def test_ordinary_questions_are_resolved_by_the_pruned_search() -> None:
    index, rng = drawn(5000, words=3000, longest=60)
    queries = [" ".join(rng.integers(3000, size=8).astype(str)) for _ in range(200)]
    assert all(resolved(index, queries, 10))


def test_a_repeated_query_term_counts_repeatedly() -> None:
    index = index_of(
        [["a"], ["b"], ["b"], ["c"]]
    )  # idf of a: log(4 / 1), of b: log(4 / 2), so b twice has the weight of a
    assert index.search(["a b b"], 3)[0].tolist() == [[0, 1, 2]]
    assert index.search(["a b b b"], 3)[0].tolist() == [[1, 2, 0]]


def test_thousands_of_ties_are_left_to_the_exhaustive_search() -> None:
    index = index_of([["a"]] * 9000 + [["b"]])
    assert resolved(index, ["a"], 3) == [False]
    assert index.search(["a"], 3)[0].tolist() == [[0, 1, 2]]


def test_a_query_of_forty_thousand_terms_is_left_to_the_exhaustive_search() -> None:
    words = [str(number) for number in range(40_000)]
    index = index_of([words[:20_000], words[20_000:], words[:5]])
    query = " ".join(words)  # rounding up 40,000 terms exceeds a sum of 16 bits
    assert resolved(index, [query], 2) == [False]
    assert_same(index, [query], 2)


@pytest.mark.parametrize("length", [200, 1000, 3000])
def test_sums_of_long_queries_do_not_overflow(length: int) -> None:
    index, _ = drawn(800, words=3000, longest=400)
    document = list(index.vocabulary)[:length]
    for query in (" ".join(document), " ".join(document * 3), " ".join(document[:2] * length)):
        assert_same(index, [query], 10)


def test_a_document_that_matches_only_a_term_of_every_document_is_ranked_last() -> None:
    index = index_of([["a"], ["a", "b"], ["a", "c"], ["a"]])  # idf of a: log(4 / 4) = 0
    assert index.search(["a b c"], 4)[0].tolist() == [[1, 2, 0, 3]]
    assert index.search(["b"], 4)[0].tolist() == [[1, -1, -1, -1]]


def test_negative_weights_are_searched_exhaustively() -> None:
    # three of four terms occur in more than half of the documents: the mean idf, and so okapi's floor, is below 0
    documents = [["a", "b", "c"]] * 5 + [["a", "b", "c", "d"]]
    index = index_of(documents, "okapi")
    assert index.weights.min() < 0
    assert index._bounds is None
    assert_same(index, ["a b", "d a", "c"], 4)


def test_a_level_is_the_share_of_the_largest_weight_rounded_up() -> None:
    postings = Postings(np.array([0, 3, 4]), np.array([0, 1, 4, 2], dtype=np.int32), np.array([5.0, 10, 0, 0]))
    bounds = Bounds.of(postings, 5)
    assert bounds is not None
    # 5 / 10 * 255 = 127.5; at least 1, so that a document without the term, level 0, can be told from one with it
    assert bounds.quantized.levels.tolist() == [128, 255, 1, 1]
    assert bounds.quantized.columns[0, 0].ravel()[:6].tolist() == [128, 255, 0, 0, 1, 0]


def test_a_batch_holds_the_terms_of_each_query_once_and_its_tokens_in_order() -> None:
    batch = query_batch([[3, 1, 3], [], [1]], np.array([0.0, 0.5, 0.0, 2.0]))
    assert batch.starts.tolist() == [0, 2, 2, 3]
    assert batch.terms.tolist() == [1, 3, 1]
    assert batch.counts.tolist() == [1, 2, 1]
    assert batch.tokens.tolist() == [3, 1, 3, 1]
    assert batch.floors.tolist() == [4.5, 0, 0.5]  # 2 + .5 + 2


def test_without_numba_the_search_is_exhaustive_and_logs_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def find(name: str) -> ModuleSpec | None:
        assert name == "numba"
        return None

    monkeypatch.setattr(bm25, "find_spec", find)
    with caplog.at_level(logging.INFO):
        index, rng = drawn(200, words=50, longest=9)
        assert_same(index, [" ".join(rng.integers(50, size=5).astype(str))], 7)
    assert "numba is not installed" in caplog.text
    assert index._bounds is None


def test_compiled_code_is_cached_where_the_environment_says(tmp_path: Path) -> None:
    code = "from mrc.retrieve.kernel import _worse; _worse(1.0, 2, 3.0, 4)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)})
    assert list(tmp_path.rglob("*.nbi"))


# KorQuAD


@pytest.fixture(scope="module")
def korquad() -> tuple[list[str], list[str]]:
    """A thousand questions, and the terms of every passage."""
    if "LABELER_DATA" not in os.environ:
        pytest.skip("LABELER_DATA names no folder with KorQuAD_v1.0_dev.json")
    file = Path(os.environ["LABELER_DATA"]) / "KorQuAD_v1.0_dev.json"
    articles = json.loads(file.read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    questions = [qa["question"] for paragraph in paragraphs for qa in paragraph["qas"]]
    texts = list(dict.fromkeys(paragraph["context"] for paragraph in paragraphs))
    return np.random.default_rng(0).choice(questions, size=1000, replace=False).tolist(), texts


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("analyzer", ["bigram", "whitespace"])
def test_a_thousand_korquad_questions_are_searched_exactly(
    korquad: tuple[list[str], list[str]], method: str, analyzer: str
) -> None:
    questions, texts = korquad
    index = BM25.build(texts, analyzer=analyzer, method=method)
    for k in (10, 100):
        assert_same(index, questions, k)
    assert_same(index, texts[::100], 10)  # a whole passage as a query
