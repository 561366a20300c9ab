"""What a task shows, wherever it is reviewed: its passages in order, and the candidate answers in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from db.rows import AnswerRow, TaskRow
from labeler.review.consensus import JUDGEMENT

MAX_CANDIDATES = 5  # the suggested answer and four others


def passage_order(task: TaskRow) -> tuple[str, ...]:
    """Ids of the passages as shown: in retrieval order; for a blind task in a hash order, which reveals no ranking."""
    if not task.blind:
        return task.passages
    return tuple(sorted(task.passages, key=lambda passage: _hash(task.question_id + passage)))


def candidates_of(task: TaskRow, answers: Sequence[AnswerRow]) -> list[AnswerRow]:
    """What a task suggests: nothing if it is blind; a judgement asks about one answer alone."""
    if task.blind:
        return []
    return shown_candidates(answers[:1] if task.kind == JUDGEMENT else answers, passage_order(task))


def shown_candidates(answers: Sequence[AnswerRow], passages: Sequence[str]) -> list[AnswerRow]:
    """The best answers that lie in these passages, each span once."""
    distinct = {(each.passage_id, each.start, each.end): each for each in reversed(answers)}
    shown = [each for each in reversed(distinct.values()) if each.passage_id in passages]
    return shown[:MAX_CANDIDATES]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
