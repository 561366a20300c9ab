"""The loops of the pruned search, run without compilation and with tiny blocks, so that boundaries are cheap."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import math
from types import ModuleType
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc.retrieve import bounds
from mrc.retrieve.bounds import Bounds, Postings, Quantized, query_batch

Lists = list[list[tuple[int, float]]]  # term -> (document, weight), ascending


def _uncompiled() -> ModuleType:
    """A copy of the kernel whose functions are plain Python; CHUNK 4, BLOCK 16, and few spare candidates."""
    spec = importlib.util.find_spec("mrc.retrieve.kernel")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    numba.config.DISABLE_JIT = True
    try:
        spec.loader.exec_module(module)
    finally:
        numba.config.DISABLE_JIT = False
    module.BLOCK, module.CHUNK, module._FRESH = 16, 4, 2  # type: ignore[attr-defined]
    return module


kernel: Any = _uncompiled()


@pytest.fixture(autouse=True)
def _use_uncompiled_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "kernel", kernel)
    monkeypatch.setattr(bounds, "SMALL", 0)


def postings_of(terms: Lists) -> Postings:
    starts = np.cumsum([0, *map(len, terms)])
    pairs = list(itertools.chain.from_iterable(terms))
    documents = np.array([document for document, _ in pairs], dtype=np.int32)
    return Postings(starts, documents, np.array([weight for _, weight in pairs], dtype=np.float64))


def bounds_of(terms: Lists, size: int) -> Bounds:
    found = Bounds.of(postings_of(terms), size)
    assert found is not None
    return found


def exhaustive(terms: Lists, query: list[int], base: list[float], k: int) -> tuple[list[int], list[float]]:
    """The definition: documents that share a term, by score added in the order of the query, then by number."""
    scores: dict[int, float] = {}
    floor = 0.0
    for term in query:
        floor += base[term]
    for term in query:
        for document, _ in terms[term]:
            scores.setdefault(document, floor)
    for term in query:
        for document, weight in terms[term]:
            scores[document] += weight
    best = sorted(scores, key=lambda document: (-scores[document], document))[:k]
    padding = k - len(best)
    return best + [-1] * padding, [float(np.float32(scores[each])) for each in best] + [-math.inf] * padding


WEIGHTS = st.one_of(st.integers(1, 5).map(float), st.floats(1e-3, 100), st.just(0.0), st.just(1e-9))
LISTS = st.lists(
    st.dictionaries(st.integers(0, 49), WEIGHTS, max_size=50).map(lambda found: sorted(found.items())),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("small", [0, 60])  # by bounds, and by the score of each document
@settings(deadline=None, max_examples=150)
@given(terms=LISTS, data=st.data(), k=st.integers(1, 60), size=st.integers(50, 53))
def test_a_resolved_query_has_the_documents_and_scores_of_an_exhaustive_search(
    small: int, terms: Lists, data: st.DataObject, k: int, size: int
) -> None:
    base = data.draw(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=len(terms), max_size=len(terms)))
    query = st.lists(st.integers(0, len(terms) - 1), max_size=9)
    queries = data.draw(st.lists(query, min_size=1, max_size=3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "kernel", kernel)
        patch.setattr(bounds, "SMALL", small)
        found, scores, resolved = bounds_of(terms, size).search(queries, np.array(base), k, threads=1)
    for row, asked in enumerate(queries):
        if resolved[row]:
            assert (found[row].tolist(), scores[row].tolist()) == exhaustive(terms, asked, base, k)


@pytest.mark.parametrize("query", [[0], [0, 1], [1, 0, 0], [2]])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_ordinary_queries_are_resolved(query: list[int], k: int) -> None:
    rng = np.random.default_rng(0)
    terms = [[(document, float(rng.uniform(1, 9))) for document in range(first, 50, 3)] for first in range(3)]
    found, scores, resolved = bounds_of(terms, 50).search([query], np.zeros(3), k, threads=1)
    assert resolved.tolist() == [True]
    assert (found[0].tolist(), scores[0].tolist()) == exhaustive(terms, query, [0.0] * 3, k)


@pytest.mark.parametrize("spread", [1.0, 1e-12])  # scores of many levels, and of one
@pytest.mark.parametrize("k", [1, 5, 40])
def test_few_documents_are_ranked_by_the_score_of_each(spread: float, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SMALL", 400)
    rng = np.random.default_rng(0)
    terms = [[(number, 1 + spread * float(rng.integers(9))) for number in range(first, 400, 2)] for first in range(2)]
    found, scores, resolved = bounds_of(terms, 400).search([[0, 1], [1]], np.zeros(2), k, threads=1)
    assert resolved.tolist() == [True, True]
    for row, query in enumerate(([0, 1], [1])):
        assert (found[row].tolist(), scores[row].tolist()) == exhaustive(terms, query, [0.0] * 2, k)


def test_few_documents_are_left_to_the_exhaustive_search_where_a_weight_of_0_hides_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "SMALL", 3)
    found = bounds_of([[(0, 1.0), (1, 0.0)]], 3)
    assert found.search([[0]], np.zeros(1), 2, threads=1)[2].tolist() == [False]
    assert found.search([[0]], np.zeros(1), 1, threads=1)[2].tolist() == [True]


def test_an_empty_query_is_left_to_the_exhaustive_search() -> None:
    assert bounds_of([[(0, 1.0)]], 3).search([[]], np.zeros(1), 2, threads=1)[2].tolist() == [False]


# Rounding: what quantised sums lose is covered by the slack


@pytest.mark.parametrize(("frequent", "rest"), [(False, 0), (False, 400), (True, 0)])
def test_a_document_of_many_light_terms_is_not_lost_by_rounding_down(frequent: bool, rest: int) -> None:
    """Each light term is worth .96 units of a sum and adds 0 to it, so 1,500 of them are lost without the slack.

    Documents: 0 has the heaviest weight of the heavy term, 1 a small one, 2 all light terms. `rest`: document 2 also
    has some of the heavy term, so that its sum is not 0.
    """
    light = 1500
    size = 16 if frequent else 60  # a term of at least one document in 16 has a dense column
    heavy = [(0, 65025.0), (1, 1000.0 + rest), *([(2, float(rest))] if rest else [])]
    terms: Lists = [heavy, *([(2, 0.996)] for _ in range(light))]
    assert (bounds_of(terms, size).quantized.column_of[1:] >= 0).all() == frequent
    query = list(range(light + 1))
    found, _, resolved = bounds_of(terms, size).search([query], np.zeros(light + 1), 2, threads=1)
    expected = exhaustive(terms, query, [0.0] * (light + 1), 2)[0]
    assert expected == [0, 2]
    assert found[0].tolist() == expected or not resolved[0]


def scaled(counts: list[int], max_weights: list[float], *, columns: list[int]) -> tuple[int, int, bool, list[int]]:
    """Shift, slack, whether each term shows in a sum, and factors, of a query of all terms."""
    size = len(counts)
    quantized = Quantized(9, np.array(max_weights), np.empty(0, np.uint8), np.array(columns), np.empty(0))
    factors = np.zeros(size, dtype=np.uint32)
    shift, slack, visible = kernel._scale(quantized, np.arange(size), np.array(counts), factors)
    return int(shift), int(slack), bool(visible), factors.tolist()


def test_a_term_without_a_column_has_eight_fractional_bits() -> None:
    # One term: the largest score is 65535 - 1 units, so a level is worth 65534 / 255 units.
    exact = 65534 / 255
    factor = math.ceil(exact * 256)
    excess = 255 * (factor / 256 - exact) + exact
    assert scaled([1], [10.0], columns=[-1]) == (8, math.ceil(excess) + 1 + 2, True, [factor])
    assert scaled([3], [10.0], columns=[-1]) == scaled([1], [10.0], columns=[-1])  # one term is its own scale


def test_the_factor_of_a_column_fits_sixteen_bits_with_its_level() -> None:
    # Alone, a term with a column has no room for fractional bits: 255 * factor must be at most 65535.
    space = 65535 - 1 - (255 + 1)
    exact = space / 255
    factor = math.ceil(exact)
    assert factor * 255 <= 65535
    excess = 255 * (factor - exact) + exact
    assert scaled([1], [10.0], columns=[0]) == (0, math.ceil(excess) + 1 + 2, True, [factor])


def test_light_columns_have_fractional_bits_and_repeated_terms_weigh_more() -> None:
    # Of a total of 2 * 1 + 14 = 16, the column has an eighth: three bits, as 2 * 2^3 = 16.
    shift, slack, visible, factors = scaled([2, 1], [1.0, 14.0], columns=[0, -1])
    space = 65535 - 2 - (255 // 8 + 1)
    exact = [2 * 1 / 255 * space / 16, 14 / 255 * space / 16]
    expected = [math.ceil(exact[0] * 8), math.ceil(exact[1] * 256)]
    excess = 255 * (expected[0] / 8 - exact[0]) + exact[0] + 255 * (expected[1] / 256 - exact[1]) + exact[1]
    assert (shift, factors, visible) == (3, expected, True)
    assert slack == math.ceil(excess) + 2 + 2


def test_a_term_too_light_to_show_in_a_sum_has_the_smallest_factor() -> None:
    heaviest = math.ceil((65535 - 2) / 255 * 256)
    assert scaled([1, 1], [1e6, 1e-9], columns=[-1, -1])[2:] == (False, [heaviest, 1])
    assert scaled([1], [0.0], columns=[-1]) == (8, math.ceil(255 * (1 / 256)) + 1 + 2, False, [1])


@pytest.mark.parametrize(("terms", "resolved"), [(65535 - 32767, True), (65535 - 32767 + 1, False)])
def test_a_query_whose_rounding_takes_half_of_a_sum_is_too_long(terms: int, resolved: bool) -> None:
    slack = scaled([1] * terms, [1.0] * terms, columns=[-1] * terms)[1]
    assert (slack > terms) if resolved else (slack == -1)


def test_no_terms_have_no_scale() -> None:
    assert scaled([], [], columns=[]) == (0, -1, False, [])


# Quantised weights


def test_levels_are_rounded_up_to_at_least_one_and_at_most_all_parts() -> None:
    terms: Lists = [[(0, 255.0), (1, 254.0), (2, 1.5), (3, 0.0), (17, 1.0)]]
    made = bounds_of(terms, 18)
    assert made.quantized.levels.tolist() == [255, 254, 2, 1, 1]
    assert made.quantized.columns.shape == (2, 1, 4, 4)
    assert made.quantized.columns.ravel().tolist() == [255, 254, 2, 1, *[0] * 12, 0, 1, *[0] * 14]


def test_a_term_whose_weights_are_all_zero_still_shows() -> None:
    assert bounds_of([[(0, 0.0), (2, 0.0)]], 3).quantized.levels.tolist() == [1, 1]


@pytest.mark.parametrize(("weight", "bounded"), [(0.0, True), (-1e-9, False)])
def test_a_negative_weight_has_no_bounds(weight: float, bounded: bool) -> None:
    assert (Bounds.of(postings_of([[(0, 1.0), (1, weight)]]), 2) is not None) == bounded


@pytest.mark.parametrize(("documents", "column"), [(4, True), (3, False)])
def test_a_term_of_one_document_in_sixteen_has_a_column(documents: int, column: bool) -> None:
    made = bounds_of([[(0, 1.0)], [(document, 1.0) for document in range(documents)], []], 64)
    assert made.quantized.column_of.tolist() == [-1, 0 if column else -1, -1]
    assert made.quantized.max_weights.tolist() == [1.0, 1.0, 0.0]


def test_a_batch_has_distinct_terms_and_tokens_in_order() -> None:
    batch = query_batch([[2, 0, 2], [], [1]], np.array([0.0, 0.25, 0.5]))
    assert [values.tolist() for values in batch] == [
        [0, 2, 2, 3], [0, 2, 1], [1, 2, 1], [0, 3, 3, 4], [2, 0, 2, 1], [1.0, 0.0, 0.25],
    ]  # fmt: skip


# Sums of a block


def test_a_block_is_summed_from_columns_and_postings() -> None:
    """Documents 16-23 of the second block; levels are set by hand."""
    documents = np.array([15, 17, 22, 24, 16], dtype=np.int32)
    postings = Postings(np.array([0, 4, 5]), documents, np.ones(5))
    levels = np.array([1, 10, 20, 30, 40], dtype=np.uint8)
    quantized = Quantized(24, np.ones(2), levels, np.array([-1, 0], dtype=np.int32), np.empty(0))
    columns = np.array([[[4, 0, 0, 8], [0, 12, 0, 0]]], dtype=np.uint8)
    cursors, sums, maxima = np.array([1, 4]), np.full((2, 4), 9, np.uint16), np.zeros(2, np.uint16)
    terms, factors = np.array([0, 1]), np.array([256, 6], dtype=np.uint32)
    kernel._sum_block(postings, quantized, columns, terms, factors, cursors, np.uint16(1), 16, 24, sums, maxima)
    # Postings add level * 256 >> 8, columns level * 6 >> 1.
    assert sums.tolist() == [[12, 10, 0, 24], [0, 36, 20, 0]]
    assert maxima.tolist() == [24, 36]
    assert cursors.tolist() == [3, 4]  # document 24 is in the next block


def test_maxima_are_taken_with_the_last_of_several_columns() -> None:
    quantized = Quantized(4, np.ones(2), np.empty(0, np.uint8), np.array([0, 1], dtype=np.int32), np.empty(0))
    postings = Postings(np.array([0, 0, 0]), np.empty(0, np.int32), np.empty(0))
    columns = np.array([[[1, 2, 3, 4]], [[40, 30, 20, 10]]], dtype=np.uint8)
    cursors, sums, maxima = np.array([0, 0]), np.zeros((1, 4), np.uint16), np.zeros(1, np.uint16)
    factors = np.array([3, 2], dtype=np.uint32)
    kernel._sum_block(
        postings, quantized, columns, np.array([0, 1]), factors, cursors, np.uint16(0), 0, 4, sums, maxima
    )
    assert sums.tolist() == [[83, 66, 49, 32]]
    assert maxima.tolist() == [83]


def test_maxima_are_taken_without_a_column() -> None:
    maxima = np.zeros(2, np.uint16)
    kernel._take_maxima(np.array([[1, 7, 7, 0], [0, 0, 0, 0]], np.uint16), maxima)
    assert maxima.tolist() == [7, 0]


@given(st.integers(0, 255), st.integers(1, 65535), st.integers(0, 8))
def test_a_column_adds_its_level_times_the_factor_shifted(level: int, factor: int, shift: int) -> None:
    if level * factor > 65535:
        return
    sums, maxima = np.full((1, 4), 7, np.uint16), np.zeros(1, np.uint16)
    column = np.array([[0, level, 0, 0]], np.uint8)
    if 7 + (level * factor >> shift) > 65535:
        return
    kernel._add_column(sums, column, np.uint16(factor), np.uint16(shift))
    assert sums.tolist() == [[7, 7 + (level * factor >> shift), 7, 7]]
    again = np.full((1, 4), 7, np.uint16)
    kernel._add_last_column(again, column, np.uint16(factor), np.uint16(shift), maxima)
    assert again.tolist() == sums.tolist()
    assert maxima.tolist() == [max(sums[0].tolist())]


# The k-th best sum, and candidates


@given(st.lists(st.integers(0, 65535) | st.integers(250, 520), min_size=1, max_size=40), st.data())
def test_the_kth_largest_sum_is_found_by_its_two_bytes(sums: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(sums)))
    found = kernel._kth_largest(np.array(sums, np.uint16), k, np.full(256, 3))
    assert found == sorted(sums, reverse=True)[k - 1]


class Collected:
    """One query's state while its candidates are collected."""

    def __init__(self, *, k: int, slack: int, threshold: int = 1, limit: int | None = None, capacity: int = 40) -> None:
        self.k, self.slack = k, slack
        self.threshold = np.array([threshold], np.uint16)
        self.filled = np.array([0])
        self.limit = np.array([k + 2 if limit is None else limit])
        self.candidates, self.sums = np.full(capacity, -1), np.zeros(capacity, np.uint16)

    def add(self, sums: list[list[int]], first: int = 0) -> bool:
        values = np.array(sums, np.uint16)
        fits: bool = kernel._collect_candidates(
            values, values.max(axis=1), first, self.k, self.slack, self.threshold, self.filled, self.limit,
            self.candidates, self.sums, np.zeros(256, dtype=np.int64),
        )  # fmt: skip
        return fits

    @property
    def kept(self) -> dict[int, int]:
        count = int(self.filled[0])
        return dict(zip(self.candidates[:count].tolist(), self.sums[:count].tolist(), strict=True))


def test_the_first_threshold_is_the_kth_best_maximum_of_the_chunks_less_the_slack() -> None:
    state = Collected(k=2, slack=10, limit=99)
    assert state.add([[50, 0, 0, 0], [40, 30, 29, 31], [20, 30, 0, 0]], first=100)
    assert state.threshold.tolist() == [30]
    assert state.kept == {100: 50, 104: 40, 105: 30, 107: 31, 109: 30}


def test_with_fewer_chunks_than_k_every_document_with_a_sum_is_a_candidate() -> None:
    state = Collected(k=3, slack=1, limit=99)
    assert state.add([[50, 0, 1, 0], [40, 30, 0, 0]])
    assert state.threshold.tolist() == [1]
    assert state.kept == {0: 50, 2: 1, 4: 40, 5: 30}


def test_a_known_threshold_stays_until_there_are_many_candidates() -> None:
    state = Collected(k=1, slack=0, threshold=20, limit=99)
    assert state.add([[50, 20, 19, 0]])
    assert state.threshold.tolist() == [20]
    assert state.kept == {0: 50, 1: 20}


def test_the_threshold_is_at_least_one() -> None:
    state = Collected(k=1, slack=100, limit=99)
    assert state.add([[50, 0, 0, 0]])
    assert state.threshold.tolist() == [1]


def test_many_candidates_are_pruned_to_those_that_can_be_among_the_best() -> None:
    state = Collected(k=2, slack=5, threshold=2, limit=4)
    assert state.add([[50, 45, 40, 39], [45, 2, 44, 46]])
    # After the first chunk the second best is 45, so 40 stays, 39 goes, and the limit becomes 3 + max(k, 2). After the
    # second chunk the second best is 46, so 40 goes, and the limit becomes 5 + 2.
    assert state.threshold.tolist() == [41]
    assert state.kept == {0: 50, 1: 45, 4: 45, 6: 44, 7: 46}
    assert state.limit.tolist() == [7]


@pytest.mark.parametrize(("capacity", "fits"), [(4 + 2 + 4, True), (4 + 2 + 3, False)])
def test_candidates_that_could_overflow_the_buffer_are_reported(capacity: int, fits: bool) -> None:
    state = Collected(k=1, slack=5, threshold=2, limit=4, capacity=capacity)
    assert state.add([[9, 9, 9, 9]]) is fits  # 4 are kept; 2 fresh ones and a chunk of 4 must fit behind them


def pruned(sums: list[int], *, k: int, slack: int, threshold: int = 1) -> tuple[list[int], list[int], int]:
    """Candidates that stay, their sums, and the new threshold."""
    candidates, values = np.arange(10, 10 + len(sums)), np.array(sums, np.uint16)
    limit = np.array([threshold], np.uint16)
    kept = kernel._prune_candidates(candidates, values, len(sums), k, slack, limit, np.zeros(256, dtype=np.int64))
    return candidates[:kept].tolist(), values[:kept].tolist(), int(limit[0])


def test_pruning_keeps_sums_that_come_within_the_slack_of_the_kth_best() -> None:
    assert pruned([5, 9, 7, 6], k=2, slack=1) == ([11, 12, 13], [9, 7, 6], 6)
    assert pruned([5, 9, 7, 6], k=2, slack=7) == ([10, 11, 12, 13], [5, 9, 7, 6], 1)
    assert pruned([5, 9], k=2, slack=0) == ([10, 11], [5, 9], 5)
    assert pruned([5, 9], k=3, slack=0, threshold=6) == ([11], [9], 6)  # too few to raise the threshold


# Exact scores and the best k


def test_candidates_are_scored_in_the_order_of_the_tokens() -> None:
    terms: Lists = [[(1, 0.1), (3, 0.7), (4, 1.1)], [(3, 0.2)], []]
    candidates = np.array([0, 1, 3, 4, 5])
    values = np.full(6, 99.0)
    kernel._score_candidates(
        postings_of(terms), np.array([0, 1, 2, 0]), 0.3, candidates, np.full(6, 9, np.uint32), values
    )
    assert values.tolist() == [0.3, 0.3 + 0.1 + 0.1, 0.3 + 0.7 + 0.2 + 0.7, 0.3 + 1.1 + 1.1, 0.3, 99.0]


@given(st.lists(st.integers(0, 99), min_size=1, unique=True), st.lists(st.integers(0, 99), min_size=1, unique=True))
def test_the_weight_of_each_candidate_is_looked_up(holding: list[int], candidates: list[int]) -> None:
    documents, found = np.array(sorted(holding), np.int32), np.array(sorted(candidates))
    values = np.zeros(len(found))
    kernel._add_weights(documents, documents + 1.0, found, np.zeros(len(found), np.uint32), values)
    assert values.tolist() == [document + 1.0 if document in holding else 0.0 for document in found.tolist()]


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, -1.0]), max_size=30), st.integers(1, 33))
def test_the_best_are_those_of_a_sort_by_score_and_document(values: list[float], k: int) -> None:
    candidates = np.random.default_rng(len(values)).permutation(len(values))
    found, heap = np.full(k, -1), np.empty(k)
    count = kernel._select_top(candidates, np.array(values), k, found, heap)
    pairs = sorted(zip(values, candidates.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))[:k]
    assert count == len(pairs)
    assert list(zip(heap[:count].tolist(), found[:count].tolist(), strict=True)) == pairs
    assert found[count:].tolist() == [-1] * (k - count)


def test_equal_scores_are_worse_for_the_higher_document() -> None:
    assert kernel._worse(1.0, 5, 2.0, 9)
    assert not kernel._worse(2.0, 5, 1.0, 9)
    assert kernel._worse(1.0, 5, 1.0, 4)
    assert not kernel._worse(1.0, 5, 1.0, 5)


# Whole searches at the boundaries


def test_a_query_with_a_term_that_shows_in_no_sum_is_resolved_only_above_the_first_threshold() -> None:
    """Term 1 adds 0 to a sum, so documents that have it alone are no candidates while the threshold is 1."""
    terms: Lists = [[(0, 1e6)], [(1, 1e-9), (2, 2e-9)]]
    few = bounds_of(terms, 60).search([[0, 1]], np.zeros(2), 2, threads=1)
    assert few[2].tolist() == [False]
    many: Lists = [[(document, 1e6) for document in range(0, 48, 16)], terms[1]]
    found, _, resolved = bounds_of(many, 60).search([[0, 1]], np.zeros(2), 3, threads=1)
    assert resolved.tolist() == [True]
    assert found.tolist() == [[0, 16, 32]]


def test_documents_of_all_blocks_are_found() -> None:
    terms: Lists = [[(document, 1.0 + (document * 7) % 5) for document in range(0, 53, 2)]]
    found, _, resolved = bounds_of(terms, 53).search([[0]], np.zeros(1), 27, threads=1)
    assert resolved.tolist() == [True]
    assert found[0].tolist() == exhaustive(terms, [0], [0.0], 27)[0]


def test_a_batch_is_searched_query_by_query() -> None:
    terms: Lists = [[(3, 2.0), (40, 1.0)], [(4, 1.0)]]
    queries = [[0], [], [1], [1, 0]] * 50
    found, _, resolved = bounds_of(terms, 60).search(queries, np.zeros(2), 2, threads=2)
    assert found[resolved].tolist() == [[3, 40], [4, -1], [3, 4]] * 50
    assert resolved.tolist() == [True, False, True, True] * 50


@pytest.mark.parametrize(("seconds", "told"), [(5.0, True), (0.5, False)])
def test_compiling_is_logged_where_it_took_more_than_a_second(
    seconds: float, told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    times = iter([100.0, 100.0 + seconds])
    monkeypatch.setattr(bounds.time, "perf_counter", lambda: next(times))
    postings = postings_of([[(0, 1.0), (1, 2.0)]])
    with caplog.at_level(logging.INFO):
        bounded = Bounds.of(postings, 2)
        assert bounded is not None
        bounded._compile()
    assert ("compiled the search in 5 s" in caplog.text) == told
