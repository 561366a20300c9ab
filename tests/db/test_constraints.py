"""Constraints: SQL that breaks an invariant is refused by the database itself."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import store
from db.engine import Database
from tests.db.conftest import close, open_round, task

LABEL = (
    "INSERT INTO labels (question_id, question_role, kind, no_answer, train_weight, released, origin, import_id, "
    "round_number, model_id, reviewer, confidence, threshold, calibrator_id, certificate_id, created_at, withdrawn_at, "
    "withdrawal_reason) "
    "VALUES (:q, :role, :kind, :no_answer, :weight, :released, 'import', :import_id, :round, :model, :reviewer, "
    ":confidence, :threshold, :calibrator, :certificate, '2026-01-01', :withdrawn_at, :why)"
)
LABEL_VALUES = {
    "q": "a",
    "role": "pool",
    "kind": "human",
    "no_answer": False,
    "weight": 1.0,
    "released": False,
    "import_id": None,
    "round": None,
    "model": None,
    "reviewer": "kim",
    "confidence": None,
    "threshold": None,
    "calibrator": None,
    "certificate": None,
    "withdrawn_at": None,
    "why": None,
}
PSEUDO = {"kind": "pseudo", "round": 0, "model": 1}


Statement = tuple[str, dict[str, object]]


def break_it(database: Database, *statements: Statement, match: str) -> None:
    def execute() -> None:
        with database.write() as session:
            for statement, values in statements:
                session.execute(text(statement), values)

    with pytest.raises(IntegrityError, match=match):
        execute()


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"kind": "guess"}, "kind_known"),
        ({"role": "gold"}, "(?i)foreign key"),
        ({"q": "nobody"}, "(?i)foreign key"),
        ({"q": "cal0", "role": "calibration"} | PSEUDO | {"weight": 0.0}, "(?i)pseudo_only_in_pool|unique"),
        (PSEUDO | {"model": None}, "pseudo_is_traceable"),
        (PSEUDO | {"round": None}, "pseudo_is_traceable"),
        (PSEUDO | {"no_answer": True}, "pseudo_has_an_answer"),
        (PSEUDO | {"released": True}, "released_by_a_certificate"),
        (
            PSEUDO | {"released": True, "confidence": 0.9, "threshold": 0.8, "calibrator": 1},
            "released_by_a_certificate",
        ),
        (PSEUDO | {"certificate": 1}, "released_by_a_certificate"),
        ({"certificate": 1}, "only_pseudo_is_certified"),
        ({"reviewer": None}, "human_has_a_reviewer"),
        ({"no_answer": True}, "no_answer_has_passages"),
        ({"kind": "gold"}, "gold_is_traceable"),
        ({"weight": -0.1}, "train_weight_is_a_rate"),
        ({"weight": 1.1}, "train_weight_is_a_rate"),
        ({"confidence": 1.01}, "confidence_is_a_rate"),
        ({"why": "because"}, "withdrawn_with_a_reason"),
        ({"withdrawn_at": "2026-01-01"}, "withdrawn_with_a_reason"),
    ],
)
def test_a_label_that_breaks_an_invariant_is_refused(database: Database, values: dict[str, object], match: str) -> None:
    break_it(database, (LABEL, LABEL_VALUES | values), match=match)


def test_a_dev_question_cannot_have_a_live_pseudo_label(database: Database) -> None:
    vacate: Statement = (
        "UPDATE labels SET withdrawn_at = '2026-01-01', withdrawal_reason = 'test' WHERE question_id = 'dev0'",
        {},
    )
    values = LABEL_VALUES | PSEUDO | {"q": "dev0", "role": "dev", "weight": 0.0}
    break_it(database, vacate, (LABEL, values), match="pseudo_only_in_pool")


def test_a_question_has_at_most_one_live_label(database: Database) -> None:
    break_it(database, (LABEL, LABEL_VALUES), (LABEL, LABEL_VALUES), match="(?i)unique")


def test_withdrawn_labels_do_not_count_as_live(database: Database) -> None:
    gone = LABEL_VALUES | {"withdrawn_at": "2026-01-01", "why": "wrong"}
    with database.write() as session:
        for values in (gone, gone, LABEL_VALUES):
            session.execute(text(LABEL), values)


def test_a_question_with_a_live_pseudo_label_cannot_leave_the_pool(database: Database) -> None:
    move: Statement = ("UPDATE questions SET role = 'dev' WHERE id = 'a'", {})
    break_it(database, (LABEL, LABEL_VALUES | PSEUDO | {"weight": 0.0}), move, match="pseudo_only_in_pool")


def test_a_question_whose_label_is_trained_on_cannot_be_held_out(database: Database) -> None:
    break_it(database, ("UPDATE questions SET role = 'dev' WHERE id = 'g0'", {}), match="held_out_never_trains")


def test_two_rounds_cannot_be_open(database: Database) -> None:
    with database.write() as session:
        open_round(session)
    second = (
        "INSERT INTO rounds (number, uid, kind, stage, is_open, config, seed, code_version, opened_at) "
        "VALUES (9, 'u9', 'loop', 'open', TRUE, '{}', 0, 'x', '2026-01-01')"
    )
    break_it(database, (second, {}), match="(?i)unique")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("stage = 'closed', promoted = FALSE", "open_until_closed"),
        ("is_open = FALSE", "open_until_closed"),
        ("stage = 'closed', is_open = FALSE", "closed_is_decided"),
        ("stage = 'closed', is_open = FALSE, promoted = TRUE", "promoted_has_a_student"),
        ("stage = 'lunch'", "stage_known"),
    ],
)
def test_a_round_is_open_until_it_is_closed_with_a_gate_decision(database: Database, change: str, match: str) -> None:
    with database.write() as session:
        number = open_round(session).number
    break_it(database, (f"UPDATE rounds SET {change} WHERE number = {number}", {}), match=match)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (0, 0), (3, 2), (0, 4), (0, 2)])
def test_a_stored_span_is_as_long_as_its_text(database: Database, start: int, end: int) -> None:
    insert = (
        'INSERT INTO label_answers (label_id, ordinal, text, passage_id, start, "end") '
        "VALUES (1, 1, 'Ada', 'p0', :start, :end)"
    )
    break_it(database, (insert, {"start": start, "end": end}), match="span")


def test_a_spans_length_counts_code_points_not_bytes(database: Database) -> None:
    insert = (
        'INSERT INTO label_answers (label_id, ordinal, text, passage_id, start, "end") '
        "VALUES (1, 1, :text, 'p5', 0, :end)"
    )
    with database.write() as session:
        session.execute(text(insert), {"text": "서울은", "end": 3})
    break_it(database, (insert.replace("1, 1,", "1, 2,"), {"text": "서울은", "end": 9}), match="span")


def test_a_review_has_an_answer_if_and_only_if_its_verdict_is_answerable(database: Database) -> None:
    with database.write() as session:
        store.add_tasks(session, open_round(session).number, [task("a")])
    insert = (
        'INSERT INTO reviews (task_id, reviewer, verdict, text, passage_id, start, "end", created_at) '
        "VALUES (1, 'kim', :verdict, :text, :passage, :start, :end, '2026-01-01')"
    )
    nothing: dict[str, object] = {"text": None, "passage": None, "start": None, "end": None}
    whole: dict[str, object] = {"text": "Dov", "passage": "p3", "start": 0, "end": 3}
    break_it(database, (insert, {"verdict": "answerable"} | nothing), match="answer_with_verdict")
    break_it(database, (insert, {"verdict": "no_answer"} | whole), match="answer_with_verdict")
    break_it(database, (insert, {"verdict": "answerable"} | whole | {"start": None}), match="answer_whole|span")


def test_only_pool_predictions_are_decided(database: Database) -> None:
    insert = (
        "INSERT INTO predictions (round_number, question_id, question_role, model_id, features, hits, decision, "
        "created_at) VALUES (0, 'cal0', 'calibration', 1, '{}', '[]', 'train', '2026-01-01')"
    )
    break_it(database, (insert, {}), match="only_the_pool_is_decided")


def test_only_questions_with_a_context_outside_the_pool_can_be_impossible(database: Database) -> None:
    break_it(database, ("UPDATE questions SET is_impossible = TRUE WHERE id = 'a'", {}), match="impossible|pool_hides")
    change = "UPDATE questions SET is_impossible = TRUE, context_id = 'p3' WHERE id = 'a'"
    break_it(database, (change, {}), match="pool_hides_impossible")


def test_a_promoted_round_closes_with_its_student(database: Database) -> None:
    with database.write() as session:
        number = open_round(session).number
        assert close(session, number, promoted=True) == 2
