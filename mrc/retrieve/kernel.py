# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"
"""The compiled loops of a search: sums of rounded gains by block, the candidates they leave, exact scores of those.

`mrc.retrieve.bounds` says what they compute and calls `round_up` and `search`. Types are what numba infers, not mypy.
Integers are cast at each step, as numba's promote to 64 bits and a loop over those is several times slower; indices are
unsigned, as a signed one is checked for being negative; inner loops have a constant length, so that they become
vectors without a rest.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint8, uint16, uint32

BLOCK = 16384  # documents whose sums, 32 KiB, are in the first-level cache at a time
CHUNK = 64  # documents whose best sum stands for all of them in the first look
MOST = 0xFFFF  # what a sum can hold
LEVELS = 255  # a gain is rounded up to this many parts of its term's largest
_FRACTION = 8  # bits after the point of a factor, for terms without a column and at most for those with one
_FRESH = 192  # candidates, at least, between two looks for the k-th best sum


def _compiled(function):
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to keep compiled code in: each process compiles anew
        return njit(nogil=True)(function)


@_compiled
def round_up(postings, tops, places, levels, columns):
    """Whether no gain is below 0; if so, `levels` and `columns` are filled."""
    for term in range(len(tops)):
        unit = tops[term] / LEVELS
        place = places[term]
        for number in range(postings.starts[term], postings.starts[term + 1]):
            gain = postings.gains[number]
            if gain < 0:
                return False
            level = uint8(max(1, min(LEVELS, np.ceil(gain / unit)))) if unit > 0 else uint8(1)
            levels[number] = level
            if place >= 0:
                block, within = divmod(postings.documents[number], BLOCK)
                columns[block, place, within // CHUNK, within % CHUNK] = level
    return True


@_compiled
def search(postings, bounds, batch, k, room, found, scores, settled):
    """Nothing; fills `found`, `scores` (Q, k) and `settled` (Q,). A query may have up to `room` candidates."""
    queries = len(batch.floors)
    factors = np.zeros(len(batch.terms), dtype=np.uint32)
    shifts = np.zeros(queries, dtype=np.uint16)
    slacks = np.zeros(queries, dtype=np.int64)
    sure = np.zeros(queries, dtype=np.bool_)
    for query in range(queries):
        part = slice(batch.starts[query], batch.starts[query + 1])
        terms, counts = batch.terms[part], batch.counts[part]
        shifts[query], slacks[query], sure[query] = _scale(bounds, terms, counts, factors[part])
        settled[query] = slacks[query] >= 0

    least = np.ones(queries, dtype=np.uint16)  # the smallest sum that a candidate must have
    filled = np.zeros(queries, dtype=np.int64)
    candidates = np.empty((queries, room), dtype=np.int32)
    sums_of = np.empty((queries, room), dtype=np.uint16)
    _find_candidates(
        postings, bounds, batch, k, factors, shifts, slacks, least, filled, candidates, sums_of, settled
    )  # fmt: skip

    values, heap = np.empty(room), np.empty(k)
    places = np.empty(room, dtype=np.uint32)
    for query in range(queries):
        # A document may share a term and yet have the sum 0, unless it is sure that a sum shows each term.
        settled[query] = settled[query] and (least[query] > 1 or sure[query])
        if settled[query]:
            chosen = candidates[query, : filled[query]]
            tokens = batch.tokens[batch.token_starts[query] : batch.token_starts[query + 1]]
            _score(postings, tokens, batch.floors[query], chosen, places, values)
            count = _best(chosen, values, k, found[query], heap)
            for rank in range(count):
                scores[query, rank] = heap[rank]


@_compiled
def _scale(bounds, terms, counts, factors):
    """Shift of the factors of columns, slack (-1: the query is too long), and whether a sum shows each term.

    A term adds `level * factor >> shift` to a sum, or `>> _FRACTION` where it has no column. One unit of a sum is the
    largest possible score / MOST, so no sum overflows. A score is below (sum + number of terms + 1) units, as each
    shift drops less than one, and not below (sum - `over`), as `over` adds up what rounding up can have added.
    """
    total, widest, with_column = 0.0, 0.0, 0
    for number in range(len(terms)):
        top = counts[number] * bounds.tops[terms[number]]
        total += top
        if bounds.places[terms[number]] >= 0:
            widest = max(widest, top)
            with_column += 1
    shift = _FRACTION
    while shift > 0 and np.ceil(widest * MOST * (1 << shift)) * LEVELS > total * LEVELS * MOST:
        shift -= 1  # level * factor must fit in 16 bits, too
    space = MOST - len(terms) - with_column * ((LEVELS >> shift) + 1)
    if len(terms) == 0 or space < MOST // 2:
        return uint16(0), -1, False
    unit = total / space if total > 0 else 1.0
    over, sure = 0.0, True
    for number in range(len(terms)):
        exact = counts[number] * bounds.tops[terms[number]] / LEVELS / unit
        fraction = shift if bounds.places[terms[number]] >= 0 else _FRACTION
        factor = max(1.0, np.ceil(exact * (1 << fraction)))
        factors[number] = uint32(factor)
        over += LEVELS * (factor / (1 << fraction) - exact) + exact
        sure = sure and factor >= 1 << fraction
    return uint16(shift), int(np.ceil(over)) + len(terms) + 2, sure


@_compiled
def _find_candidates(
    postings, bounds, batch, k, factors, shifts, slacks, least, filled, candidates, sums_of, settled
):  # fmt: skip
    cursors = postings.starts[batch.terms]
    limits = np.full(len(settled), k + _FRESH)
    size = bounds.size
    sums = np.zeros((bounds.columns.shape[2], CHUNK), dtype=np.uint16)
    maxima = np.zeros(len(sums), dtype=np.uint16)
    tally = np.zeros(256, dtype=np.int64)
    for block in range(len(bounds.columns)):
        first = block * BLOCK
        stop = min(first + BLOCK, size)
        chunks = (stop - first + CHUNK - 1) // CHUNK
        for query in range(len(settled)):
            if settled[query]:
                part = slice(batch.starts[query], batch.starts[query + 1])
                _sum_block(
                    postings, bounds, bounds.columns[block], batch.terms[part], factors[part], cursors[part],
                    shifts[query], first, stop, sums[:chunks], maxima[:chunks],
                )  # fmt: skip
                settled[query] = _collect(
                    sums, maxima[:chunks], first, k, slacks[query], least[query : query + 1],
                    filled[query : query + 1], limits[query : query + 1], candidates[query], sums_of[query], tally,
                )  # fmt: skip
    for query in range(len(settled)):
        if settled[query]:
            filled[query] = _keep_best(
                candidates[query], sums_of[query], filled[query], k, slacks[query], least[query : query + 1], tally
            )


@_compiled
def _sum_block(postings, bounds, columns, terms, factors, cursors, shift, first, stop, sums, maxima):
    for chunk in range(len(sums)):
        for within in range(CHUNK):
            sums[chunk, within] = uint16(0)
    flat = sums.reshape(-1)
    last = -1  # the term whose column is added last, while the maxima are taken
    for number in range(len(terms)):
        place = bounds.places[terms[number]]
        if place < 0:
            end = postings.starts[terms[number] + 1]
            cursors[number] = _add_postings(
                postings.documents, bounds.levels, cursors[number], end, first, stop, factors[number], flat
            )
        else:
            if last >= 0:
                _add(sums, columns[bounds.places[terms[last]]], uint16(factors[last]), shift)
            last = number
    if last >= 0:
        _add_last(sums, columns[bounds.places[terms[last]]], uint16(factors[last]), shift, maxima)
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
def _add(sums, column, factor, shift):
    shift = uint16(shift & uint16(15))  # says that no shift is beyond the width, which would need care
    for chunk in range(len(sums)):
        for within in range(CHUNK):
            gain = uint16(uint16(column[chunk, within]) * factor) >> shift
            sums[chunk, within] = uint16(sums[chunk, within] + gain)


@_compiled
def _add_last(sums, column, factor, shift, maxima):
    shift = uint16(shift & uint16(15))
    for chunk in range(len(sums)):
        best = uint16(0)
        for within in range(CHUNK):
            gain = uint16(uint16(column[chunk, within]) * factor) >> shift
            total = uint16(sums[chunk, within] + gain)
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
def _collect(sums, maxima, first, k, slack, least, filled, limit, candidates, sums_of, tally):
    """Whether the candidates of this block found room. `least`, `filled` and `limit` are those of one query."""
    if least[0] == 1 and len(maxima) >= k:  # k documents, one of each chunk, reach the k-th best of the maxima
        least[0] = uint16(max(1, _kth(maxima, k, tally) - slack))
    for chunk in range(len(maxima)):
        bound = least[0]
        if maxima[chunk] < bound:
            continue
        count = filled[0]
        for within in range(CHUNK):
            if sums[chunk, within] >= bound:
                candidates[count] = first + chunk * CHUNK + within
                sums_of[count] = sums[chunk, within]
                count += 1
        filled[0] = count
        if count >= limit[0]:
            filled[0] = _keep_best(candidates, sums_of, count, k, slack, least, tally)
            limit[0] = filled[0] + max(k, _FRESH)
            if limit[0] + CHUNK > len(candidates):
                return False
    return True


@_compiled
def _keep_best(candidates, sums_of, count, k, slack, least, tally):
    """How many candidates can still be among the k best; they move to the front, in their order."""
    if count >= k:
        least[0] = uint16(max(1, _kth(sums_of[:count], k, tally) - slack))
    kept = 0
    for number in range(count):
        candidates[kept] = candidates[number]
        sums_of[kept] = sums_of[number]
        kept += sums_of[number] >= least[0]
    return kept


@_compiled
def _kth(sums, k, tally):
    """The k-th largest: first its high byte, then its low byte among those with that high byte."""
    tally[:] = 0
    for number in range(len(sums)):
        tally[sums[number] >> 8] += 1
    high, above = 255, 0
    while above + tally[high] < k:
        above += tally[high]
        high -= 1
    tally[:] = 0
    for number in range(len(sums)):
        if sums[number] >> 8 == high:
            tally[sums[number] & 255] += 1
    low = 255
    while above + tally[low] < k:
        above += tally[low]
        low -= 1
    return high * 256 + low


@_compiled
def _score(postings, tokens, floor, candidates, places, values):
    values[: len(candidates)] = floor
    for token in tokens:
        part = slice(postings.starts[token], postings.starts[token + 1])
        if part.start < part.stop:
            _add_gains(postings.documents[part], postings.gains[part], candidates, places, values)


@_compiled
def _add_gains(documents, gains, candidates, places, values):
    # A binary search for all at once: it has no branch to foresee, and they wait for memory together.
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
        values[number] += gains[place] if documents[place] == candidates[number] else 0.0


@_compiled
def _best(candidates, values, k, found, scores):
    """How many of the k best there are; they go into `found` and `scores`.

    Up to k are held in a heap with the worst on top, which is emptied from the worst on.
    """
    held = 0
    for number in range(len(candidates)):
        if held < k:
            _rise(scores, found, held, values[number], candidates[number])
            held += 1
        elif _worse(scores[0], found[0], values[number], candidates[number]):
            _sink(scores, found, held, values[number], candidates[number])
    for last in range(held - 1, 0, -1):
        score, document = scores[0], found[0]
        _sink(scores, found, last, scores[last], found[last])
        scores[last], found[last] = score, document
    return held


@_compiled
def _worse(score, document, other_score, other_document):
    return score < other_score or (score == other_score and document > other_document)


@_compiled
def _rise(scores, found, place, score, document):
    while place > 0:
        parent = (place - 1) // 2
        if not _worse(score, document, scores[parent], found[parent]):
            break
        scores[place], found[place] = scores[parent], found[parent]
        place = parent
    scores[place], found[place] = score, document


@_compiled
def _sink(scores, found, held, score, document):
    place = 0
    while 2 * place + 1 < held:
        child = 2 * place + 1
        if child + 1 < held and _worse(scores[child + 1], found[child + 1], scores[child], found[child]):
            child += 1
        if not _worse(scores[child], found[child], score, document):
            break
        scores[place], found[place] = scores[child], found[child]
        place = child
    scores[place], found[place] = score, document
