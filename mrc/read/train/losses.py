"""The loss of each question, from a softmax over all windows of all its passages.

The softmax is over starts and over ends, or, with a biaffine head, over whole spans. Soft spans take a share of the
target, teachers a share of the loss.

Source: Clark & Gardner 2018, sections 3.3 (one softmax over passages) and 3.4 (the sum over right positions); Hinton,
Vinyals & Dean 2015, section 2 (teachers, and the factor T^2).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from mrc.read.data.batches import TrainBatch
from mrc.read.model.heads import Scores, pair_band
from mrc.read.train_config import TrainConfig

EXCLUDED: Final = -1e9  # score outside the softmax; finite, so that a row of them has no NaN gradient


def question_losses(scores: Scores, batch: TrainBatch, config: TrainConfig) -> Tensor:
    """The loss of each question, (G,), unweighted."""
    biaffine = scores.left is not None
    losses = _span_losses(scores, batch) if biaffine else _position_losses(scores.start, scores.end, batch)
    if len(batch.soft_spans):
        soft, present = (_soft_span_losses if biaffine else _soft_position_losses)(scores, batch)
        share = config.soft_spans * present
        losses = (1 - share) * losses + share * soft
    if batch.soft_targets is not None and config.distill_weight:
        share = config.distill_weight * _like(batch.soft_targets.has_teacher, losses).float()
        losses = (1 - share) * losses + share * distillation(scores, batch, temperature=config.distill_temperature)
    return losses


def with_priors(scores: Scores, batch: TrainBatch) -> Scores:
    """The scores with the prior of each window's passage: half of it on starts, half on ends."""
    if not batch.priors.any():
        return scores
    half = _like(batch.priors, scores.start).to(scores.start.dtype)[:, None] / 2
    return Scores(scores.start + half, scores.end + half, scores.left, scores.right)


def weighted_sum(losses: Tensor, batch: TrainBatch) -> Tensor:
    """The sum of the losses (G,) times the weights of the questions: a scalar."""
    return torch.as_tensor((losses * torch.tensor(batch.weights, device=losses.device)).sum())


def distillation(scores: Scores, batch: TrainBatch, *, temperature: float) -> Tensor:
    """T^2 KL(teacher || student at temperature T) of each question, (G,), starts and ends averaged.

    The factor makes the size of the gradient independent of the temperature. Positions are those that a window owns,
    and its "no answer". A biaffine head is compared by the marginals of its spans.
    """
    assert batch.soft_targets is not None
    divergences = []
    logits = _marginals(scores, batch, temperature) if scores.left is not None else _owned(scores, batch, temperature)
    for student, target in zip(logits, (batch.soft_targets.start, batch.soft_targets.end), strict=True):
        wanted = _like(target, student).float()
        log_wanted = torch.where(wanted > 0, wanted, 1.0).log()
        logs = student - _over_windows(student.logsumexp(dim=1), batch)[_questions(batch, student)][:, None]
        divergences.append(_summed((wanted * (log_wanted - logs)).sum(dim=1), batch))
    return temperature**2 * (divergences[0] + divergences[1]) / 2


def span_scores(scores: Scores, batch: TrainBatch) -> Tensor:
    """(B, T, L): scores of the spans of a window by first position and length - 1; EXCLUDED where there is no span.

    A span starts at a token that the window owns, or is a right one; it has at most 30 tokens, or as many as the
    longest right one.
    """
    width, tokens = int(batch.limits.max()), scores.start.shape[1]
    ends = torch.nn.functional.pad(scores.end, (0, width - 1)).unfold(1, width, 1)  # (B, T, L)
    band = scores.start[:, :, None] + ends
    if scores.left is not None and scores.right is not None:
        band = band + pair_band(scores.left, scores.right, width)
    return band.masked_fill(~_like(_spans_allowed(batch, tokens, width), band), EXCLUDED)


def _spans_allowed(batch: TrainBatch, tokens: int, width: int) -> Any:
    starts = batch.batch.starts.copy()
    starts[batch.spans[:, 0], batch.spans[:, 1]] = True
    at = np.arange(tokens)[:, None] + np.arange(width)  # (T, L)
    ends = np.pad(batch.batch.context, ((0, 0), (0, width - 1)))[:, at]
    short = np.arange(width) < np.repeat(batch.limits, batch.sizes)[:, None]  # (B, L)
    return starts[:, :, None] & ends & short[:, None, :]


def _position_losses(start: Tensor, end: Tensor, batch: TrainBatch) -> Tensor:
    """-(log probability of the right starts + log probability of the right ends) / 2 of each question."""
    losses = []
    for logits, right in ((start, batch.start), (end, batch.end)):
        inside = logits.masked_fill(~_like(batch.allowed, logits), EXCLUDED).logsumexp(dim=1)  # (B,)
        gold = logits.masked_fill(~_like(right, logits), EXCLUDED).logsumexp(dim=1)
        losses.append(_over_windows(inside, batch) - _over_windows(gold, batch))
    return (losses[0] + losses[1]) / 2


def _span_losses(scores: Scores, batch: TrainBatch) -> Tensor:
    """-log probability of the right spans, or of "no answer" where there is none."""
    band, null = span_scores(scores, batch), _null(scores, batch)
    right = torch.full_like(band, EXCLUDED)
    at = _indices(batch.spans, band)
    right[at] = band[at]
    nulls = _like(batch.start[np.arange(len(batch.batch.null)), batch.batch.null], null)
    gold = torch.logaddexp(right.flatten(1).logsumexp(dim=1), null.masked_fill(~nulls, EXCLUDED))
    return _over_windows(_with_null(band, null), batch) - _over_windows(gold, batch)


def _soft_position_losses(scores: Scores, batch: TrainBatch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the starts and ends of soft spans, averaged (G,); 1 for each question that has any (G,)."""
    rows, firsts, lengths = _indices(batch.soft_spans, scores.start)
    share = _like(batch.soft_span_shares, scores.start).float()
    question = _questions(batch, scores.start)
    losses = []
    for logits, at in ((scores.start, firsts), (scores.end, firsts + lengths)):
        inside = logits.masked_fill(~_like(batch.allowed, logits), EXCLUDED).logsumexp(dim=1)
        total = _over_windows(inside, batch)
        losses.append(_by_question(share * (total[question[rows]] - logits[rows, at]), question[rows], batch))
    return (losses[0] + losses[1]) / 2, _by_question(share, question[rows], batch)


def _soft_span_losses(scores: Scores, batch: TrainBatch) -> tuple[Tensor, Tensor]:
    """The same over whole spans."""
    band = span_scores(scores, batch)
    total = _over_windows(_with_null(band, _null(scores, batch)), batch)
    rows, firsts, lengths = _indices(batch.soft_spans, band)
    share = _like(batch.soft_span_shares, band).float()
    question = _questions(batch, band)[rows]
    losses = _by_question(share * (total[question] - band[rows, firsts, lengths]), question, batch)
    return losses, _by_question(share, question, batch)


def _owned(scores: Scores, batch: TrainBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """Start and end logits (B, T) at a temperature, of owned positions and nulls."""
    allowed = batch.batch.starts.copy()
    allowed[np.arange(len(allowed)), batch.batch.null] = True
    outside = ~_like(allowed, scores.start)
    start, end = ((logits / temperature).masked_fill(outside, EXCLUDED) for logits in (scores.start, scores.end))
    return start, end


def _marginals(scores: Scores, batch: TrainBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """Log mass (B, T) of all spans that start at a position, and of all that end there; "no answer" at the nulls."""
    band = span_scores(scores, batch) / temperature
    null = _null(scores, batch) / temperature
    width, tokens = band.shape[2], band.shape[1]
    first = torch.arange(tokens, device=band.device)[:, None] - torch.arange(width, device=band.device)  # (T, L)
    falling = band.gather(1, first.clamp(min=0).expand(len(band), -1, -1))  # [b, j, d] = band[b, j - d, d]
    ends = falling.masked_fill(first < 0, EXCLUDED).logsumexp(dim=2)
    rows = torch.arange(len(null), device=null.device)
    at = (rows, _like(batch.batch.null, null))
    return band.logsumexp(dim=2).index_put(at, null), ends.index_put(at, null)


def _null(scores: Scores, batch: TrainBatch) -> Tensor:
    """(B,) score of "no answer" in each window."""
    rows, null = torch.arange(len(batch.batch.null)), torch.from_numpy(batch.batch.null)
    return scores.start[rows, null] + scores.end[rows, null]


def _with_null(band: Tensor, null: Tensor) -> Tensor:
    """(B,) log of the mass of all spans of a window and its "no answer"."""
    return torch.logaddexp(band.flatten(1).logsumexp(dim=1), null)


def _over_windows(values: Tensor, batch: TrainBatch) -> Tensor:
    """(G,) log-sum-exp of the values (B,) of each question's windows."""
    return torch.stack([part.logsumexp(dim=0) for part in torch.split(values, list(batch.sizes))])


def _summed(values: Tensor, batch: TrainBatch) -> Tensor:
    """(G,) sum of the values (B,) of each question's windows."""
    return torch.stack([part.sum() for part in torch.split(values, list(batch.sizes))])


def _by_question(values: Tensor, question: Tensor, batch: TrainBatch) -> Tensor:
    """(G,) sum of values (N,) that belong to the questions (N,)."""
    return values.new_zeros(len(batch.sizes)).index_add(0, question, values)


def _questions(batch: TrainBatch, like: Tensor) -> Tensor:
    """(B,) the question's number of each window."""
    return torch.from_numpy(np.repeat(np.arange(len(batch.sizes)), batch.sizes)).to(like.device)


def _indices(spans: Any, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows, firsts, lengths = torch.from_numpy(spans).to(like.device).unbind(1)
    return rows, firsts, lengths


def _like(mask: Any, logits: Tensor) -> Tensor:
    """The array as a tensor on the device of the logits."""
    return torch.from_numpy(mask).to(logits.device)


def full_precision(scores: Scores) -> Scores:
    """The scores in float32."""
    left, right = (part.float() if part is not None else None for part in (scores.left, scores.right))
    return Scores(scores.start.float(), scores.end.float(), left, right)
