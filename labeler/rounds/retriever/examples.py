"""Training examples of a round's encoder: questions with positive and hard negative passages.

None of the passages belongs to a held-out question.
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

LEXICAL_NEGATIVES = 20  # best lexical hits per question that are considered as hard negatives


def trainable_passages(session: Session, index: Index, rows: Iterable[TrainingRow]) -> list[Passage]:
    """All passages that training may use, in id order: those of the round's index and of its labels.

    Passages of held-out questions and of undone imports are left out, as is whatever was imported since.
    """
    excluded = queries.held_out_passages(session) | queries.inactive_passages(session)
    wanted = ({*index.ids} | {key for row in rows for key in _positives(row)}) - excluded
    found = queries.passages(session, wanted)
    return [convert.to_passage(found[key]) for key in sorted(found)]


def retriever_examples(
    rows: Sequence[TrainingRow], index: Index, reviews: Iterable[ReviewRow], *, trainable: Collection[str]
) -> list[BiEncoderExample]:
    """An example for each label with an answer.

    Hard negatives are the passages in which a reviewer of the question found no answer, then its best lexical hits.

    Args:
        rows: the labels of the round.
        index: the index of the round; only its lexical part is searched.
        reviews: see `recorded_reviews`.
        trainable: ids of the passages that may be used.
    """
    answered = [row for row in rows if row.label.answers]
    lexical = dataclasses.replace(index, dense=None, reranking=None)
    found = lexical.retrieve([row.question.text for row in answered], LEXICAL_NEGATIVES)
    rejected = passages_without_answer(answered, reviews)
    examples = []
    for row, hits in zip(answered, found, strict=True):
        positives = _positives(row)
        negatives = dict.fromkeys([*rejected.get(row.question.id, ()), *(hit.passage_id for hit in hits)])
        examples.append(
            BiEncoderExample(
                id=row.question.id,
                question=row.question.text,
                positives=tuple(key for key in positives if key in trainable),
                answers=tuple(dict.fromkeys(answer.text for answer in row.label.answers)),
                negatives=tuple(key for key in negatives if key in trainable and key not in positives),
                weight=row.weight,
            )
        )
    return examples


def recorded_reviews(session: Session, rows: Sequence[TrainingRow]) -> list[ReviewRow]:
    """The reviews of these questions that a labelling has considered, newest first; none of reverted rounds."""
    reverted = {each.number for each in queries.rounds(session) if each.reverted_at is not None}
    reviews = queries.reviews_of(session, [row.question.id for row in rows])
    return [each for each in reversed(reviews) if each.recorded_in is not None and each.recorded_in not in reverted]


def passages_without_answer(rows: Iterable[TrainingRow], reviews: Iterable[ReviewRow]) -> dict[str, tuple[str, ...]]:
    """Question id -> passages that a reviewer saw without finding the answer in them, in the order of the reviews.

    Reviews that disagree with the label on the passage are ignored, and passages with an answer in any review are left
    out.
    """
    positives = {row.question.id: set(_positives(row)) for row in rows}
    of_question: dict[str, list[ReviewRow]] = {key: [] for key in positives}
    for review in reviews:
        if review.question_id in of_question and review.verdict in ("answerable", "no_answer"):
            of_question[review.question_id].append(review)
    found = {}
    for question_id, group in of_question.items():
        with_answer = {review.answer.passage_id for review in group if review.answer} | positives[question_id]
        agreeing = [each for each in group if not each.answer or each.answer.passage_id in positives[question_id]]
        seen = dict.fromkeys(passage for review in agreeing for passage in review.passages)
        found[question_id] = tuple(passage for passage in seen if passage not in with_answer)
    return found


def _positives(row: TrainingRow) -> tuple[str, ...]:
    """The distinct passages of the label's answers, in order."""
    return tuple(dict.fromkeys(answer.passage_id for answer in row.label.answers))
