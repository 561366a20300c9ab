"""The retrieval index: built, extended, saved, loaded, and refused when it is stale or broken."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mrc import analyzers
from mrc.errors import DataError, StaleIndex
from mrc.retrieve import index as index_module
from mrc.retrieve.index import Index, IndexConfig, corpus_fingerprint
from mrc.text import passage_id
from mrc.types import Hit, Passage

TEXTS = ["세종대왕은 훈민정음을 만들었다", "이순신은 거북선을 만들었다", "BTS는 2013년에 데뷔했다", "성"]
BIGRAM = IndexConfig(analyzer="bigram")


def passages(*texts: str) -> list[Passage]:
    return [Passage(passage_id(text), text) for text in texts]


def built(*texts: str, config: IndexConfig = BIGRAM) -> Index:
    return Index.build(passages(*(texts or TEXTS)), config)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds the index of TEXTS."""
    built().save(tmp_path / "index")
    return tmp_path / "index"


def data_file(folder: Path, name: str) -> Path:
    (path,) = folder.glob(f"*/{name}")
    return path


def test_hits_are_ranked_passages_that_share_a_term() -> None:
    [first, none, one] = built().retrieve(["거북선을 만들었다", "없다", "BTS"], k=3)
    assert [hit.passage_id for hit in first] == [passage_id(TEXTS[1]), passage_id(TEXTS[0])]
    assert [hit.rank for hit in first] == [0, 1]
    assert none == ()
    # idf = log(4 / 1); its 7 terms are just the mean of 11, 9, 7 and 1, so the weight is 2.5 / (1 + 1.5) = 1
    score = pytest.approx(np.log(4), rel=1e-6)
    # The others score 0: mean log(4) / 4, standard deviation log(4) * sqrt(3) / 4.
    assert one == (Hit(passage_id(TEXTS[2]), 0, score, bm25=score, standardized=pytest.approx(np.sqrt(3))),)
    assert [hit.standardized for hit in built().retrieve(["BTS"], k=1)[0]] == [one[0].standardized], "whatever k is"


def test_the_order_of_the_passages_does_not_matter() -> None:
    one, other = built(*TEXTS), built(*reversed(TEXTS))
    assert list(one.ids) == sorted(one.ids) == list(other.ids)
    assert one.fingerprint == other.fingerprint
    assert one.retrieve(["만들었다"], k=4) == other.retrieve(["만들었다"], k=4)


def test_equal_scores_go_to_the_lower_id() -> None:
    index = Index.build([Passage("b", "왕"), Passage("c", "성"), Passage("a", "왕")], BIGRAM)
    assert [hit.passage_id for hit in index.retrieve(["왕"], k=3)[0]] == ["a", "b"]


def test_two_passages_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="different ids"):
        Index.build([Passage("a", "왕"), Passage("a", "성")], BIGRAM)


def test_no_passages_are_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match="0 passages hold no term; import"):
        Index.build([], IndexConfig())


@pytest.mark.parametrize("method", ["atire", "bm25plus"])
def test_a_loaded_index_retrieves_as_the_saved_one_did(tmp_path: Path, method: str) -> None:
    index = built(config=IndexConfig(method=method, analyzer="bigram", k1=0.9, b=0.4))
    index.save(tmp_path)
    loaded = Index.load(tmp_path, expect_corpus=index.corpus, expect_config=index.config)
    questions = ["훈민정음을 만든 왕은", "만들었다", ""]
    assert loaded.retrieve(questions, k=3) == index.retrieve(questions, k=3)
    assert (loaded.fingerprint, loaded.config, loaded.corpus) == (index.fingerprint, index.config, index.corpus)


def test_the_arrays_of_a_loaded_index_are_memory_mapped(folder: Path) -> None:
    bm25 = Index.load(folder, expect_corpus=None).bm25
    assert all(isinstance(values.base, np.memmap) for values in (bm25.documents, bm25.weights))


def test_auto_stays_the_setting_and_the_chosen_analyzer_is_loaded(tmp_path: Path) -> None:
    for texts, language, name in ((["The dogs ran"], "auto", "english"), (["개 dogs"], "en", "english")):
        config = IndexConfig(language=language)  # type: ignore[arg-type]
        built(*texts, config=config).save(tmp_path)
        loaded = Index.load(tmp_path, expect_corpus=None, expect_config=config)
        assert (loaded.bm25.analyzer.name, loaded.config.analyzer) == (name, "auto")


def test_the_fingerprint_of_a_corpus_is_that_of_its_set_of_ids() -> None:
    assert corpus_fingerprint(iter("abc")) == corpus_fingerprint(["c", "a", "b"])
    assert len({corpus_fingerprint(ids) for ids in ([], ["a"], ["ab"], ["a", "b"])}) == 4


def test_the_fingerprint_changes_with_all_that_scores_depend_on() -> None:
    others = [
        built(*TEXTS[:3]),
        built(config=IndexConfig(analyzer="whitespace")),
        built(config=IndexConfig(analyzer="bigram", method="okapi")),
        built(config=IndexConfig(analyzer="bigram", k1=1.2)),
        built(config=IndexConfig(analyzer="bigram", b=0.5)),
    ]
    assert len({index.fingerprint for index in [built(), *others]}) == 6
    assert built().fingerprint == built(config=IndexConfig(analyzer="bigram", language="ko")).fingerprint


# Stale


def test_a_missing_index_is_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StaleIndex, match=r"no retrieval index is here yet; run `labeler index`"):
        Index.load(tmp_path / "index", expect_corpus=None)


def test_an_index_of_other_passages_or_settings_is_stale(folder: Path) -> None:
    corpus = built().corpus
    with pytest.raises(StaleIndex, match=r"built from 4 passages, which have changed since; run `labeler index`"):
        Index.load(folder, expect_corpus=built("왕").corpus)
    with pytest.raises(StaleIndex, match=r"k1=1.5.*k1=0.6.*run `labeler index`"):
        Index.load(folder, expect_corpus=corpus, expect_config=IndexConfig(analyzer="bigram", k1=0.6))


def test_an_index_of_another_analyzer_version_is_stale(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyzers.Bigram, "version", "2")
    with pytest.raises(StaleIndex, match=r"analyzer bigram 1\+unicode.*now it is 2; run `labeler index`"):
        Index.load(folder, expect_corpus=None)


def test_an_index_of_another_format_is_stale(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"format": 99}))
    with pytest.raises(StaleIndex, match=r"format 99.*run `labeler index`"):
        Index.load(folder, expect_corpus=None)


# Broken


@pytest.mark.parametrize(
    "name", ["ids.json", "vocabulary.json", "starts.npy", "documents.npy", "weights.npy", "base.npy"]
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "altered"])
def test_a_broken_file_is_named(folder: Path, name: str, damage: str) -> None:
    path = data_file(folder, name)
    content = bytearray(path.read_bytes())
    path.unlink()
    content[-2] ^= 1
    if damage != "missing":
        path.write_bytes(content if damage == "altered" else content[:-2])
    with pytest.raises(DataError, match=rf"{name}.*run `labeler index`"):
        Index.load(folder, expect_corpus=None)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 2, "config": {"k1": -1}}', "é"])
def test_a_broken_meta_file_is_named(folder: Path, content: str) -> None:
    (folder / "meta.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"meta\.json: broken .*run `labeler index`"):
        Index.load(folder, expect_corpus=None)


def test_a_broken_index_can_be_rebuilt_in_place(folder: Path) -> None:
    data_file(folder, "weights.npy").write_bytes(b"")
    Index.build(passages(*TEXTS), BIGRAM, reuse=folder).save(folder)
    assert Index.load(folder, expect_corpus=None).retrieve(["BTS"], k=1) == built().retrieve(["BTS"], k=1)


# Saved whole or not at all


def test_saving_over_an_index_leaves_one_data_folder(folder: Path) -> None:
    built("왕은 누구인가").save(folder)
    assert Index.load(folder, expect_corpus=None).ids == [passage_id("왕은 누구인가")]
    assert len([entry for entry in folder.iterdir() if entry.is_dir()]) == 1
    assert not list(folder.glob("*.partial"))


def test_an_index_can_be_saved_where_it_was_loaded_from(folder: Path) -> None:
    Index.load(folder, expect_corpus=None).save(folder)
    assert Index.load(folder, expect_corpus=built().corpus).fingerprint == built().fingerprint


def test_a_save_that_fails_leaves_the_old_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(index_module.np, "save", full)
    with pytest.raises(OSError, match="No space"):
        built("왕").save(folder)
    assert sorted(folder.rglob("*")) == before
    assert Index.load(folder, expect_corpus=built().corpus).ids == built().ids


def test_the_next_save_removes_what_a_killed_one_left_and_no_other_files(folder: Path) -> None:
    left = folder / f"{'0' * 32}.0"
    left.mkdir()
    (left / "weights.npy").write_bytes(b"half")
    (folder / "notes").mkdir()
    built().save(folder)
    assert not left.exists()
    assert (folder / "notes").exists()


# Extended


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are analysed from now on."""
    seen: list[str] = []

    def terms(self: analyzers.Bigram, texts: Iterable[str]) -> Iterator[list[str]]:
        for text in texts:
            seen.append(text)
            yield self(text)

    monkeypatch.setattr(analyzers.Bigram, "terms", terms)
    return seen


def test_extending_analyses_only_new_passages_and_gives_the_same_index(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = counting(monkeypatch)
    now = [*TEXTS[1:], "거북선은 배다", "왕은 성에 산다"]  # one passage removed, two added
    config = IndexConfig(analyzer="bigram", method="okapi", k1=0.6)  # other settings do not matter
    extended = Index.build(passages(*now), config, reuse=folder)
    assert sorted(seen) == sorted(now[-2:])
    fresh = built(*now, config=config)
    assert extended.fingerprint == fresh.fingerprint
    assert list(extended.bm25.vocabulary.items()) == list(fresh.bm25.vocabulary.items())
    for name in ("starts", "documents", "weights", "base"):
        assert getattr(extended.bm25, name).tolist() == getattr(fresh.bm25, name).tolist()


@pytest.mark.parametrize("change", ["no index", "broken counts", "analyzer", "version"])
def test_counts_that_may_differ_are_not_reused(folder: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    if change == "no index":
        folder = folder / "elsewhere"
    elif change == "broken counts":
        data_file(folder, "count_term_ids.npy").write_bytes(b"")
    elif change == "analyzer":
        built(config=IndexConfig(analyzer="whitespace")).save(folder)
    else:
        monkeypatch.setattr(analyzers.Bigram, "version", "2")
    seen = counting(monkeypatch)
    Index.build(passages(*TEXTS), BIGRAM, reuse=folder)
    assert len(seen) == len(TEXTS)


@pytest.mark.parametrize(
    ("values", "name"),
    [({"method": "tfidf"}, "method"), ({"analyzer": "mecab"}, "analyzer"), ({"language": "fr"}, "language"),
     ({"k1": -1}, "k1"), ({"b": 2}, "b")],
)  # fmt: skip
def test_settings_out_of_range_are_named(values: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        IndexConfig(**values)  # type: ignore[arg-type]


# Titles and windows

LONG = ["가나 다라. " * 30 + "거북선은 배다.", "거북선 거북선 " + "마바 사아. " * 30, "성"]


def titled(*titles: str) -> list[Passage]:
    return [Passage(passage_id(text), text, title) for text, title in zip(LONG, titles, strict=True)]


def test_a_title_finds_a_passage_that_does_not_name_its_subject() -> None:
    passages = titled("이순신", "", "세종대왕")
    config = IndexConfig(analyzer="bigram", title_weight=1)
    assert Index.build(passages, BIGRAM).retrieve(["세종대왕"], k=3) == [()]
    (hits,) = Index.build(passages, config).retrieve(["세종대왕"], k=3)
    assert [hit.passage_id for hit in hits] == [passage_id("성")]


def test_long_passages_are_ranked_by_their_best_window_and_each_is_found_once() -> None:
    index = Index.build(titled("", "", ""), IndexConfig(analyzer="bigram", window_chars=100))
    assert len(index.counts) == index.bm25.size > len(index.ids) == 3
    (hits,) = index.retrieve(["거북선 다라"], k=5)
    assert sorted(hit.passage_id for hit in hits) == sorted(map(passage_id, LONG[:2]))
    assert [hit.rank for hit in hits] == [0, 1]


@pytest.mark.parametrize(("weight", "window"), [(2, 0), (0, 100), (1, 100)])
def test_an_index_with_titles_and_windows_is_loaded_and_extended_as_it_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: int, window: int
) -> None:
    config = IndexConfig(analyzer="bigram", title_weight=weight, window_chars=window)
    index = Index.build(titled("이순신", "배", "왕"), config)
    index.save(tmp_path)
    loaded = Index.load(tmp_path, expect_corpus=index.corpus, expect_config=config)
    assert loaded.retrieve(["배 거북선", "왕"], k=3) == index.retrieve(["배 거북선", "왕"], k=3)
    seen = counting(monkeypatch)
    now = IndexConfig(analyzer="bigram", title_weight=3, window_chars=window)
    again = Index.build(titled("배", "배", "궁궐"), now, reuse=tmp_path)
    assert sorted(seen) == ["궁궐", "배"]  # titles only, because their counts are not stored separately
    fresh = Index.build(titled("배", "배", "궁궐"), now)
    assert again.fingerprint == fresh.fingerprint
    assert again.retrieve(["배", "거북선 궁궐"], k=3) == fresh.retrieve(["배", "거북선 궁궐"], k=3)


def test_windows_of_another_size_are_analysed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Index.build(titled("", "", ""), BIGRAM).save(tmp_path)
    seen = counting(monkeypatch)
    Index.build(titled("", "", ""), IndexConfig(analyzer="bigram", window_chars=100), reuse=tmp_path)
    assert len(seen) > len(LONG)


def test_the_fingerprint_changes_with_titles_only_where_they_are_indexed() -> None:
    one, other = titled("a", "b", "c"), titled("a", "b", "d")
    with_titles = IndexConfig(analyzer="bigram", title_weight=1)
    assert Index.build(one, BIGRAM).fingerprint == Index.build(other, BIGRAM).fingerprint
    prints = [Index.build(passages, with_titles).fingerprint for passages in (one, other)]
    assert len({*prints, Index.build(one, BIGRAM).fingerprint}) == 3
    windowed = IndexConfig(analyzer="bigram", window_chars=100)
    assert Index.build(one, windowed).fingerprint != Index.build(one, BIGRAM).fingerprint


@pytest.mark.parametrize("method", ["atire", "bm25l"])
def test_hostile_texts_are_indexed_and_searched(method: str) -> None:
    texts = ["\x00\x01 control \x7f", "a b " * 200_000 + "needle", "\u202e 한글", "🙂 " * 50]
    config = IndexConfig(analyzer="bigram", method=method, window_chars=1000)
    index = Index.build([Passage(str(row), text) for row, text in enumerate(texts)], config)
    found = index.retrieve(["\udcff needle", "control\x00", "\udcff", "🙂"], k=3)
    assert [[hit.passage_id for hit in hits] for hits in found] == [["1"], ["0"], [], []]
