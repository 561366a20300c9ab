"""Writes of imports: what a file brings, and taking it back. Roles are here too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from db.errors import Conflict, NotFound
from db.models import (
    Document,
    HiddenAnswer,
    HiddenQuestion,
    Import,
    ImportLabel,
    ImportPassage,
    ImportQuestion,
    Label,
    Meta,
    Passage,
    Question,
)
from db.queries import corpus
from db.queries import label as label_queries
from db.rows import HiddenRow, Imported, LabelRow, NewImport, NewLabel, PassageRow, QuestionRow
from db.spans import check_spans
from db.sql import in_chunks, table
from db.store import writing
from db.store.writing import Origin
from db.vocabulary import HELD_OUT


def set_meta(session: Session, key: str, value: str) -> None:
    """Stores a fact about the workspace (split_by, language, metric, index), replacing the old one."""
    if corpus.get_meta(session, key) is None:
        session.execute(insert(table(Meta)), [{"key": key, "value": value}])
    else:
        session.execute(update(table(Meta)).where(Meta.key == key).values(value=value))


def add_import(session: Session, new: NewImport) -> Imported:
    """Stores all that a file brought; what exists stays, what was inactive is active again.

    The same content under the same role again is the import already there and adds nothing. A question that already
    has a live label keeps it; a different gold label that comes second is a spare, for when the first's import is
    undone. A pool question that comes as gold moves to gold, without its pseudo-label.

    Raises:
        Conflict: an id that is stored with other content, or was imported under another role.
        SpanConflict: an answer that does not stand at its offset.
    """
    known = corpus.find_import(session, new.sha256, new.role)
    if known is not None:
        return Imported(known.id, 0, 0, 0)
    import_id = _add_import_row(session, new)
    _add_documents(session, new)
    passages = _add_passages(session, new.passages)
    _join(session, ImportPassage, import_id, "passage_id", (row.id for row in new.passages))
    questions = _add_questions(session, new.questions)
    _join(session, ImportQuestion, import_id, "question_id", (row.id for row in new.questions))
    labels = _add_gold(session, import_id, new.labels)
    _add_hidden(session, new.hidden)
    return Imported(import_id, passages, questions, labels)


def set_roles(session: Session, roles: Mapping[str, str]) -> int:
    """How many questions changed their role. Labels follow; those of a question now held out no longer teach.

    Raises:
        NotFound: an id that is not stored.
        Conflict: a held-out question would teach, or one with a live pseudo-label would leave the pool.
    """
    stored = {row.id: row for row in corpus.questions(session, ids=roles, active=False)}
    moving: dict[str, list[str]] = {}
    for question_id, role in sorted(roles.items()):
        if question_id not in stored:
            raise NotFound(f"question {question_id!r} is not stored: import it first")
        old = stored[question_id].role
        if old in HELD_OUT and role not in HELD_OUT:
            raise Conflict(f"question {question_id!r} is held out as {old}: it can never teach")
        if old != role:
            moving.setdefault(role, []).append(question_id)
    for role, ids in moving.items():
        _refuse_pseudo(session, ids)
        move(session, ids, role)
    return sum(len(ids) for ids in moving.values())


def move(session: Session, question_ids: Iterable[str], role: str, *, imported: bool = False) -> None:
    """Gives questions another role, unchecked: what may move is the caller's to know.

    What no constraint allows to come along goes first: weights of labels now held out, pseudo-labels outside the pool,
    and inside it whether a file called the question impossible.
    """
    values: dict[str, Any] = {"role": role} | ({"imported_role": role} if imported else {})
    if role == "pool":
        values["is_impossible"] = None
    for ids in in_chunks(question_ids):
        if role in HELD_OUT:
            session.execute(update(table(Label)).where(Label.question_id.in_(ids)).values(train_weight=0.0))
        if role != "pool":
            pseudo = [label_id for label_id, kind in writing.live_ids(session, ids).values() if kind == "pseudo"]
            writing.withdraw(session, pseudo, reason=f"the question moved to {role}", by=None)
        session.execute(update(table(Question)).where(Question.id.in_(ids)).values(values))


def _refuse_pseudo(session: Session, question_ids: Sequence[str]) -> None:
    for question_id, (_, kind) in sorted(writing.live_ids(session, question_ids).items()):
        if kind == "pseudo":
            raise Conflict(f"question {question_id!r} has a pseudo-label: `labeler label withdraw {question_id}` first")


def _add_import_row(session: Session, new: NewImport) -> int:
    values = {
        "path": new.path,
        "sha256": new.sha256,
        "role": new.role,
        "format": new.format,
        "options": dict(new.options),
        "counts": dict(new.counts),
    }
    return session.execute(insert(table(Import)).values(values).returning(Import.id)).scalar_one()


def _add_documents(session: Session, new: NewImport) -> None:
    known: set[str] = set()
    for ids in in_chunks(row.id for row in new.documents):
        known.update(session.execute(select(Document.id).where(Document.id.in_(ids))).scalars())
    rows = {row.id: {"id": row.id, "title": row.title} for row in new.documents if row.id not in known}
    if rows:
        session.execute(insert(table(Document)), list(rows.values()))


def _add_passages(session: Session, rows: Sequence[PassageRow]) -> int:
    """How many passages are there that were not, or were inactive."""
    stored: dict[str, bool] = {}
    wanted = {row.id: row for row in rows}
    for ids in in_chunks(wanted):
        statement = select(Passage.id, Passage.text, Passage.active).where(Passage.id.in_(ids))
        for passage_id, text, active in session.execute(statement):
            if text != wanted[passage_id].text:
                raise Conflict(f"passage {passage_id} is stored with another text: give it another id")
            stored[passage_id] = active
    fresh = [
        {"id": row.id, "document_id": row.document_id, "position": row.position, "text": row.text, "active": True}
        for row in wanted.values()
        if row.id not in stored
    ]
    if fresh:
        session.execute(insert(table(Passage)), fresh)
    back = [passage_id for passage_id, active in stored.items() if not active]
    for ids in in_chunks(back):
        session.execute(update(table(Passage)).where(Passage.id.in_(ids)).values(active=True))
    return len(fresh) + len(back)


def _add_questions(session: Session, rows: Sequence[QuestionRow]) -> int:
    """How many questions are there that were not, or were inactive."""
    wanted = {row.id: row for row in rows}
    stored = {row.id: row for row in corpus.questions(session, ids=wanted, active=False)}
    fresh = [_question(row) for row in wanted.values() if row.id not in stored]
    fresh.sort(key=lambda values: (values["duplicate_of"] is not None, values["id"]))  # canonical ones first
    if fresh:
        session.execute(insert(table(Question)), fresh)
    to_gold = [old for old in stored.values() if _check_known(old, wanted[old.id])]
    _pool_to_gold(session, {old.id: wanted[old.id] for old in to_gold})
    back = [old.id for old in stored.values() if not old.active]
    for question_id in back:
        values = {"active": True, "duplicate_of": wanted[question_id].duplicate_of}
        session.execute(update(table(Question)).where(Question.id == question_id).values(values))
    return len(fresh) + len(back)


def _check_known(old: QuestionRow, row: QuestionRow) -> bool:
    """Whether a stored question moves from pool to gold. Raises Conflict where the new row contradicts the old."""
    contexts = {old.context_id, row.context_id} - {None}
    if old.text != row.text or len(contexts) > 1:
        raise Conflict(f"question {row.id!r} is stored with other content: give it another id")
    if old.imported_role == row.imported_role:
        return False
    if (old.imported_role, row.imported_role) != ("pool", "gold"):
        raise Conflict(
            f"question {row.id!r} was imported as {old.imported_role}, not {row.imported_role}: drop the row"
        )
    return True


def _pool_to_gold(session: Session, rows: Mapping[str, QuestionRow]) -> None:
    for question_id, row in rows.items():
        move(session, [question_id], row.role)
        values = {
            "imported_role": row.imported_role,
            "context_id": row.context_id,
            "is_impossible": row.is_impossible,
            "exclusion_reason": None,
        }
        session.execute(update(table(Question)).where(Question.id == question_id).values(values))


def _question(row: QuestionRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "text": row.text,
        "normalized": row.normalized,
        "role": row.role,
        "imported_role": row.imported_role,
        "split_group": row.split_group,
        "context_id": row.context_id,
        "is_impossible": row.is_impossible,
        "duplicate_of": row.duplicate_of,
        "active": True,
    }


def _join(session: Session, model: type[Any], import_id: int, column: str, ids: Iterable[str]) -> None:
    rows = [{"import_id": import_id, column: key} for key in dict.fromkeys(ids)]
    if rows:
        session.execute(insert(table(model)), rows)


def _add_gold(session: Session, import_id: int, labels: Sequence[NewLabel]) -> int:
    """How many gold labels are live now. Equal ones that are live already count for this import too."""
    twice = [key for key, count in Counter(row.question_id for row in labels).items() if count > 1]
    if twice:
        raise Conflict(f"question {twice[0]!r} has two gold labels in one import: put all golds into one")
    check_spans(session, ((f"question {row.question_id!r}", span) for row in labels for span in row.answers))
    live = {
        row.question_id: row for row in label_queries.live_labels(session, question_ids=[r.question_id for r in labels])
    }
    fresh = [row for row in labels if row.question_id not in live]
    equal = [row for row in labels if row.question_id in live and _equal(row, live[row.question_id])]
    spare = [row for row in labels if row.question_id in live and not _equal(row, live[row.question_id])]
    gold = Origin("gold", "import", import_id=import_id)
    reserve = Origin(
        "gold", "spare", import_id=import_id, withdrawal_reason="the question has a label: kept in reserve"
    )
    ids = [
        *writing.insert_labels(session, fresh, gold, parents={}),
        *writing.insert_labels(session, spare, reserve, parents={}),
        *(live[row.question_id].id for row in equal),
    ]
    if ids:
        session.execute(insert(table(ImportLabel)), [{"import_id": import_id, "label_id": key} for key in ids])
    return len(fresh)


def _equal(new: NewLabel, old: LabelRow) -> bool:
    return old.kind == "gold" and (new.no_answer, set(new.answers)) == (old.no_answer, set(old.answers))


def _add_hidden(session: Session, rows: Sequence[HiddenRow]) -> None:
    """Keeps the answers of pool questions aside; a question that has some keeps them."""
    check_spans(session, ((f"question {row.question_id!r}", span) for row in rows for span in row.answers))
    known: set[str] = set()
    for ids in in_chunks(row.question_id for row in rows):
        statement = select(HiddenQuestion.question_id).where(HiddenQuestion.question_id.in_(ids))
        known.update(session.execute(statement).scalars())
    fresh = {row.question_id: row for row in rows if row.question_id not in known}.values()
    flags = [{"question_id": row.question_id, "is_impossible": row.is_impossible} for row in fresh]
    spans = [
        {"question_id": row.question_id, **writing.span_values(span)}
        for row in fresh
        for span in dict.fromkeys(row.answers)
    ]
    if flags:
        session.execute(insert(table(HiddenQuestion)), flags)
    if spans:
        session.execute(insert(table(HiddenAnswer)), spans)
