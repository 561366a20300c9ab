"""BM25: scores equal to rank_bm25's, and exact ranking."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path

import numpy as np
import pytest
import rank_bm25
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc.analyzers import Bigram, get_analyzer
from mrc.errors import DataError
from mrc.retrieve import formulas
from mrc.retrieve.bm25 import BM25, METHODS
from mrc.retrieve.formulas import BM25Atire

WORDS = st.sampled_from(list("abcdefgh"))
DOCUMENTS = st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=20).filter(any)
QUERIES = st.lists(st.sampled_from(list("abcdefghxy")), max_size=6).map(" ".join)


def build(texts: list[str], *, method: str = "atire", k1: float = 1.5, b: float = 0.75) -> BM25:
    return BM25.build(texts, analyzer="whitespace", method=method, k1=k1, b=b)


def searched(index: BM25, query: str, k: int) -> list[int]:
    documents: list[int] = index.search([query], k)[0][0].tolist()
    return documents


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None)
@given(texts=DOCUMENTS, query=QUERIES, k1=st.floats(0.1, 3), b=st.floats(0, 0.95))
def test_scores_equal_those_of_rank_bm25(method: str, texts: list[str], query: str, k1: float, b: float) -> None:
    expected = METHODS[method]([text.split() for text in texts], k1=k1, b=b).get_scores(query.split())
    assert build(texts, method=method, k1=k1, b=b).scores(query) == pytest.approx(expected, abs=1e-9, rel=1e-12)


@pytest.mark.parametrize("method", ["okapi", "atire"])
@settings(deadline=None)
@given(texts=DOCUMENTS, query=QUERIES)
def test_scores_without_a_base_equal_those_of_rank_bm25_in_every_bit(method: str, texts: list[str], query: str) -> None:
    expected = METHODS[method]([text.split() for text in texts]).get_scores(query.split())
    assert build(texts, method=method).scores(query).tolist() == expected.tolist()


def test_the_idf_of_atire_is_the_log_of_n_over_df() -> None:
    # three documents of two terms, k1 = 1.5: a term that occurs once has the weight 2.5 / (1 + 1.5) = 1 times its idf
    index = build(["a b", "a c", "a d"])
    assert index.scores("b").tolist() == pytest.approx([math.log(3 / 1), 0, 0])
    assert index.scores("a").tolist() == [0, 0, 0]  # log(3 / 3): never negative
    assert issubclass(BM25Atire, rank_bm25.BM25Okapi)


def test_bm25plus_gives_a_document_without_the_term_its_base_score() -> None:
    # idf = log((2 + 1) / 1); without the term the score is idf * delta, delta = 1
    index = build(["a b", "c d"], method="bm25plus")
    assert index.scores("a").tolist() == pytest.approx([2 * math.log(3), math.log(3)])


def reference(index: BM25, texts: list[str], query: str, k: int) -> list[int]:
    """The definition of a search: documents that share a term, by score and then by number, padded with -1."""
    scores = index.scores(query)
    sharing = [number for number, text in enumerate(texts) if set(text.split()) & set(query.split())]
    best = sorted(sharing, key=lambda number: (-scores[number], number))[:k]
    return best + [-1] * (k - len(best))


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None)
@given(texts=DOCUMENTS, query=QUERIES, k=st.integers(1, 25))
def test_a_search_returns_the_best_documents_that_share_a_term(
    method: str, texts: list[str], query: str, k: int
) -> None:
    index = build(texts, method=method)
    documents, scores = index.search([query, "a"], k)
    assert documents[0].tolist() == reference(index, texts, query, k)
    found = documents[0] >= 0
    assert scores[0, found].tolist() == index.scores(query)[documents[0, found]].astype(np.float32).tolist()
    assert np.isneginf(scores[0, ~found]).all()
    assert documents[1].tolist() == reference(index, texts, "a", k)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_in_a_corpus_of_many_blocks_is_exact(method: str) -> None:
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, 301)
    rows = rng.choice(300, size=(3000, 6), p=share / share.sum())
    texts = [" ".join(map(str, row)) for row in rows.tolist()]
    index = build(texts, method=method)
    for query in ("0", "0 1 2", "7 7 40", "299 0", "150 290"):
        for k in (1, 5, 10, 100, 3001):
            assert searched(index, query, k) == reference(index, texts, query, k)


def test_equal_scores_go_to_the_lowest_document() -> None:
    texts = ["filler"] * 1000
    for number in (900, 31, 500, 64, 63):
        texts[number] = "rare"
    assert searched(build(texts), "rare", 3) == [31, 63, 64]
    assert searched(build(texts), "rare", 6) == [31, 63, 64, 500, 900, -1]


@pytest.mark.parametrize("query", ["", "unknown", "unknown unheard"])
def test_a_query_without_a_known_term_finds_nothing(query: str) -> None:
    documents, scores = build(["a", "b"]).search([query], 2)
    assert documents.tolist() == [[-1, -1]]
    assert np.isneginf(scores).all()
    assert build(["a", "b"]).scores(query).tolist() == [0, 0]


def test_a_term_in_every_document_scores_0_and_still_matches() -> None:
    assert searched(build(["a", "a b", "a"]), "a", 4) == [0, 1, 2, -1]  # idf = log(3 / 3) = 0


def test_one_document_or_no_query_is_enough() -> None:
    assert searched(build(["only one"]), "one", 3) == [0, -1, -1]
    documents, scores = build(["only one"]).search([], 3)
    assert documents.shape == scores.shape == (0, 3)
    assert (documents.dtype, scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("texts", [[], ["", " "]])
def test_a_corpus_without_a_term_is_an_error_that_says_what_to_do(texts: list[str]) -> None:
    with pytest.raises(DataError, match=f"{len(texts)} passages hold no term; import"):
        build(texts)


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"method": "bm26"}, "method"), ({"k1": 0}, "k1"), ({"k1": math.nan}, "k1"), ({"k1": math.inf}, "k1"),
     ({"b": -0.1}, "b"), ({"b": 1.1}, "b"), ({"b": math.nan}, "b")],
)  # fmt: skip
def test_settings_out_of_range_are_named(settings: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        build(["a"], **settings)  # type: ignore[arg-type]


def test_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        build(["a"]).search(["a"], 0)


def test_bm25l_is_built_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        build(["a"], method="okapi")
        assert caplog.text == ""
        build(["a"], method="bm25l")
    assert "bm25l" in caplog.text
    assert "atire" in caplog.text


def test_the_auto_analyzer_follows_the_language_of_the_texts() -> None:
    assert BM25.build(["The dogs ran"]).analyzer.name == "english"
    assert BM25.build(["개가 달렸다"]).analyzer.name == get_analyzer("auto", "ko").name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [1, 3, 5, 11])
def test_scores_do_not_depend_on_how_many_postings_are_weighted_at_a_time(
    method: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a b a", "b", "", "c c c d", "a d", "e f g h a", ""]
    whole = build(texts, method=method).weights
    monkeypatch.setattr(formulas, "_CHUNK", chunk)
    assert build(texts, method=method).weights.tolist() == whole.tolist()


# KorQuAD


@pytest.fixture(scope="module")
def korquad() -> tuple[list[str], list[tuple[str, int]]]:
    """The passages in their order, and each question with the number of its passage."""
    if "LABELER_DATA" not in os.environ:
        pytest.skip("LABELER_DATA names no folder with KorQuAD_v1.0_dev.json")
    file = Path(os.environ["LABELER_DATA"]) / "KorQuAD_v1.0_dev.json"
    numbers: dict[str, int] = {}
    questions = []
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            number = numbers.setdefault(paragraph["context"], len(numbers))
            questions += [(qa["question"], number) for qa in paragraph["qas"]]
    return list(numbers), questions


@pytest.mark.parametrize(("method", "difference"), [("okapi", 0), ("atire", 0), ("bm25l", 1e-9), ("bm25plus", 1e-9)])
def test_korquad_scores_equal_those_of_rank_bm25(
    korquad: tuple[list[str], list[tuple[str, int]]], method: str, difference: float
) -> None:
    texts, questions = korquad
    index = BM25.build(texts, analyzer="bigram", method=method)
    expected = METHODS[method]([Bigram()(text) for text in texts])
    for question, _ in questions[::200]:
        assert np.abs(index.scores(question) - expected.get_scores(Bigram()(question))).max() <= difference


@pytest.mark.parametrize(("analyzer", "least"), [("auto", 0.96), ("bigram", 0.96), ("whitespace", 0.84)])
def test_korquad_passages_are_found_among_the_top_three(
    korquad: tuple[list[str], list[tuple[str, int]]], analyzer: str, least: float
) -> None:
    texts, questions = korquad
    found, _ = BM25.build(texts, analyzer=analyzer).search([question for question, _ in questions], 3)
    assert (len(texts), len(questions)) == (961, 5774)
    assert (found == np.array([[number] for _, number in questions])).any(axis=1).mean() >= least
