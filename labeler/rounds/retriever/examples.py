"""What a retriever learns from in a round: each answered question, the passages that answer it, and others that do not.

Nothing of a passage that belongs to a held-out question is among them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from db import queries
from db.engine import Session
from db.rows import ReviewRow, TrainingRow
from labeler.core import convert
from mrc.retrieve.training.train_config import BiEncoderExample

if TYPE_CHECKING:
    from mrc.retrieve.index import Index
    from mrc.types import Passage

HARD = 20  # passages that share the most with a question, looked at for negatives


def teachable(session: Session, index: Index, rows: Iterable[TrainingRow]) -> list[Passage]:
    """All passages that the retriever may see, by id: those of the round's index and of its labels, whatever was
    imported since; none of a held-out question, and none whose imports are undone."""
    barred = queries.held_out_passages(session) | queries.inactive_passages(session)
    wanted = ({*index.ids} | {key for row in rows for key in _passages(row)}) - barred
    found = queries.passages(session, wanted)
    return [convert.to_passage(found[key]) for key in sorted(found)]


def examples(
    rows: Sequence[TrainingRow], index: Index, reviews: Iterable[ReviewRow], *, seen: Collection[str]
) -> list[BiEncoderExample]:
    """What the retriever learns from: each answered question, its passages, and passages that do not answer it.

    The negatives are those in which a reviewer of the question found no answer, then those that share the most terms
    with it. All passages are among those that it may see.
    """
    answered = [row for row in rows if row.label.answers]
    terms = dataclasses.replace(index, dense=None, reranking=None)
    found = terms.retrieve([row.question.text for row in answered], HARD)
    unanswering = seen_without_answer(answered, reviews)
    taught = []
    for row, hits in zip(answered, found, strict=True):
        positives = _passages(row)
        hard = dict.fromkeys([*unanswering.get(row.question.id, ()), *(hit.passage_id for hit in hits)])
        taught.append(
            BiEncoderExample(
                id=row.question.id,
                question=row.question.text,
                positives=tuple(key for key in positives if key in seen),
                answers=tuple(dict.fromkeys(answer.text for answer in row.label.answers)),
                negatives=tuple(key for key in hard if key in seen and key not in positives),
                weight=row.weight,
            )
        )
    return taught


def recorded_reviews(session: Session, rows: Sequence[TrainingRow]) -> list[ReviewRow]:
    """The reviews of these questions that a labelling has considered, newest first; none of reverted rounds."""
    reverted = {each.number for each in queries.rounds(session) if each.reverted_at is not None}
    reviews = queries.reviews_of(session, [row.question.id for row in rows])
    return [each for each in reversed(reviews) if each.recorded_in is not None and each.recorded_in not in reverted]


def seen_without_answer(rows: Iterable[TrainingRow], reviews: Iterable[ReviewRow]) -> dict[str, tuple[str, ...]]:
    """Question id -> passages that a reviewer was shown and did not find the answer in, in the order of the reviews.

    Who marked another passage than those of the label saw the question otherwise and is not asked; a passage that
    anybody found an answer in is none.
    """
    positives = {row.question.id: set(_passages(row)) for row in rows}
    of_question: dict[str, list[ReviewRow]] = {key: [] for key in positives}
    for review in reviews:
        if review.question_id in of_question and review.verdict in ("answerable", "no_answer"):
            of_question[review.question_id].append(review)
    found = {}
    for question_id, group in of_question.items():
        marked = {review.answer.passage_id for review in group if review.answer} | positives[question_id]
        agreeing = [each for each in group if not each.answer or each.answer.passage_id in positives[question_id]]
        shown = dict.fromkeys(passage for review in agreeing for passage in review.passages)
        found[question_id] = tuple(passage for passage in shown if passage not in marked)
    return found


def _passages(row: TrainingRow) -> tuple[str, ...]:
    """The different passages of the label's answers, in order."""
    return tuple(dict.fromkeys(answer.passage_id for answer in row.label.answers))
