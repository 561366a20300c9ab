"""Post-processing rules, the table of their effects, and the threshold for abstaining.

A rule only moves the ends of a span: josa and brackets inwards, except for an adjoining bracket; units outwards.
Whether a rule helps depends on how a data set was labelled and on how well the reader fits it, so a rule is used only
if it fixes more answers than it breaks on held-out questions.

"Fixed" is an exact match that was none before; equality is that of the metric, which ignores most punctuation.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from mrc.analyzers import Language
from mrc.metrics import Metric, normalize_answer, score
from mrc.postprocess import RULES
from mrc.postprocess.trimming import with_paired_brackets, without_josa
from mrc.postprocess.units import to_unit_boundary
from mrc.text.graphemes import whole_graphemes
from mrc.types import Answer, Passage

Refine = Callable[[str, Passage, int, int], tuple[int, int]]  # question, passage, start, end -> start, end

MIN_CHANGED: Final = 5  # answers that a rule must change to be chosen
SHOWN: Final = 5  # changed answers kept as examples of each rule


def refiner(names: Sequence[str], *, language: Language) -> Refine | None:
    """The named rules as one function, applied in the order of `RULES`; None where none applies to the language.

    Raises: ValueError for an unknown name.
    """
    if unknown := [name for name in names if name not in RULES]:
        raise ValueError(f"unknown rule {', '.join(unknown)}; known are {', '.join(RULES)}")
    active = [name for name in rules_of(language) if name in names]
    if not active:
        return None

    def refine(question: str, passage: Passage, start: int, end: int) -> tuple[int, int]:
        for name in active:
            match name:
                case "josa":
                    start, end = without_josa(question, passage.text, start, end)
                case "units":
                    start, end = to_unit_boundary(question, passage.text, start, end, language=language)
                case "brackets":
                    start, end = with_paired_brackets(passage.text, start, end)
        return whole_graphemes(passage.text, start, end)

    return refine


def rules_of(language: Language) -> tuple[str, ...]:
    """The rules for a language: only Korean has particles."""
    return RULES if language == "ko" else tuple(name for name in RULES if name != "josa")


# --- effects of rules -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A question with its answers without rules, their passages, and its golds."""

    question: str
    answers: tuple[Answer, ...]  # best first
    passages: Mapping[str, Passage]  # by id
    golds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """An answer before and after a rule, and whether each is right."""

    question: str
    before: str
    after: str
    was_right: bool
    is_right: bool


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """Numbers of first answers that a rule changes, fixes and breaks; `exact_match_change` is 0-1."""

    rule: str
    changed: int
    fixed: int
    broken: int
    exact_match_change: float
    examples: tuple[Change, ...]  # a few, fixed and broken ones first


def rule_effects(answered: Sequence[AnsweredQuestion], *, metric: Metric, language: Language) -> list[RuleEffect]:
    """The effect of each rule by itself on the first answers. Questions without golds do not count."""
    labelled = [each for each in answered if each.golds]
    return [_effect(name, labelled, metric, language) for name in rules_of(language)]


def _effect(name: str, labelled: Sequence[AnsweredQuestion], metric: Metric, language: Language) -> RuleEffect:
    refine = refiner([name], language=language)
    assert refine is not None
    changes = []
    for each in filter(lambda each: each.answers, labelled):
        before = each.answers[0].text
        after = refined(each, refine, metric)[0].text
        if after != before:
            right = (score(text, each.golds, metric).exact_match == 1 for text in (before, after))
            changes.append(Change(each.question, before, after, *right))
    fixed = sum(change.is_right > change.was_right for change in changes)
    broken = sum(change.is_right < change.was_right for change in changes)
    changes.sort(key=lambda change: change.is_right == change.was_right)
    return RuleEffect(
        name, len(changes), fixed, broken, (fixed - broken) / max(1, len(labelled)), tuple(changes[:SHOWN])
    )


def refined(question: AnsweredQuestion, refine: Refine | None, metric: Metric) -> Sequence[Answer]:
    """The answers with their ends moved, best first; answers that become equal are merged and their masses added."""
    if refine is None:
        return question.answers
    merged: dict[str, Answer] = {}
    for answer in question.answers:
        passage = question.passages[answer.passage_id]
        start, end = refine(question.question, passage, answer.start, answer.end)
        moved = replace(answer, text=passage.text[start:end], start=start, end=end)
        key = normalize_answer(moved.text, metric) or moved.text
        first = merged.get(key)
        merged[key] = replace(first, score=min(1.0, first.score + moved.score)) if first else moved
    return sorted(merged.values(), key=lambda answer: -answer.score)


def chosen_rules(effects: Sequence[RuleEffect]) -> tuple[str, ...]:
    """The rules that fix more answers than they break and change at least `MIN_CHANGED`."""
    return tuple(each.rule for each in effects if each.fixed > each.broken and each.changed >= MIN_CHANGED)


# --- no answer ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Abstention:
    """A question for tuning the threshold: `margin` = log(mass of "no answer" / mass of the best answer), and the exact
    match and F1, 0-1, of answering and of abstaining. Abstaining is right for an impossible question."""

    margin: float
    answered: tuple[float, float]
    empty: tuple[float, float]


def abstention(answers: Sequence[Answer], null_score: float, golds: Sequence[str], metric: Metric) -> Abstention:
    """The entry of one question; without answers the margin is infinite."""
    scores = [score(text, golds, metric) for text in (answers[0].text if answers else "", "")]
    best = answers[0].score if answers else 0.0
    return Abstention(null_margin(null_score, best), *((each.exact_match, each.f1) for each in scores))


def null_margin(null_score: float, best_score: float) -> float:
    """log(null / best), infinite where one of them is 0; 0 where both are equal."""
    if null_score == best_score:
        return 0.0
    if not (null_score and best_score):
        return math.inf if null_score > best_score else -math.inf
    return math.log(null_score) - math.log(best_score)


def null_threshold(questions: Sequence[Abstention]) -> float:
    """The threshold t with the best exact match, then F1, where margins above t mean "no answer"; ties: nearest 0.

    Finite: midway between two margins that occur, or 1 beyond the outermost. 0 without questions.
    """
    edges = sorted({each.margin for each in questions if math.isfinite(each.margin)})
    if not edges:
        return 0.0
    cuts = [0.0, edges[0] - 1, *((low + high) / 2 for low, high in pairwise(edges)), edges[-1] + 1]
    ordered = sorted(questions, key=lambda each: each.margin)
    margins = [each.margin for each in ordered]
    gains: list[tuple[float, float]] = [(0.0, 0.0)]  # of answering the first n questions instead of none
    for each in ordered:
        exact, f1 = (after - before for after, before in zip(each.answered, each.empty, strict=True))
        gains.append((gains[-1][0] + exact, gains[-1][1] + f1))

    def worth(cut: float) -> tuple[float, float, float]:
        exact, f1 = gains[bisect_right(margins, cut)]
        return exact, round(f1, 9), -abs(cut)  # sums in another order differ in their last bits

    return max(cuts, key=worth)
