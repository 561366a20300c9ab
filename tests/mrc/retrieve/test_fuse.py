"""Fusion of a lexical and a dense ranking: normalised scores, ties, short and empty rankings, the tuned weight."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.retrieve import fuse
from mrc.retrieve.fuse import Candidates, FusionWeight, RankedLists, merge, reciprocal_ranks, tune_weight


def ranking(*rows: dict[int, float], width: int = 0) -> RankedLists:
    """Rankings given as document -> score, best first."""
    width = max([width, *map(len, rows)])
    documents = np.full((len(rows), width), -1, dtype=np.int64)
    scores = np.full((len(rows), width), -np.inf)
    for number, row in enumerate(rows):
        documents[number, : len(row)] = list(row)
        scores[number, : len(row)] = list(row.values())
    return RankedLists(documents, scores)


def both(lexical: dict[int, float], dense: dict[int, float], **how: Any) -> Candidates:
    settings = {"method": "zscore", "rrf_constant": 1.0, "size": 100, "unmatched_score_zero": False} | how
    return merge(ranking(lexical), ranking(dense), **settings)


def first(candidates: Candidates, weight: float = 0.5, k: int = 10) -> dict[int, float]:
    """Document -> sum, best first."""
    top = candidates.top(weight, k)
    return {
        document: score for document, score in zip(top.documents[0].tolist(), top.scores[0].tolist(), strict=True)
        if document >= 0
    }  # fmt: skip


def test_z_scores_measure_the_distance_from_the_mean_of_a_ranking() -> None:
    # lexical 9, 6, 3: mean 6, deviation sqrt((9 + 0 + 9) / 3) = sqrt(6); dense .9, .5: mean .7, deviation .2
    found = first(both({1: 9, 2: 6, 3: 3}, {3: 0.9, 2: 0.5}), weight=0.25)
    high = 3 / math.sqrt(6)
    # Document 1 is not in the dense ranking: there it scores as the last one, -1.
    expected = {1: 0.75 * high - 0.25, 2: 0.75 * 0 - 0.25, 3: -0.75 * high + 0.25}
    assert found == pytest.approx(expected)
    assert list(found) == [1, 2, 3]


def test_a_single_match_stands_out_where_unmatched_documents_score_0() -> None:
    # Of 4 documents one matches: 8, 0, 0, 0 has mean 2 and deviation sqrt((36 + 3 * 4) / 4) = sqrt(12).
    candidates = both({2: 8.0}, {1: 0.5, 2: 0.3}, size=4, unmatched_score_zero=True)
    assert first(candidates, weight=0) == pytest.approx({2: 6 / math.sqrt(12), 1: -2 / math.sqrt(12)})


def test_a_ranking_of_one_document_decides_nothing_where_unmatched_scores_are_unknown() -> None:
    assert first(both({2: 8.0}, {1: 0.5, 2: 0.3}), weight=0) == {1: 0, 2: 0}


def test_minmax_scales_from_the_lowest_to_the_highest_score() -> None:
    found = first(both({1: 9, 2: 6, 3: 3}, {4: 0.9, 3: 0.5}, method="minmax"), weight=0.5)
    assert found == pytest.approx({1: 0.5, 4: 0.5, 2: 0.25, 3: 0})
    assert list(found) == [1, 4, 2, 3]


def test_rrf_depends_on_ranks_alone() -> None:
    found = first(both({1: 9, 2: 6}, {2: 0.9, 3: 0.5}, method="rrf", rrf_constant=60.0))
    assert found == pytest.approx({2: 0.5 / 62 + 0.5 / 61, 1: 0.5 / 61, 3: 0.5 / 62})


def test_a_fused_document_keeps_its_score_in_each_ranking() -> None:
    top = both({1: 9, 2: 6}, {2: 0.9, 3: 0.5}).top(0.5, 3)
    by_document = {
        document: (lexical, dense)
        for document, lexical, dense in zip(
            top.documents[0].tolist(), top.lexical[0].tolist(), top.dense[0].tolist(), strict=True
        )
    }
    assert by_document == {1: (9, -math.inf), 2: (6, 0.9), 3: (-math.inf, 0.5)}


def test_equal_sums_go_to_the_lowest_document() -> None:
    assert list(first(both({7: 2, 3: 1}, {3: 2, 7: 1}))) == [3, 7]


def test_rows_are_padded_where_k_exceeds_the_candidates() -> None:
    top = both({1: 2}, {1: 1}).top(0.5, 3)
    assert top.documents.tolist() == [[1, -1, -1]]
    assert np.isneginf(top.scores[0, 1:]).all()


@pytest.mark.parametrize("method", ["zscore", "minmax", "rrf"])
def test_an_empty_ranking_leaves_the_order_to_the_other(method: str) -> None:
    rest = {5: 3.0, 2: 2.0, 9: 1.0}
    assert list(first(both({}, rest, method=method, unmatched_score_zero=True))) == [5, 2, 9]
    assert list(first(both(rest, {}, method=method, unmatched_score_zero=True))) == [5, 2, 9]
    assert first(both({}, {}, method=method, unmatched_score_zero=True)) == {}


@pytest.mark.parametrize("method", ["zscore", "minmax"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, -3.0])
def test_a_ranking_of_equal_scores_leaves_the_order_to_the_other(method: str, value: float) -> None:
    equal = {number: value + number * abs(value) * 1e-9 for number in range(5)}
    found = first(both(equal, {3: 0.9, 1: 0.5}, method=method))
    assert next(iter(found)) == 3
    assert all(math.isfinite(score) for score in found.values())


def test_a_document_twice_in_a_ranking_counts_at_its_better_place() -> None:
    twice = RankedLists(np.array([[4, 1, 4]]), np.array([[3.0, 2.0, 1.0]]))
    candidates = merge(
        twice, ranking({1: 0.5, 4: 0.4}), method="rrf", rrf_constant=1.0, size=9, unmatched_score_zero=False
    )
    assert first(candidates, weight=0) == pytest.approx({4: 1 / 2, 1: 1 / 3})


def test_no_questions_give_no_rows() -> None:
    nothing = RankedLists(np.empty((0, 5), dtype=np.int64), np.empty((0, 5)))
    top = merge(nothing, nothing, method="zscore", rrf_constant=1.0, size=3, unmatched_score_zero=True).top(0.5, 2)
    assert top.documents.shape == (0, 2)


def test_rankings_of_different_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="2 queries and of 1"):
        merge(
            ranking({1: 1}, {1: 1}), ranking({1: 1}), method="rrf", rrf_constant=1.0, size=3, unmatched_score_zero=True
        )


lists = st.dictionaries(st.integers(0, 30), st.floats(0.01, 100).map(lambda x: round(x, 3)), max_size=12).map(
    lambda found: dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
)


@given(
    lexical=lists, dense=lists, method=st.sampled_from(["zscore", "minmax", "rrf"]), unmatched_score_zero=st.booleans()
)
def test_candidates_are_the_union_and_a_weight_of_0_or_1_keeps_the_order_of_one_ranking(
    lexical: dict[int, float], dense: dict[int, float], method: str, unmatched_score_zero: bool
) -> None:
    candidates = both(lexical, dense, method=method, unmatched_score_zero=unmatched_score_zero)
    for weight, ranked in ((0.0, lexical), (1.0, dense)):
        found = first(candidates, weight, k=40)
        assert sorted(found) == sorted(lexical.keys() | dense.keys())
        gains = [found[document] for document in ranked]
        assert all(before >= after - 1e-9 for before, after in itertools.pairwise(gains))
        assert all(math.isfinite(score) for score in found.values())


@given(lexical=lists, dense=lists, shift=st.floats(-5, 5), scale=st.floats(0.5, 20))
def test_z_scores_do_not_depend_on_scale_and_offset_of_a_ranking(
    lexical: dict[int, float], dense: dict[int, float], shift: float, scale: float
) -> None:
    other = {document: scale * score + shift for document, score in dense.items()}
    spread = max(dense.values(), default=0) - min(dense.values(), default=0)
    if spread < 0.01:  # scores that differ by rounding alone may become equal in another scale
        return
    assert first(both(lexical, dense), k=40) == pytest.approx(first(both(lexical, other), k=40), abs=1e-4)


def test_a_document_below_depth_100_scores_as_the_hundredth_however_large_k_is() -> None:
    long = {number: float(1000 - number) for number in range(150)}
    other = {149: 2.0, 5: 1.0}
    deep = both(long, other, size=150)
    short = both(dict(list(long.items())[:100]), other, size=150)
    ours, theirs = first(deep, k=100), first(short, k=100)
    assert list(ours)[:99] == list(theirs)[:99]
    assert ours[149] == pytest.approx(theirs[149])


def deep_scores(method: str, *, scores: dict[int, float]) -> dict[int, float]:
    """Document -> normalised lexical score; the dense ranking is empty."""
    candidates = both(scores, {}, method=method, size=len(scores))
    return dict(zip(candidates.documents[0].tolist(), candidates.normalized[0][0].tolist(), strict=True))


@pytest.mark.parametrize("method", ["zscore", "minmax"])
def test_mean_and_lowest_score_are_those_of_the_first_hundred(method: str) -> None:
    # Scores 1000, 999, …: the first hundred have mean 950.5, deviation sqrt((100^2 - 1) / 12), lowest 901.
    found = deep_scores(method, scores={number: float(1000 - number) for number in range(130)})
    deviation = math.sqrt((100**2 - 1) / 12)
    expected = {"zscore": lambda score: (score - 950.5) / deviation, "minmax": lambda score: (score - 901) / 99}[method]
    assert [found[0], found[98], found[99]] == pytest.approx([expected(1000), expected(902), expected(901)])
    assert [found[100], found[129]] == [found[99]] * 2  # below depth 100


def test_rrf_ignores_what_is_below_depth_100() -> None:
    found = deep_scores("rrf", scores={number: float(1000 - number) for number in range(102)})
    assert [found[0], found[98], found[99], found[100], found[101]] == pytest.approx([1 / 2, 1 / 100, 1 / 101, 0, 0])


@pytest.mark.parametrize("method", ["zscore", "minmax"])
def test_a_document_of_the_dense_ranking_scores_as_the_last_of_the_first_hundred_lexical_ones(method: Any) -> None:
    lexical = {number: float(1000 - number) for number in range(130)}
    candidates = both(lexical, {500: 1.0, 501: 0.5}, method=method, size=600)
    normalized = dict(zip(candidates.documents[0].tolist(), candidates.normalized[0][0].tolist(), strict=True))
    assert normalized[500] == normalized[501] == normalized[99]


def test_padding_does_not_change_normalised_scores() -> None:
    tiny = {1: 3e-7, 2: 1e-7}
    merged = merge(
        ranking(tiny, width=9), ranking({1: 1.0}, width=4), method="zscore", rrf_constant=1.0, size=9,
        unmatched_score_zero=False,
    )  # fmt: skip
    assert merged.documents.tolist() == [[1, 2]]
    assert merged.normalized[0][0].tolist() == pytest.approx([1, -1])


@pytest.mark.parametrize("method", ["zscore", "minmax"])
def test_a_ranking_of_one_document_is_flat(method: Any) -> None:
    merged = both({3: 5.0}, {1: 0.9, 2: 0.1}, method=method)
    assert merged.normalized[0][0].tolist() == [0, 0, 0]


def test_unmatched_documents_are_at_most_those_of_a_small_index() -> None:
    # Three documents, one matches: scores 6, 0, 0 have mean 2 and deviation sqrt((16 + 4 + 4) / 3) = sqrt(8).
    merged = both({2: 6.0}, {1: 0.5}, size=3, unmatched_score_zero=True)
    assert merged.normalized[0][0].tolist() == pytest.approx([-2 / math.sqrt(8), 4 / math.sqrt(8)])


def test_a_full_ranking_is_not_continued_with_zeros() -> None:
    merged = both({1: 4.0, 2: 2.0}, {}, size=2, unmatched_score_zero=True)
    assert merged.normalized[0][0].tolist() == pytest.approx([1, -1])
    merged = both({1: 4.0, 2: 2.0}, {}, size=2, unmatched_score_zero=True, method="minmax")
    assert merged.normalized[0][0].tolist() == [1, 0]


def test_minmax_of_a_continued_ranking_starts_at_0() -> None:
    merged = both({1: 4.0, 2: 2.0}, {3: 1.0}, size=5, unmatched_score_zero=True, method="minmax")
    assert merged.normalized[0][0].tolist() == [1, 0.5, 0]


def test_minmax_of_padded_and_of_single_rankings() -> None:
    merged = merge(
        ranking({1: 4.0, 2: 2.0}, {3: 5.0}), ranking({1: 1.0}, {3: 1.0}), method="minmax", rrf_constant=1.0, size=9,
        unmatched_score_zero=True,
    )  # fmt: skip
    assert merged.normalized[0].tolist() == [[1, 0.5], [1, 0]]  # a single match stands out from the others' 0


def test_standardized_scores_are_those_over_the_first_hundred_of_the_fused_ranking() -> None:
    candidates = both({1: 9, 2: 6, 3: 3}, {3: 0.9, 2: 0.5})
    sums = candidates.top(0.25, 3).scores[0]
    expected = (sums - sums.mean()) / sums.std()
    assert candidates.top(0.25, 3).standardized[0] == pytest.approx(expected)
    assert candidates.top(0.25, 1).standardized[0] == pytest.approx(expected[:1]), "whatever k is"
    assert both({1: 5.0}, {1: 0.5}).top(0.5, 2).standardized[0, 0] == 0, "a single document stands out from none"


# The weight


def test_document_0_can_be_gold() -> None:
    assert reciprocal_ranks(both({1: 3, 0: 2}, {1: 1, 0: 0.5}), [{0}], 0.5).tolist() == [0.5]


def test_a_gold_document_that_ties_with_a_lower_one_is_behind_it() -> None:
    merged = both({1: 1.0, 2: 1.0, 3: 1.0}, {})
    assert [reciprocal_ranks(merged, [{gold}], 0.0)[0] for gold in (1, 2, 3)] == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize(("outlier", "weight"), [("lexical", 1.0), ("dense", 0.0)])
def test_the_whole_range_of_weights_is_tried(outlier: str, weight: float) -> None:
    """Document 1 leads one ranking by far; the gold document 0 leads the other by little, so only its weight counts."""
    far = {1: 100.0} | {number: 1 - number / 1000 for number in range(2, 60)} | {0: 0.5}
    near = {0: 1.0, 1: 0.99} | {number: 0.9 - number / 100 for number in range(2, 60)}
    lexical, dense = (far, near) if outlier == "lexical" else (near, far)
    count = fuse.MIN_QUESTIONS
    merged = merge(
        ranking(*[lexical] * count), ranking(*[dense] * count), method="zscore", rrf_constant=1.0, size=99,
        unmatched_score_zero=False,
    )  # fmt: skip
    tuned = tune_weight(merged, [{0}] * count, list(range(count)), seed=0)
    assert (tuned.value, tuned.low, tuned.high) == (weight, weight, weight)


def test_the_reciprocal_rank_is_that_of_the_first_gold_document() -> None:
    candidates = both({1: 3, 2: 2, 3: 1}, {1: 0.9, 2: 0.8, 3: 0.7})
    for golds, rank in (({1}, 1), ({2}, 2), ({3, 2}, 2), ({8}, 0), (set(), 0)):
        expected = 1 / rank if rank else 0
        assert reciprocal_ranks(candidates, [golds], 0.5).tolist() == [expected]


def labelled(count: int, *, by_dense: float) -> tuple[Candidates, list[set[int]], list[int]]:
    """Questions of which a share has its gold document first in the dense ranking, the others in the lexical one."""
    lexical, dense = [{1: 2.0, 2: 1.0}] * count, [{2: 2.0, 1: 1.0}] * count
    candidates = merge(
        ranking(*lexical), ranking(*dense), method="zscore", rrf_constant=1.0, size=9, unmatched_score_zero=False
    )
    golds = [{2} if number < by_dense * count else {1} for number in range(count)]
    return candidates, golds, [number % 7 for number in range(count)]


def test_the_tuned_weight_favours_the_ranking_that_finds_the_gold_documents() -> None:
    by_lexical = tune_weight(*labelled(60, by_dense=0.1), seed=0)
    by_dense = tune_weight(*labelled(60, by_dense=0.9), seed=0)
    # At .5 all sums are equal and the lower document leads: the nearest weights that decide otherwise are .5 and .55.
    assert (by_lexical.value, by_dense.value) == (0.5, 0.55)
    assert (by_lexical.questions, by_lexical.documents) == (60, 7)
    assert by_dense.low == by_dense.high == 0.55  # no bootstrap sample of documents reverses nine of ten


def test_contradicting_labels_give_a_wide_interval() -> None:
    candidates, golds, _ = labelled(60, by_dense=0.5)
    # Ten documents, of which five are found by the lexical ranking alone.
    tuned = tune_weight(candidates, golds, [number // 6 for number in range(60)], seed=0)
    assert (tuned.low, tuned.high) == (0.5, 0.55)


def test_the_same_seed_gives_the_same_interval() -> None:
    assert tune_weight(*labelled(60, by_dense=0.5), seed=4) == tune_weight(*labelled(60, by_dense=0.5), seed=4)


def test_too_few_questions_or_one_document_leave_the_weight_untuned() -> None:
    candidates, golds, clusters = labelled(fuse.MIN_QUESTIONS - 1, by_dense=1)
    assert tune_weight(candidates, golds, clusters, seed=0) == FusionWeight(0.5, 0.0, 1.0, 0, 0)
    candidates, golds, clusters = labelled(fuse.MIN_QUESTIONS, by_dense=1)
    assert tune_weight(candidates, golds, [0] * len(clusters), seed=0).questions == 0
    assert tune_weight(candidates, golds, clusters, seed=0).questions == fuse.MIN_QUESTIONS


@pytest.mark.parametrize(
    ("by_dense", "default", "value"),
    [
        (0.9, 0.3, 0.55),  # better in nine documents of ten
        (0.6, 0.3, 0.3),  # in six of ten, worse in four: that may be chance
        (0.1, 0.3, 0.3),  # .5, the best, finds no more
        (0.9, 0.33, 0.55),  # a weight between the steps is compared too
    ],
)
def test_a_previous_weight_stays_unless_another_is_clearly_better(
    by_dense: float, default: float, value: float
) -> None:
    candidates, golds, _ = labelled(60, by_dense=by_dense)
    documents = [number // 6 for number in range(60)]
    found = tune_weight(candidates, golds, documents, seed=0, default=FusionWeight(default, default, default))
    assert (found.value, found.questions) == (value, 60)


def test_a_previous_weight_stays_with_too_few_questions_or_documents() -> None:
    before = FusionWeight(0.35, 0.2, 0.5, 100, 9)
    for questions, documents, stays in ((30, 10, False), (30, 9, True), (29, 10, True)):
        candidates, golds, _ = labelled(questions, by_dense=1)
        found = tune_weight(
            candidates, golds, [number % documents for number in range(questions)], seed=0, default=before
        )
        assert (found == FusionWeight(0.35)) is stays  # without the questions of the earlier tuning


@pytest.mark.parametrize("values", [(1.5, 0, 1), (-0.1, 0, 1), (0.5, 0.7, 0.6)])
def test_a_weight_out_of_range_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must be in 0-1"):
        FusionWeight(*values)
