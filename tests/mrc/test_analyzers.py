"""Analyzers: the terms by which texts are indexed and searched."""

from __future__ import annotations

import importlib.metadata
import logging
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc import analyzers
from mrc.analyzers import (
    ANALYZERS,
    Bigram,
    English,
    EnglishGrams,
    Whitespace,
    check_name,
    detect_language,
    get_analyzer,
    morphemes,
    plugins,
)
from mrc.errors import BadAnalyzer, BadCheckpoint, MissingExtra


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("세종대왕은", ["세종", "종대", "대왕", "왕은"]),
        ("그 왕", ["그", "왕"]),  # a word of one character stays
        ("1988년", ["1988", "년"]),  # digits stay whole, separated from the Hangul around them
        ("BTS의 MP3", ["bts", "의", "mp3"]),
        ("大韓民國", ["大韓", "韓民", "民國"]),
        ("서울, 부산!", ["서울", "부산"]),  # no bigram across words
        ("a_b", ["a", "b"]),
        ("", []),
    ],
)
def test_bigrams_stay_within_words_of_cjk_scripts_and_other_words_stay_whole(text: str, terms: list[str]) -> None:
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


def test_whitespace_leaves_words_unchanged() -> None:
    assert Whitespace()(" The  dogs,\nrunning ") == ["The", "dogs,", "running"]


def test_kiwi_gives_content_morphemes_followed_by_bigrams() -> None:
    pytest.importorskip("kiwipiepy")
    kiwi = get_analyzer("kiwi")
    assert kiwi("한글을 만들었다") == ["한글", "만들", "한글", "글을", "만들", "들었", "었다"]
    assert list(kiwi.terms(["왕", "", "그는 왕이다"])) == [["왕", "왕"], [], ["왕", "그는", "왕이", "이다"]]
    assert kiwi("\udcff") == []  # wrongly decoded input


def test_english_four_grams_follow_the_stems_and_mark_the_ends_of_words() -> None:
    assert EnglishGrams()("The dogs ran") == ["dog", "ran", "#_dog", "#dogs", "#ogs_", "#_ran", "#ran_"]
    assert EnglishGrams()("x 42") == ["x", "42", "#_x_", "#_42_"]  # shorter words stay whole
    assert set(EnglishGrams()("colour")) & set(EnglishGrams()("colours")) >= {"colour", "#_col", "#olou", "#lour"}


def test_the_short_names_are_the_same_analyzers() -> None:
    pytest.importorskip("kiwipiepy")
    assert (get_analyzer("kiwi").name, get_analyzer("kiwi").version) == (
        "kiwi+bigram",
        get_analyzer("auto", "ko").version,
    )


@pytest.mark.parametrize("name", ["bigram", "english", "english+4gram", "whitespace", "kiwi", "mecab-ko"])
def test_unusual_texts_have_terms(name: str) -> None:
    try:
        analyzer = get_analyzer(name)
    except MissingExtra as error:
        pytest.skip(str(error))
    assert list(analyzer.terms(["", " \n\t"])) == [[], []]
    found = analyzer("\x00왕국 king\x07 \u202e")
    assert any("왕국" in term for term in found)
    assert any("king" in term for term in found)
    if name != "whitespace":
        assert analyzer("왕국\udcff king") == analyzer("왕국  king")


def test_morphemes_of_a_very_long_text_are_those_of_its_pieces() -> None:
    pytest.importorskip("kiwipiepy")
    sentence = "세종대왕은 한글을 만들었다. "
    once = get_analyzer("kiwi")(sentence)
    assert len(get_analyzer("kiwi")(sentence * 2000)) == 2000 * len(once)


@pytest.mark.parametrize("length", [0, 5, 10, 11, 25])
def test_pieces_end_after_white_space_and_joined_are_the_text(length: int) -> None:
    for text in ("ab cd efg hij klm nop qrs"[:length], "x" * length):
        pieces = morphemes._pieces(text, 10)
        assert "".join(pieces) == text
        assert all(len(piece) <= 10 for piece in pieces)
    assert morphemes._pieces("ab cd efgh ij", 10) == ["ab cd ", "efgh ij"]


def test_mecab_ko_gives_content_morphemes_inflected_words_by_their_parts() -> None:
    pytest.importorskip("mecab", reason='needs pip install "labeler[mecab]"')
    mecab = get_analyzer("mecab-ko")
    assert mecab.name == "mecab-ko+bigram"
    assert mecab("한글을 만들었다") == ["한글", "만들", "한글", "글을", "만들", "들었", "었다"]
    assert mecab("학교에 갔다")[:2] == ["학교", "가"]
    assert mecab("왕\x00국") == mecab("왕 국")  # NUL does not end the text


def test_without_mecab_ko_the_error_names_the_command_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(morphemes, "version", missing)
    with pytest.raises(MissingExtra, match=r'python-mecab-ko: pip install "labeler\[mecab\]"'):
        get_analyzer("mecab-ko")


# Subwords of a checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with a tokenizer of few pieces that truncates and pads, as a reader's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {piece: number for number, piece in enumerate(["[UNK]", "[PAD]", "dog", "##s", "ran", "왕"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=4, pad_id=1, pad_token="[PAD]")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_subwords_are_those_of_the_checkpoint_without_truncation_and_padding(checkpoint: Path) -> None:
    analyzer = get_analyzer(f"wordpiece:{checkpoint}")
    assert list(analyzer.terms(["dogs ran dog", "", "cats ran", "왕\udcff 왕"])) == [
        ["dog", "##s", "ran", "dog"],
        [],
        ["ran"],  # the unknown token is no term
        ["왕", "왕"],
    ]
    assert get_analyzer(analyzer.name).version == analyzer.version


def test_another_tokenizer_in_the_folder_is_another_version(checkpoint: Path) -> None:
    before = get_analyzer(f"wordpiece:{checkpoint}").version
    file = checkpoint / "tokenizer.json"
    file.write_text(file.read_text().replace("##s", "##es"))
    assert get_analyzer(f"wordpiece:{checkpoint}").version != before


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"tokenizer\.json: No such file.*wordpiece:FOLDER"):
        get_analyzer(f"wordpiece:{tmp_path}")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BadCheckpoint, match=r"tokenizer\.json: not a tokenizer"):
        get_analyzer(f"wordpiece:{tmp_path}")


# Analyzers of other packages


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Installs a package with analyzers: `brought(code, **entries)`."""

    def install(code: str, **entries: str) -> None:
        (tmp_path / "own_terms.py").write_text(code)
        folder = tmp_path / "own_terms-2.5.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: own-terms\nVersion: 2.5\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines]))
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    sys.modules.pop("own_terms", None)


VOWELS = """
class Vowels:
    version = "1"
    def __call__(self, text): return [letter for letter in text if letter in "aeiou"]
class Batched(Vowels):
    def terms(self, texts): return [self(text) for text in texts]
class Short(Vowels):
    def terms(self, texts): return []
class Words(Vowels):
    def __call__(self, text): return "no list"
class Unversioned:
    def __call__(self, text): return []
class Mute:
    version = "1"
number = 3
"""


def test_an_analyzer_of_an_installed_package_is_found_by_its_name(brought: Any) -> None:
    brought(VOWELS, vowels="own_terms:Vowels", batched="own_terms:Batched")
    for name in ("vowels", "batched"):
        analyzer = get_analyzer(name)
        assert (analyzer.name, analyzer.version) == (name, "2.5+1")  # of the package and its own
        assert list(analyzer.terms(["dog house", ""])) == [["o", "o", "u", "e"], []]
        check_name(name)
    with pytest.raises(ValueError, match=r"one of auto, .*vowels, got 'consonants'"):
        check_name("consonants")


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ("own_terms:Missing", "cannot be loaded: .*Missing"),
        ("own_nothing:Vowels", "cannot be loaded: No module named 'own_nothing'"),
        ("own_terms:number", "is no class or function"),
        ("own_terms:Unversioned", "has no version; give it"),
        ("own_terms:Mute", "cannot be called; give it __call__"),
    ],
)
def test_an_unusable_analyzer_is_named_with_its_entry_point(brought: Any, entry: str, error: str) -> None:
    brought(VOWELS, own=entry)
    with pytest.raises(BadAnalyzer, match=f"^the analyzer own \\({entry}\\) {error}"):
        get_analyzer("own")


def test_an_analyzer_that_returns_no_terms_is_named(brought: Any) -> None:
    brought(VOWELS, short="own_terms:Short", words="own_terms:Words")
    with pytest.raises(BadAnalyzer, match=r"short .* returned 0 lists of terms for 2 texts"):
        list(get_analyzer("short").terms(["a", "b"]))
    with pytest.raises(BadAnalyzer, match=r"words .* returned 'no list' for a text; it must return a list of strings"):
        get_analyzer("words")("a")


def test_names_are_checked_without_loading_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "names", lambda: ())
    for name in (*ANALYZERS, "wordpiece:somewhere"):
        check_name(name)
    for name in ("wordpiece:", "mecab", ""):
        with pytest.raises(ValueError, match="analyzer must be one of"):
            check_name(name)


def test_many_texts_have_the_terms_of_each_text_alone() -> None:
    texts = ["세종대왕", "", "The dogs 3.14"]
    for name in ("bigram", "english", "english+4gram", "whitespace"):
        analyzer = get_analyzer(name)
        assert list(analyzer.terms(texts)) == [analyzer(text) for text in texts]


def test_tables_of_characters_are_made_for_the_first_text_that_needs_them() -> None:
    script = (
        "from mrc.analyzers import characters, get_analyzer, languages, stemming\n"
        "made = [characters.marks, characters._patterns, languages._patterns, stemming._word]\n"
        "get_analyzer('english')('How English is read'), get_analyzer('bigram')\n"
        "print([each.cache_info().currsize for each in made])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0, 0, 0, 0]"


def test_versions_name_the_library_of_the_analyzer() -> None:
    assert importlib.metadata.version("PyStemmer") in English().version
    assert unicodedata.unidata_version in Bigram().version


def test_auto_follows_the_language_and_prefers_kiwi() -> None:
    assert get_analyzer("auto", "en").name == "english"
    pytest.importorskip("kiwipiepy")
    assert get_analyzer("auto", "ko").name == "kiwi+bigram"
    assert importlib.metadata.version("kiwipiepy") in get_analyzer("auto", "ko").version


def test_without_kiwi_auto_falls_back_to_bigrams_and_kiwi_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(morphemes, "version", missing)
    with caplog.at_level(logging.WARNING):
        assert get_analyzer("auto", "ko").name == "bigram"
    assert "labeler[ko]" in caplog.text
    with pytest.raises(MissingExtra, match=r"kiwipiepy.*labeler\[ko\]"):
        get_analyzer("kiwi")


@pytest.mark.parametrize(("name", "language"), [("mecab", "ko"), ("auto", None), ("", "en")])
def test_an_unknown_analyzer_is_refused(name: str, language: analyzers.Language | None) -> None:
    with pytest.raises(ValueError, match="unknown analyzer"):
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
def test_a_corpus_with_a_tenth_of_hangul_letters_is_korean(texts: list[str], language: str) -> None:
    assert detect_language(texts) == language
