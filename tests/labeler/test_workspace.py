"""Workspaces: find, create and open one; one process at a time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from db import queries
from db.errors import UnknownSchema
from labeler.core.errors import ConfigError, WorkspaceBusy, WorkspaceError
from labeler.core.workspace import create_workspace, find_workspace, open_workspace

HOLDER = """
import sys, time
from pathlib import Path
from labeler.core.workspace import open_workspace
with open_workspace(Path(sys.argv[1]), environ={}).lock("labeler round"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_new_workspace_has_its_settings_and_an_empty_database(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "ws", language="ko", environ={})
    assert workspace.config.workspace.language == "ko"
    assert sorted(path.name for path in workspace.folder.iterdir() if "labeler" in path.name) == [
        "labeler.db",
        "labeler.toml",
    ]
    with workspace.database().read() as session:
        assert queries.corpus_ids(session) == []
    assert open_workspace(tmp_path / "ws", environ={}) == workspace


def test_a_database_elsewhere_is_written_into_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    create_workspace(tmp_path / "ws", database=url, environ={})
    assert open_workspace(tmp_path / "ws", environ={}).database_url == url
    assert (tmp_path / "other.db").is_file()


def test_a_relative_database_path_starts_at_the_workspace_not_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_workspace(tmp_path / "ws", environ={})
    monkeypatch.chdir(tmp_path)
    open_workspace(Path("ws"), environ={}).database()
    assert not (tmp_path / "labeler.db").exists()


def test_the_nearest_workspace_upward_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_workspace(tmp_path / "outer", environ={})
    create_workspace(tmp_path / "outer" / "inner", environ={})
    (tmp_path / "outer" / "inner" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "outer" / "inner" / "deep")
    assert find_workspace(environ={}) == tmp_path / "outer" / "inner"
    assert find_workspace(environ={"LABELER_WORKSPACE": str(tmp_path / "outer")}) == tmp_path / "outer"
    assert find_workspace(tmp_path / "outer", environ={"LABELER_WORKSPACE": "elsewhere"}) == tmp_path / "outer"


def test_without_a_workspace_the_error_names_the_command_that_creates_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match="labeler init DIR"):
        find_workspace(environ={})
    with pytest.raises(WorkspaceError, match=re.escape(f"{tmp_path} is not a workspace")):
        find_workspace(tmp_path, environ={})


def test_a_workspace_is_not_created_twice_nor_over_a_file(tmp_path: Path) -> None:
    create_workspace(tmp_path / "ws", environ={})
    with pytest.raises(WorkspaceError, match="is a workspace already"):
        create_workspace(tmp_path / "ws", environ={})
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="is a file"):
        create_workspace(tmp_path / "file", environ={})


def test_a_wrong_setting_creates_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"workspace\.language must be 'auto' or 'ko' or 'en'"):
        create_workspace(tmp_path / "ws", language="fr", environ={})
    assert not (tmp_path / "ws").exists()


def test_an_interrupted_creation_can_be_run_again(tmp_path: Path) -> None:
    create_workspace(tmp_path / "ws", environ={})
    (tmp_path / "ws" / "labeler.toml").unlink()  # it is written last
    create_workspace(tmp_path / "ws", environ={})


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    from sqlalchemy import text

    workspace = create_workspace(tmp_path / "ws", environ={})
    with workspace.database().write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UnknownSchema):
        workspace.database()


@pytest.fixture
def busy(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds the workspace `tmp_path/ws`."""
    create_workspace(tmp_path / "ws", environ={})
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "ws")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def test_a_second_process_learns_which_process_holds_the_workspace(tmp_path: Path, busy: subprocess.Popen[str]) -> None:
    try:
        workspace = open_workspace(tmp_path / "ws", environ={})
        with (
            pytest.raises(WorkspaceBusy, match=rf"process {busy.pid} \(labeler round\) since \d{{4}}-"),
            workspace.lock(),
        ):
            pass
    finally:
        busy.kill()
        busy.wait()


def test_a_killed_process_releases_the_workspace(tmp_path: Path, busy: subprocess.Popen[str]) -> None:
    os.kill(busy.pid, signal.SIGKILL)
    busy.wait()
    started = time.monotonic()
    with open_workspace(tmp_path / "ws", environ={}).lock("labeler import"):
        assert time.monotonic() - started < 5
        note = (tmp_path / "ws" / ".lock.json").read_text()
    assert f'"pid": {os.getpid()}' in note
    assert not (tmp_path / "ws" / ".lock.json").exists()


def test_failed_work_releases_the_workspace(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "ws", environ={})
    with pytest.raises(ZeroDivisionError), workspace.lock():
        raise ZeroDivisionError
    with workspace.lock():
        pass
