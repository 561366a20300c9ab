"""Reinforcement learning: the sampled gradient is that of the expected reward."""

import math

import numpy as np
import pytest
import torch

from mrc.metrics import f1
from mrc.read.model.heads import Scores
from mrc.read.train.rl import rl_losses, self_critical
from mrc.read.train_config import TrainConfig
from tests.mrc.read.train.examples import batch_of, changed, example, scores_for


def test_the_mean_sampled_gradient_is_that_of_the_expected_reward():
    # the 10 spans of 4 tokens; the reward is the F1 with the span of the tokens 1 and 2
    spans = [(first, last) for first in range(4) for last in range(first, 4)]
    shared = [len(set(range(first, last + 1)) & {1, 2}) for first, last in spans]
    rewards = np.array([2 * n / (last - first + 1 + 2) for n, (first, last) in zip(shared, spans, strict=True)])
    scores = torch.randn(10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = scores.softmax(dim=0).numpy()
    expected = -shares * (rewards - shares @ rewards)  # of -E[reward] by the scores
    draws = 20_000
    rng, gradients = np.random.default_rng(0), np.zeros((draws, 10))
    for draw in range(draws):
        leaf = scores.clone().requires_grad_()
        loss, _ = self_critical(leaf, lambda chosen: rewards[chosen], samples=1, rng=rng)
        loss.backward()
        gradients[draw] = leaf.grad.numpy()
    errors = np.abs(gradients.mean(axis=0) - expected)
    assert (errors <= 4 * gradients.std(axis=0) / math.sqrt(draws)).all()
    assert np.abs(expected).max() > 0.01


def test_samples_with_the_reward_of_the_greedy_span_give_no_gradient():
    scores = torch.randn(50, generator=torch.Generator().manual_seed(1)).requires_grad_()
    rng = np.random.default_rng(0)
    loss, reward = self_critical(scores, lambda chosen: [0.5] * len(chosen), samples=20, rng=rng)
    loss.backward()
    assert (float(loss.detach()), float(scores.grad.abs().max())) == (0, 0)
    assert (reward.greedy, reward.sampled) == (0.5, 0.5)


def certain(batch, number, span):
    """Scores with which a question's answer is one span of one window, all but surely."""
    start, end = torch.zeros(batch.batch.ids.shape), torch.zeros(batch.batch.ids.shape)
    row, first, last = span
    start[batch.rows()[number].start + row, first] = end[batch.rows()[number].start + row, last] = 50.0
    return start, end


@pytest.mark.parametrize(("metric", "unit"), [("squad", "words"), ("korquad", "characters")])
def test_the_reward_is_the_f1_of_the_spans_text_with_the_best_gold(metric, unit):
    golds = ("Miss Oland", "Mira Oland of the mill")
    (batch,) = batch_of([example(0, golds=golds, negatives=("The mill stands in Tarn.",))])
    (right,) = batch.spans  # "Mira Oland"; the negative is the other window
    item, (_, window) = batch.items[0], batch.places[1]
    for span, text in (
        ((0, right[1], right[1] + right[2]), "Mira Oland"),
        ((1, window.first, window.first + len(item.passages[1].ids) - 1), "The mill stands in Tarn."),
    ):
        start, end = certain(batch, 0, span)
        _, (reward,) = rl_losses(
            Scores(start, end), batch, metric=metric, samples=3, rng_of=lambda _: np.random.default_rng(0)
        )
        best = max(f1(text, gold, metric) for gold in golds)
        assert (reward.greedy, reward.sampled) == pytest.approx((best, best))


def test_each_question_has_its_own_generator():
    (one,), (two,) = batch_of([example(0)]), batch_of([example(1), example(0)])
    scores = scores_for(two, seed=0, rank=2)
    number = next(i for i, item in enumerate(two.items) if item.golds == one.items[0].golds)
    rows, width = two.rows()[number], one.batch.ids.shape[1]
    same = Scores(*(part[rows, :width] for part in (scores.start, scores.end, scores.left, scores.right)))
    seeds = {"metric": "squad", "samples": 4}
    alone, _ = rl_losses(same, one, rng_of=lambda _: np.random.default_rng(7), **seeds)
    beside, _ = rl_losses(scores, two, rng_of=lambda member: np.random.default_rng([7, 7][member]), **seeds)
    assert float(alone[0].detach()) == pytest.approx(float(beside[number].detach()))


@pytest.mark.parametrize("weight", [0.0, 0.11, 1.0])
def test_the_reward_is_a_small_part_of_the_loss(weight):
    with pytest.raises(ValueError, match=r"rl_weight must be above 0 and at most 0\.1"):
        changed(TrainConfig(), rl_weight=weight)
