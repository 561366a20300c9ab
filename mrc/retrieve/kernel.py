# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"
"""The compiled loops of a pruned search: quantised sums by block, the candidates they leave, exact scores of those.

`mrc.retrieve.bounds` explains what they compute and calls `quantize` and `search`. Types are those that numba infers.
Integers are cast at each step, because numba promotes to 64 bits and a loop over those is several times slower; indices
are unsigned, because a signed one is checked for being negative; inner loops have a constant length, so that they
become vector instructions without a remainder. All functions are in one file, because numba's cache notices a change
only in the file of the function that is called.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint8, uint16, uint32

BLOCK = 16384  # documents processed together: their sums, 32 KiB, stay in the first-level cache
CHUNK = 64  # documents whose best sum represents all of them in the first pass
MAX_SUM = 0xFFFF  # largest value of a sum
LEVELS = 255  # a weight is rounded up to this many parts of its term's largest
_FRACTION = 8  # fractional bits of a factor, for terms without a column; at most so many for terms with one
_MANY = 32  # documents for each of the k best, above which a heap selects them faster than levels do
_FRESH = 192  # candidates, at least, between two updates of the k-th best sum


def _compiled(function):
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder for the cache: each process compiles anew
        return njit(nogil=True)(function)


@_compiled
def quantize(postings, max_weights, column_of, levels, columns):
    """Fill `levels` and `columns`; returns False, leaving them undefined, where a weight is negative."""
    for term in range(len(max_weights)):
        unit = max_weights[term] / LEVELS
        column = column_of[term]
        for number in range(postings.starts[term], postings.starts[term + 1]):
            weight = postings.weights[number]
            if weight < 0:
                return False
            level = uint8(max(1, min(LEVELS, np.ceil(weight / unit)))) if unit > 0 else uint8(1)
            levels[number] = level
            if column >= 0:
                block, within = divmod(postings.documents[number], BLOCK)
                columns[block, column, within // CHUNK, within % CHUNK] = level
    return True


@_compiled
def search(postings, quantized, batch, k, capacity, found, scores, resolved):
    """Fill `found`, `scores` (Q, k) and `resolved` (Q,). A query may have up to `capacity` candidates."""
    queries = len(batch.floors)
    factors = np.zeros(len(batch.terms), dtype=np.uint32)
    shifts = np.zeros(queries, dtype=np.uint16)
    slacks = np.zeros(queries, dtype=np.int64)
    visible = np.zeros(queries, dtype=np.bool_)  # each shared term shows in a sum
    for query in range(queries):
        part = slice(batch.starts[query], batch.starts[query + 1])
        terms, counts = batch.terms[part], batch.counts[part]
        shifts[query], slacks[query], visible[query] = _scale(quantized, terms, counts, factors[part])
        resolved[query] = slacks[query] >= 0

    thresholds = np.ones(queries, dtype=np.uint16)  # the smallest sum that a candidate must have
    filled = np.zeros(queries, dtype=np.int64)
    candidates = np.empty((queries, capacity), dtype=np.int32)
    candidate_sums = np.empty((queries, capacity), dtype=np.uint16)
    _select_candidates(
        postings, quantized, batch, k, factors, shifts, slacks, thresholds, filled, candidates, candidate_sums, resolved
    )  # fmt: skip

    values, heap = np.empty(capacity), np.empty(k)
    places = np.empty(capacity, dtype=np.uint32)
    for query in range(queries):
        # A document may share a term and yet have the sum 0, unless each shared term shows in a sum.
        resolved[query] = resolved[query] and (thresholds[query] > 1 or visible[query])
        if resolved[query]:
            chosen = candidates[query, : filled[query]]
            tokens = batch.tokens[batch.token_starts[query] : batch.token_starts[query + 1]]
            _score_candidates(postings, tokens, batch.floors[query], chosen, places, values)
            count = _select_top(chosen, values, k, found[query], heap)
            for rank in range(count):
                scores[query, rank] = heap[rank]


@_compiled
def search_all(postings, size, starts, tokens, floors, k, found, scores, resolved):
    """The same from the exact score of every document, added in the order of the query's tokens; for few documents.

    A query is unresolved where it has fewer than k documents above its floor, and another that shares a term with it.
    """
    values, heap = np.empty(size), np.empty(k)
    order, histogram = np.empty(size, dtype=np.int64), np.empty(256, dtype=np.int64)
    for query in range(len(floors)):
        floor = floors[query]
        values[:] = floor
        own = tokens[starts[query] : starts[query + 1]]
        for token in own:
            for number in range(postings.starts[token], postings.starts[token + 1]):
                values[uint32(postings.documents[number])] += postings.weights[number]
        count = _select_above(values, floor, k, found[query], heap, order, histogram)
        for rank in range(count):
            scores[query, rank] = heap[rank]
        resolved[query] = count == k or not _any_at(postings, own, values, floor)


@_compiled
def _any_at(postings, tokens, values, floor):
    """Whether a document that shares a term scores no more than one that does not: a weight may be 0."""
    for token in tokens:
        for number in range(postings.starts[token], postings.starts[token + 1]):
            if values[uint32(postings.documents[number])] <= floor:
                return True
    return False


@_compiled
def _select_above(values, floor, k, found, scores, order, histogram):
    """Write the k best documents above the floor into `found` and `scores`, best first; returns how many there are.

    Documents are put in order by 256 levels of their score, down to the level of the k-th, and then within a level. A
    heap of few is faster.
    """
    if k * _MANY < len(values):
        return _select_by_heap(values, floor, k, found, scores)
    highest = floor
    for document in range(len(values)):
        highest = max(highest, values[document])
    scale = LEVELS / (highest - floor) if highest > floor else 0.0
    low, total = _fill_histogram(values, floor, scale, k, histogram) if np.isfinite(scale) else (0, len(values))
    if total > 2 * k + _FRESH:  # many scores are nearly equal: sorting within a level would take long
        return _select_by_heap(values, floor, k, found, scores)
    for document in range(len(values)):
        if values[document] > floor:
            level = uint8((values[document] - floor) * scale)
            if level >= low:
                order[histogram[level]] = document
                histogram[level] += 1
    _sort_within_levels(values, order[:total])
    count = min(k, total)
    for rank in range(count):
        found[rank], scores[rank] = order[rank], values[order[rank]]
    return count


@_compiled
def _fill_histogram(values, floor, scale, k, histogram):
    """Fill `histogram` with the rank at which each level begins; returns the level of the k-th document, and how many
    have that level or a higher one."""
    histogram[:] = 0
    for document in range(len(values)):
        if values[document] > floor:
            histogram[uint8((values[document] - floor) * scale)] += 1
    low, total = 256, 0
    while low > 0 and total < k:
        low -= 1
        count = histogram[low]
        histogram[low] = total
        total += count
    return low, total


@_compiled
def _sort_within_levels(values, order):
    """Sort documents by falling score; those of equal scores stay in order. They are nearly sorted."""
    for rank in range(1, len(order)):
        document, place = order[rank], rank
        while place > 0 and values[order[place - 1]] < values[document]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = document


@_compiled
def _select_by_heap(values, floor, k, found, scores):
    size, bound = 0, floor  # what the next document must exceed: later ones of an equal score are worse
    for document in range(len(values)):
        value = values[document]
        if value > bound:
            if size < k:
                _sift_up(scores, found, size, value, document)
                size += 1
            else:
                _sift_down(scores, found, size, value, document)
            if size == k:
                bound = scores[0]
    _empty_heap(scores, found, size)
    return size


@_compiled
def _scale(quantized, terms, counts, factors):
    """Fill `factors`; returns the shift of dense columns, the slack, and whether each shared term shows in a sum.

    A term adds `level * factor >> shift` to a sum, or `>> _FRACTION` where it has no column. One unit of a sum is the
    largest possible score / MAX_SUM, so no sum overflows. A score is below (sum + number of terms + 1) units, as each
    shift drops less than one unit, and not below (sum - `excess`), as `excess` adds up what rounding up can have added.
    The slack is -1 where the query is too long.
    """
    total, largest, with_column = 0.0, 0.0, 0
    for number in range(len(terms)):
        highest = counts[number] * quantized.max_weights[terms[number]]
        total += highest
        if quantized.column_of[terms[number]] >= 0:
            largest = max(largest, highest)
            with_column += 1
    shift = _FRACTION
    while shift > 0 and np.ceil(largest * MAX_SUM * (1 << shift)) * LEVELS > total * LEVELS * MAX_SUM:
        shift -= 1  # level * factor must fit in 16 bits, too
    space = MAX_SUM - len(terms) - with_column * ((LEVELS >> shift) + 1)
    if len(terms) == 0 or space < MAX_SUM // 2:
        return uint16(0), -1, False
    unit = total / space if total > 0 else 1.0
    excess, visible = 0.0, True
    for number in range(len(terms)):
        exact = counts[number] * quantized.max_weights[terms[number]] / LEVELS / unit
        fraction = shift if quantized.column_of[terms[number]] >= 0 else _FRACTION
        factor = max(1.0, np.ceil(exact * (1 << fraction)))
        factors[number] = uint32(factor)
        excess += LEVELS * (factor / (1 << fraction) - exact) + exact
        visible = visible and factor >= 1 << fraction
    return uint16(shift), int(np.ceil(excess)) + len(terms) + 2, visible


@_compiled
def _select_candidates(
    postings, quantized, batch, k, factors, shifts, slacks, thresholds, filled, candidates, candidate_sums, resolved
):  # fmt: skip
    cursors = postings.starts[batch.terms]
    limits = np.full(len(resolved), k + _FRESH)
    size = quantized.size
    sums = np.zeros((quantized.columns.shape[2], CHUNK), dtype=np.uint16)
    maxima = np.zeros(len(sums), dtype=np.uint16)
    histogram = np.zeros(256, dtype=np.int64)
    for block in range(len(quantized.columns)):
        first = block * BLOCK
        stop = min(first + BLOCK, size)
        chunks = (stop - first + CHUNK - 1) // CHUNK
        for query in range(len(resolved)):
            if resolved[query]:
                part = slice(batch.starts[query], batch.starts[query + 1])
                _sum_block(
                    postings, quantized, quantized.columns[block], batch.terms[part], factors[part], cursors[part],
                    shifts[query], first, stop, sums[:chunks], maxima[:chunks],
                )  # fmt: skip
                resolved[query] = _collect_candidates(
                    sums, maxima[:chunks], first, k, slacks[query], thresholds[query : query + 1],
                    filled[query : query + 1], limits[query : query + 1], candidates[query], candidate_sums[query],
                    histogram,
                )  # fmt: skip
    for query in range(len(resolved)):
        if resolved[query]:
            filled[query] = _prune_candidates(
                candidates[query], candidate_sums[query], filled[query], k, slacks[query],
                thresholds[query : query + 1], histogram,
            )  # fmt: skip


@_compiled
def _sum_block(postings, quantized, columns, terms, factors, cursors, shift, first, stop, sums, maxima):
    """Fill `sums` and `maxima` (chunks,) for one query; moves its cursors to the next block."""
    for chunk in range(len(sums)):
        for within in range(CHUNK):
            sums[chunk, within] = uint16(0)
    flat = sums.reshape(-1)
    last = -1  # the term whose column is added last, while the maxima are taken
    for number in range(len(terms)):
        column = quantized.column_of[terms[number]]
        if column < 0:
            end = postings.starts[terms[number] + 1]
            cursors[number] = _add_postings(
                postings.documents, quantized.levels, cursors[number], end, first, stop, factors[number], flat
            )
        else:
            if last >= 0:
                _add_column(sums, columns[quantized.column_of[terms[last]]], uint16(factors[last]), shift)
            last = number
    if last >= 0:
        _add_last_column(sums, columns[quantized.column_of[terms[last]]], uint16(factors[last]), shift, maxima)
    else:
        _take_maxima(sums, maxima)


@_compiled
def _add_postings(documents, levels, cursor, end, first, stop, factor, sums):
    while cursor < end and documents[cursor] < stop:
        place = uint32(documents[cursor] - first)
        sums[place] = uint16(sums[place] + uint16(uint32(levels[cursor]) * factor >> uint32(_FRACTION)))
        cursor += 1
    return cursor


@_compiled
def _add_column(sums, column, factor, shift):
    shift = uint16(shift & uint16(15))  # tells the compiler that no shift exceeds the width
    for chunk in range(len(sums)):
        for within in range(CHUNK):
            weight = uint16(uint16(column[chunk, within]) * factor) >> shift
            sums[chunk, within] = uint16(sums[chunk, within] + weight)


@_compiled
def _add_last_column(sums, column, factor, shift, maxima):
    shift = uint16(shift & uint16(15))
    for chunk in range(len(sums)):
        best = uint16(0)
        for within in range(CHUNK):
            weight = uint16(uint16(column[chunk, within]) * factor) >> shift
            total = uint16(sums[chunk, within] + weight)
            sums[chunk, within] = total
            best = uint16(max(best, total))
        maxima[chunk] = best


@_compiled
def _take_maxima(sums, maxima):
    for chunk in range(len(sums)):
        best = uint16(0)
        for within in range(CHUNK):
            best = uint16(max(best, sums[chunk, within]))
        maxima[chunk] = best


@_compiled
def _collect_candidates(
    sums, maxima, first, k, slack, threshold, filled, limit, candidates, candidate_sums, histogram
):  # fmt: skip
    """Add the candidates of a block; returns whether they fit. `threshold`, `filled` and `limit` are one query's."""
    if threshold[0] == 1 and len(maxima) >= k:  # k documents, one in each chunk, reach the k-th largest maximum
        threshold[0] = uint16(max(1, _kth_largest(maxima, k, histogram) - slack))
    for chunk in range(len(maxima)):
        bound = threshold[0]
        if maxima[chunk] < bound:
            continue
        count = filled[0]
        for within in range(CHUNK):
            if sums[chunk, within] >= bound:
                candidates[count] = first + chunk * CHUNK + within
                candidate_sums[count] = sums[chunk, within]
                count += 1
        filled[0] = count
        if count >= limit[0]:
            filled[0] = _prune_candidates(candidates, candidate_sums, count, k, slack, threshold, histogram)
            limit[0] = filled[0] + max(k, _FRESH)
            if limit[0] + CHUNK > len(candidates):
                return False
    return True


@_compiled
def _prune_candidates(candidates, candidate_sums, count, k, slack, threshold, histogram):
    """Move the candidates that can still be among the k best to the front, in order; returns how many there are."""
    if count >= k:
        threshold[0] = uint16(max(1, _kth_largest(candidate_sums[:count], k, histogram) - slack))
    kept = 0
    for number in range(count):
        candidates[kept] = candidates[number]
        candidate_sums[kept] = candidate_sums[number]
        kept += candidate_sums[number] >= threshold[0]
    return kept


@_compiled
def _kth_largest(sums, k, histogram):
    """The k-th largest sum: first its high byte, then its low byte among those with that high byte."""
    histogram[:] = 0
    for number in range(len(sums)):
        histogram[sums[number] >> 8] += 1
    high, above = 255, 0
    while above + histogram[high] < k:
        above += histogram[high]
        high -= 1
    histogram[:] = 0
    for number in range(len(sums)):
        if sums[number] >> 8 == high:
            histogram[sums[number] & 255] += 1
    low = 255
    while above + histogram[low] < k:
        above += histogram[low]
        low -= 1
    return high * 256 + low


@_compiled
def _score_candidates(postings, tokens, floor, candidates, places, values):
    """Fill `values` with the exact scores of the candidates, added in the order of the query's tokens."""
    values[: len(candidates)] = floor
    for token in tokens:
        part = slice(postings.starts[token], postings.starts[token + 1])
        if part.start < part.stop:
            _add_weights(postings.documents[part], postings.weights[part], candidates, places, values)


@_compiled
def _add_weights(documents, weights, candidates, places, values):
    # One binary search for all candidates: no branch to predict, and their memory accesses overlap.
    places[: len(candidates)] = 0
    length = uint32(len(documents))
    while length > 1:
        half = uint32(length >> uint32(1))
        for number in range(len(candidates)):
            beyond = documents[uint32(places[number] + half)] <= candidates[number]
            places[number] = uint32(places[number] + (half if beyond else uint32(0)))
        length = uint32(length - half)
    for number in range(len(candidates)):
        place = places[number]
        values[number] += weights[place] if documents[place] == candidates[number] else 0.0


@_compiled
def _select_top(candidates, values, k, found, scores):
    """Write the k best into `found` and `scores`, best first; returns how many there are.

    A heap holds up to k with the worst on top.
    """
    size = 0
    for number in range(len(candidates)):
        if size < k:
            _sift_up(scores, found, size, values[number], candidates[number])
            size += 1
        elif _worse(scores[0], found[0], values[number], candidates[number]):
            _sift_down(scores, found, size, values[number], candidates[number])
    _empty_heap(scores, found, size)
    return size


@_compiled
def _empty_heap(scores, found, size):
    """Put the heap in order, best first, from the worst on."""
    for last in range(size - 1, 0, -1):
        score, document = scores[0], found[0]
        _sift_down(scores, found, last, scores[last], found[last])
        scores[last], found[last] = score, document


@_compiled
def _worse(score, document, other_score, other_document):
    return score < other_score or (score == other_score and document > other_document)


@_compiled
def _sift_up(scores, found, place, score, document):
    while place > 0:
        parent = (place - 1) // 2
        if not _worse(score, document, scores[parent], found[parent]):
            break
        scores[place], found[place] = scores[parent], found[parent]
        place = parent
    scores[place], found[place] = score, document


@_compiled
def _sift_down(scores, found, size, score, document):
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _worse(scores[child + 1], found[child + 1], scores[child], found[child]):
            child += 1
        if not _worse(scores[child], found[child], score, document):
            break
        scores[place], found[place] = scores[child], found[child]
        place = child
    scores[place], found[place] = score, document
