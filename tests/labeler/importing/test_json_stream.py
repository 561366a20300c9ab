"""The JSON reader gives the values that `json` gives, at their places, whatever the size of its blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler.core.files import detect_encoding, json_stream
from labeler.core.files.json_stream import json_items
from mrc.errors import DataError

NUMBERS = st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def read(path: Path, text: str, **options: Any) -> Any:
    """The document, put together from its items."""
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    found: Any = {}
    listed = text.lstrip().startswith("[")
    for item in json_items(detect_encoding(path), **options):
        if item.index is None and not listed:
            found[item.key] = item.value
        elif item.index is not None:
            found.setdefault(item.key, [])
            assert item.index == len(found[item.key])
            found[item.key].append(item.value)
    return found.get("", []) if listed else found


@settings(max_examples=60)
@given(
    value=st.lists(VALUES, max_size=5) | st.dictionaries(st.text(max_size=4), VALUES, max_size=5),
    indent=st.sampled_from([None, 1]),
    block=st.sampled_from([1, 2, 7, 64]),
)
def test_values_come_back_from_blocks_of_any_size(
    value: Any, indent: int | None, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "BLOCK", block)
        text = json.dumps(value, indent=indent)
        assert read(tmp_path_factory.getbasetemp() / "a.json", text) == json.loads(text)


@pytest.mark.parametrize("block", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('{"a": 1,\n "b": }', "line 2 column 7", "Expecting value"),
        ('{"a": 1,\n "b" 2}', "line 2 column 6", "Expecting ':'"),
        ('{"a": 1,\n 2}', "line 2 column 2", "Expecting property name"),
        ("[1,\n\n2 3]", "line 3 column 3", "Expecting ','"),
        ("[1]\n[2]", "line 2 column 1", "more text after the end"),
        ("[1, 2", "line 1 column 6", "the file ends too early"),
        ('["abc', "line 1 column 2", "Unterminated string"),
        ('{"a": [1, {"b": tru}]}', "line 1 column 17", "Expecting value"),
    ],
)
def test_a_fault_is_named_with_line_and_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, text: str, place: str, words: str
) -> None:
    monkeypatch.setattr(json_stream, "BLOCK", block)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.json", text)
    assert f"{place}: " in str(caught.value)
    assert words in str(caught.value)


def test_a_fault_in_a_large_file_is_found_without_reading_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "BLOCK", 1000)
    monkeypatch.setattr(json_stream, "MAX_VALUE", 20_000)
    text = '[{"a": 1}, {"a": x}, ' + ", ".join(['{"a": 1}'] * 50_000) + "]"
    with pytest.raises(DataError, match="line 1 column 18: not JSON: Expecting value"):
        read(tmp_path / "a.json", text)


def test_one_value_is_bounded_in_size_and_parts_but_not_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "BLOCK", 1000)
    monkeypatch.setattr(json_stream, "MAX_VALUE", 20_000)
    monkeypatch.setattr(json_stream, "_DENSE", 500)
    assert len(read(tmp_path / "a.json", json.dumps(["x" * 100] * 5000))) == 5000
    with pytest.raises(DataError, match="one value of over 0 MiB; split it"):
        read(tmp_path / "a.json", json.dumps(["x" * 50_000]))
    monkeypatch.setattr(json_stream, "MAX_TOKENS", 100)
    with pytest.raises(DataError, match="one value of over 100 parts"):
        read(tmp_path / "a.json", json.dumps([[1] * 5000]))


@pytest.mark.parametrize("block", [1, 5, 1 << 20])
def test_a_value_nested_too_deeply_is_an_error_or_given_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(json_stream, "BLOCK", max(block, 1000))
    inner = "[" * 100_000 + '"]\\"' + '"' + "]" * 100_000
    text = f'[1, {{"a": {inner}}}, 2]'
    with pytest.raises(DataError, match="nested too deeply"):
        read(tmp_path / "a.json", text)
    assert read(tmp_path / "a.json", text, deep=len) == [1, len(inner) + len('{"a": }'), 2]
    with pytest.raises(DataError, match="does not end"):
        read(tmp_path / "a.json", text[:-9], deep=len)


def test_numbers_that_are_no_ids_or_offsets_stay_text_or_nan(tmp_path: Path) -> None:
    found = read(tmp_path / "a.json", '[1234567890123456789012, 1e999, NaN, 46.0, "\\ud800"]')
    assert found[:2] == ["1234567890123456789012", "1e999"]
    assert found[2] != found[2]
    assert found[3:] == [46.0, "\ud800"]
