"""Balance: weights give every stratum its share; only rare human labels are repeated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.read.data.balance import repeats, strata, weights

KINDS = st.sampled_from(["who 1", "who 2-3", "when 1", "what 8+"])


def test_a_stratum_is_the_type_of_the_question_and_the_length_of_the_answer():
    questions = ["Who built it?", "누가 세웠는가?", "When was that?", "Why?", "What is it?", "Who?"]
    assert strata(questions, [2, 3, 1, 8, 7, 0]) == ["who 2-3", "who 2-3", "when 1", "why 8+", "what 4-7", "who none"]


def test_weighted_shares_are_the_wanted_ones_where_nothing_is_clipped():
    own = ["who 1"] * 6 + ["when 1"] * 2  # shares 3/4 and 1/4
    found = weights(own, {"who 1": 0.5, "when 1": 0.5})
    # 1/2 : 3/4 = 2/3 and 1/2 : 1/4 = 2; then 6 * 2/3 = 2 * 2 = 4, half each
    np.testing.assert_allclose(found, [2 / 3] * 6 + [2.0] * 2)
    assert found[:6].sum() == pytest.approx(found[6:].sum())


def test_given_repeats_and_weights_count_towards_the_shares():
    own = ["who 1"] * 6 + ["when 1"] * 2
    often, counts = np.array([1] * 6 + [2] * 2), np.array([1.0] * 4 + [0.5] * 2 + [1.0] * 2)
    found = weights(own, {"who 1": 0.5, "when 1": 0.5}, counts=counts, often=often)
    # masses 4 + 2/2 = 5 and 2 * 2 = 4: 1/2 : 5/9 and 1/2 : 4/9
    np.testing.assert_allclose(found, [0.9] * 6 + [1.125] * 2)
    assert (found * counts * often)[:6].sum() == pytest.approx((found * counts * often)[6:].sum())
    bounded = weights(["who 1"] * 9 + ["when 1"], {"who 1": 0.1, "when 1": 0.9}, often=np.array([1] * 9 + [3]))
    np.testing.assert_allclose(bounded, [0.5] * 9 + [1.0])  # three times 1


def test_questions_without_an_answer_keep_their_weight_where_no_such_stratum_is_wanted():
    own = ["who 1"] * 6 + ["when 1"] * 2 + ["who none"] * 4
    half = {"who 1": 0.5, "when 1": 0.5}
    np.testing.assert_allclose(weights(own, half), [2 / 3] * 6 + [2.0] * 2 + [1.0] * 4)
    # with a share of their own they are a kind like others: 1/3 : 6/12, 1/3 : 2/12, 1/3 : 4/12
    found = weights(own, {"who 1": 1, "when 1": 1, "who none": 1})
    np.testing.assert_allclose(found, [2 / 3] * 6 + [2.0] * 2 + [1.0] * 4)
    found = weights(own, {"who 1": 1, "when 1": 1, "who none": 2})
    np.testing.assert_allclose(found, [0.5] * 6 + [1.5] * 2 + [1.5] * 4)


def test_weights_stay_in_their_bounds():
    own = ["who 1"] * 9 + ["when 1"]
    # 0.1 : 0.9 = 1/9 and 0.9 : 0.1 = 9
    np.testing.assert_allclose(weights(own, {"who 1": 0.1, "when 1": 0.9}), [0.5] * 9 + [3.0])
    np.testing.assert_allclose(weights(["why 1"], {"who 1": 1.0}), [0.5])  # not wanted at all


def test_counts_work_like_shares():
    own = ["who 1", "who 1", "when 1"]
    np.testing.assert_allclose(weights(own, {"who 1": 10, "when 1": 5}), [1, 1, 1])


@given(st.lists(KINDS, min_size=1, max_size=60), st.dictionaries(KINDS, st.floats(0.01, 1)))
def test_every_weight_is_within_half_and_three(own, wanted):
    found = weights(own, wanted)
    assert found.shape == (len(own),)
    assert np.all((found >= 0.5) & (found <= 3))


@given(st.lists(st.tuples(KINDS, st.booleans()), max_size=60))
def test_pseudo_labels_are_never_repeated_and_no_label_occurs_more_than_three_times(labels):
    own, human = [kind for kind, _ in labels], np.array([by for _, by in labels], dtype=bool)
    found = repeats(own, human)
    assert np.all(found[~human] == 1)
    assert np.all((found >= 1) & (found <= 3))


def test_human_labels_of_rare_strata_are_repeated_towards_the_mean():
    own = ["who 1"] * 8 + ["when 1"] * 3 + ["why 8+"] + ["why 8+"] * 5
    human = np.array([True] * 12 + [False] * 5)
    # 12 labels of 3 kinds: 4 on average. 4/8 -> once, 4/3 -> once, 4/1 -> 4, at most 3; a reader's five stay
    assert repeats(own, human).tolist() == [1] * 8 + [1] * 3 + [3] + [1] * 5
    assert repeats(["who 1"] * 4 + ["why 1"] * 2 + ["how 1"] * 6, np.ones(12, dtype=bool)).tolist() == [
        *[1] * 4,
        *[2] * 2,
        *[1] * 6,
    ]
