"""Writes of imports: what a file brings. Facts about the workspace too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter

from sqlalchemy import select

from db.engine import Session
from db.errors import Conflict
from db.queries import corpus, imported
from db.queries import label as label_queries
from db.rows import DocumentRow, HiddenRow, Imported, ImportRows, LabelRow, NewImport, NewLabel, PassageRow, QuestionRow
from db.spans import check_spans
from db.sql import columns, insert_one, select_in, update_in, values
from db.sql.bulk import insert_all, insert_rows, keep_in_memory
from db.store import writing
from db.store.question import move_questions
from db.store.writing import Origin
from db.tables import (
    DOCUMENTS,
    HIDDEN_ANSWERS,
    HIDDEN_QUESTIONS,
    IMPORT_LABELS,
    IMPORT_PASSAGES,
    IMPORT_QUESTIONS,
    IMPORTS,
    PASSAGES,
    QUESTIONS,
)

_NAMES = tuple(
    column.name for column in columns(QUESTIONS, QuestionRow) if column.name not in ("exclusion_reason", "active")
)
_given = attrgetter(*_NAMES)
_GIVEN = (*_NAMES, "exclusion_reason", "active")


def add_import(session: Session, new: NewImport) -> Imported:
    """Store everything that a file brings; stored rows stay, inactive ones become active again.

    The same content under the same role again adds nothing. A question that has a live label keeps it; a different
    gold label is stored as a spare, for when the import of the first is undone. A pool question that comes as gold
    becomes a gold question and loses its pseudo-label.

    Raises:
        Conflict: an id that is stored with other content, or was imported under another role.
        SpanConflict: a passage does not contain an answer at its offset.
    """
    known = imported.find_import(session, new.sha256, new.role)
    if known is not None:
        return Imported(known.id, 0, 0, 0)
    import_id = insert_one(session, IMPORTS, **values(new, IMPORTS))
    keep_in_memory(session)
    parts: Iterator[NewImport | ImportRows] = chain([new], new.parts)
    added = [_add_rows(session, import_id, rows) for rows in parts]
    return Imported(import_id, *map(sum, zip(*added, strict=True)))


def _add_rows(session: Session, import_id: int, new: NewImport | ImportRows) -> tuple[int, int, int]:
    """Store rows of an import and return how many passages, questions and labels it added."""
    passages = _add_passages(session, new.passages, new.documents)
    brought = dict.fromkeys(row.id for row in new.passages)
    insert_rows(session, IMPORT_PASSAGES, ("import_id", "passage_id"), [(import_id, key) for key in brought])
    stored = {row.id: row for row in corpus.questions(session, ids=(row.id for row in new.questions), active=False)}
    questions = _add_questions(session, new.questions, stored)
    roles = {row.id: row.imported_role for row in new.questions}
    links = [(import_id, key, role) for key, role in roles.items()]
    insert_rows(session, IMPORT_QUESTIONS, ("import_id", "question_id", "role"), links)
    texts = {row.id: row.text for row in new.passages}
    labels = _add_gold(session, import_id, new.labels, stored=stored.keys(), texts=texts)
    _add_hidden(session, new.hidden, texts)
    return passages, questions, labels


def _add_documents(session: Session, rows: Sequence[DocumentRow]) -> None:
    wanted = {row.id: row for row in rows}
    known = {row.id for row in select_in(session, select(DOCUMENTS.c.id), DOCUMENTS.c.id, wanted)}
    fresh = [(key, row.title) for key, row in wanted.items() if key not in known]
    insert_rows(session, DOCUMENTS, ("id", "title"), fresh)


def _add_passages(session: Session, rows: Sequence[PassageRow], documents: Sequence[DocumentRow]) -> int:
    """Insert new passages with their documents, activate inactive ones, and return how many both are."""
    stored: dict[str, bool] = {}
    wanted = {row.id: row for row in rows}
    statement = select(PASSAGES.c.id, PASSAGES.c.text, PASSAGES.c.active)
    for passage_id, text, active in select_in(session, statement, PASSAGES.c.id, wanted):
        if text != wanted[passage_id].text:
            raise Conflict(f"passage {passage_id} is stored with another text: give it another id")
        stored[passage_id] = active
    new = [row for key, row in wanted.items() if key not in stored]
    needed = {row.document_id for row in new}
    _add_documents(session, [row for row in documents if row.id in needed])
    titles = select(DOCUMENTS.c.id, DOCUMENTS.c.title)
    title_of = dict(map(tuple, select_in(session, titles, DOCUMENTS.c.id, (row.document_id for row in new))))
    fresh = [
        (
            row.id,
            row.document_id,
            row.position,
            row.text,
            row.identity or row.id,
            row.title if row.title and row.title != title_of.get(row.document_id) else None,
            True,
        )
        for row in new
    ]
    insert_rows(session, PASSAGES, ("id", "document_id", "position", "text", "identity", "title", "active"), fresh)
    inactive = [passage_id for passage_id, active in stored.items() if not active]
    update_in(session, PASSAGES.c.id, inactive, active=True)
    writing.count_passages(session, came=[*(row.id for row in new), *inactive])
    return len(fresh) + len(inactive)


def _add_questions(session: Session, rows: Sequence[QuestionRow], stored: Mapping[str, QuestionRow]) -> int:
    """Insert new questions, activate inactive ones, and return how many both are."""
    wanted = {row.id: row for row in rows}
    fresh = [row for key, row in wanted.items() if key not in stored]
    fresh.sort(key=lambda row: (row.duplicate_of is not None, row.id))  # canonical ones first
    insert_rows(session, QUESTIONS, _GIVEN, [(*_given(row), None, True) for row in fresh])
    for old in stored.values():
        if _becomes_gold(old, wanted[old.id]):
            _pool_to_gold(session, wanted[old.id])
    inactive = [old.id for old in stored.values() if not old.active]
    for question_id in inactive:
        update_in(session, QUESTIONS.c.id, [question_id], active=True, duplicate_of=wanted[question_id].duplicate_of)
    return len(fresh) + len(inactive)


def _becomes_gold(old: QuestionRow, row: QuestionRow) -> bool:
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


def _pool_to_gold(session: Session, row: QuestionRow) -> None:
    move_questions(session, [row.id], row.role)
    update_in(
        session,
        QUESTIONS.c.id,
        [row.id],
        imported_role=row.imported_role,
        context_id=row.context_id,
        is_impossible=row.is_impossible,
        exclusion_reason=None,
    )


def _add_gold(
    session: Session, import_id: int, labels: Sequence[NewLabel], *, stored: Collection[str], texts: Mapping[str, str]
) -> int:
    """Store gold labels and return how many became live. Equal live ones are linked to this import too.

    Args:
        stored: the questions that were there before this import.
        texts: of the passages of this import.
    """
    twice = [key for key, count in Counter(row.question_id for row in labels).items() if count > 1]
    if twice:
        raise Conflict(f"question {twice[0]!r} has two gold labels in one import: put all golds into one")
    check_spans(session, ((f"question {row.question_id!r}", span) for row in labels for span in row.answers), texts)
    known = [row.question_id for row in labels if row.question_id in stored]
    found = label_queries.live_labels(session, question_ids=known)
    live = {row.question_id: row for row in found}
    fresh = [row for row in labels if row.question_id not in live]
    equal = [row for row in labels if row.question_id in live and _equal(row, live[row.question_id])]
    spare = [row for row in labels if row.question_id in live and not _equal(row, live[row.question_id])]
    reason = "the question has a label: kept in reserve"
    gold = Origin("gold", "import", import_id=import_id)
    reserve = Origin("gold", "spare", import_id=import_id, withdrawal_reason=reason)
    ids = [
        *writing.insert_labels(session, fresh, gold, parents={}),
        *writing.insert_labels(session, spare, reserve, parents={}),
        *(live[row.question_id].id for row in equal),
    ]
    insert_all(session, IMPORT_LABELS, [{"import_id": import_id, "label_id": key} for key in ids])
    return len(fresh)


def _equal(new: NewLabel, old: LabelRow) -> bool:
    """Whether a gold label repeats the live one: the same answers, each given as often."""
    counts = (Counter(label.all_answers or label.answers) for label in (new, old))
    same = new.no_answer == old.no_answer and (new.texts or ()) == (old.texts or ())
    return old.kind == "gold" and same and next(counts) == next(counts)


def _add_hidden(session: Session, rows: Sequence[HiddenRow], texts: Mapping[str, str]) -> None:
    """Store hidden answers of pool questions; a question that has some keeps them."""
    check_spans(session, ((f"question {row.question_id!r}", span) for row in rows for span in row.answers), texts)
    wanted: Mapping[str, HiddenRow] = {row.question_id: row for row in rows}
    column = HIDDEN_QUESTIONS.c.question_id
    known = {row.question_id for row in select_in(session, select(column), column, wanted)}
    fresh = [row for key, row in wanted.items() if key not in known]
    spans = [
        values(span, HIDDEN_ANSWERS) | {"question_id": row.question_id}
        for row in fresh
        for span in dict.fromkeys(row.answers)
    ]
    insert_all(session, HIDDEN_QUESTIONS, [values(row, HIDDEN_QUESTIONS) for row in fresh])
    insert_all(session, HIDDEN_ANSWERS, spans)
