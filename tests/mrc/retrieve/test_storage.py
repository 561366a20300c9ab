"""Files that are mapped: texts one at a time, a vocabulary, and large files that are not read again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.errors import DataError
from mrc.files import crc32
from mrc.retrieve import bm25, storage
from mrc.retrieve.bm25 import BM25
from mrc.retrieve.storage import arrays
from mrc.retrieve.storage.arrays import StoredStrings, StoredVocabulary, save_strings

TEXTS = ["b", "", "a, b", '"quoted"', "가나", "\ud800", "zebra", "]"]


@pytest.mark.parametrize("texts", [TEXTS, [], [""]])
def test_texts_are_read_back_one_at_a_time_and_together(tmp_path: Path, texts: list[str]) -> None:
    save_strings(tmp_path / "ids.json", texts)
    found = StoredStrings(tmp_path / "ids.json")
    assert [found[place] for place in range(len(found))] == list(found) == texts
    assert found == texts
    assert found[1:3] == texts[1:3]
    if texts:
        assert found[-1] == texts[-1]
    with pytest.raises(IndexError):
        found[len(texts)]


def test_files_of_two_lists_do_not_belong_together(tmp_path: Path) -> None:
    save_strings(tmp_path / "ids.json", TEXTS)
    save_strings(tmp_path / "other.json", TEXTS[1:])
    shutil.copy(tmp_path / "other.json", tmp_path / "ids.json")
    with pytest.raises(ValueError, match="do not belong together"):
        StoredStrings(tmp_path / "ids.json")


@given(st.sets(st.text(st.characters(), max_size=4), max_size=30))
def test_a_term_has_the_same_number_read_from_the_files_and_from_memory(
    tmp_path_factory: pytest.TempPathFactory, terms: set[str]
) -> None:
    path = tmp_path_factory.mktemp("terms") / "vocabulary.json"
    save_strings(path, terms, vocabulary=True)
    numbers = {term: number for number, term in enumerate(terms)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "_MANY", len(terms))
        found = StoredVocabulary(path)
        for _ in range(2):  # the second time it was read whole
            assert {term: found[term] for term in terms} == numbers
            assert found.get("no such term") is None
    assert dict(found) == numbers


def test_a_large_file_is_read_again_only_where_it_was_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_LARGE", 1)
    index = BM25.build(["a tower by the sea", "a mill by the river"], analyzer="whitespace")
    index.save(tmp_path / "index")
    read: list[str] = []

    def counting(path: Path) -> int:
        read.append(path.name)
        return crc32(path)

    monkeypatch.setattr(storage, "crc32", counting)
    BM25.load(tmp_path / "index")
    assert read == []
    shutil.copytree(tmp_path / "index", tmp_path / "copy")
    assert BM25.load(tmp_path / "copy").search(["tower"], 1)[0].tolist() == [[0]]
    assert "weights.npy" in read
    weights = next((tmp_path / "index").glob("*/weights.npy"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"weights\.npy"):
        BM25.load(tmp_path / "index")


def test_few_queries_are_scored_exhaustively_and_many_by_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    index = BM25.build([f"a b{number % 3} c{number}" for number in range(40)], analyzer="whitespace")
    monkeypatch.setattr(bm25, "_LOADING", 0)
    first = index.search(["a b1"], 5)
    assert "_bounds" not in index.__dict__
    for _ in range(10):
        again = index.search(["a b1"], 5)
    assert index.__dict__["_bounds"] is not None
    assert [values.tolist() for values in first] == [values.tolist() for values in again]
