"""JSON without trust, checksums, and folders that are on the disk before they are named."""

from __future__ import annotations

import errno
import math
import os
import zlib
from pathlib import Path

import pytest

from mrc.files import crc32, parse_json, publish_folder, read_object, sync


def test_integers_beyond_20_digits_are_floats() -> None:
    assert parse_json("[1, -7, 99999999999999999999]") == [1, -7, 99999999999999999999]
    assert parse_json("1" + "0" * 30) == 1e30
    assert isinstance(parse_json("1" + "0" * 30), float)
    assert parse_json("-" + "9" * 5000) == -math.inf


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "\0"])
def test_a_text_that_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"5", b'"x"', b'{"a": "\xff"}'])
def test_a_file_that_holds_no_object_is_a_value_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_object(tmp_path / "a.json")


def test_the_checksum_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = b"0123456789" * 300_000  # more than one block
    (tmp_path / "a").write_bytes(content)
    assert crc32(tmp_path / "a") == zlib.crc32(content)


def test_a_folder_is_published_with_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "draft" / "inner").mkdir(parents=True)
    (tmp_path / "draft" / "inner" / "a").write_text("a")
    publish_folder(tmp_path / "draft", tmp_path / "final")
    assert (tmp_path / "final" / "inner" / "a").read_text() == "a"
    assert not (tmp_path / "draft").exists()


def test_a_file_system_without_flushing_is_used_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(number: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", lambda descriptor: fails(errno.EINVAL))
    sync(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: fails(errno.EIO))
    with pytest.raises(OSError, match="error"):
        sync(tmp_path)
