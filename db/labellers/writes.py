"""Writes of labellers and of what they answered, in bulk."""

from __future__ import annotations

from collections.abc import Sequence

from db.engine import Session
from db.errors import Conflict
from db.queries import labeller_answers as reads
from db.rows import Json, LabellerReply, LabellerRow, NewLabellerPrediction, SpanRow
from db.spans import check_spans
from db.sql import insert_one, values
from db.sql.bulk import insert_all, insert_numbered
from db.tables import LABELLER_ANSWERS, LABELLER_PREDICTIONS, LABELLER_REPLIES, LABELLERS, utc_now


def ensure(session: Session, name: str, kind: str, *, config: Json) -> LabellerRow:
    """The labeller of this name, stored if it is new. Raises Conflict: as `check`."""
    known = check(session, name, kind, config=config)
    if known is None:
        insert_one(session, LABELLERS, name=name, kind=kind, config=config)
        return reads.labeller(session, name)
    return known


def check(session: Session, name: str, kind: str, *, config: Json) -> LabellerRow | None:
    """The labeller of this name, None where it is new. Nothing is written.

    Raises Conflict: the name is that of a labeller of another kind, or of another model.
    """
    known = reads.find_labeller(session, name)
    check_kind(known, kind)
    if known is not None and known.config != config:
        different = sorted(key for key in {**known.config, **config} if known.config.get(key) != config.get(key))
        raise Conflict(
            f"the labeller {name!r} was begun with another {different[0].replace('_', ' ')} "
            f"({str(known.config.get(different[0]))[:60]!r}): give this one another name with --labeller"
        )
    return known


def check_kind(known: LabellerRow | None, kind: str) -> None:
    """Raise Conflict where the name of a labeller is taken by one of another kind."""
    if known is not None and known.kind != kind:
        other = {"file": "answers from files", "model": "a language model"}[known.kind]
        raise Conflict(f"the labeller {known.name!r} is known for {other}: give this one another name with --labeller")


def add_replies(session: Session, labeller_id: int, rows: Sequence[LabellerReply]) -> None:
    """Store replies of a language model; one to a request that is stored already is left out."""
    known = reads.replies(session, [row.sha256 for row in rows])
    fresh = {row.sha256: row for row in rows if row.sha256 not in known}
    shared = {"labeller_id": labeller_id, "created_at": utc_now()}
    insert_all(session, LABELLER_REPLIES, [values(row, LABELLER_REPLIES) | shared for row in fresh.values()])


def add_predictions(
    session: Session, labeller_id: int, rows: Sequence[NewLabellerPrediction], *, import_id: int | None = None
) -> int:
    """Store what a labeller answered, and return how many questions.

    Raises:
        SpanConflict: a passage does not contain an answer at its offset.
        Conflict: the labeller has answered one of the questions already.
    """
    if not rows:
        return 0
    spans = (
        (f"question {row.question_id!r}", SpanRow(each.text, each.passage_id, each.start or 0, each.end or 0))
        for row in rows
        for each in row.answers
        if each.passage_id is not None
    )
    check_spans(session, spans)
    known = reads.answered(session, labeller_id, [row.question_id for row in rows])
    if known:
        raise Conflict(f"the labeller has answered question {min(known)!r} already: leave it out")
    shared = {"labeller_id": labeller_id, "import_id": import_id, "created_at": utc_now()}
    ids = insert_numbered(session, LABELLER_PREDICTIONS, [values(row, LABELLER_PREDICTIONS) | shared for row in rows])
    answers = [
        values(answer, LABELLER_ANSWERS) | {"prediction_id": prediction_id, "rank": rank}
        for prediction_id, row in zip(ids, rows, strict=True)
        for rank, answer in enumerate(row.answers)
    ]
    insert_all(session, LABELLER_ANSWERS, answers)
    return len(rows)
