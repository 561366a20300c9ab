"""The terms under which texts are indexed and searched."""

from __future__ import annotations

import importlib.metadata
import logging
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc import analyzers
from mrc.analyzers import Bigram, English, Whitespace, detect_language, get_analyzer
from mrc.errors import MissingExtra


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("세종대왕은", ["세종", "종대", "대왕", "왕은"]),
        ("그 왕", ["그", "왕"]),  # a word of one character stays
        ("1988년", ["1988", "년"]),  # digits whole, cut from the Hangul around them
        ("BTS의 MP3", ["bts", "의", "mp3"]),
        ("大韓民國", ["大韓", "韓民", "民國"]),
        ("서울, 부산!", ["서울", "부산"]),  # no bigram across words
        ("a_b", ["a", "b"]),
        ("", []),
    ],
)
def test_bigrams_are_cut_within_words_of_cjk_scripts_and_other_words_stay_whole(text: str, terms: list[str]) -> None:
    assert Bigram()(text) == terms


@settings(deadline=None)
@given(st.text(st.sampled_from("한국어 ＡbÉ１.")))
def test_decomposed_and_full_width_texts_have_the_terms_of_their_composed_form(text: str) -> None:
    for analyzer in (Bigram(), English()):
        assert analyzer(unicodedata.normalize("NFD", text)) == analyzer(unicodedata.normalize("NFKC", text))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The dogs were running", ["dog", "run"]),
        ("Who is it?", []),  # stop words alone
        ("Newton's law; NEWTON’S laws", ["newton", "law", "newton", "law"]),
        ("In 1969, 3 men", ["1969", "3", "men"]),
        ("naïve café", ["naïv", "café"]),
    ],
)
def test_english_words_are_stemmed_without_stop_words(text: str, terms: list[str]) -> None:
    assert English()(text) == terms


def test_whitespace_leaves_words_as_they_stand() -> None:
    assert Whitespace()(" The  dogs,\nrunning ") == ["The", "dogs,", "running"]


def test_kiwi_gives_content_morphemes_and_behind_them_the_bigrams() -> None:
    pytest.importorskip("kiwipiepy")
    kiwi = get_analyzer("kiwi")
    assert kiwi("한글을 만들었다") == ["한글", "만들", "한글", "글을", "만들", "들었", "었다"]
    assert list(kiwi.terms(["왕", "", "그는 왕이다"])) == [["왕", "왕"], [], ["왕", "그는", "왕이", "이다"]]
    assert kiwi("\udcff") == []  # an argument in a broken encoding


def test_an_analyzer_terms_many_texts_as_it_does_one() -> None:
    texts = ["세종대왕", "", "The dogs 3.14"]
    for name in ("bigram", "english", "whitespace"):
        analyzer = get_analyzer(name)
        assert list(analyzer.terms(texts)) == [analyzer(text) for text in texts]


def test_versions_name_the_library_that_cuts_the_words() -> None:
    assert importlib.metadata.version("PyStemmer") in English().version
    assert unicodedata.unidata_version in Bigram().version


def test_auto_goes_by_language_and_takes_kiwi_where_it_is_installed() -> None:
    assert get_analyzer("auto", "en").name == "english"
    pytest.importorskip("kiwipiepy")
    assert get_analyzer("auto", "ko").name == "kiwi"
    assert importlib.metadata.version("kiwipiepy") in get_analyzer("auto", "ko").version


def test_without_kiwi_auto_takes_bigrams_and_says_so_and_kiwi_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(analyzers, "version", missing)
    with caplog.at_level(logging.WARNING):
        assert get_analyzer("auto", "ko").name == "bigram"
    assert "labeler[ko]" in caplog.text
    with pytest.raises(MissingExtra, match=r"kiwipiepy.*labeler\[ko\]"):
        get_analyzer("kiwi")


@pytest.mark.parametrize(("name", "language"), [("mecab", "ko"), ("auto", None), ("", "en")])
def test_an_unknown_analyzer_is_a_callers_bug(name: str, language: analyzers.Language | None) -> None:
    with pytest.raises(ValueError, match="no analyzer"):
        get_analyzer(name, language)


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["세종대왕은 훈민정음을 만들었다."], "ko"),
        (["BTS released Dynamite 방탄"], "en"),  # 2 of 21 letters
        (["방탄 BTS Dynamite 세"], "ko"),  # 3 of 14
        (["abcdefghi 왕"], "ko"),  # 1 of 10: the border belongs to Korean
        (["abcdefghij 왕"], "en"),  # 1 of 11
        (["12 + 3"], "en"),
        ([], "en"),
        (["a"] * 200 + ["왕"] * 1000, "en"),  # only the first 200 texts count
    ],
)
def test_a_tenth_of_hangul_among_the_letters_makes_a_corpus_korean(texts: list[str], language: str) -> None:
    assert detect_language(texts) == language
