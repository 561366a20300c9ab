"""What a task shows, wherever it is reviewed: its passages in order, and the candidate answers in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from db.rows import AnswerRow, TaskRow
from labeler.review.consensus import JUDGEMENT

MAX_CANDIDATES = 3  # the suggested answer and two others
MIN_SHARE = 1 / 20  # of the best candidate's score, below which another is not worth reading


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
    """The best answers that lie in these passages: few, none overlapping a better one, none far below the best."""
    shown: list[AnswerRow] = []
    for each in answers:
        far_below = bool(shown) and shown[0].score > 0 and each.score < MIN_SHARE * shown[0].score
        if each.passage_id in passages and not far_below and not any(_overlap(each, better) for better in shown):
            shown.append(each)
    return shown[:MAX_CANDIDATES]


def _overlap(a: AnswerRow, b: AnswerRow) -> bool:
    return a.passage_id == b.passage_id and a.start < b.end and b.start < a.end


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
