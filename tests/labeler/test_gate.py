"""The promotion gate."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from labeler.core.round_settings import GateConfig
from labeler.evaluation.scoring import QuestionScore
from labeler.rounds.gate import Verdict, compare, first_reader, minimum_detectable_change

CONFIG = GateConfig()


def results(right: int, questions: int, *, f1: float = 0.5) -> list[QuestionScore]:
    """The first `right` questions are right; wrong ones have this F1; five questions a document."""
    return [
        QuestionScore(f"q{n:05}", f"d{n // 5}", em, max(em, f1)) for n in range(questions) for em in [float(n < right)]
    ]


def test_a_student_that_does_not_fall_is_promoted() -> None:
    verdict = compare(results(100, 200), results(100, 200), CONFIG, seed=0)
    assert (verdict.promoted, verdict.unpowered, verdict.exact_match_change) == (True, False, 0.0)
    assert "did not fall" in verdict.why


def test_a_clearly_worse_student_is_refused_by_mcnemar() -> None:
    verdict = compare(results(96, 200), results(100, 200), CONFIG, seed=0)
    assert verdict.mcnemar_p == 1 / 2**4  # four losses, no win
    assert not verdict.promoted
    assert "McNemar" in verdict.why


def test_p_equal_to_the_limit_does_not_refuse() -> None:
    config = GateConfig(refuse_below_p=1 / 16, max_fall_probability=1)
    assert compare(results(96, 200), results(100, 200), config, seed=0).promoted is False  # F1 fell too
    assert compare(results(96, 200, f1=0.99), results(100, 200, f1=0.5), config, seed=0).promoted is True


def test_a_small_fall_passes_where_a_larger_one_is_improbable_and_f1_holds() -> None:
    """One loss in 1,000 questions: EM -0.1 points."""
    best = results(500, 1000, f1=0.4)
    student = results(499, 1000, f1=0.5)
    verdict = compare(student, best, CONFIG, seed=0)
    assert verdict.exact_match_change == pytest.approx(-1 / 1000)
    assert verdict.fall_probability <= 0.3
    assert verdict.promoted
    assert "P(EM falls" in verdict.why


def test_a_small_fall_is_refused_where_f1_falls_too() -> None:
    verdict = compare(results(499, 1000), results(500, 1000), CONFIG, seed=0)
    assert (verdict.fall_probability <= 0.3, verdict.mcnemar_p) == (True, 0.5)
    assert not verdict.promoted


def test_a_fall_that_may_be_large_is_refused_even_if_mcnemar_finds_nothing() -> None:
    """Three losses and no win: EM -1.5 points, while F1 rose."""
    verdict = compare(results(97, 200, f1=0.9), results(100, 200), CONFIG, seed=0)
    assert verdict.exact_match_change == pytest.approx(-3 / 200)
    assert verdict.mcnemar_p == pytest.approx(1 / 8)
    assert verdict.fall_probability > 0.3
    assert not verdict.promoted


def test_the_bootstrap_draws_documents_not_questions() -> None:
    """Two documents of 50 questions: one loses 11, the other gains 10. Both drawn from the first: a quarter of the
    resamples, in which EM falls by 22 points; one of each: by one point. Drawn singly, EM would fall by more than two
    points in four resamples of ten."""
    before = [(0, number < 25) for number in range(50)] + [(1, number < 25) for number in range(50)]
    after = [(0, number < 14) for number in range(50)] + [(1, number < 35) for number in range(50)]
    best, student = (
        [QuestionScore(f"q{n:03}", f"d{document}", float(em), 0.5) for n, (document, em) in enumerate(rows)]
        for rows in (before, after)
    )
    verdict = compare(student, best, GateConfig(tolerance=0.02), seed=0)
    assert verdict.exact_match_change == pytest.approx(-0.01)
    assert verdict.fall_probability == pytest.approx(0.25, abs=0.03)
    assert verdict.promoted
    alone = [dataclasses.replace(row, cluster=row.question_id) for row in student]
    assert compare(alone, best, GateConfig(tolerance=0.02), seed=0).fall_probability > 0.37


@pytest.mark.parametrize(
    ("right", "f1", "promoted"),
    [
        (50, 0.5, True),  # equal
        (51, 0.5, True),
        (49, 0.6, False),  # EM fell, though F1 rose and the fall is one question
        (50, 0.4, False),  # F1 fell
        (51, 0.3, False),  # EM rose, F1 fell
        (0, 0.0, False),
    ],
)
def test_with_a_small_dev_set_a_fall_of_either_score_is_refused(right: int, f1: float, promoted: bool) -> None:
    """One question of 99 is nothing that a test could see, so the reader that is in use stays."""
    verdict = compare(results(right, 99, f1=f1), results(50, 99), CONFIG, seed=0)
    assert (verdict.unpowered, verdict.promoted) == (True, promoted)
    assert verdict.why.startswith("promoted, unpowered" if promoted else "refused")
    assert "best" not in verdict.why


@pytest.mark.parametrize(("questions", "unpowered"), [(99, True), (100, False)])
def test_the_limit_itself_is_enough(questions: int, unpowered: bool) -> None:
    """EM -1 point, F1 +4: an improbable fall passes with a dev set of the limit and not below it."""
    config = GateConfig(tolerance=0.02)
    verdict = compare(results(49, questions, f1=0.6), results(50, questions), config, seed=0)
    assert (verdict.unpowered, verdict.promoted) == (unpowered, not unpowered)


def test_a_fall_as_probable_as_the_limit_is_promoted() -> None:
    student, current = results(97, 200, f1=0.9), results(100, 200)
    found = compare(student, current, CONFIG, seed=0)
    assert 0.3 < found.fall_probability < 1
    limits = [GateConfig(max_fall_probability=found.fall_probability + beyond) for beyond in (0.0, -1e-6)]
    assert [compare(student, current, limit, seed=0).promoted for limit in limits] == [True, False]


def two(exact_match: float, f1: float) -> list[QuestionScore]:
    """Two questions with equal scores: the mean of their changes is the change of each, without rounding."""
    return [QuestionScore(f"q{n}", None, exact_match, f1) for n in range(2)]


LARGEST_ROUNDING, FALL = 1e-9, 2e-9


@pytest.mark.parametrize(
    ("em_before", "f1_before", "promoted", "why"),
    [
        (LARGEST_ROUNDING, LARGEST_ROUNDING, True, "EM did not fall"),
        (FALL, LARGEST_ROUNDING, True, "P(EM falls"),
        (FALL, FALL, False, "refused"),
    ],
)
def test_what_rounding_can_make_is_no_fall_and_twice_as_much_is_one(
    em_before: float, f1_before: float, promoted: bool, why: str
) -> None:
    verdict = compare(two(0.0, 0.0), two(em_before, f1_before), GateConfig(min_questions=2), seed=0)
    assert (verdict.exact_match_change, verdict.f1_change) == (-em_before, -f1_before)
    assert (verdict.unpowered, verdict.promoted) == (False, promoted)
    assert why in verdict.why


@pytest.mark.parametrize(("before", "promoted"), [(LARGEST_ROUNDING, True), (FALL, False)])
def test_with_a_small_dev_set_what_rounding_can_make_is_no_fall(before: float, promoted: bool) -> None:
    verdict = compare(two(0.0, 0.0), two(before, before), CONFIG, seed=0)
    assert (verdict.unpowered, verdict.promoted) == (True, promoted)


def test_changes_that_cancel_are_no_fall() -> None:
    """Thirds that add up to nothing: rounding makes their mean -1e-17."""
    best = [QuestionScore(f"q{n}", None, 0.0, f1) for n, f1 in enumerate((0.1, 0.7, 0.2))]
    student = [QuestionScore(f"q{n}", None, 0.0, f1) for n, f1 in enumerate((0.2, 0.1, 0.7))]
    assert compare(student, best, CONFIG, seed=0).promoted


def test_mcnemar_refuses_even_on_a_small_dev_set() -> None:
    verdict = compare(results(40, 50), results(45, 50), CONFIG, seed=0)
    assert (verdict.unpowered, verdict.promoted) == (True, False)


def test_without_dev_questions_a_student_is_promoted_without_a_test() -> None:
    assert compare([], [], CONFIG, seed=0) == Verdict(
        promoted=True,
        why="no dev questions: promoted without a test",
        unpowered=True,
        questions=0,
        exact_match=0.0,
        f1=0.0,
        exact_match_change=0.0,
        f1_change=0.0,
        fall_probability=0.0,
        mcnemar_p=1.0,
        minimum_detectable_change=None,
    )


def test_the_verdict_has_the_scores_and_changes_of_the_student() -> None:
    """100 of 200 right before, 97 now; F1 of wrong answers .5 before, .9 now."""
    verdict = compare(results(97, 200, f1=0.9), results(100, 200), CONFIG, seed=0)
    assert (verdict.questions, verdict.exact_match) == (200, 97 / 200)
    assert verdict.f1 == pytest.approx((97 + 103 * 0.9) / 200)
    assert verdict.f1_change == pytest.approx((97 + 103 * 0.9) / 200 - (100 + 100 * 0.5) / 200)
    assert verdict.minimum_detectable_change == minimum_detectable_change(
        changed=3, questions=200, alpha=CONFIG.refuse_below_p, power=CONFIG.power
    )


@pytest.mark.parametrize(
    ("right", "f1", "questions", "why"),
    [
        (96, 0.5, 200, "refused: EM -2.0, F1 -1.0 points on 200 dev questions; worse by McNemar's test, p = 0.062"),
        (49, 0.5, 99, "refused, unpowered: EM -1.0, F1 -0.5 points on 99 dev questions; "
                      "EM and F1 fell, and at least 100 are needed to judge"),
        (51, 0.5, 99, "promoted, unpowered: EM +1.0, F1 +0.5 points on 99 dev questions; "
                      "neither fell, but at least 100 are needed to judge"),
        (102, 0.5, 200, "promoted: EM +1.0, F1 +0.5 points on 200 dev questions; EM did not fall"),
        (99, 0.5, 200, "refused: EM -0.5, F1 -0.2 points on 200 dev questions; "
                       "P(EM falls by more than 1 points) = 0.08"),
        (99, 0.6, 200, "promoted: EM -0.5, F1 +4.8 points on 200 dev questions; "
                       "P(EM falls by more than 1 points) = 0.08"),
    ],
)  # fmt: skip
def test_the_reason_of_a_verdict_names_its_numbers(right: int, f1: float, questions: int, why: str) -> None:
    """With one loss among 40 documents, EM falls beyond a point in the 8% of resamples that draw that one thrice."""
    best = results(100 if questions == 200 else 50, questions)
    assert compare(results(right, questions, f1=f1), best, CONFIG, seed=0).why == why


def test_the_first_reader_is_promoted_and_compared_with_nothing() -> None:
    found = first_reader(compare(results(0, 40, f1=0.0), results(0, 40, f1=0.0), CONFIG, seed=0))
    assert (found.promoted, found.why) == (True, "promoted: the first reader")
    assert found.minimum_detectable_change is None


def test_other_scores_are_judged_by_the_same_rules_under_their_own_names() -> None:
    """One loss in 1,000 questions, as above."""
    best, student = results(500, 1000, f1=0.4), results(499, 1000, f1=0.5)
    verdict = compare(student, best, CONFIG, seed=0, names=("top-5", "MRR"))
    reader = compare(student, best, CONFIG, seed=0)
    assert verdict.why == reader.why.replace("EM", "top-5").replace("F1", "MRR")
    assert (verdict.promoted, verdict.fall_probability) == (reader.promoted, reader.fall_probability)


def test_the_verdict_does_not_depend_on_the_order_of_rows() -> None:
    student, best = results(240, 500), results(245, 500, f1=0.3)
    assert compare(student[::-1], best, CONFIG, seed=4) == compare(student, best, CONFIG, seed=4)


@pytest.mark.parametrize("student", [results(1, 3), [*results(1, 3), results(1, 3)[0]]])
def test_other_questions_are_not_compared(student: list[QuestionScore]) -> None:
    with pytest.raises(ValueError, match="same dev questions"):
        compare(student, results(2, 4), CONFIG, seed=0)


def test_a_limit_of_any_size_has_a_minimum_detectable_change() -> None:
    found = compare(results(97, 200), results(100, 200), GateConfig(refuse_below_p=1e-60), seed=0)
    assert found.minimum_detectable_change is not None
    assert 0 < found.minimum_detectable_change <= 1


def test_the_minimum_detectable_change_fall_shrinks_with_the_root_of_the_questions() -> None:
    """A fifth of the questions differ: 300 see (1.2816 + .8416) * sqrt(.2 / 300) = 5.5 points, 1,900 about 2."""
    seen = {n: minimum_detectable_change(changed=n // 5, questions=n, alpha=0.1, power=0.8) for n in (300, 1900)}
    assert seen[300] == pytest.approx(2.1232 * math.sqrt(61 / 302 / 300), rel=1e-4)
    assert seen[300] == pytest.approx(0.055, abs=0.001)
    assert seen[1900] == pytest.approx(0.022, abs=0.001)
    assert minimum_detectable_change(changed=0, questions=100, alpha=0.1, power=0.8) > 0
    assert minimum_detectable_change(changed=1, questions=1, alpha=0.1, power=0.8) == 1.0


@pytest.mark.parametrize(
    "setting",
    [{"tolerance": -0.1}, {"max_fall_probability": 1.1}, {"power": 1.0}, {"refuse_below_p": 0.0}, {"samples": 0},
     {"min_questions": -1}, {"alarm_type_divergence": math.inf}],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        GateConfig(**setting)
