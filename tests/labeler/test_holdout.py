"""Calibration and dev questions held out of the labelled ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from db import queries, store
from db.engine import Session
from db.rows import DocumentRow, NewImport, PassageRow, QuestionRow, ReviewRow
from labeler.core.config import Config
from labeler.core.runtime import with_settings
from labeler.core.workspace import open_workspace
from labeler.rounds.holdout import hold_out_reviewed, hold_out_roles
from tests.commands import new_workspace

SHARES = with_settings(Config(), calibrate={"calibration_share": 0.2, "folds": 1}, round={"dev_share": 0.1, "seed": 7})


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Forty gold and forty pool questions; gold question n shares its paragraph with pool question n."""
    database = open_workspace(new_workspace(tmp_path / "ws"), environ={}).database()
    questions = [
        QuestionRow(f"{role[0]}{n:02}", f"Question {role} {n}?", f"{role} {n}", role, role, f"group {n // 2}")
        for role in ("gold", "pool")
        for n in range(40)
    ]
    with database.write() as opened:
        store.add_import(
            opened,
            NewImport(
                path="f",
                sha256="f",
                role="gold",
                format="squad",
                options={},
                counts={},
                documents=(DocumentRow("d", "D"),),
                passages=(PassageRow("p", "d", 0, "Text.", "D"),),
                questions=tuple(questions),
            ),
        )
        store.open_round(opened, "baseline", config={}, seed=0, code_version="test", reviewer="none")
        yield opened
    database.close()


def roles(session: Session) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for question in queries.questions(session):
        found.setdefault(question.role, set()).add(question.id)
    return found


def held_out(session: Session) -> list[tuple[str, int]]:
    events = queries.events(session, round_number=0)
    return [(event.detail["role"], event.detail["questions"]) for event in events if event.kind == "held_out"]


def gold(session: Session) -> list[QuestionRow]:
    return queries.questions(session, roles=["gold"])


def test_shares_of_the_gold_questions_are_held_out_with_all_of_their_groups(session: Session) -> None:
    hold_out_roles(session, gold(session), SHARES, 0)
    found = roles(session)
    assert len([key for key in found["calibration"] if key.startswith("g")]) == 8  # a fifth of 40
    assert len([key for key in found["dev"] if key.startswith("g")]) == 2  # a tenth of the 32 others, in twos
    for role in ("calibration", "dev"):
        numbers = {key[1:] for key in found[role]}
        assert {f"{kind}{number}" for kind in "gp" for number in numbers} == found[role], "pool questions go with them"
    assert held_out(session) == [("calibration", 16), ("dev", 4)]


def test_a_role_that_has_questions_gets_no_more(session: Session) -> None:
    store.set_roles(session, {"g00": "dev"})
    hold_out_roles(session, gold(session), SHARES, 0)
    assert roles(session)["dev"] == {"g00"}
    assert [role for role, _ in held_out(session)] == ["calibration"]


def test_a_share_of_zero_holds_out_nothing(session: Session) -> None:
    config = with_settings(SHARES, calibrate={"calibration_share": 0.0})
    hold_out_roles(session, gold(session), config, 0)
    assert "calibration" not in roles(session)
    assert [role for role, _ in held_out(session)] == ["dev"]


def test_after_a_cold_start_shares_of_the_reviewed_questions_are_held_out(session: Session) -> None:
    verdicts = {f"p{n:02}": "answerable" if n < 20 else "no_answer" for n in range(40)}
    fields = dict.fromkeys(ReviewRow.__dataclass_fields__)
    reviews = [ReviewRow(**fields | {"question_id": key, "verdict": verdict}) for key, verdict in verdicts.items()]  # type: ignore[arg-type]
    hold_out_reviewed(session, SHARES, reviews, 0)
    found = roles(session)
    answered = {key for key, verdict in verdicts.items() if verdict == "answerable"}
    assert len(found["calibration"] & answered) == 4  # a fifth of the 20 with an answer
    assert {key[1:] for key in found["calibration"] | found.get("dev", set())} <= {key[1:] for key in answered}
