"""Undo of an import: rows that no other import brought become inactive; only hidden answers are deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Column, ColumnElement, Exists, Table, delete, exists, func, select, update

from db.engine import Session
from db.errors import Conflict, NotFound
from db.queries import label as label_queries
from db.rows import LabelRow, Undone
from db.sql import in_chunks, select_in, update_in
from db.store import writing
from db.store.question import move_questions
from db.tables import (
    EVENTS,
    HIDDEN_ANSWERS,
    HIDDEN_QUESTIONS,
    IMPORT_LABELS,
    IMPORT_PASSAGES,
    IMPORT_QUESTIONS,
    IMPORTS,
    LABELLER_PREDICTIONS,
    LABELLERS,
    LABELS,
    PASSAGES,
    QUESTIONS,
    ROUNDS,
    TASKS,
    utc_now,
)


def undo_import(session: Session, import_id: int) -> Undone:
    """Undo an import and return what it took away.

    Passages and questions that no other live import brought become inactive, gold labels that no other live import
    brought are withdrawn, hidden answers of questions now inactive are deleted. A question that another live import
    labelled differently gets that label instead; a gold question that only pool imports are left of returns to the
    pool, with the human label that it may have. Answers of a labeller are withdrawn with the file that they came from.

    Raises:
        NotFound: no such import.
        Conflict: it is undone already.
    """
    _mark_undone(session, import_id)
    passages = _orphans(session, IMPORT_PASSAGES.c.passage_id, import_id)
    active = select(PASSAGES.c.id).where(PASSAGES.c.active)
    went = [row.id for row in select_in(session, active, PASSAGES.c.id, passages)]
    update_in(session, PASSAGES.c.id, passages, active=False)
    writing.count_passages(session, went=went)
    questions = _orphans(session, IMPORT_QUESTIONS.c.question_id, import_id)
    update_in(session, QUESTIONS.c.id, questions, active=False)
    lost = _withdraw_gold(session, import_id)
    unlabelled = {label.question_id for label in lost}
    restored = restore_gold(session, unlabelled - set(questions), written_by=None, like=lost)
    _return_to_pool(session, import_id)
    hidden = _delete_hidden(session, questions)
    _withdraw_tasks(session, questions)
    _repoint_duplicates(session, questions)
    predictions = _withdraw_predictions(session, import_id)
    return Undone(import_id, len(passages), len(questions), len(unlabelled), len(restored), hidden, predictions)


def _mark_undone(session: Session, import_id: int) -> None:
    row = session.execute(select(IMPORTS.c.undone_at).where(IMPORTS.c.id == import_id)).first()
    if row is None:
        raise NotFound(f"there is no import {import_id}: `labeler import --list` shows all")
    if row.undone_at is not None:
        raise Conflict(f"import {import_id} is undone already")
    session.execute(update(IMPORTS).where(IMPORTS.c.id == import_id).values(undone_at=utc_now()))


def _orphans(session: Session, column: Column[str], import_id: int) -> list[str]:
    """Ids in the link table's column that this import brought and no live one."""
    links = column.table
    assert isinstance(links, Table)
    brought_too = _brought_by_a_live_import(links, column)
    mine = select(column).where(links.c.import_id == import_id, ~brought_too)
    return sorted(session.execute(mine).scalars())


def _withdraw_gold(session: Session, import_id: int) -> list[LabelRow]:
    """Withdraw gold labels that no live import brought, and return them."""
    column = IMPORT_LABELS.c.label_id
    statement = (
        select(LABELS.c.id, LABELS.c.question_id)
        .join(IMPORT_LABELS, column == LABELS.c.id)
        .where(IMPORT_LABELS.c.import_id == import_id, LABELS.c.withdrawn_at.is_(None))
        .where(~_brought_by_a_live_import(IMPORT_LABELS, column))
    )
    lost = session.execute(statement).all()
    writing.withdraw(session, [row.id for row in lost], reason=f"import {import_id} undone", by=None)
    return [label for ids in in_chunks([row.id for row in lost]) for label in _fetched(session, ids)]


def _fetched(session: Session, label_ids: Sequence[int]) -> list[LabelRow]:
    return label_queries.fetch(session, LABELS.c.id.in_(label_ids))


def restore_gold(
    session: Session, question_ids: Iterable[str], *, written_by: int | None, like: Iterable[LabelRow] = ()
) -> set[str]:
    """Restore a gold label for each question without a live label, and return those questions.

    It is a spare with the answers of the lost label in `like`, else the newest that was live, else the oldest spare, of
    a live import. A question whose gold label was withdrawn by hand gets none.
    """
    wanted = set(question_ids)
    wanted -= set(writing.live_ids(session, wanted))
    by_hand = (
        select(LABELS.c.question_id)
        .join(EVENTS, EVENTS.c.label_id == LABELS.c.id)
        .where(EVENTS.c.kind == "label_withdrawn_by_hand", LABELS.c.kind == "gold")
    )
    wanted -= {row.question_id for row in select_in(session, by_hand, LABELS.c.question_id, wanted)}
    spare = LABELS.c.origin == "spare"
    found = _golds(session, wanted, func.min(LABELS.c.id), spare)
    found |= _golds(session, wanted, func.max(LABELS.c.id), ~spare)
    found |= _alike(session, wanted, like)
    for label_ids in in_chunks(found.values()):
        golds = label_queries.fetch(session, LABELS.c.id.in_(label_ids))
        writing.insert_restored(session, golds, written_by=written_by)
    return set(found)


def _alike(session: Session, question_ids: Iterable[str], lost: Iterable[LabelRow]) -> dict[str, int]:
    """The oldest spare gold label of a live import with the answers of the lost label, by question."""
    answers = {label.question_id: label.answers for label in lost}
    found: dict[str, int] = {}
    for ids in in_chunks(key for key in question_ids if key in answers):
        spares = label_queries.fetch(
            session,
            LABELS.c.question_id.in_(ids),
            LABELS.c.kind == "gold",
            LABELS.c.origin == "spare",
            _of_a_live_import(),
        )
        for label in sorted(spares, key=lambda label: label.id):
            if label.answers == answers[label.question_id]:
                found.setdefault(label.question_id, label.id)
    return found


def _of_a_live_import() -> Exists:
    """Whether a live import brought a label."""
    links = IMPORT_LABELS.alias()
    return exists().where(
        links.c.label_id == LABELS.c.id, links.c.import_id == IMPORTS.c.id, IMPORTS.c.undone_at.is_(None)
    )


def _golds(
    session: Session, question_ids: Iterable[str], chosen: ColumnElement[int], where: ColumnElement[bool]
) -> dict[str, int]:
    """The gold label of a live import that `chosen` picks, by question."""
    statement = select(LABELS.c.question_id, chosen).where(LABELS.c.kind == "gold", _of_a_live_import(), where)
    rows = select_in(session, statement.group_by(LABELS.c.question_id), LABELS.c.question_id, question_ids)
    return dict(tuple(row) for row in rows)


def _brought_by_a_live_import(links: Table, column: Column[str]) -> Exists:
    """Whether a live import has a link to the same row."""
    other = links.alias()
    return exists().where(
        other.c[column.key] == column, other.c.import_id == IMPORTS.c.id, IMPORTS.c.undone_at.is_(None)
    )


def _return_to_pool(session: Session, import_id: int) -> None:
    """Make pool questions of the import's active gold questions that live imports brought to the pool alone.

    A question that a round has held out stays held out: what it judged or calibrated is stored.
    """
    mine = (
        select(IMPORT_QUESTIONS.c.question_id)
        .join(QUESTIONS, QUESTIONS.c.id == IMPORT_QUESTIONS.c.question_id)
        .where(IMPORT_QUESTIONS.c.import_id == import_id, QUESTIONS.c.active, QUESTIONS.c.role == "gold")
    )
    left = (
        select(IMPORT_QUESTIONS.c.question_id, IMPORT_QUESTIONS.c.role)
        .join(IMPORTS, IMPORTS.c.id == IMPORT_QUESTIONS.c.import_id)
        .where(IMPORTS.c.undone_at.is_(None))
    )
    roles: dict[str, set[str]] = {}
    for question_id, role in select_in(session, left, IMPORT_QUESTIONS.c.question_id, session.execute(mine).scalars()):
        roles.setdefault(question_id, set()).add(role)
    pool = [question_id for question_id, some in roles.items() if some == {"pool"}]
    move_questions(session, pool, "pool", imported=True)


def _delete_hidden(session: Session, question_ids: Sequence[str]) -> int:
    """Delete the questions' hidden answers and return how many questions had any."""
    count = 0
    for ids in in_chunks(question_ids):
        session.execute(delete(HIDDEN_ANSWERS).where(HIDDEN_ANSWERS.c.question_id.in_(ids)))
        count += session.execute(delete(HIDDEN_QUESTIONS).where(HIDDEN_QUESTIONS.c.question_id.in_(ids))).rowcount
    return count


def _withdraw_tasks(session: Session, question_ids: Sequence[str]) -> None:
    for ids in in_chunks(question_ids):
        still_open = (TASKS.c.question_id.in_(ids), TASKS.c.state == "open")
        session.execute(update(TASKS).where(*still_open).values(state="withdrawn", withdrawn_at=utc_now()))


def _withdraw_predictions(session: Session, import_id: int) -> int:
    """Withdraw the answers of a labeller that this import brought, and return to how many questions."""
    mine = (LABELLER_PREDICTIONS.c.import_id == import_id, LABELLER_PREDICTIONS.c.withdrawn_at.is_(None))
    whose = select(LABELLERS.c.id, LABELLERS.c.name).where(
        LABELLERS.c.id.in_(select(LABELLER_PREDICTIONS.c.labeller_id).where(*mine))
    )
    for labeller_id, name in session.execute(whose).all():
        _refuse_while_taken(session, labeller_id, name)
    return session.execute(update(LABELLER_PREDICTIONS).where(*mine).values(withdrawn_at=utc_now())).rowcount


def _refuse_while_taken(session: Session, labeller_id: int, name: str) -> None:
    """Raise Conflict while an open round takes the answers of a labeller: as predictions, as votes or to teach."""
    table = ROUNDS.c
    open_round = select(table.number, table.stage, table.labeller_id, table.config).where(table.is_open)
    for row in session.execute(open_round):
        config = {section: row.config.get(section, {}) for section in ("ensemble", "cascade", "train")}
        named = (
            *config["ensemble"].get("members", ()),
            *config["train"].get("teachers", ()),
            config["cascade"].get("large"),
        )
        predicts = row.stage == "open" and row.labeller_id == labeller_id
        if predicts or f"labeller:{name}" in named:
            raise Conflict(f"round {row.number} is taking the answers of this import: finish or revert it first")


def _repoint_duplicates(session: Session, inactive: Sequence[str]) -> None:
    """Among the active duplicates of a question now inactive, make the lowest id the canonical one."""
    statement = select(QUESTIONS.c.duplicate_of, QUESTIONS.c.id).where(QUESTIONS.c.active)
    duplicates: dict[str, list[str]] = {}
    for original, duplicate in select_in(session, statement, QUESTIONS.c.duplicate_of, inactive):
        duplicates.setdefault(original, []).append(duplicate)
    for some in duplicates.values():
        first, *others = sorted(some)
        update_in(session, QUESTIONS.c.id, [first], duplicate_of=None)
        update_in(session, QUESTIONS.c.id, others, duplicate_of=first)
