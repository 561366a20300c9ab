"""Reinforcement learning with F1 as reward (self-critical training).

The policy is the reader's softmax over all spans of all windows of a question. The reward of a span is its F1 with
the best gold answer; the baseline is the reward of the greedy span, so a sample of equal reward gives no gradient.

Source: Rennie et al. 2017, Self-Critical Sequence Training, section 3; mixed with the likelihood as in Xiong, Zhong &
Socher 2018, DCN+, section 2.2, with a fixed weight in place of trained ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrc.metrics import Metric, score
from mrc.read.data.batches import TrainBatch
from mrc.read.model.heads import Scores
from mrc.read.train.losses import span_scores

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RlRewards:
    """Mean reward of the greedy spans and of the sampled ones, 0-1."""

    greedy: float
    sampled: float


def rl_losses(
    scores: Scores, batch: TrainBatch, *, metric: Metric, samples: int, rng_of: Callable[[int], np.random.Generator]
) -> tuple[Tensor, list[RlRewards]]:
    """The loss of each question, (G,), unweighted, and its rewards; `rng_of` a question's number in the update."""
    band = span_scores(scores, batch)
    width = band.shape[2]
    losses, rewards = [], []
    for number, rows in enumerate(batch.rows()):
        texts = _SpanTexts(batch, number, rows.start, tokens=band.shape[1], width=width, metric=metric)
        loss, reward = self_critical(
            band[rows].flatten(), texts.rewards, samples=samples, rng=rng_of(batch.members[number])
        )
        losses.append(loss)
        rewards.append(reward)
    return torch.stack(losses), rewards


def self_critical(
    spans: Tensor, rewards: Callable[[Ints], Sequence[float]], *, samples: int, rng: np.random.Generator
) -> tuple[Tensor, RlRewards]:
    """-mean over sampled spans of (reward - greedy reward) x log probability, for spans with scores (N,).

    Its expected gradient is that of -E[reward], because the baseline does not depend on the sample.
    """
    logs = spans.log_softmax(dim=0)
    probabilities = logs.detach().double().exp().cpu().numpy()
    greedy = int(np.argmax(probabilities))
    cumulative = np.cumsum(probabilities)
    sampled = np.searchsorted(cumulative, rng.random(samples) * cumulative[-1], side="right").clip(
        0, len(probabilities) - 1
    )
    values = np.asarray(rewards(np.array([greedy, *sampled])), dtype=np.float64)
    gains = torch.as_tensor(values[1:] - values[0], dtype=logs.dtype, device=logs.device)
    loss = -(gains * logs[torch.from_numpy(sampled).to(logs.device)]).mean()
    return loss, RlRewards(float(values[0]), float(values[1:].mean()))


@dataclass(frozen=True, slots=True)
class _SpanTexts:
    """The texts of a question's spans, by their index among its flattened (windows, T, L) spans."""

    batch: TrainBatch
    number: int
    first_row: int
    tokens: int
    width: int
    metric: Metric

    def rewards(self, spans: Ints) -> list[float]:
        """F1 of each span with the best gold answer."""
        found: dict[int, float] = {}
        golds = self.batch.items[self.number].golds
        for span in map(int, spans):
            if span not in found:
                found[span] = score(self._text(span), golds, self.metric).f1
        return [found[int(span)] for span in spans]

    def _text(self, span: int) -> str:
        row, inside = divmod(span, self.tokens * self.width)
        first, length = divmod(inside, self.width)
        rank, window = self.batch.places[self.first_row + row]
        item = self.batch.items[self.number]
        at = first - window.first + window.token
        offsets = item.passages[rank].offsets
        return item.texts[rank][int(offsets[at, 0]) : int(offsets[at + length, 1])]
