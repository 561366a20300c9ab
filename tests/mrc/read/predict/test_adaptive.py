"""Adaptive reading: masses of answers, and stopping rules that keep their risk."""

import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.ranking import Candidate
from mrc.read.predict.adaptive import Masses, StoppingRule, fit_stopping, masses, stops

TEXTS = ("a", "A", "b", "c")  # the first two are one answer


@st.composite
def question(draw):
    """Spans of up to four passages with whole-number scores, and the log mass of each passage."""
    count = draw(st.integers(1, 4))
    spans = st.tuples(st.sampled_from(TEXTS), st.integers(0, count - 1), st.integers(0, 6))
    found = [
        Candidate(text, f"p{rank}", rank, place, place + 1, float(score))
        for place, (text, rank, score) in enumerate(draw(st.lists(spans, max_size=10)))
    ]
    kept = [math.fsum(math.exp(span.score) for span in found if span.rank == rank) for rank in range(count)]
    return found, [math.log(mass + draw(st.floats(0.5, 50))) for mass in kept]


def summed(spans):
    """The mass of each answer."""
    held = {}
    for span in spans:
        held[span.text.lower()] = held.get(span.text.lower(), 0.0) + math.exp(span.score)
    return held


@given(question())
def test_masses_are_sums_over_the_passages_read_and_unread(drawn):
    spans, totals = drawn
    found = masses(spans, totals, normalize=str.lower)
    for read in range(1, len(totals) + 1):
        held = summed([span for span in spans if span.rank < read])
        coming = summed([span for span in spans if span.rank >= read])
        best = [*sorted(held.values(), reverse=True), 0.0, 0.0]
        everything = sum(math.exp(total) for total in totals[:read])
        assert np.exp(found.total[read - 1]) == pytest.approx(everything)
        assert found.margins[read - 1] == pytest.approx((best[0] - best[1]) / everything)
        assert found.gains[read - 1] == pytest.approx(max(coming.values(), default=0.0) / everything)
        assert held.get(found.answer[read - 1], 0.0) == pytest.approx(best[0])


@given(question())
def test_an_answer_that_leads_by_more_than_the_unread_passages_can_add_remains_the_best(drawn):
    found = masses(*drawn, normalize=str.lower)
    for answer, margin, gain in zip(found.answer, found.margins, found.gains, strict=True):
        if margin > gain + 1e-9:
            assert answer == found.answer[-1]


def test_masses_by_hand():
    # passage 1 holds a 4, b 2 and 4 more; passage 2 a 1, b 5 and 4 more: b leads at last, by 7 to 5
    spans = [
        Candidate("a", "p0", 0, 0, 1, math.log(4)),
        Candidate("b", "p0", 0, 2, 3, math.log(2)),
        Candidate("A", "p1", 1, 0, 1, math.log(1)),
        Candidate("b", "p1", 1, 2, 3, math.log(5)),
    ]
    found = masses(spans, [math.log(10), math.log(10)], normalize=str.lower)
    assert found.answer == ("a", "b")
    assert found.margins == pytest.approx([(4 - 2) / 10, (7 - 5) / 20])
    assert found.gains == pytest.approx([5 / 10, 0])


def test_passages_without_a_span_have_no_answer():
    found = masses([], [0.0, 1.0], normalize=str.lower)
    assert found.answer == ("", "")
    assert found.margins == pytest.approx([0, 0])


@pytest.mark.parametrize(
    ("read", "margin", "done"), [(1, 0.31, True), (1, 0.3, False), (2, 0.2, True), (3, 0.9, False)]
)
def test_reading_stops_above_the_threshold_of_the_number_of_passages_read(read, margin, done):
    rule = StoppingRule((0.3, 0.1), risk=0.01, questions=1, changed=0, passages=0.5)
    assert stops(rule, read=read, passages=3, margin=margin) is done


@pytest.mark.parametrize(("passages", "done"), [(1, False), (2, True), (3, True), (4, False), (5, False)])
def test_a_question_with_more_passages_than_the_rule_was_fitted_on_is_not_stopped(passages, done):
    rule = StoppingRule((0.3, 0.1), risk=0.01, questions=1, changed=0, passages=0.5)  # of up to three
    assert stops(rule, read=1, passages=passages, margin=1.0) is done


def drawn(rng, count, passages=4):
    """Questions of unlike difficulty whose first passages say more: margins and gains that go together loosely."""
    questions = []
    for _ in range(count):
        weights = rng.gamma(0.4, size=(3, passages)) * 0.6 ** np.arange(passages)
        spans = [
            Candidate(TEXTS[1 + row], f"p{rank}", rank, row, row + 1, float(np.log(weights[row, rank] + 1e-9)))
            for row in range(3)
            for rank in range(passages)
        ]
        totals = np.log(weights.sum(axis=0) + rng.gamma(1.0, size=passages) * 0.1)
        questions.append(masses(spans, totals.tolist(), normalize=str.lower))
    return questions


def alone(questions):
    """Questions that were drawn one by one."""
    return [[own] for own in questions]


def changes(rule, questions):
    """The share of the questions whose answer is another under the rule, and the share of their passages read."""
    read = [
        next(
            (
                place
                for place, margin in enumerate(own.margins, 1)
                if stops(rule, read=place, passages=len(own.answer), margin=margin)
            ),
            len(own.answer),
        )
        for own in questions
    ]
    changed = [own.answer[place - 1] != own.answer[-1] for own, place in zip(questions, read, strict=True)]
    return float(np.mean(changed)), sum(read) / sum(len(own.answer) for own in questions)


def test_a_fitted_rule_changes_no_more_answers_of_new_questions_than_its_risk():
    rng, risk, draws = np.random.default_rng(0), 0.1, 200
    pool = drawn(rng, 3000)
    rates, reads = [], []
    for _ in range(draws):
        order = rng.permutation(len(pool))
        rule = fit_stopping(alone(pool[at] for at in order[:160]), risk=risk)
        rate, read = changes(rule, [pool[at] for at in order[160:460]])
        rates.append(rate)
        reads.append(read)
    assert np.mean(rates) <= risk + 3 * np.std(rates) / np.sqrt(draws)
    assert np.mean(rates) > risk / 4  # it does stop early, and sometimes too early
    assert np.mean(reads) < 0.8


def test_a_rule_reports_its_effect_on_the_questions_that_chose_it():
    pool = drawn(np.random.default_rng(1), 400)
    rule = fit_stopping(alone(pool), risk=0.05)
    rate, read = changes(rule, pool[1::2])
    assert rule.questions == 200
    assert rule.changed == round(200 * rate)
    assert rule.changed + 1 <= 0.05 * 201
    assert rule.passages == pytest.approx(read)
    assert all(0 <= threshold <= 1 for threshold in rule.thresholds)
    assert len(rule.thresholds) == 3


def test_a_larger_risk_reads_less():
    pool = drawn(np.random.default_rng(2), 600)
    careful, bold = (fit_stopping(alone(pool), risk=risk) for risk in (0.02, 0.2))
    assert careful.passages > bold.passages


@pytest.mark.parametrize("count", [0, 1, 2, 196])
def test_too_few_questions_allow_no_stopping_and_the_log_says_so(count, caplog):
    # a risk of .01 needs n >= 1 / .01 - 1 = 99 questions in the half that chooses
    with caplog.at_level(logging.WARNING):
        rule = fit_stopping(alone(drawn(np.random.default_rng(3), count)), risk=0.01)
    assert set(rule.thresholds) <= {1.0}
    assert rule.passages == 1
    assert f"{count // 2} held-out questions of {count // 2} split groups allow no stopping at risk 0.01" in caplog.text


def test_questions_may_have_different_numbers_of_passages():
    one = masses([Candidate("a", "p", 0, 0, 1, 1.0)], [2.0], normalize=str.lower)
    assert fit_stopping([[one]] * 40, risk=0.2).thresholds == ()
    mixed = [own for pair in zip(drawn(np.random.default_rng(4), 40), [one] * 40, strict=True) for own in pair]
    assert len(fit_stopping(alone(mixed), risk=0.2).thresholds) == 3


def test_margins_and_gains_are_shares_of_what_was_read():
    found = Masses(*(np.log(np.array([value])) for value in (4.0, 1.0, 2.0, 8.0)), answer=("a",))
    assert found.margins == pytest.approx([(4 - 1) / 8])
    assert found.gains == pytest.approx([2 / 8])


def made(margins, gains, answers):
    """A question with these margins and gains, everything read weighing 1."""
    with np.errstate(divide="ignore"):
        top, gain = np.log(margins), np.log(gains)
    nothing = np.full(len(answers), -np.inf)
    return Masses(top, nothing, gain, np.zeros(len(answers)), tuple(answers))


def test_thresholds_are_quantiles_of_the_gains_and_a_changed_answer_counts_at_every_larger_share():
    # Gains of the half that gives thresholds: i/100 after one passage, .6 i/100 after two. The others lead by .3 and
    # then .5. As the share e of gains left above grows, the second threshold .6 (1 - e) falls below .5 at e = 1/6,
    # where the answer would be b, and the first one, 1 - e, below .3 at e = .7, where it would be a again.
    family = [made((0.9, 0.9, 0.9), (i / 100, 0.6 * i / 100, 0), "aaa") for i in range(101)]
    judged = [made((0.3, 0.5, 0.9), (0, 0, 0), "aba")] * 101
    rule = fit_stopping([[own] for pair in zip(family, judged, strict=True) for own in pair], risk=0.05)
    assert rule.thresholds == pytest.approx((0.84, 0.6 * 0.84))
    assert (rule.changed, rule.passages) == (0, 1)


def test_one_question_more_than_the_risk_needs_is_enough():
    # 1 / .01 - 1 = 99 questions choose; every lead is above every gain
    sure = made((0.9, 0.9), (0.5, 0), "aa")
    assert fit_stopping([[sure]] * 198, risk=0.01).passages == 0.5
    assert fit_stopping([[sure]] * 196, risk=0.01).passages == 1


def test_many_questions_of_few_split_groups_allow_no_stopping(caplog):
    sure = made((0.9, 0.9), (0.5, 0), "aa")
    with caplog.at_level(logging.WARNING):
        assert fit_stopping([[sure] * 100] * 20, risk=0.01).passages == 1
    assert "1000 held-out questions of 10 split groups allow no stopping at risk 0.01" in caplog.text


def test_the_loss_of_a_split_group_is_its_share_of_changed_answers_and_groups_are_not_split():
    # Every second unit gives the thresholds, gains 0-.99. The others, n = 19 at a risk of .1, may lose .1 * 20 - 1 = 1
    # in all: two units that lose two of their four answers each do, one of them and one that loses its only two do not.
    # What is lost leads by .5, so that it is where the threshold is below .5; the rest never stops.
    gains = [made((0.0, 0.9), (i / 100, 0), "aa") for i in range(100)]
    family = [gains[5 * number : 5 * number + 5] for number in range(20)]
    still, lost = made((0.0, 0.9), (0, 0), "aa"), made((0.5, 0.9), (0, 0), "ab")
    half, whole = [lost, lost, still, still], [lost, lost]

    def fitted(*losing):
        judged = [*losing, *[[still]] * 17]
        pairs = zip(family[:19], judged, strict=True)
        return fit_stopping([*(unit for pair in pairs for unit in pair), family[19]], risk=0.1)

    assert fitted(half, half).changed == 4
    assert fitted(half, half).thresholds == (0.0,)
    assert fitted(half, whole).changed == 0
    assert fitted(half, whole).thresholds == pytest.approx((0.5,))


def unit_of_one_lead(rng, size):
    """Questions that lead alike and change if they are stopped: a unit loses all its answers or none."""
    lead = rng.random()
    return [made((lead, 1.0), (rng.random(), 0), "ba") for _ in range(size)]


def test_the_risk_holds_for_new_split_groups_of_similar_questions():
    # 10 of 21 units choose and may lose .1 * 11 - 1 = .1: none. Of 11 leads in a row the new one is the highest with
    # probability 1/11. Were the 210 questions of every second place counted one by one, .1 * 211 - 1 = 20.1 might be
    # lost, two units of ten each, and a new unit would lose its answers with probability 3/22.
    rng, risk, draws = np.random.default_rng(0), 0.1, 150
    rates = []
    for _ in range(draws):
        rule = fit_stopping([unit_of_one_lead(rng, 20) for _ in range(21)], risk=risk)
        rates.append(changes(rule, [unit_of_one_lead(rng, 1)[0] for _ in range(40)])[0])
    error = np.std(rates) / np.sqrt(draws)
    assert np.mean(rates) == pytest.approx(1 / 11, abs=3 * error)
    assert error < 0.01
