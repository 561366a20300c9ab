"""Reads of imports, documents, passages and questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, select, union
from sqlalchemy.orm import Session

from db.errors import NotFound
from db.models import Document, Import, Label, LabelAnswer, Meta, Passage, Question
from db.rows import ImportRow, PassageRow, QuestionRow, RoleRow
from db.sql import AnyRow, AnySelect, in_chunks, table
from db.vocabulary import HELD_OUT

_PASSAGE = (Passage.id, Passage.document_id, Passage.position, Passage.text, Document.title)
_QUESTION = (
    Question.id,
    Question.text,
    Question.normalized,
    Question.role,
    Question.imported_role,
    Question.split_group,
    Question.context_id,
    Question.is_impossible,
    Question.duplicate_of,
    Question.exclusion_reason,
    Question.active,
)


def get_meta(session: Session, key: str) -> str | None:
    """A fact about the workspace (split_by, language, metric, index), or None."""
    return session.execute(select(Meta.value).where(Meta.key == key)).scalar()


def imports(session: Session) -> list[ImportRow]:
    """All imports, undone ones too, oldest first."""
    return [ImportRow(*row) for row in session.execute(select(table(Import)).order_by(Import.id))]


def find_import(session: Session, sha256: str, role: str) -> ImportRow | None:
    """The import of this content under this role that is not undone, or None."""
    same = and_(Import.sha256 == sha256, Import.role == role, Import.undone_at.is_(None))
    row = session.execute(select(table(Import)).where(same).order_by(Import.id)).first()
    return None if row is None else ImportRow(*row)


def question(session: Session, question_id: str) -> QuestionRow:
    """One question, active or not. Raises NotFound."""
    row = session.execute(select(*_QUESTION).where(Question.id == question_id)).first()
    if row is None:
        raise NotFound(f"question {question_id!r} is not stored: `labeler labels list` shows ids")
    return QuestionRow(*row)


def questions(
    session: Session,
    *,
    roles: Sequence[str] | None = None,
    ids: Iterable[str] | None = None,
    duplicates: bool = True,
    active: bool = True,
) -> list[QuestionRow]:
    """Questions in id order: of these roles, of these ids; with inactive ones if not `active`."""
    statement = select(*_QUESTION)
    if roles is not None:
        statement = statement.where(Question.role.in_(roles))
    if not duplicates:
        statement = statement.where(Question.duplicate_of.is_(None))
    if active:
        statement = statement.where(Question.active)
    return _by_id(QuestionRow(*row) for row in _rows(session, statement, Question.id, ids))


def pool_to_predict(session: Session) -> list[QuestionRow]:
    """Active pool questions in id order that are no duplicates, not excluded, without a live gold or human label."""
    decided = exists().where(
        Label.question_id == Question.id, Label.withdrawn_at.is_(None), Label.kind.in_(("gold", "human"))
    )
    statement = select(*_QUESTION).where(
        Question.role == "pool",
        Question.active,
        Question.duplicate_of.is_(None),
        Question.exclusion_reason.is_(None),
        ~decided,
    )
    return _by_id(QuestionRow(*row) for row in session.execute(statement))


def corpus_ids(session: Session) -> list[str]:
    """Ids of all active passages, in order."""
    return sorted(session.execute(select(Passage.id).where(Passage.active)).scalars())


def iter_passages(session: Session, *, batch: int = 2000) -> Iterator[PassageRow]:
    """Active passages in id order, streamed. The order is Python's: that of a database depends on its locale."""
    for ids in in_chunks(corpus_ids(session), batch):
        found = passages(session, ids)
        yield from (found[key] for key in ids)


def passages(session: Session, ids: Iterable[str]) -> dict[str, PassageRow]:
    """The passages of these ids, active or not; ids not stored are absent."""
    found = _rows(session, select(*_PASSAGE).join(Document), Passage.id, ids)
    return {row.id: PassageRow(*row) for row in found}


def known_passages(session: Session, ids: Iterable[str]) -> set[str]:
    """Those of the ids that are stored, active or not."""
    return {row.id for row in _rows(session, select(Passage.id), Passage.id, ids)}


def known_roles(session: Session, normalized: Iterable[str]) -> dict[str, RoleRow]:
    """Role and unit of each known normalised question by its hash; inactive questions count too."""
    statement = select(
        Question.normalized,
        Question.role,
        Question.imported_role,
        Question.split_group,
        Question.id,
        Question.active,
        Question.duplicate_of,
    )
    rows = list(_rows(session, statement, Question.normalized, normalized))
    rows.sort(key=lambda row: (not row.active, row.duplicate_of is not None, row.id), reverse=True)
    return {row.normalized: RoleRow(*row[:6]) for row in rows}  # the first in that order is written last


def passage_sides(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The side each passage stands on: "train" (gold, pool), "calibration", "dev" or "test".

    A passage gets its side from questions, inactive ones too, whose context it is or whose gold or human label
    answers from it; passages of no question are absent.
    """
    statement = select(Question.role, Question.context_id.label("passage_id"))
    by_context = _rows(session, statement, Question.context_id, wanted := set(ids))
    by_label = _rows(session, _label_passages(), LabelAnswer.passage_id, wanted)
    return _sides(tuple(row) for row in (*by_context, *by_label))


def document_sides(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The side each document stands on, through its passages; the same rule as `passage_sides`."""
    wanted = set(ids)
    by_context = select(Question.role, Passage.document_id).join(Passage, Passage.id == Question.context_id).distinct()
    by_label = (
        select(Question.role, Passage.document_id)
        .select_from(Label)
        .join(Question, Question.id == Label.question_id)
        .join(LabelAnswer, LabelAnswer.label_id == Label.id)
        .join(Passage, Passage.id == LabelAnswer.passage_id)
        .where(Label.withdrawn_at.is_(None), Label.kind != "pseudo")
        .distinct()
    )
    found = [_rows(session, statement, Passage.document_id, wanted) for statement in (by_context, by_label)]
    return _sides(tuple(row) for rows in found for row in rows)


def held_out_passages(session: Session) -> set[str]:
    """Ids of passages that are context or label passage of a dev, test or calibration question: these never train.

    Questions of undone imports guard too, for their import may come back.
    """
    contexts = select(Question.context_id).where(Question.role.in_(HELD_OUT), Question.context_id.is_not(None))
    answers = _label_passages().with_only_columns(LabelAnswer.passage_id).where(Question.role.in_(HELD_OUT))
    return set(session.execute(union(contexts, answers)).scalars())


def inactive_passages(session: Session) -> set[str]:
    """Ids of passages whose imports are all undone."""
    return set(session.execute(select(Passage.id).where(~Passage.active)).scalars())


def _label_passages() -> AnySelect:
    return (
        select(Question.role, LabelAnswer.passage_id)
        .select_from(Label)
        .join(Question, Question.id == Label.question_id)
        .join(LabelAnswer, LabelAnswer.label_id == Label.id)
        .where(Label.withdrawn_at.is_(None), Label.kind != "pseudo")
        .distinct()
    )


def _sides(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The side by passage or document; should there be two, the stricter: test, dev, calibration, train."""
    found: dict[str, str] = {}
    strict = ("train", *HELD_OUT)
    for role, place in pairs:
        side = role if role in HELD_OUT else "train"
        found[place] = max(side, found.get(place, side), key=strict.index)
    return found


def _rows(
    session: Session, statement: AnySelect, column: ColumnElement[Any] | Any, ids: Iterable[str] | None
) -> Iterator[AnyRow]:
    """The statement's rows, restricted to `column` in ids unless ids is None."""
    if ids is None:
        yield from session.execute(statement)
        return
    for chunk in in_chunks(ids):
        yield from session.execute(statement.where(column.in_(chunk)))


def _by_id(rows: Iterable[QuestionRow]) -> list[QuestionRow]:
    """In code point order of ids, whatever the database's collation."""
    return sorted(rows, key=lambda row: row.id)
