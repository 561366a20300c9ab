"""The objects of a notebook: built, searched, asked, shown, saved and loaded; wrong use is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mrc
from mrc.corpus import Corpus, SearchResult
from mrc.errors import DataError, StaleIndex
from mrc.pipeline import answer
from mrc.read.model import Reader
from mrc.retrieve.bm25 import BM25
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.dense.vectors import VectorCache
from mrc.retrieve.index import Index, IndexConfig
from mrc.retrieve.rerank.cross_encoder import CrossEncoder
from mrc.text import passage_id
from mrc.types import Passage
from tests.mrc import tiny

TEXTS = [
    "Mira Oland founded the mill of Tarn in 1893.",
    "The mill stands in Tarn.",
    "A ship left the harbour of Velmora at dawn.",
]
TITLES = ["Mill", "Mill", "Harbour"]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.build(TEXTS, titles=TITLES)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert(tmp_path_factory.mktemp("corpus") / "bert")


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.cross_encoder(tmp_path_factory.mktemp("corpus") / "cross")


@pytest.fixture(scope="module")
def reader(checkpoint: Path) -> Reader:
    return Reader.load(checkpoint, device="cpu")


# Building, searching, asking


def test_a_search_returns_passages_with_their_titles_and_texts(corpus: Corpus) -> None:
    first, second = corpus.search("Who founded the mill?")
    assert (first.rank, first.title, first.text, first.passage_id) == (0, "Mill", TEXTS[0], passage_id(TEXTS[0]))
    assert (second.rank, second.text) == (1, TEXTS[1])
    assert first.score > second.score
    assert (first.bm25, first.dense, first.rerank) == (first.score, None, None)
    assert len(corpus.search("Who founded the mill?", k=1)) == 1
    assert corpus.search("unheard of") == corpus.search("") == []


def test_many_questions_are_searched_in_their_order(corpus: Corpus) -> None:
    found = corpus.search_many(["harbour", "nothing", "mill"], k=1)
    assert [[each.title for each in hits] for hits in found] == [["Harbour"], [], ["Mill"]]


def test_equal_texts_are_one_passage_with_the_first_title() -> None:
    corpus = Corpus.build([*TEXTS, TEXTS[0]], titles=[*TITLES, "Later"])
    assert len(corpus) == 3
    assert corpus[passage_id(TEXTS[0])].title == "Mill"


def test_passages_keep_their_own_ids_and_are_iterated_by_id() -> None:
    corpus = Corpus.build([Passage("b", TEXTS[0], "Mill"), Passage("a", TEXTS[2])])
    assert [passage.id for passage in corpus] == ["a", "b"]
    assert "a" in corpus
    assert "c" not in corpus
    assert corpus.search("Who founded the mill?")[0].passage_id == "b"


def test_parameters_reach_the_index() -> None:
    corpus = Corpus.build(
        TEXTS, titles=TITLES, analyzer="whitespace", method="okapi", k1=0.9, b=0.4, title_weight=2, window_chars=100
    )
    expected = IndexConfig(analyzer="whitespace", method="okapi", k1=0.9, b=0.4, title_weight=2, window_chars=100)
    assert corpus.index.config == expected
    assert corpus.search("Harbour")[0].title == "Harbour"  # only the title is written so


def test_a_question_is_answered_from_the_passages_found(corpus: Corpus, reader: Reader) -> None:
    answers = corpus.ask("Who founded the mill?", reader=reader)
    for each in answers:
        assert corpus[each.passage_id].text[each.start : each.end] == each.text
    assert [each.score for each in answers] == sorted((each.score for each in answers), reverse=True)
    assert {each.passage_id for each in answers} <= {passage_id(text) for text in TEXTS[:2]}
    assert {each.passage_id for each in corpus.ask("Who founded the mill?", reader=reader, k=1)} == {
        passage_id(TEXTS[0])
    }
    assert corpus.ask("unheard of", reader=reader) == []


def test_many_questions_are_answered_as_one_by_one(corpus: Corpus, reader: Reader) -> None:
    questions = ["Who founded the mill?", "nothing", "Which ship left?"]
    found = corpus.ask_many(questions, reader=reader)
    assert [[each.text for each in answers] for answers in found] == [
        [each.text for each in corpus.ask(question, reader=reader)] for question in questions
    ]


def test_a_corpus_is_the_retriever_of_a_pipeline(corpus: Corpus, reader: Reader) -> None:
    (prediction,) = answer(["Who founded the mill?"], retriever=corpus, reader=reader, k=1)
    assert [hit.passage_id for hit in prediction.hits] == [passage_id(TEXTS[0])]
    assert "retrieval_score" in prediction.features


def test_korean_answers_are_compared_by_the_rules_of_korquad(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics: list[str] = []
    monkeypatch.setattr("mrc.pipeline.answer", lambda *_, metric, **__: metrics.append(metric) or [])
    Corpus.build(["한빛 학당은 1921년에 문을 열었다."], analyzer="bigram").ask_many(["학당"], reader=reader)
    Corpus.build(TEXTS).ask_many(["mill"], reader=reader)
    Corpus.build(TEXTS).ask_many(["mill"], reader=reader, metric="korquad")
    assert metrics == ["korquad", "squad", "korquad"]


# Models


@pytest.fixture(scope="module")
def full(checkpoint: Path, cross: Path) -> Corpus:
    return Corpus.build(TEXTS, titles=TITLES, dense=checkpoint, rerank=str(cross), device="cpu")


def test_a_corpus_has_a_dense_part_and_a_re_ranker(full: Corpus) -> None:
    found = full.search("mill")
    assert len(found) == 3  # dense retrieval finds passages that share no term
    assert all(each.dense is not None and each.rerank is not None for each in found)


def test_answers_of_a_hybrid_corpus_come_from_all_its_passages(full: Corpus, reader: Reader) -> None:
    assert {each.passage_id for each in full.ask("mill", reader=reader)} <= {passage.id for passage in full}


# Saving and loading


@pytest.mark.parametrize("kind", ["lexical", "full"])
def test_a_loaded_corpus_finds_what_the_saved_one_found(
    kind: str, corpus: Corpus, full: Corpus, tmp_path: Path
) -> None:
    saved = full if kind == "full" else corpus
    saved.save(tmp_path / "corpus")
    loaded = Corpus.load(tmp_path / "corpus", device="cpu")
    assert list(loaded) == list(saved)
    assert loaded.search("Who founded the mill?") == saved.search("Who founded the mill?")


def test_a_corpus_is_saved_over_another_one(corpus: Corpus, tmp_path: Path) -> None:
    corpus.save(tmp_path)
    Corpus.build(["Something \x85 else\u2028here", "x"]).save(tmp_path)
    assert sorted(each.text for each in Corpus.load(tmp_path)) == ["Something \x85 else\u2028here", "x"]


def test_a_folder_without_a_corpus_or_with_another_index_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"passages\.jsonl: no corpus can be read here"):
        Corpus.load(tmp_path)
    corpus.save(tmp_path)
    (tmp_path / "passages.jsonl").write_text('{"id": "a", "title": "", "text": "b"}\n')
    with pytest.raises(StaleIndex, match="have changed since; build and save the corpus again"):
        Corpus.load(tmp_path)
    (tmp_path / "passages.jsonl").write_text("{\n")
    with pytest.raises(DataError, match="no corpus can be read here"):
        Corpus.load(tmp_path)


@pytest.mark.parametrize("method", ["atire", "bm25plus"])
def test_a_loaded_bm25_searches_as_the_saved_one(method: str, tmp_path: Path) -> None:
    index = BM25.build(TEXTS, method=method, k1=0.7)
    index.save(tmp_path / "bm25")
    BM25.build(["old"]).save(tmp_path / "again")
    index.save(str(tmp_path / "again"))
    for folder in (tmp_path / "bm25", tmp_path / "again"):
        loaded = BM25.load(folder)
        assert (len(loaded), loaded.analyzer.name, repr(loaded)) == (3, "english", repr(index))
        for ours, theirs in zip(loaded.search(["the mill", "no"], 3), index.search(["the mill", "no"], 3), strict=True):
            assert ours.tolist() == theirs.tolist()
        assert loaded.scores("mill").tolist() == index.scores("mill").tolist()


def test_a_folder_without_a_bm25_or_with_a_broken_file_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(DataError, match=r"meta\.json: no BM25 index can be read here"):
        BM25.load(tmp_path)
    Corpus.build(TEXTS).save(tmp_path / "corpus")
    with pytest.raises(DataError, match="not that of a BM25 index"):
        BM25.load(tmp_path / "corpus" / "index")
    BM25.build(TEXTS, analyzer="bigram").save(tmp_path)
    monkeypatch.setattr("mrc.analyzers.Bigram.version", "2")
    with pytest.raises(StaleIndex, match=r"built by analyzer bigram .*, now it is 2; build and save"):
        BM25.load(tmp_path)
    monkeypatch.undo()
    (path,) = tmp_path.glob("*/weights.npy")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"weights\.npy: truncated or altered"):
        BM25.load(tmp_path)


def test_a_saved_bi_encoder_and_cross_encoder_give_the_same_scores(
    checkpoint: Path, cross: Path, tmp_path: Path
) -> None:
    encoder = BiEncoder.load(checkpoint, device="cpu")
    encoder.save(tmp_path / "encoder")
    again = BiEncoder.load(str(tmp_path / "encoder"), device="cpu")
    np.testing.assert_allclose(again.passages(TEXTS), encoder.passages(TEXTS), atol=1e-6)
    scorer = CrossEncoder.load(cross, device="cpu")
    scorer.save(tmp_path / "cross")
    assert CrossEncoder.load(tmp_path / "cross", device="cpu").scores("mill", TEXTS) == pytest.approx(
        scorer.scores("mill", TEXTS), abs=1e-5
    )


# What is shown


def test_every_object_shows_itself_in_one_short_line(
    corpus: Corpus, full: Corpus, checkpoint: Path, cross: Path, tmp_path: Path
) -> None:
    index = full.index
    assert index.dense is not None
    shown = [
        corpus, full, corpus.index, index, index.dense, index.reranking, index.counts, index.bm25,
        corpus.search("mill")[0], BiEncoder.load(checkpoint, device="cpu"), CrossEncoder.load(cross, device="cpu"),
        VectorCache(tmp_path, 3),
    ]  # fmt: skip
    for each in shown:
        assert len(repr(each)) < 400
        assert "\n" not in repr(each)
    assert repr(corpus) == "Corpus(3 passages, method='atire', analyzer='english')"
    assert repr(index).startswith("Index(3 passages, method='atire', analyzer='english', dense='")
    assert repr(index.bm25) == "BM25(3 documents, 12 terms, analyzer='english')"


def test_a_long_text_is_shortened_where_a_result_is_shown() -> None:
    long = SearchResult("id", 0, 1.234, None, None, None, "T", "word\n" * 100)
    assert repr(long) == f"SearchResult(rank=0, score=1.23, title='T', text={('word ' * 12)[:59] + '…'!r})"
    exact = SearchResult("id", 0, 1, None, None, None, "", "x" * 60)
    assert repr(exact).endswith(f"text={'x' * 60!r})")


def test_objects_have_a_length(full: Corpus) -> None:
    index = full.index
    assert index.dense is not None
    assert (len(full), len(index), len(index.bm25), len(index.dense)) == (3, 3, 3, 3)


def test_the_package_exports_the_objects_of_a_notebook() -> None:
    assert (mrc.Corpus, mrc.BM25, mrc.Reader) == (Corpus, BM25, Reader)
    assert {"Corpus", "BM25", "Reader"} <= set(dir(mrc))
    with pytest.raises(AttributeError, match="module 'mrc' has no attribute 'Corpora'"):
        mrc.Corpora  # noqa: B018


# Wrong use


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda c, r: BM25.build("abc"), TypeError, r"texts must be a list of strings, not one string"),
        (lambda c, r: BM25.build(b"abc"), TypeError, "texts must be a list of strings, not bytes"),
        (lambda c, r: BM25.build({"a": "b"}), TypeError, "texts must be a list of strings, not dict"),
        (lambda c, r: BM25.build(7), TypeError, "texts must be a list of strings, not int"),
        (lambda c, r: BM25.build(["a", None]), TypeError, "item 1 is NoneType"),
        (lambda c, r: BM25.build(["a"], method="bm26"), ValueError, "method must be one of atire"),
        (lambda c, r: BM25.build(["a"], analyzer="bigrams"), ValueError, "use one of auto, bigram"),
        (lambda c, r: c.index.bm25.search("one string", 3), TypeError, "queries must be a list of strings"),
        (lambda c, r: c.index.bm25.scores(["a"]), TypeError, "query must be one string, not list"),
        (lambda c, r: c.index.retrieve("one string", 3), TypeError, "questions must be a list of strings"),
        (lambda c, r: Corpus.build("abc"), TypeError, "texts must be a list of strings or passages, not str"),
        (lambda c, r: Corpus.build({"a": "b"}), TypeError, "texts must be a list of strings or passages, not dict"),
        (lambda c, r: Corpus.build(["a", 3]), TypeError, "item 1 is int"),
        (lambda c, r: Corpus.build(["a"], titles="a"), TypeError, "titles must be a list of strings, not one string"),
        (lambda c, r: Corpus.build(["a"], titles=[]), ValueError, "0 titles for 1 texts"),
        (lambda c, r: Corpus.build(["a"], method="tfidf"), ValueError, "method must be one of"),
        (lambda c, r: c.search(["a", "b"]), TypeError, "question must be one string, not list; .* use search_many"),
        (lambda c, r: c.search("mill", 0), ValueError, "k must be at least 1"),
        (lambda c, r: c.search_many("mill"), TypeError, "questions must be a list of strings, not one string"),
        (lambda c, r: c.ask(["a"], reader=r), TypeError, "question must be one string, not list; .* use ask_many"),
        (lambda c, r: c.ask_many("mill", reader=r), TypeError, "questions must be a list of strings"),
        (lambda c, r: c.ask("mill", reader="folder"), TypeError, r"a loaded reader: Reader\.load\('folder'\)"),
        (lambda c, r: c.ask("mill", reader=r, metric="sqad"), ValueError, "unknown metric 'sqad'"),
    ],
)
def test_wrong_use_is_refused_by_name(
    corpus: Corpus, reader: Reader, wrong: Callable[..., object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        wrong(corpus, reader)


def test_models_refuse_one_string_where_a_list_is_meant(checkpoint: Path, cross: Path) -> None:
    encoder = BiEncoder.load(checkpoint, device="cpu")
    for wrong in (encoder.questions, encoder.passages):
        with pytest.raises(TypeError, match="must be a list of strings, not one string"):
            wrong("one string")
    with pytest.raises(TypeError, match="texts must be a list of strings, not one string"):
        CrossEncoder.load(cross, device="cpu").scores("mill", "one string")


def test_texts_may_be_any_iterable_of_strings() -> None:
    expected = BM25.build(TEXTS).scores("mill").tolist()
    for texts in (tuple(TEXTS), iter(TEXTS), np.array(TEXTS), dict.fromkeys(TEXTS).keys()):
        assert BM25.build(texts).scores("mill").tolist() == expected  # type: ignore[arg-type]


def test_an_index_with_one_passage_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="different ids"):
        Index.build([Passage("a", "x"), Passage("a", "y")], IndexConfig())
