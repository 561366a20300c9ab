"""Reads of the split: which side questions, passages and documents are on, and what must never be trained on."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select, union

from db.engine import Session
from db.rows import QuestionRow, RoleRow
from db.sql import AnyRow, AnySelect, columns, select_in
from db.tables import LABEL_ANSWERS, LABELS, PASSAGES, QUESTIONS
from db.vocabulary import HELD_OUT


def known_roles(session: Session, normalized: Iterable[str]) -> dict[str, RoleRow]:
    """Role and split group of each stored question by the hash of its normalised text; inactive questions count too.

    Of equal questions the active, then the canonical one, then the lowest id is returned.
    """
    statement = select(
        QUESTIONS.c.normalized,
        QUESTIONS.c.role,
        QUESTIONS.c.imported_role,
        QUESTIONS.c.split_group,
        QUESTIONS.c.id,
        QUESTIONS.c.active,
        QUESTIONS.c.duplicate_of,
    )
    rows = list(select_in(session, statement, QUESTIONS.c.normalized, normalized))
    rows.sort(key=lambda row: (not row.active, row.duplicate_of is not None, row.id), reverse=True)
    return {row.normalized: RoleRow(*row[:6]) for row in rows}  # the first in that order is written last


def passage_sides(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The side of each passage: "train" (gold, pool), "calibration", "dev" or "test".

    A passage is on the side of the questions, inactive ones too, whose context it is or whose gold or human label
    answers from it, or from a passage of the same identity. Passages of no question are absent.
    """
    wanted = set(ids)
    near, same = PASSAGES.alias("near"), PASSAGES.alias("same")
    contexts = (
        select(QUESTIONS.c.role, near.c.id.label("passage_id"))
        .join(same, same.c.id == QUESTIONS.c.context_id)
        .join(near, near.c.identity == same.c.identity)
    )
    labels = (
        _label_passages()
        .join(same, same.c.id == LABEL_ANSWERS.c.passage_id)
        .join(near, near.c.identity == same.c.identity)
        .with_only_columns(QUESTIONS.c.role, near.c.id)
    )
    return _sides(row for each in (contexts, labels) for row in select_in(session, each, near.c.id, wanted))


def document_sides(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """The side of each document: that of its passages, see `passage_sides`."""
    wanted = set(ids)
    by_context = select(QUESTIONS.c.role, PASSAGES.c.document_id).join(
        PASSAGES, PASSAGES.c.id == QUESTIONS.c.context_id
    )
    by_label = (
        _label_passages()
        .join(PASSAGES, PASSAGES.c.id == LABEL_ANSWERS.c.passage_id)
        .with_only_columns(QUESTIONS.c.role, PASSAGES.c.document_id)
    )
    statements = (by_context.distinct(), by_label)
    return _sides(row for each in statements for row in select_in(session, each, PASSAGES.c.document_id, wanted))


def question_sides(session: Session, normalized: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The strictest side of stored questions by the hash of their normalised text, inactive ones too, and the lowest
    id of a question there.
    """
    statement = select(QUESTIONS.c.role, QUESTIONS.c.normalized, QUESTIONS.c.id)
    rows = sorted(select_in(session, statement, QUESTIONS.c.normalized, normalized), key=lambda row: row.id)
    side_of = _sides((row.role, row.normalized) for row in rows)
    found: dict[str, tuple[str, str]] = {}
    for row in rows:
        side = side_of[row.normalized]
        if side in (row.role, "train"):
            found.setdefault(row.normalized, (side, row.id))
    return found


def questions_met(
    session: Session,
    *,
    ids: Iterable[str] = (),
    normalized: Iterable[str] = (),
    identities: Iterable[str] = (),
    documents: Iterable[str] = (),
    split_groups: Iterable[str] = (),
) -> list[QuestionRow]:
    """Questions, active or not, with one of these ids, texts, contexts (by identity or document) or split groups."""
    plain = select(*columns(QUESTIONS, QuestionRow))
    by_context = plain.join(PASSAGES, PASSAGES.c.id == QUESTIONS.c.context_id)
    wanted = (
        (plain, QUESTIONS.c.id, ids),
        (plain, QUESTIONS.c.normalized, normalized),
        (plain, QUESTIONS.c.split_group, split_groups),
        (by_context, PASSAGES.c.identity, identities),
        (by_context, PASSAGES.c.document_id, documents),
    )
    found = {row[0]: row for statement, key, some in wanted for row in select_in(session, statement, key, some)}
    return [QuestionRow(*row) for row in found.values()]


def human_answers(session: Session, *, identities: Iterable[str], documents: Iterable[str]) -> dict[str, str]:
    """Passage -> role of a question whose live human label answers from it, of the passages with one of these
    identities or documents.
    """
    statement = (
        select(LABEL_ANSWERS.c.passage_id, LABELS.c.question_role)
        .join(LABELS, LABELS.c.id == LABEL_ANSWERS.c.label_id)
        .join(QUESTIONS, QUESTIONS.c.id == LABELS.c.question_id)
        .join(PASSAGES, PASSAGES.c.id == LABEL_ANSWERS.c.passage_id)
        .where(LABELS.c.withdrawn_at.is_(None), LABELS.c.kind == "human", QUESTIONS.c.active)
    )
    wanted = ((PASSAGES.c.identity, identities), (PASSAGES.c.document_id, documents))
    return {row[0]: row[1] for key, some in wanted for row in select_in(session, statement, key, some)}


def held_out_passages(session: Session) -> set[str]:
    """Ids of passages that are the context or an answer's passage of a dev, test or calibration question, or nearly
    equal one of those (`passages.identity`).

    Questions of undone imports count too: their import may come back.
    """
    held_out = QUESTIONS.c.role.in_(HELD_OUT)
    contexts = select(QUESTIONS.c.context_id).where(held_out, QUESTIONS.c.context_id.is_not(None))
    answers = _label_passages().with_only_columns(LABEL_ANSWERS.c.passage_id).where(held_out)
    direct = union(contexts, answers).subquery()
    identities = select(PASSAGES.c.identity).where(PASSAGES.c.id.in_(select(direct)))
    return set(session.execute(select(PASSAGES.c.id).where(PASSAGES.c.identity.in_(identities))).scalars())


def inactive_passages(session: Session) -> set[str]:
    """Ids of passages whose imports are all undone."""
    return set(session.execute(select(PASSAGES.c.id).where(~PASSAGES.c.active)).scalars())


def _label_passages() -> AnySelect:
    """Roles of questions and passages that their live gold and human labels answer from."""
    return (
        select(QUESTIONS.c.role, LABEL_ANSWERS.c.passage_id)
        .select_from(LABELS)
        .join(QUESTIONS, QUESTIONS.c.id == LABELS.c.question_id)
        .join(LABEL_ANSWERS, LABEL_ANSWERS.c.label_id == LABELS.c.id)
        .where(LABELS.c.withdrawn_at.is_(None), LABELS.c.kind != "pseudo")
        .distinct()
    )


def _sides(rows: Iterable[AnyRow | tuple[str, str]]) -> dict[str, str]:
    """The side by passage or document id, of (role, id) rows; of several, the strictest: test, dev, calibration."""
    found: dict[str, str] = {}
    strict = ("train", *HELD_OUT)
    for role, key in rows:
        side = role if role in HELD_OUT else "train"
        found[key] = max(side, found.get(key, side), key=strict.index)
    return found
