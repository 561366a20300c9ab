"""Anchoring: whether people agree with the reader more often because they saw its answer. Pure.

A share of the questions selected for a suggestion is shown without it, drawn at random (`review.blind_share`). Both
groups are samples of one selection, so that the difference of their agreement with the reader is the effect of showing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.rows import ReviewRow, SpanRow, TaskRow
from db.vocabulary import CONTROL
from labeler.review.agreement import AnswerMatcher, without_skips
from mrc.calibration.intervals import exact_interval

SHOWN_KINDS = ("uncertain", "suspect")  # of tasks that suggest the reader's answer


@dataclass(frozen=True, slots=True)
class AgreementWithReader:
    """How often one group's reviews say what the reader said. Rates are 0-1."""

    reviews: int
    agree: float | None
    low: float | None  # ends of the 95% interval
    high: float | None


@dataclass(frozen=True, slots=True)
class Anchoring:
    """The two groups, and what their difference says. None where a group is empty."""

    shown: AgreementWithReader
    blind: AgreementWithReader
    difference: float | None  # shown minus blind
    p_value: float | None  # of Fisher's exact test, one-sided: shown agree more often


def anchoring(
    reviews: Sequence[ReviewRow],
    tasks: Mapping[int, TaskRow],
    answers: Mapping[tuple[int, str], SpanRow],
    matcher: AnswerMatcher,
) -> Anchoring:
    """The effect of suggestions on reviews.

    Args:
        reviews: current reviews.
        tasks: those of the reviews, by id.
        answers: (round, question) -> the reader's best answer in that round.
        matcher: decides which answers are equal.
    """
    groups: dict[bool, list[bool]] = {False: [], True: []}
    for review in without_skips(reviews):
        task = tasks[review.task_id]
        answer = answers.get((task.round_number, task.question_id))
        shown = not task.blind and task.kind in SHOWN_KINDS
        if answer is not None and (shown or task.kind == CONTROL):
            groups[shown].append(review.answer is not None and matcher.same_text(review.answer.text, answer.text))
    return _compared(groups[True], groups[False])


def _compared(shown: Sequence[bool], blind: Sequence[bool]) -> Anchoring:
    if not shown or not blind:
        return Anchoring(_group(shown), _group(blind), None, None)
    import numpy as np
    from scipy.stats import fisher_exact

    table = np.array([[sum(shown), len(shown) - sum(shown)], [sum(blind), len(blind) - sum(blind)]])
    p_value = float(fisher_exact(table, alternative="greater").pvalue)
    return Anchoring(_group(shown), _group(blind), sum(shown) / len(shown) - sum(blind) / len(blind), p_value)


def _group(agree: Sequence[bool]) -> AgreementWithReader:
    if not agree:
        return AgreementWithReader(0, None, None, None)
    return AgreementWithReader(len(agree), sum(agree) / len(agree), *exact_interval(sum(agree), len(agree)))
