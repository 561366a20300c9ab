"""A certificate made on one machine is verified on another, from a backup of the database alone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from labeler.core.workspace import create_workspace
from tests.certificates import make_predicted
from tests.commands import ok, run
from tests.postgres import Server
from tests.worlds import at

Place = Callable[[], str]  # the URL of a new, empty database


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Makes databases of one kind."""
    if request.param == "sqlite":
        yield lambda: f"sqlite:///{tmp_path / secrets.token_hex(6)}.db"
        return
    server: Server = request.getfixturevalue("postgres")
    monkeypatch.setenv("PATH", str(server.binaries), prepend=":")
    made = []

    def make() -> str:
        made.append(f"elsewhere_{secrets.token_hex(6)}")
        return server.make(made[-1])

    yield make
    for name in made:
        server.drop(name)


def verify(file: Path, workspace: Path) -> tuple[int, bool, str]:
    ran = run("certify", "--verify", file, "-w", workspace, "--json")
    return ran.code, ran.json["valid"], ran.json["why"]


def test_it_is_verified_after_backup_and_restore_on_another_path_and_voided_by_one_changed_label(
    place: Place, tmp_path: Path
) -> None:
    here = make_predicted(tmp_path / "here", workspace__database=place())
    file, copy = tmp_path / "certificate.json", tmp_path / "backup"
    asked = ("--target", "0.7", "--stored", "--audits", "150", "--seed", "a", "--reviewer", "simulated")
    made = ok("certify", *asked, "-o", file, "-w", here)
    assert made["standing"]["state"] == "in_force"
    assert made["certificate"]["released"] > 0
    ok("db", "backup", copy, "-w", here)

    there = create_workspace(tmp_path / "other machine" / "there", database=place(), environ={}).folder
    assert verify(file, there)[:2] == (1, False)  # nothing is there yet
    ok("db", "restore", copy, "-w", there)
    assert verify(file, there) == (0, True, "everything it says follows from the stored rows")
    assert ok("certify", "list", "-w", there)["certificates"][0]["state"] == "in_force"
    rows = _exported(there, tmp_path / "before.jsonl")
    assert len(rows) == made["certificate"]["released"]

    changed = _change_one_label(there)
    code, valid, why = verify(file, there)
    assert (code, valid) == (1, False)
    assert why == f"the released label of question {changed!r} was changed"
    assert ok("certify", "list", "-w", there)["certificates"][0]["state"] == "void"
    assert _exported(there, tmp_path / "after.jsonl") == []
    assert verify(file, here)[0] == 0  # the original is as it was


def _change_one_label(folder: Path) -> str:
    """Shorten the answer of one released label by its last letter; returns its question."""
    with at(folder) as runtime, runtime.database.write() as session:
        (label,) = session.execute(text("SELECT min(id) FROM labels WHERE certificate_id IS NOT NULL")).one()
        session.execute(
            text('UPDATE label_answers SET text = substr(text, 1, length(text) - 1), "end" = "end" - 1 '
                 "WHERE label_id = :label"),
            {"label": label},
        )  # fmt: skip
        (question,) = session.execute(text("SELECT question_id FROM labels WHERE id = :label"), {"label": label}).one()
        return str(question)


def _exported(folder: Path, path: Path) -> list[dict[str, object]]:
    """The exported pseudo-labels."""
    run("export", "--format", "jsonl", "--kinds", "pseudo", "-o", path, "-w", folder)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]
