"""Why a question is asked again, for the reviewer who gets it. Nothing here tells what anybody answered."""

from __future__ import annotations

import re
from collections.abc import Sequence

from db import queries
from db.engine import Session
from db.rows import TaskRow
from labeler.review.guidelines import Language, languages

DISAGREEMENT = "reviewers disagree"
SEARCHED = "searched again"
# The beginning of a problem, as `read_annotation` names it -> what the page says.
_REASONS: tuple[tuple[str, str, str], ...] = (
    (DISAGREEMENT, "두 사람의 답이 달랐습니다", "two people answered differently"),
    (SEARCHED, "검토자가 적은 말로 찾은 다른 지문입니다", "here are other passages, found by a reviewer's words"),
    ("no verdict", "판정도 정답 표시도 없었습니다", "neither a verdict nor an answer was given"),
    ("several verdicts", "판정이 여러 개였습니다", "several verdicts were given"),
    ("unknown verdict", "알 수 없는 판정이었습니다", "the verdict is not one of the page"),
    ("answerable without", "“답 있음”인데 정답 표시가 없었습니다", "“answerable” was chosen and no answer was marked"),
    ("no_answer but", "“답 없음”인데 정답이 표시되어 있었습니다", "“no answer” was chosen and an answer was marked"),
    ("two answers", "정답이 두 곳에 표시되어 있었습니다", "two answers were marked"),
    (r"\d+ answers marked", "정답이 여러 곳에 표시되어 있었습니다", "several answers were marked"),
    (
        r"candidate \d",
        "고른 번호의 표시가 지워져 있었습니다",
        "the mark of the number that was chosen had been deleted",
    ),
    ("the typed answer", "직접 입력한 정답이 지문에 없었습니다", "the typed answer is in no passage"),
    ("only white space", "빈칸만 표시되어 있었습니다", "only white space was marked"),
    ("the question was edited", "질문이 수정되어 있었습니다", "the question had been edited"),
    ("the passage was edited", "지문이 수정되어 있었습니다", "a passage had been edited"),
)
_OTHER = ("앞의 답을 읽을 수 없었습니다", "the answer given before cannot be read")
_AGAIN = {"ko": "다시 묻습니다: {}.", "en": "Asked again: {}."}


def reason(problem: str, language: Language) -> str:
    """Why the question is asked again, in a sentence for each language. `problem`: of the attempt before."""
    korean, english = next((texts for start, *texts in _REASONS if re.match(start, problem)), _OTHER)
    texts = {"ko": korean, "en": english}
    return " · ".join(_AGAIN[each].format(texts[each]) for each in languages(language))


def problems_before(session: Session, round_number: int, tasks: Sequence[TaskRow]) -> dict[int, str]:
    """Task id -> why its question is asked again, for those of these tasks of a round that repeat an earlier one."""
    found = {task.id: SEARCHED for task in tasks if task.search is not None}
    found |= {task.id: DISAGREEMENT for task in tasks if task.kind == "adjudication"}
    repeated = [task for task in tasks if task.attempt and task.id not in found]
    if not repeated:
        return found
    wanted = {task.question_id for task in repeated}
    earlier = [task for task in queries.tasks(session, round_number=round_number) if task.question_id in wanted]
    problems = {row.task_id: row.problem for row in queries.conflicts(session, round_number=round_number)}
    for task in repeated:
        before = [problems[other.id] for other in earlier if _precedes(other, task) and problems.get(other.id)]
        found |= {task.id: before[-1]} if before and before[-1] else {}
    return found


def _precedes(other: TaskRow, task: TaskRow) -> bool:
    return other.question_id == task.question_id and other.attempt < task.attempt
