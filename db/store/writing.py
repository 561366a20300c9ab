"""Steps that several writes share: insert labels with answers, restore and withdraw them, append to the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update

from db.engine import Session
from db.queries import corpus
from db.rows import Json, LabelRow, NewLabel, SpanRow
from db.sql import insert_one, select_in, update_in, values
from db.sql.bulk import insert_all, insert_numbered
from db.tables import EVENTS, IMPORT_LABELS, LABEL_ANSWERS, LABELS, META, QUESTIONS, utc_now
from db.vocabulary import HELD_OUT


@dataclass(frozen=True, slots=True)
class Origin:
    """Where new labels come from; the store adds it to what the caller gives."""

    kind: str
    origin: str
    import_id: int | None = None
    round_number: int | None = None
    written_by: int | None = None
    withdrawal_reason: str | None = None  # set: the labels are stored as withdrawn


def insert_labels(
    session: Session, labels: Sequence[NewLabel], origin: Origin, *, parents: Mapping[str, int]
) -> list[int]:
    """Insert labels and return their ids in the order given. Labels of held-out questions get weight 0.

    A pseudo-label is released by its certificate and by nothing else.
    """
    roles = question_roles(session, [label.question_id for label in labels])
    now = utc_now()
    rows = [
        values(label, LABELS)
        | values(origin, LABELS)
        | {
            "question_role": roles[label.question_id],
            "train_weight": _weight(label, roles),
            "released": label.released if origin.kind != "pseudo" else label.certificate_id is not None,
            "parent_id": parents.get(label.question_id),
            "created_at": now,
            "withdrawn_at": None if origin.withdrawal_reason is None else now,
        }
        for label in labels
    ]
    return _insert(session, rows, labels)


def insert_restored(session: Session, labels: Sequence[LabelRow], *, written_by: int | None) -> list[int]:
    """Insert live copies of withdrawn labels and return their ids: provenance kept, parent the copied label."""
    roles = question_roles(session, [label.question_id for label in labels])
    now = utc_now()
    rows = [
        _restored(label)
        | {
            "question_role": roles[label.question_id],
            "train_weight": _weight(label, roles),
            "written_by": written_by,
            "parent_id": label.id,
            "created_at": now,
        }
        for label in labels
    ]
    ids = _insert(session, rows, labels)
    _copy_import_links(session, dict(zip((label.id for label in labels), ids, strict=True)))
    return ids


def _restored(label: LabelRow) -> dict[str, Any]:
    """The columns of a live copy of the label."""
    copied = values(label, LABELS)
    del copied["id"]
    return copied | {"origin": "restored", "withdrawn_at": None, "withdrawn_by": None, "withdrawal_reason": None}


def withdraw(session: Session, label_ids: Iterable[int], *, reason: str, by: int | None) -> int:
    """Withdraw labels and return how many; `by` is the round, None when by hand or by undoing an import."""
    ids = set(label_ids)
    update_in(session, LABELS.c.id, ids, withdrawn_at=utc_now(), withdrawal_reason=reason, withdrawn_by=by)
    return len(ids)


def live_ids(session: Session, question_ids: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Id and kind of the live label by question; questions without one are absent."""
    live = select(LABELS.c.question_id, LABELS.c.id, LABELS.c.kind).where(LABELS.c.withdrawn_at.is_(None))
    rows = select_in(session, live, LABELS.c.question_id, question_ids)
    return {row.question_id: (row.id, row.kind) for row in rows}


def question_roles(session: Session, question_ids: Iterable[str]) -> dict[str, str]:
    """The role of each stored question."""
    statement = select(QUESTIONS.c.id, QUESTIONS.c.role)
    return {row.id: row.role for row in select_in(session, statement, QUESTIONS.c.id, question_ids)}


def add_event(
    session: Session,
    kind: str,
    *,
    detail: Json,
    round_number: int | None = None,
    question_id: str | None = None,
    label_id: int | None = None,
) -> None:
    """Append an event to the journal."""
    insert_one(
        session,
        EVENTS,
        kind=kind,
        detail=detail,
        round_number=round_number,
        question_id=question_id,
        label_id=label_id,
    )


def count_passages(session: Session, *, came: Sequence[str] = (), went: Sequence[str] = ()) -> None:
    """Keep the state of the corpus (`queries.corpus_state`) after passages became active or inactive."""
    if not came and not went:
        return
    if corpus.get_meta(session, corpus.CORPUS_KEY) is None:
        state = corpus.state_of(corpus.corpus_ids(session))
    else:
        state = corpus.state_of(came, went, before=corpus.corpus_state(session))
    set_meta(session, corpus.CORPUS_KEY, f"{state.passages} {state.fingerprint}")


def set_meta(session: Session, key: str, value: str) -> None:
    """Store a fact about the workspace (split_by, language, metric, index, corpus), replacing the old one."""
    if corpus.get_meta(session, key) is None:
        session.execute(insert(META).values(key=key, value=value))
    else:
        session.execute(update(META).where(META.c.key == key).values(value=value))


def _weight(label: NewLabel | LabelRow, roles: Mapping[str, str]) -> float:
    return 0.0 if roles[label.question_id] in HELD_OUT else label.train_weight


def _copy_import_links(session: Session, copies: Mapping[int, int]) -> None:
    """Link the copies to the imports of the labels copied."""
    links = list(select_in(session, select(IMPORT_LABELS), IMPORT_LABELS.c.label_id, copies))
    rows = [{"import_id": import_id, "label_id": copies[label_id]} for import_id, label_id in links]
    insert_all(session, IMPORT_LABELS, rows)


def _insert(session: Session, rows: list[dict[str, Any]], labels: Sequence[NewLabel | LabelRow]) -> list[int]:
    if not rows:
        return []
    ids = insert_numbered(session, LABELS, rows)
    numbered = zip(ids, labels, strict=True)
    answers = [{"label_id": label_id, **row} for label_id, label in numbered for row in _answer_rows(label)]
    insert_all(session, LABEL_ANSWERS, answers)
    return ids


def _answer_rows(label: NewLabel | LabelRow) -> Iterator[dict[str, Any]]:
    """The columns of each answer of a label, but its id. Raises ValueError unless both fields have the same answers."""
    places: dict[SpanRow, list[int]] = {}
    for place, span in enumerate(label.all_answers):
        places.setdefault(span, []).append(place)
    if places and set(places) != set(label.answers):
        raise ValueError(f"question {label.question_id!r}: all_answers holds other answers than answers")
    for ordinal, span in enumerate(label.answers):
        yield values(span, LABEL_ANSWERS) | {"ordinal": ordinal, "places": places.get(span)}
