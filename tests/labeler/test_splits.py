"""Splits: whole split groups, seeded order, counts as maxima."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.importing.splits import Item, SplitPlan, assign, hold_out, parse_split, split_groups

PLAN = SplitPlan((("gold", 7), ("dev", 3), ("test", 5)), "pool")

items = st.lists(
    st.builds(lambda wording, paragraph: (("w", wording), ("p", paragraph)), st.integers(0, 30), st.integers(0, 30)),
    max_size=40,
).map(lambda keys: [Item(f"q{number:02}", key) for number, key in enumerate(keys)])


def test_a_plan_is_read_as_it_is_written() -> None:
    plan = parse_split("gold=1000, dev=500,test=1500,pool=rest")
    assert plan == SplitPlan((("gold", 1000), ("dev", 500), ("test", 1500)), "pool")
    assert str(plan) == "gold=1000,dev=500,test=1500,pool=rest"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gold", "'gold' is not ROLE=COUNT"),
        ("silver=3", "'silver=3' is not ROLE=COUNT"),
        ("gold=3,gold=4", "gold is named twice"),
        ("gold=rest,pool=rest", "gold and pool cannot both be the rest"),
        ("gold=-1", "a whole number above 0"),
        ("gold=²", "a whole number above 0"),
        ("gold=0", "a whole number above 0"),
    ],
)
def test_an_invalid_plan_is_an_error_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_split(text)


def test_chains_of_shared_paragraphs_and_texts_form_one_split_group() -> None:
    chain = [Item("a", ("p1", "w1")), Item("b", ("p2", "w2")), Item("c", ("p2", "w1")), Item("d", ("p3", "w3"))]
    group = split_groups(chain)
    assert group["a"] == group["b"] == group["c"] != group["d"]


def test_the_name_of_a_split_group_does_not_depend_on_the_order_of_the_file() -> None:
    chain = [Item("a", ("p1",)), Item("b", ("p1", "p2")), Item("c", ("p2",))]
    assert split_groups(chain) == split_groups(chain[::-1])


def test_groups_of_one_question_fill_a_plan_exactly() -> None:
    roles = assign({f"q{number}": str(number) for number in range(20)}, PLAN, seed=0)
    assert Counter(roles.values()) == {"gold": 7, "dev": 3, "test": 5, "pool": 20 - 7 - 3 - 5}


def test_a_group_too_large_for_every_count_goes_to_the_rest_or_is_left_out() -> None:
    split_group_of = {f"q{number}": "one" for number in range(8)}
    assert set(assign(split_group_of, PLAN, seed=0).values()) == {"pool"}
    assert assign(split_group_of, SplitPlan(PLAN.counts, None), seed=0) == {}


def test_another_seed_draws_another_split() -> None:
    split_group_of = {f"q{number}": str(number) for number in range(20)}
    assert assign(split_group_of, PLAN, seed=0) != assign(split_group_of, PLAN, seed=1)


@given(items, st.integers(0, 3))
def test_no_paragraph_and_no_text_is_in_two_splits(questions: list[Item], seed: int) -> None:
    roles = assign(split_groups(questions), PLAN, seed=seed)
    seen: dict[object, str] = {}
    for question in questions:
        for key in question.keys:
            assert seen.setdefault(key, roles[question.id]) == roles[question.id]


@given(items, st.integers(0, 3))
def test_counts_are_maxima_and_with_a_rest_no_question_is_missing(questions: list[Item], seed: int) -> None:
    counted = Counter(assign(split_groups(questions), PLAN, seed=seed).values())
    assert all(counted[role] <= count for role, count in PLAN.counts)
    assert counted.total() == len(questions)


@given(items, st.randoms())
def test_a_split_depends_on_the_questions_and_the_seed_alone(questions: list[Item], random: object) -> None:
    shuffled = sorted(questions, key=lambda question: question.id[::-1])
    assert assign(split_groups(questions), PLAN, seed=5) == assign(split_groups(shuffled), PLAN, seed=5)


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 9)), st.floats(0, 0.99), st.integers(0, 3))
def test_at_most_the_share_is_held_out(sizes: dict[str, int], share: float, seed: int) -> None:
    held = hold_out(sizes, share, rng=np.random.default_rng(seed))
    assert held <= set(sizes)
    assert sum(sizes[group] for group in held) <= share * sum(sizes.values()) + 1e-6
    assert held == hold_out(sizes, share, rng=np.random.default_rng(seed))


def test_groups_of_one_question_fill_the_share_exactly() -> None:
    sizes = dict.fromkeys(map(str, range(100)), 1)
    assert len(hold_out(sizes, 0.29, rng=np.random.default_rng(0))) == 29  # 0.29 * 100 is 28.999… in floats


def test_a_share_of_all_questions_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="below 1"):
        hold_out({"u": 1}, 1.0, rng=np.random.default_rng(0))
