"""Errors of the command line: suggestions, JSON, checks before models load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labeler.review.studio.server.status import ServerStatus
from tests.commands import new_workspace, ok, run

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("typed", "hint"), [("stauts", "did you mean status?"), ("exprot", "did you mean export?"), ("xyz", "lists all")]
)
def test_a_mistyped_command_gets_a_suggestion(typed: str, hint: str) -> None:
    ran = run(typed)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"Error: no command '{typed}'; ")
    assert hint in ran.err


def test_an_error_with_json_is_an_object_on_stdout(tmp_path: Path) -> None:
    ran = run("status", "-w", tmp_path / "none", "--json")
    assert ran.code == 1
    assert list(ran.json) == ["error"]
    assert ran.json["error"] == ran.fault


def test_wrong_usage_with_json_is_an_object_on_stdout(tmp_path: Path) -> None:
    ran = run("evaluate", "--split", "all", "--json")
    assert ran.code == 2
    assert "'all' is not one of" in ran.json["error"]


def test_an_error_without_json_leaves_stdout_empty(tmp_path: Path) -> None:
    assert run("status", "-w", tmp_path / "none").out == ""


def test_shell_completion_is_documented_and_works() -> None:
    assert "_LABELER_COMPLETE=bash_source labeler" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    environ = {**os.environ, "_LABELER_COMPLETE": "bash_complete", "COMP_WORDS": "labeler stat", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "labeler"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.stdout == "plain,status\n"


@pytest.mark.parametrize("command", [["answer", "none.json", "--model", "x"], ["ablate", "none.json", "--model", "x"]])
def test_a_missing_file_is_found_before_torch_is_loaded(command: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom labeler.cli import main\n"
        f"sys.argv = ['labeler', *{command!r}, '-o', {str(tmp_path / 'out')!r}]\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print(ended.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "1 False\n"
    assert done.stderr == "labeler: none.json: no such file or folder\n"


def test_a_stopped_label_studio_is_to_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(workspace: object) -> ServerStatus:
        return ServerStatus("http://localhost:8090", None, None, False, False, "key", None, None, "does not answer")

    monkeypatch.setattr("labeler.review.studio.server.status.server_status", stopped)
    text = run("studio", "status", "-w", new_workspace(tmp_path / "ws")).out
    assert "Label Studio is stopped" in text
    assert text.splitlines()[-1] == "next: labeler studio start"


@pytest.mark.parametrize("command", [("export", "--format", "csv", "-o"), ("report", "-o"), ("db", "backup")])
def test_an_output_file_in_a_missing_folder_is_refused_before_any_work(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    fault = run(*command, tmp_path / "nodir" / "x", "-w", new_workspace(tmp_path / "ws")).fault
    assert fault == f"folder {tmp_path / 'nodir'} does not exist"


def test_json_of_a_failed_doctor_is_one_object(tmp_path: Path) -> None:
    ran = run("doctor", "-w", tmp_path / "none", "--json")
    assert ran.code == 1
    assert list(ran.json) == ["checks"]
    assert "failed checks: workspace" in ran.err


def test_help_of_each_list_names_its_limit(tmp_path: Path) -> None:
    assert ok("labels", "list", "-w", new_workspace(tmp_path / "ws")) == {"labels": [], "total": 0}
    assert "50 on a terminal" in run("labels", "list", "--help").out
