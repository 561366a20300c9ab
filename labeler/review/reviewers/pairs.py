"""Agreement of each two people over the tasks that both answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from db.rows import ReviewRow
from labeler.review.agreement import AnswerMatcher, by_task, krippendorff_alpha, measure_agreement, without_skips
from labeler.review.reviewers.chance import answer_alpha, cohens_kappa


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Agreement of two people. Rates are 0-1; skips are left out; None where it is not defined."""

    reviewers: tuple[str, str]
    items: int  # tasks that both answered
    verdict: float  # observed agreement on the verdict
    exact: float  # on verdict and answer; in Korean regardless of a particle
    span_f1: float | None  # mean overlap of characters where both marked an answer
    verdict_kappa: float | None  # Cohen's kappa
    verdict_alpha: float | None  # Krippendorff's alpha
    answer_alpha: float | None  # Krippendorff's alpha of verdict and answer together


@dataclass(frozen=True, slots=True)
class OverallAgreement:
    """Agreement over all pairs of reviews of one task. Kappa is the mean over pairs of people, weighted by items."""

    items: int  # tasks with two reviews or more
    pairs: int  # of reviews
    verdict: float | None
    exact: float | None
    span_f1: float | None
    verdict_kappa: float | None
    verdict_alpha: float | None
    answer_alpha: float | None


def pair_agreements(reviews: Sequence[ReviewRow], matcher: AnswerMatcher) -> tuple[PairAgreement, ...]:
    """The agreement of each two people who answered a task together; the most items first."""
    found: dict[tuple[str, str], list[tuple[ReviewRow, ReviewRow]]] = {}
    for votes in _by_item(reviews).values():
        for a, b in combinations(sorted(votes, key=lambda vote: vote.reviewer), 2):
            found.setdefault((a.reviewer, b.reviewer), []).append((a, b))
    measured = [_pair(names, pairs, matcher) for names, pairs in found.items()]
    return tuple(sorted(measured, key=lambda each: (-each.items, each.reviewers)))


def overall_agreement(
    reviews: Sequence[ReviewRow], pairs: Sequence[PairAgreement], matcher: AnswerMatcher
) -> OverallAgreement:
    """The agreement of all reviewers together. `pairs`: `pair_agreements` of the same reviews."""
    measured = measure_agreement(reviews, matcher)
    items = [votes for votes in _by_item(reviews).values() if len(votes) > 1]
    kappas = [(each.verdict_kappa, each.items) for each in pairs if each.verdict_kappa is not None]
    weight = sum(count for _, count in kappas)
    return OverallAgreement(
        items=len(items),
        pairs=measured.pairs,
        verdict=measured.verdict,
        exact=measured.exact,
        span_f1=measured.span_f1,
        verdict_kappa=sum(kappa * count for kappa, count in kappas) / weight if weight else None,
        verdict_alpha=measured.verdict_alpha,
        answer_alpha=answer_alpha(items, matcher),
    )


def _by_item(reviews: Sequence[ReviewRow]) -> Mapping[int, list[ReviewRow]]:
    return by_task(without_skips(reviews))


def _pair(
    names: tuple[str, str], pairs: Sequence[tuple[ReviewRow, ReviewRow]], matcher: AnswerMatcher
) -> PairAgreement:
    flat = [vote for pair in pairs for vote in pair]
    verdicts = [(a.verdict, b.verdict) for a, b in pairs]
    return PairAgreement(
        reviewers=names,
        items=len(pairs),
        verdict=fmean(a == b for a, b in verdicts),
        exact=fmean(matcher.same(a, b) for a, b in pairs),
        span_f1=measure_agreement(flat, matcher).span_f1,
        verdict_kappa=cohens_kappa([a for a, _ in verdicts], [b for _, b in verdicts]),
        verdict_alpha=krippendorff_alpha(verdicts),
        answer_alpha=answer_alpha(pairs, matcher),
    )
