"""Voting on characters: independent of tokenizers, equal to a single member, same texts required."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.decode import WindowSpans
from mrc.errors import MembersDisagree
from mrc.ranking import Candidate, Ranked
from mrc.types import Answer, Passage
from mrc.voting import CharProbs, TokenScores, average, char_probs, decode_char_probs, hard_vote, span_probs

WIDTH = 3  # longest answer, in words
NOTHING = -60.0  # score of an inner boundary, next to a word's own


@st.composite
def passage(draw):
    """Words as (start, end) with scores of a reader that cuts texts at words, and its "no answer"."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    gaps = draw(st.lists(st.integers(0, 1), min_size=len(lengths), max_size=len(lengths)))
    starts = np.cumsum([0, *(length + gap for length, gap in zip(lengths, gaps, strict=True))])[:-1]
    offsets = np.stack([starts, starts + lengths], axis=1)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))  # scores without ties, which rounding may break
    return offsets, *rng.normal(0, 2, (2, len(lengths))).tolist(), draw(st.integers(-3, 3))


def scores(offsets, start, end, null, last, key="p"):
    length = int(offsets[-1, 1]) if len(offsets) else 0
    nulls = np.array([float(null)])
    floats = (np.asarray(values, np.float64) for values in (start, end))
    return TokenScores(key, length, offsets, *floats, np.asarray(last, np.int64), nulls, nulls)


def by_words(offsets, start, end, null):
    count = len(offsets)
    return scores(offsets, start, end, null, [min(at + WIDTH, count) - 1 for at in range(count)])


def cut(rng, offsets, start, end, null):
    """The same reader with words cut at random: the first piece starts as the word does, the last one ends so."""
    pieces, starts, ends, words = [], [], [], []
    for word, (first, last) in enumerate(offsets.tolist()):
        inner = [place for place in range(first + 1, last) if rng.random() < 0.5]
        edges = [first, *inner, last]
        pieces += list(itertools.pairwise(edges))
        starts += [start[word], *[NOTHING] * len(inner)]
        ends += [*[NOTHING] * len(inner), end[word]]
        words += [word] * (len(inner) + 1)
    last_of = [max(at for at, own in enumerate(words) if own <= min(word + WIDTH, len(offsets)) - 1) for word in words]
    return scores(np.array(pieces), starts, ends, null, last_of)


def spans(found, row=0):
    kept = found.score[row] > NOTHING + 20
    fields = (found.start[row][kept], found.end[row][kept], found.score[row][kept])
    return list(zip(*(field.tolist() for field in fields), strict=True))


@given(st.lists(st.tuples(passage(), passage()), min_size=1, max_size=3), st.integers(0, 1000))
def test_the_vote_does_not_depend_on_the_tokenizers(passages, seed):
    rng = np.random.default_rng(seed)
    # both members read the same words: those of the first
    drawn = [((o, s, e, n), (o, *_fitted(o, other), other[3])) for (o, s, e, n), other in passages]
    whole = [char_probs([by_words(*own[member]) for own in drawn]) for member in (0, 1)]
    pieces = [char_probs([cut(rng, *own[member]) for own in drawn]) for member in (0, 1)]
    plain = decode_char_probs([average(own) for own in zip(*whole, strict=True)], keep=5)
    mixed = decode_char_probs([average(own) for own in zip(whole[0], pieces[1], strict=True)], keep=5)
    both = decode_char_probs([average(own) for own in zip(*pieces, strict=True)], keep=5)
    for other in (mixed, both):
        assert other.total == pytest.approx(plain.total, abs=1e-12)
        assert other.null == pytest.approx(plain.null, abs=1e-12)
        for row in range(len(drawn)):
            assert spans(other, row) == [
                (start, end, pytest.approx(score, abs=1e-12)) for start, end, score in spans(plain, row)
            ]


def _fitted(offsets, other):
    """The other's scores for as many words as there are."""
    return [[(side * len(offsets))[at] for at in range(len(offsets))] for side in other[1:3]]


@given(passage(), st.integers(1, 30))
def test_the_best_spans_of_a_passage_are_those_of_an_exhaustive_search(drawn, keep):
    offsets, start, end, null = drawn
    (probs,) = char_probs([by_words(*drawn)])
    found = decode_char_probs([probs], keep=keep)
    start_total = math.log(sum(map(math.exp, [*start, null])))
    end_total = math.log(sum(map(math.exp, [*end, null])))
    every = sorted(
        (-(start[i] - start_total + end[j] - end_total), offsets[i, 0], offsets[j, 1])
        for i in range(len(offsets))
        for j in range(i, min(i + WIDTH, len(offsets)))
    )
    assert np.sort(found.score[0][np.isfinite(found.score[0])]) == pytest.approx(
        sorted(-score for score, _, _ in every[:keep])
    )
    assert found.total[0] == pytest.approx(math.log(sum(math.exp(-score) for score, _, _ in every)))
    assert found.null[0] == pytest.approx(2 * null - start_total - end_total)
    for first, last, score in spans(found):
        assert any(first == a and last == b and score == pytest.approx(-s) for s, a, b in every)


@given(passage(), passage())
def test_members_of_weight_zero_and_copies_change_nothing(drawn, other):
    (probs,) = char_probs([by_words(*drawn)])
    (second,) = char_probs([by_words(drawn[0], *_fitted(drawn[0], other), other[3])])
    alone = decode_char_probs([probs], keep=5)
    for members, weights in (
        ([probs, second], (1, 0)),
        ([second, probs], (0, 2)),
        ([probs, probs], None),
        ([probs], None),
    ):
        voted = average(members, weights)
        found = decode_char_probs([voted], keep=5)
        assert spans(found) == [(a, b, pytest.approx(score)) for a, b, score in spans(alone)]
        assert found.total == pytest.approx(alone.total)
        assert found.null == pytest.approx(alone.null)
        assert found.start_entropy == pytest.approx(alone.start_entropy, abs=1e-9)
        assert found.end_entropy == pytest.approx(alone.end_entropy, abs=1e-9)


def test_a_vote_by_hand():
    # one word each at 0-1 and 2-3; shares of starts .6 .2 and "no answer" .2, those of the other member .2 .6 .2
    offsets = np.array([[0, 1], [2, 3]])
    first = scores(offsets, np.log([6, 2]), np.log([6, 2]), math.log(2), [1, 1])
    second = scores(offsets, np.log([2, 6]), np.log([2, 6]), math.log(2), [1, 1])
    (one,), (two,) = char_probs([first]), char_probs([second])
    voted = average([one, two], (3, 1))
    assert np.exp(voted.start_log) == pytest.approx([0.75 * 0.6 + 0.25 * 0.2, 0.75 * 0.2 + 0.25 * 0.6])
    assert math.exp(voted.null_start) == pytest.approx(0.2)
    assert math.exp(voted.null) == pytest.approx(0.2 * 0.2)
    best = spans(decode_char_probs([voted], keep=3))
    assert [(start, end) for start, end, _ in best] == [(0, 1), (0, 3), (2, 3)]
    assert [math.exp(score) for _, _, score in best] == pytest.approx([0.5 * 0.5, 0.5 * 0.3, 0.3 * 0.3])


def test_stored_answers_vote_with_their_masses_and_the_second_answer_of_both_can_win():
    texts = (Passage("p", "Arnen met Ilvane at Dunmor."), Passage("q", "Sell"))

    def member(masses, null):
        spans = [
            Candidate(text, "p", 0, texts[0].text.index(text), texts[0].text.index(text) + len(text), math.log(mass))
            for text, mass in masses.items()
        ]
        return span_probs(texts, spans, null=null)

    one = member({"Arnen": 0.5, "Dunmor": 0.4}, 0.1)
    two = member({"Ilvane": 1.0, "Dunmor": 0.8}, 0.2)  # twice .5, .4 and .1: masses are normalised
    assert np.exp(one[0].start_log) == pytest.approx([0.5, 0.4])
    assert [math.exp(own.null_start) for own in one] == pytest.approx([0.1 / 2, 0.1 / 2])
    voted = [average(own) for own in zip(one, two, strict=True)]
    (first, *_) = spans(decode_char_probs(voted, keep=3))
    at = texts[0].text.index("Dunmor")
    assert first[:2] == (at, at + len("Dunmor"))
    assert math.exp(first[2]) == pytest.approx(0.4 * 0.4)
    (second, *_) = spans(decode_char_probs(one, keep=3))
    assert second[:2] == (0, len("Arnen"))


def test_the_reach_of_a_vote_is_the_largest_of_its_members():
    # three words; one member considers single words only, the other ends where all three end
    offsets = np.array([[0, 1], [2, 3], [4, 5]])
    flat = (offsets, np.zeros(3), np.zeros(3), 0.0)
    (short,), (long,) = char_probs([scores(*flat, [0, 1, 2])]), char_probs([scores(*flat, [2, 2, 2])])
    assert len(spans(decode_char_probs([average([short, short])], keep=9))) == 3
    for members in ((short, long), (long, short)):
        assert len(spans(decode_char_probs([average(members)], keep=9))) == 6


def test_tokens_with_one_boundary_add_up_and_white_space_starts_no_answer():
    # two pieces of one character, as byte-level tokenizers have, then a token of white space
    offsets = np.array([[0, 1], [0, 1], [2, 1]])
    (probs,) = char_probs([scores(offsets, np.log([1, 2, 4]), np.log([3, 4, 1]), math.log(1), [2, 2, 2])])
    assert probs.starts.tolist() == [0]
    assert probs.ends.tolist() == [1]
    assert math.exp(probs.start_log[0]) == pytest.approx((1 + 2) / 8)
    assert math.exp(probs.end_log[0]) == pytest.approx((3 + 4) / 9)


def test_a_passage_without_tokens_has_only_no_answer_in_a_vote():
    empty = scores(np.zeros((0, 2), np.int64), [], [], 0.0, [])
    found = decode_char_probs([average(char_probs([empty]) + char_probs([empty]))], keep=4)
    assert spans(found) == []
    assert found.total[0] == -np.inf
    assert found.null[0] == pytest.approx(0)  # all of the mass


def probs(**changes):
    nothing = np.zeros(0)
    empty = CharProbs(
        "3fa2b1c09d", 811, nothing.astype(int), nothing, nothing.astype(int), nothing.astype(int), nothing, 0, 0, 0
    )
    return replace(empty, **changes)


def test_members_that_read_another_text_are_reported():
    with pytest.raises(MembersDisagree) as caught:
        average([probs(), probs(length=812)], names=("models/a", "models/b"))
    assert str(caught.value) == (
        "models/b reads passage 3fa2b1c0 as 812 characters, models/a as 811: its tokenizer changes the text; "
        "leave it out"
    )
    with pytest.raises(MembersDisagree, match="member 2 votes on passage other, member 1 on 3fa2b1c0"):
        average([probs(), probs(passage_id="other")])


def ranked(text, *, null=0.2, probability=0.3, start=0):
    answers = () if text is None else (Answer(text, "p", start, start + len(text), 0.5, probability),)
    return Ranked(answers, null, (2,) if answers else (), 0.4, 0.6, 3)


def test_a_hard_vote_counts_first_answers_and_ties_go_to_the_earlier_member():
    found = hard_vote([ranked("Tarn"), ranked("Mira", start=9), ranked("mira")], str.lower)
    assert [(answer.text, answer.start) for answer in found.answers] == [("Mira", 9), ("Tarn", 0)]
    assert [answer.score for answer in found.answers] == pytest.approx([0.8 * 2 / 3, 0.8 / 3])
    assert found.null_score == pytest.approx(0.2)
    assert (found.support, found.read) == ((2, 2), 3)
    tied = hard_vote([ranked("Tarn"), ranked("Mira")], str.lower)
    assert tied.answers[0].text == "Tarn"


def test_a_hard_vote_averages_no_answer_and_entropies_and_no_probability_exceeds_its_score():
    one = replace(ranked("Tarn", null=0.5, probability=0.9), start_entropy=1.0, end_entropy=0.0)
    other = replace(ranked("Mira", null=0.1, probability=0.05), start_entropy=0.0, end_entropy=3.0, read=5)
    found = hard_vote([one, other], str.lower)
    assert found.null_score == pytest.approx((0.5 + 0.1) / 2)
    assert (found.start_entropy, found.end_entropy, found.read) == (0.5, 1.5, 5)
    assert [answer.probability for answer in found.answers] == pytest.approx([0.7 / 2, 0.05])


def test_a_member_without_an_answer_has_no_vote():
    found = hard_vote([ranked(None, null=1.0), ranked("Tarn", null=0.0)], str.lower)
    assert [(answer.text, answer.score) for answer in found.answers] == [("Tarn", 0.5)]
    assert hard_vote([ranked(None, null=1.0)], str.lower).answers == ()


def test_fewer_spans_than_requested_leave_empty_places():
    found = decode_char_probs([probs()], keep=2)
    assert isinstance(found, WindowSpans)
    assert found.score.tolist() == [[-np.inf, -np.inf]]


@given(passage(), passage(), st.floats(-4, 4))
def test_a_prior_is_added_to_every_span_of_its_passage(one, other, prior):
    """As in `read_groups`: a single member answers as without voting, also with priors."""
    members = [by_words(*one), replace(by_words(*other), passage_id="q")]
    plain, raised = (decode_char_probs(char_probs(members, priors), keep=40) for priors in ((), (0.0, prior)))
    kept = np.isfinite(plain.score)
    lifts = np.where(kept, raised.score, 0) - np.where(kept, plain.score, 0)
    for row in (0, 1):
        own = lifts[row][kept[row]]
        assert own == pytest.approx(np.full(len(own), own[0]), abs=1e-9)
    assert lifts[1, 0] - lifts[0, 0] == pytest.approx(prior, abs=1e-9)
    assert raised.null[1] - plain.null[1] - (raised.null[0] - plain.null[0]) == pytest.approx(prior, abs=1e-9)
