"""Reading text of any encoding unaltered, and writing files whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.core.errors import FileError
from labeler.core.files import atomic_folder, atomic_write, detect_encoding, read_text, text_fault

KOREAN = "물레방아는 마을 북쪽 개울가에 있다.\r\n등대지기는 겨울마다 종을 일곱 번 울린다.\n" * 3
FRENCH = "Le château d'Élise fut brûlé à la fin de l'été; où est-elle née, près de la forêt? " * 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp949"])
def test_korean_text_is_read_unaltered_whatever_its_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(KOREAN.encode(encoding))
    text, file = read_text(tmp_path / "a.txt")
    assert text == KOREAN
    assert (file.encoding, file.guessed) == (encoding, encoding == "cp949")


def test_euc_kr_is_read_as_its_superset_cp949(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(KOREAN.encode("euc-kr"))
    assert read_text(tmp_path / "a.txt")[0] == KOREAN


def test_a_western_code_page_is_guessed_and_marked_as_a_guess(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(FRENCH.encode("cp1252"))
    text, file = read_text(tmp_path / "a.txt")
    assert text == FRENCH
    assert file.guessed


def test_a_utf8_file_with_an_invalid_byte_is_refused_with_its_position(tmp_path: Path) -> None:
    head = KOREAN.encode()
    (tmp_path / "a.txt").write_bytes(head + b"\xb0 tail")
    with pytest.raises(FileError, match=f"byte {len(head)} is not UTF-8"):
        detect_encoding(tmp_path / "a.txt")


def test_an_invalid_byte_far_behind_the_first_block_is_found_at_its_position(tmp_path: Path) -> None:
    head = ("a" * 99 + "é").encode() * 20_000  # 101 bytes each, so that blocks of 1 MiB cut characters
    (tmp_path / "a.txt").write_bytes(head + b"\xe9")
    with pytest.raises(FileError, match=f"byte {len(head)} is not UTF-8"):
        detect_encoding(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfea", "byte 2 is not utf-16"),
        (b"\x00\x01\xfe\xfd\x00\x00" * 9, "is not text"),
    ],
)
def test_a_file_that_is_not_text_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(FileError, match=words):
        detect_encoding(tmp_path / "a.txt")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\u2028", "\x0b"])
def test_newlines_are_unchanged(tmp_path: Path, newline: str) -> None:
    text = f"one{newline}two{newline}"
    with atomic_write(tmp_path / "a.txt") as file:
        file.write(text)
    assert (tmp_path / "a.txt").read_bytes() == text.encode()
    assert read_text(tmp_path / "a.txt")[0] == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1))
def test_any_utf8_text_is_read_byte_exact(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "a.txt"
    path.write_bytes(text.encode())
    assert read_text(path)[0].encode() == text.encode().removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("plain", None),
        ("a\x00b", "a NUL character at offset 1"),
        ("ab\ud800", "half a surrogate pair (U+D800) at offset 2"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_offset(text: str, fault: str | None) -> None:
    assert text_fault(text) == fault


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_write(target) as file:
        file.writelines(["half", "\ud800"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_a_full_disk_is_reported_for_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_a_missing_folder_is_reported_for_the_file_not_for_its_temporary_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "no" / "a.txt"):
        pass
    assert caught.value.filename == str(tmp_path / "no" / "a.txt")


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError), atomic_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("\ud800", encoding="utf-8")
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("x")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_a_folder_that_is_not_empty_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    with pytest.raises(FileError, match="exists already"), atomic_folder(tmp_path):
        pass
