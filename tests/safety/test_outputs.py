"""Outputs overwrite nothing that matters: workspaces, inputs, devices, files that the tool did not write."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from labeler.core.errors import FileError
from labeler.core.files.outputs import check_output_folder
from tests.commands import ok, run
from tests.worlds import make_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with labels; commands of this module may not change it."""
    return make_workspace(tmp_path_factory.mktemp("outputs") / "ws")


def export(workspace: Path, output: Path | str, *more: str) -> object:
    return run("export", "--format", "squad", "-w", workspace, "-o", output, *more)


COMMANDS = {
    "export": ("export", "--format", "squad"),
    "csv": ("export", "--format", "csv"),
    "report": ("report",),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["labeler.db", "labeler.toml", "labeler.db-wal", ".lock", "index/x.json", "models/x"])
def test_no_output_is_a_file_of_a_workspace(command: str, name: str, workspace: Path) -> None:
    file = workspace / name
    before = file.read_bytes() if file.is_file() else None
    for force in ((), ("--force",)):
        ran = run(*COMMANDS[command], "-w", workspace, "-o", file, *force)
        assert ran.code == 1
        assert "belongs to a workspace" in ran.fault or "does not exist" in ran.fault
    assert (file.read_bytes() if file.is_file() else None) == before


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_link_to_the_database_is_the_database(kind: str, workspace: Path, tmp_path: Path) -> None:
    link = workspace.parent / f"{kind}.json"
    link.symlink_to(workspace / "labeler.db") if kind == "symbolic" else os.link(workspace / "labeler.db", link)
    before = (workspace / "labeler.db").read_bytes()
    ran = run("export", "--format", "squad", "-w", workspace, "-o", link, "--force")
    assert "belongs to a workspace" in ran.fault
    assert (workspace / "labeler.db").read_bytes() == before
    link.unlink()


def test_a_file_of_another_workspace_is_refused_too(workspace: Path, tmp_path: Path) -> None:
    other = shutil.copytree(workspace, tmp_path / "other")
    ran = run("report", "-w", workspace, "-o", other / "labeler.toml", "--force")
    assert "belongs to a workspace" in ran.fault


@pytest.mark.parametrize("device", ["/dev/null", "/dev/stdout", "/dev/fd/1", "/dev/full"])
def test_a_device_is_not_replaced(device: str, workspace: Path) -> None:
    before = Path("/dev/null").stat()
    assert run("export", "--format", "jsonl", "-w", workspace, "-o", device, "--force").code == 1
    after = Path("/dev/null").stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_rdev, after.st_ino) == (before.st_rdev, before.st_ino)


def test_a_pipe_and_a_folder_are_refused(workspace: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "standard output with -o -" in run("report", "-w", workspace, "-o", tmp_path / "pipe").fault
    assert run("export", "--format", "csv", "-w", workspace, "-o", tmp_path).code in (1, 2)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert "link to nothing" in run("report", "-w", workspace, "-o", tmp_path / "dangling").fault


def test_a_foreign_file_is_overwritten_by_force_alone_and_ones_own_always(workspace: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    source.write_text("{}")
    ran = run("export", "--format", "squad", "-w", workspace, "-o", source)
    assert "exists and was not written by labeler; name another output, or add --force" in ran.fault
    assert source.read_text() == "{}"
    ok("export", "--format", "squad", "-w", workspace, "-o", source, "--force")
    ok("export", "--format", "squad", "-w", workspace, "-o", source)  # ours now
    source.write_text(source.read_text() + " ")  # edited by somebody
    assert "not written by labeler" in run("export", "--format", "squad", "-w", workspace, "-o", source).fault


def test_minus_writes_to_standard_output_and_the_summary_goes_to_stderr(workspace: Path, tmp_path: Path) -> None:
    ok("export", "--format", "squad", "-w", workspace, "-o", tmp_path / "file.json")
    ran = run("export", "--format", "squad", "-w", workspace, "-o", "-")
    assert json.loads(ran.out) == json.loads((tmp_path / "file.json").read_text())
    assert "labels (" in ran.err
    assert run("report", "-w", workspace, "-o", "-").out.rstrip().endswith("</html>")
    assert run("export", "--format", "squad", "-w", workspace, "-o", "-", "--json").code == 2
    assert run("export", "--format", "hf", "-w", workspace, "-o", "-").code == 2
    assert not Path("-").exists()


@pytest.mark.parametrize("folder", ["..", "full"])
def test_a_demo_begins_in_a_new_or_empty_folder(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    monkeypatch.chdir(tmp_path / "here" if folder == ".." else tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert "is not empty" in run("demo", folder).fault
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_demo_does_not_overwrite_a_file_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "encyclopaedia.json").write_text("mine")
    assert "is not empty (encyclopaedia.json)" in run("demo", tmp_path).fault
    assert (tmp_path / "encyclopaedia.json").read_text() == "mine"


def squad(path: Path) -> Path:
    qas = [{"id": "q", "question": "Who?", "answers": [{"text": "Vane", "answer_start": 0}]}]
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "Vane built it.", "qas": qas}]}]}))
    return path


def test_answers_go_into_a_folder_that_holds_nothing_of_others(tmp_path: Path) -> None:
    file, out = squad(tmp_path / "dev.json"), tmp_path / "out"
    out.mkdir()
    (out / "predictions.json").write_text("theirs")
    assert (
        "is not empty (predictions.json was not written by labeler)"
        in run("answer", file, "--model", tmp_path, "-o", out).fault
    )
    assert "holds dev.json, an input" in run("answer", file, "--model", tmp_path, "-o", tmp_path).fault


def test_a_study_goes_into_a_folder_of_its_own(tmp_path: Path) -> None:
    file = squad(tmp_path / "gold.json")
    assert "holds no study" in run("ablate", file, "--model", tmp_path, "-o", tmp_path).fault
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gold.json"]


def test_what_a_killed_command_left_does_not_make_a_folder_foreign(tmp_path: Path) -> None:
    (tmp_path / ".predictions.json.x1y2.part").write_text("half", encoding="utf-8")
    (tmp_path / ".labeler-trash").mkdir()
    check_output_folder(tmp_path)
    (tmp_path / "notes.part").write_text("mine", encoding="utf-8")
    with pytest.raises(FileError, match=r"notes\.part was not written by labeler"):
        check_output_folder(tmp_path)
