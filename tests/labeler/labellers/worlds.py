"""A small indexed workspace and files of predictions for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.commands import new_workspace, ok, squad

HARBOUR = "Belmora harbour was founded by Arnen in 1921. The harbour has three lighthouses and a chapel."
TOWER = "The tower of Korr was raised by Ilvane in 1840. Ilvane also planned the bridge at Dunmor."
ISLAND = "The island of Sell has 412 inhabitants. Its name comes from the seals that rest there."
QUESTIONS = {
    HARBOUR: [("q1", "Who founded Belmora harbour?", "Arnen"), ("q2", "When was Belmora harbour founded?", "1921")],
    TOWER: [("q3", "Who raised the tower of Korr?", "Ilvane"), ("q4", "When was the tower of Korr raised?", "1840")],
    ISLAND: [("q5", "How many inhabitants has the island of Sell?", "412")],
}


def make(folder: Path, *, role: str = "dev", index: bool = True) -> Path:
    """A workspace with the five questions under a role."""
    workspace = new_workspace(folder / "ws")
    given = squad(folder / "given.json", QUESTIONS)
    ok("import", given, "--as", role, "-w", workspace)
    if index:
        ok("index", "--analyzer", "english", "-w", workspace)
    return workspace


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def imported(workspace: Path, file: Path, name: str = "model") -> Any:
    """The JSON of an import of predictions."""
    return ok("import", file, "--as", "predictions", "--labeller", name, "-w", workspace)
