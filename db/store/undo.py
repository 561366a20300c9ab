"""Taking an import back: what nothing else brought becomes inactive, nothing is deleted but hidden answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from db.errors import Conflict, NotFound
from db.models import (
    HiddenAnswer,
    HiddenQuestion,
    Import,
    ImportLabel,
    ImportPassage,
    ImportQuestion,
    Label,
    Passage,
    Question,
    Task,
    utc_now,
)
from db.queries import label as label_queries
from db.rows import Undone
from db.sql import in_chunks, table
from db.store import writing
from db.store.corpus import move


def undo_import(session: Session, import_id: int) -> Undone:
    """Takes back an import: rows that no other live import brought become inactive, gold labels that no other live
    import brought are withdrawn, hidden answers of questions now inactive are removed.

    A question that another live import labelled differently gets that label instead; one that only a pool import is
    left of returns to the pool.

    Raises NotFound; Conflict if it is undone already.
    """
    _mark(session, import_id)
    passages = _orphans(session, ImportPassage, ImportPassage.passage_id, import_id)
    _deactivate(session, Passage, passages)
    questions = _orphans(session, ImportQuestion, ImportQuestion.question_id, import_id)
    _deactivate(session, Question, questions)
    bereft = _withdraw_gold(session, import_id)
    restored = _restore_spares(session, set(bereft) - set(questions))
    _return_to_pool(session, set(bereft) - set(questions) - restored)
    hidden = _drop_hidden(session, questions)
    for ids in in_chunks(questions):
        mine = (Task.question_id.in_(ids), Task.state == "open")
        session.execute(update(table(Task)).where(*mine).values(state="withdrawn", withdrawn_at=utc_now()))
    _repoint_duplicates(session, questions)
    return Undone(import_id, len(passages), len(questions), len(bereft), len(restored), hidden)


def _mark(session: Session, import_id: int) -> None:
    row = session.execute(select(Import.undone_at).where(Import.id == import_id)).first()
    if row is None:
        raise NotFound(f"there is no import {import_id}: `labeler import --list` shows all")
    if row.undone_at is not None:
        raise Conflict(f"import {import_id} is undone already")
    session.execute(update(table(Import)).where(Import.id == import_id).values(undone_at=utc_now()))


def _orphans(session: Session, membership: type[Any], column: Any, import_id: int) -> list[str]:
    """What this import brought and no live one did."""
    other = aliased(membership)
    others = exists().where(
        getattr(other, column.key) == column, other.import_id == Import.id, Import.undone_at.is_(None)
    )
    return sorted(session.execute(select(column).where(membership.import_id == import_id, ~others)).scalars())


def _deactivate(session: Session, model: type[Passage] | type[Question], keys: Sequence[str]) -> None:
    for ids in in_chunks(keys):
        session.execute(update(table(model)).where(model.id.in_(ids)).values(active=False))


def _withdraw_gold(session: Session, import_id: int) -> list[str]:
    """The questions that lost their gold label, for no live import is left that brought it."""
    other = aliased(ImportLabel)
    others = exists().where(other.label_id == Label.id, other.import_id == Import.id, Import.undone_at.is_(None))
    statement = (
        select(Label.id, Label.question_id)
        .join(ImportLabel, ImportLabel.label_id == Label.id)
        .where(ImportLabel.import_id == import_id, Label.withdrawn_at.is_(None), ~others)
    )
    lost = session.execute(statement).all()
    writing.withdraw(session, [row.id for row in lost], reason=f"import {import_id} undone", by=None)
    return [row.question_id for row in lost]


def _restore_spares(session: Session, question_ids: Iterable[str]) -> set[str]:
    """The questions that got the spare gold label of a live import, the oldest of each."""
    found: dict[str, int] = {}
    for ids in in_chunks(question_ids):
        statement = (
            select(Label.question_id, func.min(Label.id))
            .join(ImportLabel, ImportLabel.label_id == Label.id)
            .join(Import, Import.id == ImportLabel.import_id)
            .where(Label.question_id.in_(ids), Label.origin == "spare", Import.undone_at.is_(None))
            .group_by(Label.question_id)
        )
        found.update(session.execute(statement).all())
    for label_ids in in_chunks(found.values()):
        spares = label_queries.fetch(session, Label.id.in_(label_ids))
        writing.insert_copies(session, spares, written_by=None)
    return set(found)


def _return_to_pool(session: Session, question_ids: Iterable[str]) -> None:
    """Gold questions without a label that only pool imports are left of are pool questions, as before."""
    for ids in in_chunks(question_ids):
        left = (
            select(ImportQuestion.question_id, Import.role)
            .join(Import, Import.id == ImportQuestion.import_id)
            .where(ImportQuestion.question_id.in_(ids), Import.undone_at.is_(None))
        )
        roles: dict[str, set[str]] = {}
        for question_id, role in session.execute(left):
            roles.setdefault(question_id, set()).add(role)
        back = [question_id for question_id, some in roles.items() if some == {"pool"}]
        move(session, back, "pool", imported=True)


def _drop_hidden(session: Session, question_ids: Sequence[str]) -> int:
    count = 0
    for ids in in_chunks(question_ids):
        known = select(func.count()).select_from(HiddenQuestion).where(HiddenQuestion.question_id.in_(ids))
        count += session.execute(known).scalar_one()
        session.execute(delete(table(HiddenAnswer)).where(HiddenAnswer.question_id.in_(ids)))
        session.execute(delete(table(HiddenQuestion)).where(HiddenQuestion.question_id.in_(ids)))
    return count


def _repoint_duplicates(session: Session, gone: Sequence[str]) -> None:
    """Active duplicates of a question that is gone: the lowest id of them is the canonical one from now on."""
    for ids in in_chunks(gone):
        statement = select(Question.duplicate_of, Question.id).where(Question.duplicate_of.in_(ids), Question.active)
        heirs: dict[str, list[str]] = {}
        for original, heir in session.execute(statement):
            heirs.setdefault(str(original), []).append(heir)
        for some in heirs.values():
            first, *others = sorted(some)
            session.execute(update(table(Question)).where(Question.id == first).values(duplicate_of=None))
            session.execute(update(table(Question)).where(Question.id.in_(others)).values(duplicate_of=first))
