"""Losses, compared with sums over every span and position."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mrc.read.config import WindowConfig
from mrc.read.data.targets import overlapping_spans
from mrc.read.data.windows import Windower
from mrc.read.model.heads import Scores
from mrc.read.train.losses import distillation, question_losses, span_scores, weighted_sum
from tests.mrc import tiny
from tests.mrc.read.train.examples import CONFIG, batch_of, example, impossible, scores_for

DISTRACTOR = "The mill stands in Tarn."
LONG = "mill " * 60 + "Tarn " + "mill " * 60


def losses(scores, batch, **change):
    return question_losses(scores, batch, replace(CONFIG, **change)).detach()


def spans_of(batch, scores, rows):
    """Every span of some windows with its score, {(row, first, last): score}, and the windows' nulls."""
    found, parts = {}, (scores.start, scores.end, scores.left, scores.right)
    scores = Scores(*(part.detach() if part is not None else None for part in parts))
    for row in range(rows.start, rows.stop):
        for first in np.flatnonzero(batch.batch.starts[row]):
            for last in range(first, min(first + 30, len(batch.batch.ids[row]))):
                if batch.batch.context[row, last]:
                    pair = scores.left[row, first] @ scores.right[row, last] if scores.left is not None else 0.0
                    found[row, first, last] = float(scores.start[row, first] + scores.end[row, last] + pair)
    at = {row: batch.batch.null[row] for row in range(rows.start, rows.stop)}
    nulls = {row: float(scores.start[row, null] + scores.end[row, null]) for row, null in at.items()}
    return found, nulls


def test_the_loss_of_equal_logits_is_the_log_of_the_number_of_positions():
    (batch,) = batch_of([example(0, negatives=(DISTRACTOR,)), example(1, weight=0.5)], batch_tokens=10_000)
    zeros = torch.zeros(batch.batch.ids.shape)
    counts = np.split(batch.allowed.sum(axis=1), np.cumsum(batch.sizes)[:-1])
    expected = sum(
        weight * math.log(rows.sum()) for weight, rows in zip(batch.weights, counts, strict=True)
    )  # one right start and end among all positions of both passages
    assert sorted(batch.sizes) == [1, 2]
    assert float(weighted_sum(losses(Scores(zeros, zeros), batch), batch)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize("long", [False, True])
def test_the_span_loss_is_the_negative_log_probability_of_the_right_spans(rank, long):
    many = [example(0, negatives=(DISTRACTOR, LONG)), impossible(1), example(2)]
    if long:
        start = LONG.index("Tarn")
        many = [replace(many[0], context=LONG, start=start, end=start + 4, negatives=()), *many[1:]]
    (batch,) = batch_of(many, batch_tokens=10**6, windows=WindowConfig(96, 36))
    scores = scores_for(batch, seed=len(many), rank=rank or 1)
    if not rank:
        scores = replace(scores, left=torch.zeros_like(scores.left), right=torch.zeros_like(scores.right))
    found = losses(scores, batch)
    for number, (rows, item) in enumerate(zip(batch.rows(), batch.items, strict=True)):
        spans, nulls = spans_of(batch, scores, rows)
        total = math.log(sum(map(math.exp, [*spans.values(), *nulls.values()])))
        right = [spans[row, first, first + more] for row, first, more in batch.spans if rows.start <= row < rows.stop]
        assert len(right) == len(item.spans)  # each in the window that owns it, and in no other
        gold = math.log(sum(map(math.exp, right or nulls.values())))
        assert float(found[number]) == pytest.approx(total - gold, rel=1e-9)


def test_an_answer_longer_than_the_span_limit_still_has_a_score():
    context = "Tarn " * 40
    long = replace(example(0), context=context, start=0, end=5 * 35 - 1)
    short = replace(long, end=4)
    (batch,) = batch_of([long, short], batch_tokens=10_000)
    scores = scores_for(batch, seed=0, rank=2)
    assert batch.limits.tolist() == [35, 30]
    band = span_scores(scores, batch)
    assert band.shape[2] == 35
    assert [bool((band[rows, :, 30:] > -1e8).any()) for rows in batch.rows()] == [True, False]


@pytest.mark.parametrize("at", [0, 20, 40, 46, 80, 100])
def test_an_answer_cut_by_its_owner_is_scored_in_a_window_that_shows_it_whole(at):
    # windows share 16 tokens, an answer has 40: the window that owns its start may end before it does
    context = "Tarn " * 160
    item = replace(example(0), context=context, start=5 * at, end=5 * (at + 40) - 1)
    found = batch_of([item], batch_tokens=10**6)
    scores = scores_for(found[0], seed=at, rank=2)
    assert len(found[0].spans) >= 1
    assert float(losses(scores, found[0])) < 50  # nats: no logit forbidden


def test_further_right_spans_count_as_gold():
    context = "Mira Oland and again Mira Oland."
    first = replace(example(0), context=context, start=0, end=10)
    both = replace(first, also=((context.rindex("Mira"), context.rindex("Mira") + 10),))
    (one,), (two,) = batch_of([first]), batch_of([both])
    zeros = Scores(torch.zeros(one.batch.ids.shape), torch.zeros(one.batch.ids.shape))
    assert (one.start.sum(), two.start.sum(), len(one.spans), len(two.spans)) == (1, 2, 1, 2)
    assert float(losses(zeros, one) - losses(zeros, two)) == pytest.approx(math.log(2), rel=1e-5)
    biaffine = replace(zeros, left=torch.zeros(*zeros.start.shape, 1), right=torch.zeros(*zeros.start.shape, 1))
    assert float(losses(biaffine, one) - losses(biaffine, two)) == pytest.approx(math.log(2), rel=1e-5)


def tokens(text):
    (found,) = Windower(tiny.wordpiece()).passages([text])
    return found


@given(st.integers(0, 39), st.integers(0, 12))
def test_shares_of_soft_spans_sum_to_1_without_the_right_span(first, more):
    passage = tokens("Mira Oland founded the mill of Tarn in 1893. " * 4)
    gold = (first, min(first + more, len(passage.ids) - 1))
    spans, share = overlapping_spans(passage, gold)
    assert spans.shape == (len(share), 2)
    if len(share):
        assert share.sum() == pytest.approx(1)
    assert gold not in set(map(tuple, spans.tolist()))
    assert (spans[:, 0] <= spans[:, 1]).all()


def test_a_span_one_character_off_gets_more_than_one_five_off():
    passage = tokens("the mill of Tarn , 1893")
    words = {passage_word: number for number, passage_word in enumerate(("the", "mill", "of", "tarn", ",", "1893"))}
    assert len(passage.ids) == len(words)
    spans, share = overlapping_spans(passage, (words["the"], words["tarn"]))
    found = dict(zip(map(tuple, spans.tolist()), share, strict=True))
    gold, plus_comma, plus_year = 16, 2, 7  # characters: "the mill of Tarn"; " ,"; " , 1893"
    ratio = ((2 * gold / (2 * gold + plus_comma)) / (2 * gold / (2 * gold + plus_year))) ** 4
    assert found[0, 4] / found[0, 5] == pytest.approx(ratio)
    assert (3, 3) not in found  # 4 of 16 characters: F1 = 8 / 20 < 0.5


@pytest.mark.parametrize("rank", [0, 2])
def test_soft_spans_get_their_share_of_the_target_and_none_at_0(rank):
    (batch,) = batch_of([example(0, negatives=(DISTRACTOR,)), impossible(1), example(3)], soft_spans=0.2)
    (plain,) = batch_of([example(0, negatives=(DISTRACTOR,)), impossible(1), example(3)])
    scores = scores_for(batch, seed=1, rank=rank)
    old = losses(scores, plain)
    assert torch.equal(losses(scores, plain, soft_spans=0.0), old)
    assert len(plain.soft_spans) == 0 < len(batch.soft_spans)
    found = losses(scores, batch, soft_spans=0.2)
    for number, rows in enumerate(batch.rows()):
        mine = (batch.soft_spans[:, 0] >= rows.start) & (batch.soft_spans[:, 0] < rows.stop)
        if not mine.any():
            assert float(found[number]) == pytest.approx(float(old[number]))
            continue
        assert batch.soft_span_shares[mine].sum() == pytest.approx(1)
        expected = 0.8 * float(old[number])
        for (row, first, more), share in zip(batch.soft_spans[mine], batch.soft_span_shares[mine], strict=True):
            if rank:
                spans, nulls = spans_of(batch, scores, rows)
                total = math.log(sum(map(math.exp, [*spans.values(), *nulls.values()])))
                expected += 0.2 * share * (total - spans[row, first, first + more])
            else:
                for logits, at in ((scores.start, first), (scores.end, first + more)):
                    total = math.log(np.exp(logits[rows].detach().numpy()[batch.allowed[rows]]).sum())
                    expected += 0.2 * share * (total - float(logits[row, at].detach())) / 2
        assert float(found[number]) == pytest.approx(expected, rel=1e-6)


def with_teacher(batch, scores, temperature):
    """The batch with soft targets from these scores at a temperature, for independent ends."""
    allowed = batch.batch.starts.copy()
    allowed[np.arange(len(allowed)), batch.batch.null] = True
    sides = []
    for logits in (scores.start, scores.end):
        mass = np.where(allowed, np.exp(logits.detach().numpy() / temperature), 0.0)
        for rows in batch.rows():
            mass[rows] /= mass[rows].sum()
        sides.append(mass)
    from mrc.read.data.batches import SoftTargets

    return replace(batch, soft_targets=SoftTargets(*sides, np.ones(len(batch.sizes), dtype=bool)))


def test_an_equal_teacher_gives_no_gradient():
    (batch,) = batch_of([example(0, negatives=(DISTRACTOR,)), impossible(1), example(3)])
    scores = scores_for(batch, seed=2)
    loss = distillation(scores, with_teacher(batch, scores, 2.0), temperature=2.0)
    loss.sum().backward()
    assert loss.detach().numpy() == pytest.approx(np.zeros(3), abs=1e-5)
    assert float(scores.start.grad.abs().max()) == pytest.approx(0, abs=1e-6)


def test_the_squared_temperature_keeps_the_size_of_the_gradient():
    # for small logits KL at T is 1/T^2 of KL at 1, Hinton et al. 2015, equation 4
    (batch,) = batch_of([example(0)])
    teacher, sizes = scores_for(batch, seed=3), []
    teacher = Scores(teacher.start.detach() * 0.01, teacher.end.detach() * 0.01)
    for temperature in (1.0, 8.0):
        scores = scores_for(batch, seed=4)
        small = Scores(scores.start * 0.01, scores.end * 0.01)
        distillation(small, with_teacher(batch, teacher, temperature), temperature=temperature).sum().backward()
        sizes.append(float(scores.start.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_only_questions_with_a_teacher_are_distilled():
    (batch,) = batch_of([example(0), example(3)])
    scores, other = scores_for(batch, seed=5), scores_for(batch, seed=6)
    soft = with_teacher(batch, other, 2.0)
    half = replace(soft, soft_targets=replace(soft.soft_targets, has_teacher=np.array([True, False])))
    plain, found = losses(scores, batch), losses(scores, half, distill_weight=0.25)
    divergence = distillation(scores, half, temperature=2.0).detach()
    assert float(found[1]) == pytest.approx(float(plain[1]))
    assert float(found[0]) == pytest.approx(0.75 * float(plain[0]) + 0.25 * float(divergence[0]))
    assert torch.equal(losses(scores, soft, distill_weight=0.0), plain)


def test_a_biaffine_student_is_compared_by_the_marginals_of_its_spans():
    (batch,) = batch_of([example(0, negatives=(DISTRACTOR,))])
    scores = scores_for(batch, seed=7, rank=2)
    distilled = with_teacher(batch, scores_for(batch, seed=8), 2.0)
    (rows,) = batch.rows()
    spans, nulls = spans_of(
        batch, Scores(*(part / 2 for part in (scores.start, scores.end, scores.left)), scores.right), rows
    )
    total = sum(map(math.exp, [*spans.values(), *nulls.values()]))
    expected = 0.0
    for side, target in ((1, distilled.soft_targets.start), (2, distilled.soft_targets.end)):
        mass = np.zeros(target.shape)
        for span, value in spans.items():
            mass[span[0], span[side]] += math.exp(value) / total
        for row, value in nulls.items():
            mass[row, batch.batch.null[row]] += math.exp(value) / total
        present = target > 0
        expected += 4 * (target[present] * np.log(target[present] / mass[present])).sum() / 2
    assert float(distillation(scores, distilled, temperature=2.0).detach()) == pytest.approx(expected, rel=1e-6)
