"""A lock is a regular file: a link, a folder or a pipe in its place is refused, and what a link leads to is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from labeler.core.errors import FileError, WorkspaceError
from labeler.core.files.locks import file_lock
from tests.commands import new_workspace, ok, run


def link(lock: Path, other: Path) -> None:
    lock.symlink_to(other)


def dangling(lock: Path, other: Path) -> None:
    lock.symlink_to(other.with_name("made"))


def folder_link(lock: Path, other: Path) -> None:
    lock.symlink_to(other.parent)


def folder(lock: Path, other: Path) -> None:
    lock.mkdir()


def pipe(lock: Path, other: Path) -> None:
    os.mkfifo(lock)


@pytest.mark.parametrize("kind", [link, dangling, folder_link, folder, pipe])
def test_a_lock_that_is_no_file_is_refused_in_one_line(kind: Callable[[Path, Path], None], tmp_path: Path) -> None:
    ws, precious = new_workspace(tmp_path / "ws"), tmp_path / "precious"
    precious.write_text("precious")
    kind(ws / ".lock", precious)
    for command in (("index",), ("label", "set", "q1", "--text", "x"), ("db", "upgrade")):
        assert ".lock" in run(*command, "-w", ws).fault
    assert run("status", "-w", ws).code == 0
    assert precious.read_text() == "precious"
    assert not (tmp_path / "made").exists()


def test_a_hard_link_to_a_file_keeps_its_content(tmp_path: Path) -> None:
    ws, precious = new_workspace(tmp_path / "ws"), tmp_path / "precious"
    precious.write_text("precious")
    (ws / ".lock").hardlink_to(precious)
    ok("db", "upgrade", "-w", ws)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("kind", [link, dangling, pipe])
def test_a_note_of_the_holder_that_is_no_file_is_replaced(kind: Callable[[Path, Path], None], tmp_path: Path) -> None:
    ws, precious = new_workspace(tmp_path / "ws"), tmp_path / "precious"
    precious.write_text("precious")
    kind(ws / ".lock.json", precious)
    ok("db", "upgrade", "-w", ws)
    assert precious.read_text() == "precious"
    assert not (tmp_path / "made").exists()


def test_a_lock_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    def refusal() -> Exception:
        return WorkspaceError("held")

    with (
        file_lock(tmp_path / "lock", refusal=refusal),
        pytest.raises(WorkspaceError, match="held"),
        file_lock(tmp_path / "lock", refusal=refusal),
    ):
        pass
    with file_lock(tmp_path / "lock"):
        pass


def test_a_link_swapped_in_after_the_check_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "made")
    monkeypatch.setattr(Path, "is_symlink", lambda self: False)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    with pytest.raises((OSError, FileError)), file_lock(tmp_path / "lock"):
        pass
    monkeypatch.undo()
    assert not (tmp_path / "made").exists()
