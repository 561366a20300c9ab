"""Decoding and ranking: equal to exhaustive search, with and without a pair term, in one softmax."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.decode import SLAB, Logits, WindowSpans, best_of_passages, decode_windows, trimmed
from mrc.ranking import Candidate, rank_answers


def exhaustive(start, end, starts, context, longest, pair=None):
    """All allowed (score, start, end), best first; ties: earlier start, shorter span."""
    spans = [
        (float(start[i]) + float(end[j]) + (float(pair[i, j - i]) if pair is not None else 0.0), i, j)
        for i in range(len(start))
        for j in range(i, min(i + longest, len(start)))
        if starts[i] and context[j]
    ]
    return sorted(spans, key=lambda span: (-span[0], span[1], span[2]))


@st.composite
def window(draw):
    length = draw(st.integers(2, 14))
    numbers = st.lists(st.integers(-6, 6), min_size=length, max_size=length)
    context = np.array(draw(st.lists(st.booleans(), min_size=length, max_size=length)))
    owned = context & np.array(draw(st.lists(st.booleans(), min_size=length, max_size=length)))
    return np.array(draw(numbers), np.float32), np.array(draw(numbers), np.float32), owned, context


def pairs_of(length, longest, seed):
    """Whole numbers for each start and length of a span, -inf past the end."""
    pair = np.random.default_rng(seed).integers(-6, 7, (length, longest)).astype(np.float32)
    pair[np.add.outer(np.arange(length), np.arange(longest)) >= length] = -np.inf
    return pair


def decode(start, end, owned, context, *, longest, n_best=5, pair=None):
    return decode_windows(
        Logits(start[None], end[None], None if pair is None else pair[None]),
        starts=owned[None],
        context=context[None],
        null=np.array([0]),
        max_answer_length=longest,
        keep=n_best,
    )


SEEDS = st.one_of(st.none(), st.integers(0, 10_000))  # of the pair term; None for a head without one


@given(window(), st.integers(1, 6), st.integers(1, 8), SEEDS)
def test_the_best_spans_are_those_of_an_exhaustive_search(drawn, longest, n_best, seed):
    pair = None if seed is None else pairs_of(len(drawn[0]), longest, seed)
    expected = exhaustive(*drawn, longest, pair)[:n_best]
    found = decode(*drawn, longest=longest, n_best=n_best, pair=pair)
    kept = np.isfinite(found.score[0])
    spans = list(zip(found.score[0][kept], found.start[0][kept], found.end[0][kept], strict=True))
    assert spans == expected


@given(window(), st.integers(1, 6), SEEDS)
def test_the_total_and_the_entropies_are_those_of_all_spans(drawn, longest, seed):
    pair = None if seed is None else pairs_of(len(drawn[0]), longest, seed)
    spans = exhaustive(*drawn, longest, pair)
    found = decode(*drawn, longest=longest, pair=pair)
    if not spans:
        assert found.total[0] == -np.inf
        assert found.start_entropy[0] == found.end_entropy[0] == 0
        return
    mass = sum(math.exp(score) for score, _, _ in spans)
    assert found.total[0] == pytest.approx(math.log(mass))
    for entropy, place in ((found.start_entropy[0], 1), (found.end_entropy[0], 2)):
        shares = [
            sum(math.exp(span[0]) for span in spans if span[place] == at) / mass
            for at in {span[place] for span in spans}
        ]
        assert entropy == pytest.approx(-sum(share * math.log(share) for share in shares), abs=1e-9)


def test_a_pair_term_of_zeros_changes_nothing_for_any_number_of_windows():
    rng, count, length, longest = np.random.default_rng(0), SLAB + 3, 9, 4
    start, end = rng.normal(size=(2, count, length)).astype(np.float32)
    everywhere = np.ones((count, length), bool)
    masks = {"starts": everywhere, "context": everywhere, "null": np.zeros(count, np.int64)}
    zeros = np.zeros((count, length, longest), np.float32)
    plain = decode_windows(Logits(start, end), **masks, max_answer_length=longest, keep=6)
    paired = decode_windows(Logits(start, end, zeros), **masks, max_answer_length=longest, keep=6)
    assert np.array_equal(plain.start, paired.start)
    assert np.array_equal(plain.end, paired.end)
    assert plain.score == pytest.approx(paired.score)
    assert plain.total == pytest.approx(paired.total)
    assert plain.end_entropy == pytest.approx(paired.end_entropy)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.lists(st.integers(-3, 3), min_size=3, max_size=3)),
        max_size=8,
    ),
    st.integers(1, 5),
    st.integers(0, 100),
)
def test_the_best_spans_of_a_passage_are_those_of_all_its_windows(windows, keep, seed):
    rng = np.random.default_rng(seed)
    count = len(windows)
    scores = np.array([scores for _, _, scores in windows], np.float64).reshape(count, 3)
    scores[rng.random((count, 3)) < 0.2] = -np.inf
    starts, lengths = rng.integers(0, 4, (2, count, 3))
    groups, ranks = (np.array([w[at] for w in windows], np.int64) for at in (0, 1))
    blank = np.zeros(count)
    found = WindowSpans(starts, starts, scores, blank, blank, blank, blank)
    picked = best_of_passages(found, group=groups, rank=ranks, char_start=starts, char_end=starts + lengths, keep=keep)
    expected = []
    for place in sorted(set(zip(groups.tolist(), ranks.tolist(), strict=True))):
        spans = [
            (-scores[w, n], starts[w, n], lengths[w, n])
            for w in range(count)
            for n in range(3)
            if (groups[w], ranks[w]) == place and lengths[w, n] and np.isfinite(scores[w, n])
        ]
        expected += [(*place, start, start + length, -score) for score, start, length in sorted(spans)[:keep]]
    fields = (picked.group, picked.rank, picked.start, picked.end, picked.score)
    assert list(zip(*(field.tolist() for field in fields), strict=True)) == expected


@given(st.text(st.sampled_from("a\u00a0 \t\u3000한🚀\ud800"), max_size=12), st.data())
def test_offsets_are_trimmed_like_strip(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    (first, last) = trimmed(text, np.array([[start, end]]))[0]
    stripped = text[start:end].strip()
    if stripped:
        assert text[first:last] == stripped
        assert start <= first < last <= end
    else:
        assert first >= last


def test_equal_spans_are_ordered_by_start_then_length():
    zeros, everywhere = np.zeros(4, np.float32), np.ones(4, bool)
    found = decode(zeros, zeros, everywhere, everywhere, longest=2, n_best=4)
    assert list(zip(found.start[0], found.end[0], strict=True)) == [(0, 0), (0, 1), (1, 1), (1, 2)]


def spans_of(total, null):
    """Decoded windows of which only the normalising parts matter."""
    count = len(total)
    nothing = np.zeros((count, 0), np.int64)
    zeros = np.zeros(count)
    return WindowSpans(nothing, nothing, np.zeros((count, 0)), np.array(total), np.array(null), zeros, zeros)


def test_one_softmax_runs_over_all_passages_and_every_no_answer():
    # spans: 6 and 2 in one passage, 1 in another; "no answer": 0.5 and 0.5; all together 10
    windows = spans_of([math.log(8), math.log(1)], [math.log(0.5), math.log(0.5)])
    candidates = [
        Candidate("Tarn", "p1", 0, 0, 4, math.log(6)),
        Candidate("Oland", "p1", 0, 10, 15, math.log(2)),
        Candidate("tarn.", "p2", 1, 5, 10, math.log(1)),
    ]
    ranked = rank_answers(candidates, windows, normalize=lambda text: text.lower().strip("."), n_best_size=5, read=1)
    first, second = ranked.answers
    assert (first.text, first.passage_id, first.start) == ("Tarn", "p1", 0)
    assert first.score == pytest.approx((6 + 1) / 10)
    assert first.probability == pytest.approx(6 / 10)
    assert second.score == pytest.approx(2 / 10)
    assert ranked.null_score == pytest.approx((0.5 + 0.5) / 10)
    assert ranked.support == (2, 1)
    # each window's spans start at one place (entropy 0 within), so the starts are 8, 1, 0.5, 0.5 of 10
    assert ranked.start_entropy == pytest.approx(-sum(p * math.log(p) for p in (0.8, 0.1, 0.05, 0.05)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a", "p2", 0, 9, 10), ("b", "p1", 1, 0, 1)),  # the better-ranked passage
        (("a", "p1", 0, 3, 9), ("b", "p1", 0, 4, 5)),  # the earlier start
        (("a", "p1", 0, 3, 4), ("b", "p1", 0, 3, 5)),  # the shorter span
    ],
)
def test_equal_scores_are_ranked_by_passage_then_start_then_length(first, second):
    windows = spans_of([math.log(4)], [math.log(4)])
    for order in ((first, second), (second, first)):
        candidates = [Candidate(*fields, math.log(2)) for fields in order]
        ranked = rank_answers(candidates, windows, normalize=str, n_best_size=2, read=1)
        assert [answer.text for answer in ranked.answers] == ["a", "b"]


def test_equal_masses_are_ranked_by_the_most_probable_span():
    windows = spans_of([math.log(4)], [-np.inf])
    halves = [Candidate("a", "p1", 0, 0, 1, 0.0), Candidate("a", "p1", 0, 4, 5, 0.0)]
    found = rank_answers(
        [*halves, Candidate("b", "p2", 1, 0, 1, math.log(2))], windows, normalize=str, n_best_size=2, read=2
    )
    assert [(answer.text, answer.score) for answer in found.answers] == [("b", 0.5), ("a", 0.5)]


def test_entropies_add_those_within_the_windows_for_starts_and_ends_separately():
    windows = replace(
        spans_of([math.log(3), math.log(1)], [-np.inf, -np.inf]),
        start_entropy=np.array([0.4, 0.8]),
        end_entropy=np.array([0.1, 0.2]),
    )
    ranked = rank_answers([], windows, normalize=str, n_best_size=1, read=2)
    between = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert ranked.start_entropy == pytest.approx(between + 0.75 * 0.4 + 0.25 * 0.8)
    assert ranked.end_entropy == pytest.approx(between + 0.75 * 0.1 + 0.25 * 0.2)
    assert (ranked.answers, ranked.support, ranked.read) == ((), (), 2)


def test_only_the_best_answers_are_kept_each_with_its_support():
    windows = spans_of([math.log(6)], [-np.inf])
    candidates = [Candidate(text, "p", 0, at, at + 1, math.log(3 - at)) for at, text in enumerate("abc")]
    candidates.append(Candidate("b", "q", 1, 0, 1, math.log(0.5)))
    ranked = rank_answers(candidates, windows, normalize=str, n_best_size=2, read=2)
    assert [(answer.text, answer.score) for answer in ranked.answers] == [
        ("a", pytest.approx(3 / 6)),
        ("b", pytest.approx(2.5 / 6)),
    ]
    assert ranked.support == (1, 2)


def test_texts_that_normalise_to_nothing_are_not_merged():
    windows = spans_of([math.log(2)], [-np.inf])
    candidates = [Candidate("the", "p", 0, 0, 3, 0.0), Candidate("!", "p", 0, 4, 5, 0.0)]
    ranked = rank_answers(candidates, windows, normalize=lambda text: "", n_best_size=5, read=1)
    assert [answer.text for answer in ranked.answers] == ["the", "!"]
