"""BM25 settings tuned on labelled questions."""

from __future__ import annotations

import numpy as np
import pytest

from mrc.analyzers import Whitespace
from mrc.metrics import bootstrap_interval
from mrc.retrieve.tuning import BM25Setting, CountedPassages, gold_ranks, grid, select, tune
from mrc.types import Passage


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_setting_with_the_best_mean_is_selected_and_its_gain_is_cross_fitted() -> None:
    # Setting 1 is better on every document, so each half chooses it: the gain is the plain difference.
    choice = select([[0, 0.5, 0, 0.5], [1, 0.5, 1, 1]], ["a", "b", "c", "d"], default=0, rng=rng())
    assert (choice.chosen, choice.best) == (1, 1)
    assert choice.gain.mean == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert choice.gain.low <= choice.gain.mean <= choice.gain.high


def test_an_overfitted_setting_is_not_selected() -> None:
    # Settings 1 and 2 are each good on one document and bad on the other, so the choice of one half fails on the other.
    choice = select([[0.5, 0.5], [1, 0.1], [0, 0.9]], ["a", "b"], default=0, rng=rng())
    assert (choice.chosen, choice.best) == (0, 1)
    assert choice.gain.mean == pytest.approx((0 + 0.1) / 2 - 0.5)


def test_a_tie_keeps_the_current_setting() -> None:
    assert select([[1, 0], [1, 0]], ["a", "b"], default=0, rng=rng()).chosen == 0
    assert select([[1, 0], [1, 0]], ["a", "b"], default=1, rng=rng()).chosen == 1


def test_tuning_needs_questions_of_two_documents() -> None:
    with pytest.raises(ValueError, match="two documents, got 1"):
        select([[1, 1]], ["a", "a"], default=0, rng=rng())


def test_the_grid_starts_with_the_current_setting_and_varies_title_weights_only_with_titles() -> None:
    so_far = BM25Setting(1.5, 0.75)
    assert grid(so_far, titles=False)[0] == so_far
    assert len(set(grid(so_far, titles=False))) == len(grid(so_far, titles=False)) == 6 * 4
    assert {setting.title_weight for setting in grid(so_far, titles=True)} == {0, 1, 2}
    assert len(grid(BM25Setting(1.23, 0.75), titles=False)) == 6 * 4 + 1


def test_the_rank_of_the_first_gold_passage_counts() -> None:
    found = np.array([[3, 1, 2], [5, -1, -1]])
    assert gold_ranks(found, [frozenset({2, 1}), frozenset({1})]).tolist() == [1, -1]


def test_titles_get_a_weight_where_only_they_discriminate() -> None:
    passages = [Passage(str(row), "built in stone", f"name{row}") for row in range(8)]
    steps = []
    tuned = tune(
        CountedPassages(passages, Whitespace()),
        method="atire",
        settings=grid(BM25Setting(1.5, 0.75), titles=True),
        questions=[f"name{row} built" for row in range(8)],
        golds=[[row] for row in range(8)],
        clusters=list(range(8)),
        rng=rng(),
        progress=lambda: steps.append(1),
    )
    assert tuned.setting.title_weight == 1  # the smallest that suffices
    # Without titles all are equal and the lowest passage comes first: ranks 0 to 7.
    assert tuned.before.mean == pytest.approx(sum(1 / (rank + 1) for rank in range(8)) / 8)
    drawn = np.random.default_rng(0)  # always the same draws: equal data, equal intervals
    assert tuned.before == bootstrap_interval([1 / (rank + 1) for rank in range(8)], list(range(8)), rng=drawn)
    assert (tuned.after.mean, tuned.questions, tuned.top_3) == (1.0, 8, (3 / 8, 1.0))
    assert tuned.gain.mean == pytest.approx(1 - tuned.before.mean)
    assert len(steps) == 6 * 4 * 3


def test_tuning_ranks_passages_by_their_best_window() -> None:
    tuned = tune(
        CountedPassages([Passage("a", "aa bb cc"), Passage("b", "dd")], Whitespace(), window_chars=6),
        method="atire",
        settings=[BM25Setting(1.5, 0.75)],
        questions=["cc", "dd"],
        golds=[[0], [1]],
        clusters=["x", "y"],
        rng=rng(),
    )
    assert tuned.after.mean == 1.0


def test_a_question_whose_gold_passage_is_not_found_scores_0() -> None:
    passages = [Passage(str(row), f"name{row}") for row in range(4)]
    tuned = tune(
        CountedPassages(passages, Whitespace()),
        method="atire",
        settings=[BM25Setting(1.5, 0.75)],
        questions=["name0", "name1", "unknown", "name3"],
        golds=[[0], [2], [2], [3]],
        clusters=["a", "b", "c", "d"],
        rng=rng(),
    )
    assert (tuned.before.mean, tuned.after.mean, tuned.top_3) == (0.5, 0.5, (0.5, 0.5))
    assert tuned.gain.mean == 0


def test_each_half_of_the_documents_is_scored_under_the_choice_of_the_other() -> None:
    """Setting 1 is better on documents a and b, setting 2 on c and d; what is chosen depends on the halves drawn."""
    scores = np.array([[0.5] * 4, [1, 1, 0.2, 0.2], [0.2, 0.2, 1, 1]])
    for seed in range(20):
        found = select(scores, list("abcd"), default=0, rng=np.random.default_rng(seed))
        drawn = np.random.default_rng(seed).permutation(4)[:2].tolist()
        half = np.isin(np.arange(4), drawn)
        expected = np.empty(4)
        for side in (half, ~half):
            expected[~side] = scores[int(np.argmax(scores[:, side].mean(axis=1)))][~side]
        assert found.gain.mean == pytest.approx(expected.mean() - 0.5)
        assert found.chosen == (1 if found.gain.mean > 0 else 0)
