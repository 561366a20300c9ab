"""Reads of passages and questions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, exists, func, select

from db.engine import Session
from db.errors import NotFound
from db.rows import PassageRow, QuestionRow
from db.sql import columns, fetch_first, in_chunks, select_in
from db.tables import DOCUMENTS, LABELS, META, PASSAGES, QUESTIONS

CORPUS_KEY: Final = "corpus"  # in meta

_TITLE = func.coalesce(PASSAGES.c.title, DOCUMENTS.c.title).label("title")
_PASSAGE = (*(column for column in columns(PASSAGES, PassageRow) if column.name != "title"), _TITLE)
_QUESTION = columns(QUESTIONS, QuestionRow)


def get_meta(session: Session, key: str) -> str | None:
    """The stored fact about the workspace (split_by, language, metric, index), or None."""
    return session.execute(select(META.c.value).where(META.c.key == key)).scalar()


class CorpusState(NamedTuple):
    """How many passages are active, and the fingerprint of their ids."""

    passages: int
    fingerprint: str


_NOTHING: Final = CorpusState(0, "0")


def corpus_state(session: Session) -> CorpusState:
    """The state of the active passages, which each write of passages keeps (`db.store.writing.count_passages`)."""
    stored = get_meta(session, CORPUS_KEY)
    if stored is None:
        return state_of(corpus_ids(session))
    passages, _, fingerprint = stored.partition(" ")
    return CorpusState(int(passages), fingerprint)


def state_of(came: Iterable[str], went: Iterable[str] = (), *, before: CorpusState = _NOTHING) -> CorpusState:
    """The state after passages came and went: the sum of the hashes of their ids, so that no other id is read."""
    passages, total = before.passages, int(before.fingerprint, 16)
    for sign, ids in ((1, came), (-1, went)):
        for key in ids:
            passages += sign
            total += sign * int.from_bytes(hashlib.sha256(key.encode()).digest())
    return CorpusState(passages, f"{total % (1 << 256):064x}")


def question(session: Session, question_id: str) -> QuestionRow:
    """One question, active or not. Raises NotFound."""
    found = fetch_first(session, select(*_QUESTION).where(QUESTIONS.c.id == question_id), QuestionRow)
    if found is None:
        raise NotFound(f"question {question_id!r} is not stored: `labeler labels list` shows ids")
    return found


def questions(
    session: Session,
    *,
    roles: Sequence[str] | None = None,
    ids: Iterable[str] | None = None,
    duplicates: bool = True,
    active: bool = True,
) -> list[QuestionRow]:
    """Questions in id order, of these roles and ids.

    Args:
        duplicates: whether to include questions that duplicate another one.
        active: whether to leave out questions of undone imports.
    """
    statement = select(*_QUESTION)
    if roles is not None:
        statement = statement.where(QUESTIONS.c.role.in_(roles))
    if not duplicates:
        statement = statement.where(QUESTIONS.c.duplicate_of.is_(None))
    if active:
        statement = statement.where(QUESTIONS.c.active)
    rows = session.execute(statement) if ids is None else select_in(session, statement, QUESTIONS.c.id, ids)
    return _by_id(QuestionRow(*row) for row in rows)


def active_by_role(session: Session) -> dict[str, int]:
    """How many active questions have each role; roles without any are absent."""
    counted = select(QUESTIONS.c.role, func.count()).where(QUESTIONS.c.active).group_by(QUESTIONS.c.role)
    return dict(session.execute(counted).all())


def pool_to_predict(session: Session) -> list[QuestionRow]:
    """Active, canonical, not excluded pool questions without a live gold or human label, in id order."""
    return _by_id(QuestionRow(*row) for row in session.execute(select(*_QUESTION).where(*_to_predict())))


def has_pool_to_predict(session: Session) -> bool:
    """Whether there is such a question."""
    return session.execute(select(QUESTIONS.c.id).where(*_to_predict()).limit(1)).first() is not None


def _to_predict() -> tuple[ColumnElement[bool], ...]:
    labelled = exists().where(
        LABELS.c.question_id == QUESTIONS.c.id, LABELS.c.withdrawn_at.is_(None), LABELS.c.kind.in_(("gold", "human"))
    )
    pool = (QUESTIONS.c.role == "pool", QUESTIONS.c.active, QUESTIONS.c.duplicate_of.is_(None))
    return (*pool, QUESTIONS.c.exclusion_reason.is_(None), ~labelled)


def first_passages(session: Session, count: int) -> list[PassageRow]:
    """The first active passages in id order."""
    order = PASSAGES.c.id.collate("C") if session.dialect.name == "postgresql" else PASSAGES.c.id
    ids = session.execute(select(PASSAGES.c.id).where(PASSAGES.c.active).order_by(order).limit(count)).scalars().all()
    found = passages(session, ids)
    return [found[key] for key in ids]


def corpus_ids(session: Session) -> list[str]:
    """Ids of all active passages, sorted."""
    return sorted(session.execute(select(PASSAGES.c.id).where(PASSAGES.c.active)).scalars())


def iter_passages(session: Session, *, batch: int = 2000) -> Iterator[PassageRow]:
    """Stream the active passages in id order, as Python sorts: a database's order depends on its locale."""
    for ids in in_chunks(corpus_ids(session), batch):
        found = passages(session, ids)
        yield from (found[key] for key in ids)


def passages(session: Session, ids: Iterable[str]) -> dict[str, PassageRow]:
    """Passages by id, active or not; ids that are not stored are absent."""
    statement = select(*_PASSAGE).join(DOCUMENTS, DOCUMENTS.c.id == PASSAGES.c.document_id)
    return {row.id: PassageRow(**row._mapping) for row in select_in(session, statement, PASSAGES.c.id, ids)}


def passage_identities(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The identity of each passage, active or not: the hash that near-equal texts share."""
    statement = select(PASSAGES.c.id, PASSAGES.c.identity)
    return {row.id: row.identity for row in select_in(session, statement, PASSAGES.c.id, ids)}


def documents_of(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The document of each passage, active or not."""
    statement = select(PASSAGES.c.id, PASSAGES.c.document_id)
    return {row.id: row.document_id for row in select_in(session, statement, PASSAGES.c.id, ids)}


def document_texts(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The active passages of each document in their order, joined by line ends."""
    statement = select(PASSAGES.c.document_id, PASSAGES.c.position, PASSAGES.c.id, PASSAGES.c.text)
    wanted = set(ids)
    rows = select_in(session, statement.where(PASSAGES.c.active), PASSAGES.c.document_id, wanted)
    found: dict[str, list[str]] = {key: [] for key in wanted}
    for row in sorted(rows, key=lambda row: (row.document_id, row.position, row.id)):
        found[row.document_id].append(row.text)
    return {key: "\n".join(texts) for key, texts in found.items()}


def document_titles(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The title of each document; empty for text without one."""
    statement = select(DOCUMENTS.c.id, DOCUMENTS.c.title)
    return {row.id: row.title for row in select_in(session, statement, DOCUMENTS.c.id, ids)}


def known_passages(session: Session, ids: Iterable[str]) -> set[str]:
    """Those of the ids that are stored, active or not."""
    return {row.id for row in select_in(session, select(PASSAGES.c.id), PASSAGES.c.id, ids)}


def _by_id(rows: Iterable[QuestionRow]) -> list[QuestionRow]:
    """Sorted by id, as Python sorts."""
    return sorted(rows, key=lambda row: row.id)
