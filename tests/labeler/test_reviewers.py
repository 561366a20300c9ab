"""The people who review: agreement, quality, anchoring and cost, each against an independent computation."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from db.rows import ReviewRow, SpanRow, TaskRow
from labeler.review.agreement import AnswerMatcher, krippendorff_alpha
from labeler.review.presentation import MAX_CANDIDATES
from labeler.review.reviewers.anchoring import anchoring
from labeler.review.reviewers.chance import cohens_kappa
from labeler.review.reviewers.invite import checked_email
from labeler.review.reviewers.pairs import overall_agreement, pair_agreements
from labeler.review.reviewers.quality import people
from labeler.review.studio.page.candidates import CANDIDATE_NAMES
from labeler.rounds.select import shown_blind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KOREAN = AnswerMatcher("korquad", "ko")
IDS = itertools.count(1)


def task(key: int, *, kind: str = "uncertain", blind: bool = False, question: str | None = None) -> TaskRow:
    return TaskRow(key, 1, question or f"q{key}", kind, blind, 0, ("p",), 0, 1, "done", NOW, None)


def review(on: TaskRow, who: str, text: str | None = None, *, verdict: str = "no_answer", **more: object) -> ReviewRow:
    start = int(str(more.get("start", 0)))
    answer = None if text is None else SpanRow(text, "p", start, start + len(text))
    return ReviewRow(
        id=next(IDS),
        task_id=on.id,
        round_number=1,
        question_id=on.question_id,
        reviewer=who,
        verdict=verdict if text is None else "answerable",
        answer=answer,
        origin=more.get("origin"),  # type: ignore[arg-type]
        seconds=more.get("seconds"),  # type: ignore[arg-type]
        comment=None,
        passages=("p",),
        created_at=NOW,
        superseded_at=None,
        deleted_at=None,
        recorded_in=None,
        source=None,
    )


# --- agreement -----------------------------------------------------------------------------------


def test_kappa_is_that_of_cohens_formula() -> None:
    a, b = ["x"] * 4 + ["y"] * 6, ["x"] * 3 + ["y"] * 5 + ["x"] * 2
    observed = (3 + 4) / 10
    chance = 0.4 * 0.5 + 0.6 * 0.5
    assert cohens_kappa(a, b) == pytest.approx((observed - chance) / (1 - chance))
    assert cohens_kappa(["x", "x"], ["x", "x"]) is None
    assert cohens_kappa([], []) is None


def alpha_by_hand(units: Sequence[Sequence[str]]) -> float:
    """Krippendorff's alpha from the matrix of coincidences, as his paper writes it."""
    coincidences: Counter[tuple[str, str]] = Counter()
    for unit in units:
        for a, b in itertools.permutations(range(len(unit)), 2):
            coincidences[unit[a], unit[b]] += 1 / (len(unit) - 1)  # type: ignore[assignment]
    totals: Counter[str] = Counter()
    for (a, _), count in coincidences.items():
        totals[a] += count
    n = sum(totals.values())
    observed = sum(count for (a, b), count in coincidences.items() if a != b)
    expected = sum(totals[a] * totals[b] for a, b in itertools.permutations(totals, 2)) / (n - 1)
    return 1 - observed / expected


def test_alpha_is_that_of_the_matrix_of_coincidences_also_with_units_of_other_sizes() -> None:
    rng = np.random.default_rng(0)
    units = [[str(rng.integers(3)) for _ in range(rng.integers(1, 5))] for _ in range(40)]
    assert krippendorff_alpha(units) == pytest.approx(alpha_by_hand([each for each in units if len(each) > 1]))


def test_agreement_of_each_two_people_and_of_all() -> None:
    one, two, three = (task(key) for key in (1, 2, 3))
    reviews = [
        review(one, "lee", "서울"), review(one, "kim", "서울은"), review(one, "park", verdict="skipped"),
        review(two, "kim", "부산"), review(two, "lee"),
        review(three, "kim"), review(three, "park"),
    ]  # fmt: skip
    pairs = pair_agreements(reviews, KOREAN)
    assert [each.reviewers for each in pairs] == [("kim", "lee"), ("kim", "park")]
    both = pairs[0]
    assert (both.items, both.verdict, both.exact, both.span_f1) == (2, 1 / 2, 1 / 2, 2 * 2 / (2 + 3))
    # kim: answerable twice; lee: answerable, no_answer. Chance agrees in half of the cases: 1 * 0.5.
    assert both.verdict_kappa == pytest.approx((1 / 2 - 1 / 2) / (1 - 1 / 2))
    assert both.answer_alpha == pytest.approx(alpha_by_hand([["서울", "서울"], ["부산", "-"]]))
    assert (pairs[1].verdict_kappa, pairs[1].verdict_alpha) == (None, None)  # one verdict throughout
    everybody = overall_agreement(reviews, pairs, KOREAN)
    assert (everybody.items, everybody.pairs, everybody.verdict) == (3, 3, 2 / 3)
    assert everybody.verdict_kappa == both.verdict_kappa
    assert everybody.answer_alpha == pytest.approx(alpha_by_hand([["서울", "서울"], ["부산", "-"], ["-", "-"]]))


# --- quality -------------------------------------------------------------------------------------


def test_quality_is_agreement_with_other_people_who_saw_no_suggestion_audits_first() -> None:
    shown, audit, again = task(1, question="q"), task(2, kind="audit", blind=True, question="q"), task(3, question="r")
    judged = task(4, kind="adjudication", question="r")
    tasks = {each.id: each for each in (shown, audit, again, judged)}
    reviews = [
        review(shown, "kim", "서울은", origin="accepted", seconds=10.0),
        review(audit, "lee", "서울", origin="written", seconds=40.0),
        review(again, "kim", "부산", origin="changed", seconds=20.0),
        review(judged, "park", "대구"),
    ]
    kim, lee, park = people(reviews, tasks, KOREAN)
    assert (kim.name, kim.reviews, kim.minutes, kim.median_seconds, kim.accepted) == ("kim", 2, 0.5, 15.0, 0.5)
    assert (kim.audited, kim.right) == (2, 1 / 2)  # right by the audit, wrong by the adjudicator
    assert kim.span_f1 == pytest.approx((2 * 2 / (2 + 3) + 2 * 2 / (2 + 2)) / 2)
    assert kim.right_low is not None
    assert kim.right_high is not None
    assert kim.right_low < 1 / 2 < kim.right_high
    assert (lee.audited, lee.right) == (0, None)  # nobody else answered it blind: kim saw the suggestion
    assert (park.audited, park.minutes) == (0, None)


# --- anchoring -----------------------------------------------------------------------------------


def test_anchoring_is_the_difference_between_suggestions_shown_and_held_back() -> None:
    answer = SpanRow("서울", "p", 0, 2)
    shown = [task(key) for key in range(1, 11)]
    held = [task(key, kind="control", blind=True) for key in range(11, 21)]
    others = [task(21, kind="random", blind=True), task(22, kind="suspect", blind=True)]
    tasks = {each.id: each for each in (*shown, *held, *others)}
    reviews = [review(each, "kim", "서울은" if place < 9 else "부산") for place, each in enumerate(shown)]
    reviews += [review(each, "kim", "서울" if place < 5 else None) for place, each in enumerate(held)]
    reviews += [review(each, "kim", "서울") for each in others]
    answers = {(1, each.question_id): answer for each in tasks.values()}
    found = anchoring(reviews, tasks, answers, KOREAN)
    assert (found.shown.reviews, found.shown.agree, found.blind.reviews, found.blind.agree) == (10, 0.9, 10, 0.5)
    assert found.difference == pytest.approx(0.4)
    # 14 of 20 agree: the chance of 9 or 10 among the ten that were shown
    ways = sum(_choose(14, k) * _choose(6, 10 - k) for k in (9, 10))
    assert found.p_value == pytest.approx(ways / _choose(20, 10))
    assert anchoring(reviews[:10], tasks, answers, KOREAN).difference is None


def _choose(n: int, k: int) -> int:
    from math import comb

    return comb(n, k)


def test_a_share_of_suggestions_is_held_back_in_any_order_and_apart_from_double_annotation() -> None:
    from labeler.rounds.select import doubly_annotated

    ids = [f"q{number}" for number in range(40)]
    drawn = shown_blind(ids, 0.25, seed=7)
    assert len(drawn) == 10
    assert drawn == shown_blind(ids[::-1], 0.25, seed=7) != doubly_annotated(ids, 0.25, seed=7)
    assert (shown_blind(ids, 0.0, seed=7), shown_blind(ids, 1.0, seed=7)) == (frozenset(), frozenset(ids))


# --- names ---------------------------------------------------------------------------------------


def test_every_candidate_that_is_shown_has_its_choice() -> None:
    assert tuple(f"candidate{rank}" for rank in range(1, MAX_CANDIDATES + 1)) == CANDIDATE_NAMES


@pytest.mark.parametrize(
    "text", ["", "kim", "kim@", "@x", "a b@x.org", "a@b@c", "kim@x.org,lee@x.org", f"{'k' * 255}@x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an e-mail address"):
        checked_email(text)


def test_an_address_is_stored_as_the_server_stores_it() -> None:
    assert checked_email(" Kim@Example.com ") == "kim@example.com"
