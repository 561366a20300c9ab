"""The promotion gate: whether a round's student replaces the current reader. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from labeler.core.round_settings import GateConfig
from labeler.evaluation.scoring import QuestionScore
from mrc.metrics import bootstrap_means, mcnemar, paired_change

_ROUNDING = 1e-9  # a mean of changes that cancel may be so far from 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision and its statistics. Changes are student minus current reader, 0-1 (one point is .01)."""

    promoted: bool
    why: str
    unpowered: bool  # fewer dev questions than `gate.min_questions`
    questions: int
    exact_match: float  # of the student
    f1: float
    exact_match_change: float
    f1_change: float
    fall_probability: float  # P(EM change < -tolerance), paired cluster bootstrap
    mcnemar_p: float  # one-sided, "the student is worse"
    minimum_detectable_change: float | None  # of EM, with this dev set and `power`; None where nothing was compared
    power: float = 0.8  # with which that change would have been seen


def compare(
    student: Sequence[QuestionScore],
    current: Sequence[QuestionScore],
    config: GateConfig,
    *,
    seed: int,
    names: tuple[str, str] = ("EM", "F1"),
) -> Verdict:
    """The verdict on a student against the current reader.

    The first rule that applies decides. Refused: McNemar's test finds the student worse. With fewer dev questions than
    `min_questions` (unpowered): promoted if neither EM nor F1 fell, else refused. Promoted: EM did not fall; a fall
    beyond the tolerance is improbable and F1 did not fall. Else refused.

    Args:
        student: its scores on the dev questions, in any order.
        current: scores of the current reader on the same questions.
        seed: of the bootstrap.
        names: of the two scores, for the message: retrievers are judged by the same rules on other scores.

    Raises:
        ValueError: the two did not answer the same questions, each once.
    """
    after, before = _paired(student, current)
    if not after:
        why = "no dev questions: promoted without a test"
        return Verdict(True, why, True, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, None, config.power)
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
        minimum_detectable_change=minimum_detectable_change(
            changed=int(np.count_nonzero(change)), questions=len(after), alpha=config.refuse_below_p, power=config.power
        ),
        power=config.power,
    )


def first_reader(verdict: Verdict) -> Verdict:
    """The verdict on the first reader of a workspace, given that on itself: promoted, and compared with nothing."""
    return replace(verdict, promoted=True, why="promoted: the first reader", minimum_detectable_change=None)


def _paired(
    student: Sequence[QuestionScore], current: Sequence[QuestionScore]
) -> tuple[list[QuestionScore], list[QuestionScore]]:
    """Both in question id order, so that the verdict does not depend on the order of rows."""
    after, before = (sorted(rows, key=lambda row: row.question_id) for rows in (student, current))
    ids = [row.question_id for row in after]
    if ids != [row.question_id for row in before] or len(set(ids)) != len(ids):
        raise ValueError("student and current reader must have answered the same dev questions, each once")
    return after, before


def _decide(
    questions: int,
    changes: tuple[float, float],
    fall: float,
    worse_p: float,
    config: GateConfig,
    names: tuple[str, str],
) -> tuple[bool, str]:
    """Whether the student is promoted, and why."""
    listed = ", ".join(f"{name} {100 * change:+.1f}" for name, change in zip(names, changes, strict=True))
    change = f"{listed} points on {questions} dev questions"
    risk = f"P({names[0]} falls by more than {100 * config.tolerance:g} points) = {fall:.2f}"
    if worse_p < config.refuse_below_p:
        return False, f"refused: {change}; worse by McNemar's test, p = {worse_p:.3f}"
    if questions < config.min_questions:
        return _decide_unpowered(changes, change, config, names)
    if changes[0] >= -_ROUNDING:
        return True, f"promoted: {change}; {names[0]} did not fall"
    if fall <= config.max_fall_probability and changes[1] >= -_ROUNDING:
        return True, f"promoted: {change}; {risk}"
    return False, f"refused: {change}; {risk}"


def _decide_unpowered(
    changes: tuple[float, float], change: str, config: GateConfig, names: tuple[str, str]
) -> tuple[bool, str]:
    """The decision with too few dev questions: a fall of either score is refused, because a test could not see it."""
    needed = f"at least {config.min_questions} are needed to judge"
    fell = [name for name, each in zip(names, changes, strict=True) if each < -_ROUNDING]
    if fell:
        return False, f"refused, unpowered: {change}; {' and '.join(fell)} fell, and {needed}"
    return True, f"promoted, unpowered: {change}; neither fell, but {needed}"


def minimum_detectable_change(*, changed: int, questions: int, alpha: float, power: float) -> float:
    """The smallest fall of EM, 0-1, that a one-sided paired test at `alpha` detects with `power`.

    (z(1 - alpha) + z(power)) * sqrt(d / n), with d the share of questions on which the two readers differ. One half is
    added to each side of the count, so that two equal readers do not give 0; at most 1.

    Source: Connor 1987, sample size for McNemar's test, without its second-order term.
    """
    differing = (changed + 1) / (questions + 2)
    z = NormalDist().inv_cdf(power) - NormalDist().inv_cdf(alpha)  # 1 - alpha may round to 1
    return min(1.0, z * math.sqrt(differing / questions))
