"""Whether a round's student may become the next teacher, and what should worry its owner. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from labeler.core.round_settings import GateConfig
from labeler.evaluation.scoring import QuestionScore
from mrc.metrics import bootstrap_means, mcnemar, paired_change

AlarmKind = Literal["overconfidence", "type_drift", "length_drift", "churn"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision with the numbers it rests on. Changes are student minus best, 0-1 (one point is .01)."""

    promoted: bool
    why: str
    unpowered: bool  # too few dev questions to judge by
    questions: int
    exact_match: float  # of the student
    f1: float
    exact_match_change: float
    f1_change: float
    fall_probability: float  # P(EM change < -tolerance), paired cluster bootstrap
    mcnemar_p: float  # one-sided, "the student is worse"
    smallest_visible: float  # the EM change that this dev set would have shown with the power asked for


@dataclass(frozen=True, slots=True)
class Alarm:
    kind: AlarmKind
    value: float
    limit: float
    message: str


def compare(
    student: Sequence[QuestionScore],
    best: Sequence[QuestionScore],
    config: GateConfig,
    *,
    seed: int,
    names: tuple[str, str] = ("EM", "F1"),
) -> Verdict:
    """The verdict on a student against the best so far, on the same dev questions in any order.

    The first rule that applies decides. Refused: McNemar says worse. Promoted: too few dev questions to judge by
    (unpowered); EM did not fall; a fall beyond the tolerance is improbable and F1 did not fall. Else refused.

    `names` are those of the two marks in words: a retriever is judged by the same rule on marks of its own.

    Raises ValueError where the two did not answer the same questions, each once.
    """
    after, before = _paired(student, best)
    if not after:
        return Verdict(True, "no dev questions: promoted unseen", True, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    new_em, old_em = [row.exact_match for row in after], [row.exact_match for row in before]
    change = paired_change(new_em, old_em)
    f1_change = float(np.mean(paired_change([row.f1 for row in after], [row.f1 for row in before])))
    means = bootstrap_means(
        change, [row.cluster for row in after], rng=np.random.default_rng(seed), samples=config.samples
    )
    fall = float(np.mean(means < -config.tolerance))
    worse_p = mcnemar(new_em, old_em)
    em_change = float(np.mean(change))
    promoted, why = _decide(len(after), (em_change, f1_change), fall, worse_p, config, names)
    return Verdict(
        promoted=promoted,
        why=why,
        unpowered=len(after) < config.min_questions,
        questions=len(after),
        exact_match=float(np.mean(new_em)),
        f1=float(np.mean([row.f1 for row in after])),
        exact_match_change=em_change,
        f1_change=f1_change,
        fall_probability=fall,
        mcnemar_p=worse_p,
        smallest_visible=smallest_visible(
            changed=int(np.count_nonzero(change)), questions=len(after), alpha=config.refuse_below_p, power=config.power
        ),
    )


def _paired(
    student: Sequence[QuestionScore], best: Sequence[QuestionScore]
) -> tuple[list[QuestionScore], list[QuestionScore]]:
    """Both in question id order, so that the verdict does not depend on the order of rows."""
    after, before = (sorted(rows, key=lambda row: row.question_id) for rows in (student, best))
    ids = [row.question_id for row in after]
    if ids != [row.question_id for row in before] or len(set(ids)) != len(ids):
        raise ValueError("student and best must have answered the same dev questions, each once")
    return after, before


def _decide(
    questions: int,
    changes: tuple[float, float],
    fall: float,
    worse_p: float,
    config: GateConfig,
    names: tuple[str, str],
) -> tuple[bool, str]:
    told = ", ".join(f"{name} {100 * change:+.1f}" for name, change in zip(names, changes, strict=True))
    moved = f"{told} points on {questions} dev questions"
    beyond = f"P({names[0]} falls by more than {100 * config.tolerance:g} points) = {fall:.2f}"
    if worse_p < config.refuse_below_p:
        return False, f"refused: {moved}; worse by McNemar's test, p = {worse_p:.3f}"
    if questions < config.min_questions:
        return True, f"promoted, unpowered: {moved}; at least {config.min_questions} are needed to judge"
    if changes[0] >= 0:
        return True, f"promoted: {moved}; {names[0]} did not fall"
    if fall <= config.max_fall_probability and changes[1] >= 0:
        return True, f"promoted: {moved}; {beyond}"
    return False, f"refused: {moved}; {beyond}"


def smallest_visible(*, changed: int, questions: int, alpha: float, power: float) -> float:
    """The fall of EM, 0-1, that a one-sided paired test at `alpha` would have found with `power`.

    (z(1 - alpha) + z(power)) * sqrt(d / n), with d the share of questions on which the two readers differ, counted
    with one half added to each side so that two equal readers do not claim to see everything; at most 1.
    Source: Connor 1987, sample size for McNemar's test, without its second-order term.
    """
    differing = (changed + 1) / (questions + 2)
    z = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)
    return min(1.0, z * math.sqrt(differing / questions))


@dataclass(frozen=True, slots=True)
class Signs:
    """What a round shows beside dev EM; None where it cannot be known yet."""

    mean_confidence: float | None = None  # over the randomly drawn questions that were reviewed
    review_accuracy: float | None = None  # of the predictions to the same questions
    pool_types: Mapping[str, int] | None = None  # question type -> count, whole pool
    taught_types: Mapping[str, int] | None = None  # the same over the pseudo-labels that teach
    human_length: float | None = None  # mean answer length of gold and human labels, code points
    taught_length: float | None = None  # of the pseudo-labels that teach
    churn: float | None = None  # see `churn`


def alarms(signs: Signs, config: GateConfig) -> tuple[Alarm, ...]:
    """The alarms that sound, in the order of AlarmKind; what is not known raises none."""
    found: list[Alarm] = []
    if signs.mean_confidence is not None and signs.review_accuracy is not None:
        gap = signs.mean_confidence - signs.review_accuracy
        text = f"confidence is {100 * gap:.0f} points above what reviewers found right; trust no threshold yet"
        found.append(Alarm("overconfidence", gap, config.alarm_overconfidence, text))
    if signs.pool_types and signs.taught_types:
        divergence = kl_divergence(signs.taught_types, signs.pool_types)
        text = f"pseudo-labels are of other question types than the pool ({divergence:.2f} nats)"
        found.append(Alarm("type_drift", divergence, config.alarm_type_divergence, text))
    if signs.human_length and signs.taught_length is not None:
        drift = signs.taught_length / signs.human_length - 1
        text = f"pseudo-labels are {100 * abs(drift):.0f}% {'longer' if drift > 0 else 'shorter'} than people's answers"
        found.append(Alarm("length_drift", abs(drift), config.alarm_length_drift, text))
    if signs.churn is not None:
        text = f"{100 * signs.churn:.0f}% of pseudo-labels changed since the last round"
        found.append(Alarm("churn", signs.churn, config.alarm_churn, text))
    return tuple(alarm for alarm in found if alarm.value > alarm.limit)


def kl_divergence(counts: Mapping[str, int], reference: Mapping[str, int]) -> float:
    """KL(counts || reference) in nats, with half a count added to each kind seen in either (Jeffreys' prior)."""
    kinds = sorted(counts.keys() | reference.keys())
    p = np.array([counts.get(kind, 0) + 0.5 for kind in kinds])
    q = np.array([reference.get(kind, 0) + 0.5 for kind in kinds])
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def churn(previous: Mapping[str, str], current: Mapping[str, str]) -> float | None:
    """Share of questions in both rounds (id -> normalised answer) whose answer changed; None if there are none."""
    both = previous.keys() & current.keys()
    return sum(previous[key] != current[key] for key in both) / len(both) if both else None
