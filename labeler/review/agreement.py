"""Inter-annotator agreement: when two reviews say the same, and how often they do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from db.rows import ReviewRow, TaskRow
from labeler.core.runtime import Runtime
from mrc.metrics import Metric, normalize_answer
from mrc.postprocess.josa import equal_but_josa


@dataclass(frozen=True, slots=True)
class AnswerMatcher:
    """Compares answers after the metric's normalisation; in Korean a trailing particle (josa) makes no difference."""

    metric: Metric
    language: str

    def same(self, a: ReviewRow, b: ReviewRow) -> bool:
        """Whether two reviews have the same verdict and, where both have an answer, equal answers."""
        if a.verdict != b.verdict or a.answer is None or b.answer is None:
            return a.verdict == b.verdict
        return self.same_text(a.answer.text, b.answer.text)

    def same_text(self, a: str, b: str) -> bool:
        """Whether two answers are equal."""
        texts = [normalize_answer(text, self.metric) for text in (a, b)]
        if texts[0] == texts[1]:
            return True
        return self.language == "ko" and equal_but_josa(*("".join(text.split()) for text in texts))

    def normalised(self, text: str) -> str:
        """The text after the metric's normalisation, without white space."""
        return "".join(normalize_answer(text, self.metric).split())

    def representative(self, reviews: Iterable[ReviewRow]) -> ReviewRow:
        """The review with the shortest answer (the one without the particle), ties to the earliest offset.

        It depends on content alone, so the order in which reviews arrived makes no difference.
        """

        def key(review: ReviewRow) -> tuple[int, int, str, str]:
            if review.answer is None:
                return 0, 0, "", review.reviewer
            text = normalize_answer(review.answer.text, self.metric)
            return len("".join(text.split())), review.answer.start, review.answer.passage_id, review.reviewer

        return min(reviews, key=key)


def matcher_of(runtime: Runtime) -> AnswerMatcher:
    """The answer matcher of a workspace."""
    return AnswerMatcher(runtime.metric, runtime.language)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement over all pairs of reviews of the same task, skips left out. Rates are 0-1; None without pairs."""

    pairs: int
    verdict: float | None  # observed agreement on the verdict
    verdict_alpha: float | None  # Krippendorff's alpha of the verdict; None also where only one verdict occurs
    exact: float | None  # observed agreement on verdict and answer
    span_f1: float | None  # mean character overlap, of pairs in which both marked an answer


def measure_agreement(reviews: Sequence[ReviewRow], matcher: AnswerMatcher) -> Agreement:
    """The agreement of reviewers who answered the same tasks."""
    by_tasks = list(by_task(without_skips(reviews)).values())
    pairs = [pair for votes in by_tasks for pair in combinations(votes, 2)]
    spans = [span_f1(a, b) for a, b in pairs if a.answer is not None and b.answer is not None]
    return Agreement(
        pairs=len(pairs),
        verdict=fmean(a.verdict == b.verdict for a, b in pairs) if pairs else None,
        verdict_alpha=krippendorff_alpha([[vote.verdict for vote in votes] for votes in by_tasks]),
        exact=fmean(matcher.same(a, b) for a, b in pairs) if pairs else None,
        span_f1=fmean(spans) if spans else None,
    )


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Krippendorff's alpha for nominal categories: 1 is perfect agreement, 0 is what chance would give.

    Args:
        units: for each item the categories that its annotators chose; items with fewer than two are left out.

    Returns:
        None where no item has two annotations, or all annotations name one category.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C; the package `krippendorff`.
    """
    rated = [unit for unit in units if len(unit) > 1]
    names = sorted({category for unit in rated for category in unit})
    if len(names) < 2:
        return None
    from krippendorff import alpha

    counts = [[unit.count(name) for name in names] for unit in map(list, rated)]
    return float(alpha(value_counts=counts, level_of_measurement="nominal"))


def span_f1(a: ReviewRow, b: ReviewRow) -> float:
    """The F1 of the characters that two answers cover: 2 |A and B| / (|A| + |B|).

    It is 0 for answers in different passages, or where a review has none.
    """
    if a.answer is None or b.answer is None or a.answer.passage_id != b.answer.passage_id:
        return 0.0
    shared = min(a.answer.end, b.answer.end) - max(a.answer.start, b.answer.start)
    return 2 * max(shared, 0) / (a.answer.end - a.answer.start + b.answer.end - b.answer.start)


def without_skips(reviews: Iterable[ReviewRow]) -> list[ReviewRow]:
    """The reviews that are votes: all but skips."""
    return [review for review in reviews if review.verdict != "skipped"]


def by_task(reviews: Iterable[ReviewRow]) -> dict[int, list[ReviewRow]]:
    """Task id -> its reviews, in the order given."""
    found: dict[int, list[ReviewRow]] = {}
    for review in reviews:
        found.setdefault(review.task_id, []).append(review)
    return found


def by_question(tasks: Iterable[TaskRow]) -> dict[str, list[TaskRow]]:
    """Question id -> its tasks, in the order given."""
    found: dict[str, list[TaskRow]] = {}
    for task in tasks:
        found.setdefault(task.question_id, []).append(task)
    return found
