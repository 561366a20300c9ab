"""The commands init, import and export."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from unittest import mock

import pytest

from labeler.core.workspace import open_workspace
from tests.commands import BRIDGE, HARBOUR, TOWER, gold_file, new_workspace, ok, run, squad


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return new_workspace(tmp_path / "ws")


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    return gold_file(tmp_path)


GOLDS = {"q1": "아르넨", "q2": "1921년", "q3": "Ilvane", "q4": "Dunmor"}  # of the gold file


def test_init_names_the_workspace_and_its_database(tmp_path: Path) -> None:
    made = ok("init", tmp_path / "ws", "--language", "ko")
    assert made == {"workspace": str(tmp_path / "ws"), "database": str(tmp_path / "ws" / "labeler.db")}
    assert open_workspace(tmp_path / "ws").config.workspace.language == "ko"


def test_a_workspace_is_not_created_twice(workspace: Path) -> None:
    before = (workspace / "labeler.toml").read_bytes()
    assert "is a workspace already" in run("init", workspace, "--language", "ko").fault
    assert (workspace / "labeler.toml").read_bytes() == before


def test_an_import_counts_what_it_added(workspace: Path, gold: Path) -> None:
    added = ok("import", gold, "--as", "gold", "-w", workspace)
    assert (added["passages"], added["questions"], added["labels"], added["duplicates"]) == (3, 4, 4, 0)
    assert added["splits"] == {"gold": 4}
    assert added["rejected"] == []


def test_the_same_file_again_adds_nothing(workspace: Path, gold: Path) -> None:
    ok("import", gold, "--as", "gold", "-w", workspace)
    again = ok("import", gold, "--as", "gold", "-w", workspace)
    assert (again["passages"], again["questions"], again["labels"], again["duplicates"]) == (0, 0, 0, 4)
    assert len(ok("labels", "list", "-w", workspace)["labels"]) == 4


def test_a_rejected_row_is_listed_with_its_place_and_reason(workspace: Path, tmp_path: Path) -> None:
    file = squad(tmp_path / "f.json", {TOWER: [("q1", "Who?", "Ilvane"), ("q2", "Why?", "nobody knows")]})
    (rejected,) = ok("import", file, "--as", "gold", "-w", workspace)["rejected"]
    assert "q2" in rejected["where"]
    assert str(file) in rejected["where"]
    assert "does not occur" in rejected["why"]


def test_people_see_the_first_rejected_rows_and_the_number_of_the_others(workspace: Path, tmp_path: Path) -> None:
    bad = [(f"bad{number}", f"Why {number}?", "nobody knows") for number in range(13)]
    file = squad(tmp_path / "f.json", {TOWER: [("q1", "Who?", "Ilvane"), *bad]})
    told = run("import", file, "--as", "gold", "-w", workspace).out
    assert told.count("\nrejected ") == 10
    assert "... and 3 more" in told


def test_a_split_keeps_paragraphs_whole_and_hides_the_answers_of_the_pool(workspace: Path, gold: Path) -> None:
    added = ok("import", gold, "--split", "gold=1,dev=1,pool=rest", "--seed", "1", "-w", workspace)
    assert added["splits"] == {"dev": 1, "gold": 1, "pool": 2}  # the two questions of one paragraph stay together
    assert (added["questions"], added["labels"], added["hidden"]) == (4, 2, 2)
    labels = ok("labels", "list", "-w", workspace)["labels"]
    assert sorted(label["role"] for label in labels) == ["dev", "gold"]


def test_passages_alone_are_imported_as_corpus(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(f"{TOWER}\n\n{BRIDGE}\n", encoding="utf-8")
    added = ok("import", tmp_path / "notes.md", "--as", "corpus", "-w", workspace)
    assert added["passages"] >= 1
    assert added["questions"] == 0


def test_undoing_an_import_deactivates_its_rows_and_only_once(workspace: Path, gold: Path) -> None:
    (import_id,) = ok("import", gold, "--as", "gold", "-w", workspace)["imports"]
    undone = ok("import", "--undo", str(import_id), "-w", workspace)
    assert (undone["passages"], undone["questions"], undone["labels"]) == (3, 4, 4)
    assert ok("labels", "list", "-w", workspace) == {"labels": [], "total": 0}
    assert "undone already" in run("import", "--undo", str(import_id), "-w", workspace).fault
    assert "no import 99" in run("import", "--undo", "99", "-w", workspace).fault


def test_the_list_of_imports_shows_which_are_undone(workspace: Path, gold: Path, tmp_path: Path) -> None:
    assert run("import", "--list", "-w", workspace).out == "no import yet\n"
    (first,) = ok("import", gold, "--as", "gold", "-w", workspace)["imports"]
    ok("import", squad(tmp_path / "b.json", {"Ann sings.": [("x", "Who?", "Ann")]}), "--as", "dev", "-w", workspace)
    ok("import", "--undo", str(first), "-w", workspace)
    found = ok("import", "--list", "-w", workspace)["imports"]
    assert [(each["role"], each["undone_at"] is None) for each in found] == [("gold", False), ("dev", True)]
    header, *rows = run("import", "--list", "-w", workspace).out.splitlines()
    assert header.split()[:2] == ["id", "as"]
    assert ["undone" in row for row in rows] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "at least one FILE"),
        (("f.json",), "--as ROLE, or split it with --split"),
        (("f.json", "--as", "gold", "--split", "gold=1"), "Give --as or --split, not both."),
        (("f.json", "--as", "silver"), "silver"),
        (("f.json", "--split", "gold=many"), "whole number above 0"),
        (("f.json", "--split", "silver=1"), "silver"),
        (("f.json", "--undo", "1"), "Give --list or --undo alone"),
        (("--undo", "1", "--as", "gold"), "Give --list or --undo alone"),
        (("--undo", "1", "--list"), "Give --list or --undo alone"),
    ],
)
def test_wrong_usage_of_import_ends_with_2(workspace: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = run("import", *arguments, "-w", workspace)
    assert ran.code == 2
    assert ran.out == ""
    assert said in ran.err


def test_a_missing_file_is_one_line_that_names_it(workspace: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "none.json") in run("import", tmp_path / "none.json", "--as", "gold", "-w", workspace).fault


@pytest.mark.parametrize("arguments", [("import", "FILE", "--as", "gold"), ("import", "--undo", "1")])
def test_a_write_is_refused_while_another_process_works_here(
    workspace: Path, gold: Path, arguments: tuple[str, ...]
) -> None:
    named = [str(gold) if each == "FILE" else each for each in arguments]
    with open_workspace(workspace).lock("labeler round"):
        assert "labeler round" in run(*named, "-w", workspace).fault
    assert ok("labels", "list", "-w", workspace) == {"labels": [], "total": 0}


def test_an_exported_squad_file_has_the_labels_with_answers_at_their_offsets(
    workspace: Path, gold: Path, tmp_path: Path
) -> None:
    ok("import", gold, "--as", "gold", "-w", workspace)
    written = ok("export", "--format", "squad", "-o", tmp_path / "out.json", "-w", workspace)
    assert (written["labels"], written["path"]) == (4, str(tmp_path / "out.json"))
    data = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["data"]
    answers = {
        qa["id"]: (answer["text"], paragraph["context"][answer["answer_start"] :][: len(answer["text"])])
        for article in data
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
        for answer in qa["answers"]
    }
    assert answers == {key: (text, text) for key, text in GOLDS.items()}


def test_only_the_kinds_and_roles_asked_for_are_exported(workspace: Path, gold: Path, tmp_path: Path) -> None:
    ok("import", gold, "--as", "gold", "-w", workspace)
    ok("label", "set", "q1", "--text", "등대", "-w", workspace)
    out = tmp_path / "human.csv"
    assert ok("export", "--format", "csv", "-o", out, "--kinds", "human", "-w", workspace)["labels"] == 1
    with out.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["kind"], row["context"]) == ("q1", "human", HARBOUR)
    refused = run("export", "--format", "csv", "-o", tmp_path / "x.csv", "--role", "test", "-w", workspace)
    assert "no live label" in refused.fault
    assert not (tmp_path / "x.csv").exists()


def test_an_unknown_kind_of_label_is_wrong_usage(workspace: Path, tmp_path: Path) -> None:
    ran = run("export", "--format", "csv", "-o", tmp_path / "x", "--kinds", "gold,silver", "-w", workspace)
    assert ran.code == 2
    assert "silver" in ran.err


def test_the_nearest_workspace_upward_is_used(workspace: Path, gold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = workspace / "deep" / "er"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert ok("import", gold, "--as", "gold")["questions"] == 4


def test_without_a_workspace_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LABELER_WORKSPACE", raising=False)
    assert "labeler init" in run("labels", "list").fault


def test_a_bug_keeps_its_traceback(workspace: Path) -> None:
    with mock.patch("db.queries.imports", side_effect=ZeroDivisionError), pytest.raises(ZeroDivisionError):
        run("import", "--list", "-w", workspace)
