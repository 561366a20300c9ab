"""Attention without padding: the windows of a batch are packed into one row, and each attends only to itself.

transformers takes an attention function by name (`AttentionInterface`); this one is named "packed". The encoder is
called with the row and `cu_seq_lens_q`, the bounds of its windows, which transformers passes on unchanged. The scores
of one window, (heads, T, T), fit the cache of a CPU core, and nothing is computed for padding.

Source: Krell et al. 2021, Efficient Sequence Packing without Cross-contamination, for the row and its positions; Dao et
al. 2022, FlashAttention, section 3 and appendix B.4, for the gradient of the softmax by the row sums of dO * O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface

PACKED: Final = "packed"  # the name in transformers; not stored in checkpoints
LEAST_SUM, MOST_SUM = 1e-20, 1e20  # of a row's exponentials: keeps products with values and gradients in range
ROW_STEP: Final = 64  # row lengths are multiples of this: oneDNN compiles a kernel for every new length
LEVELS: Final = 1 << 16  # dropout uses 16 random bits per score, four from one draw of 64


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Sequence[int],
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention output (1, N, heads, D) of inputs (1, heads, N, D); window w is `bounds[w] : bounds[w + 1]`."""
    q, k, v = query[0] * scaling, key[0], value[0]
    if torch.is_grad_enabled():
        gathered = _Attention.apply(q, k, v, cu_seq_lens_q, dropout)  # type: ignore[no-untyped-call]
        return gathered[None], None
    gathered = torch.empty_like(v.transpose(0, 1))  # (N, heads, D)
    for at in _windows(cu_seq_lens_q):
        weights, total = _weights(torch.bmm(q[:, at], k[:, at].transpose(1, 2)))
        gathered[at] = _share(torch.bmm(weights, v[:, at]), total).transpose(0, 1)
    return gathered[None], None


AttentionInterface.register(PACKED, attend)


def _windows(bounds: Sequence[int]) -> Iterator[slice]:
    return (slice(start, end) for start, end in pairwise(bounds))


def _weights(scores: Tensor) -> tuple[Tensor, Tensor | None]:
    """Weights and their row sums, by which the much smaller output is divided; None where they sum to 1.

    bfloat16 has the range of float32, so the pass for each row's largest score is skipped unless a sum shows that a
    product with values or gradients could leave the range.
    """
    if scores.dtype is not torch.bfloat16:
        return torch.softmax(scores, dim=-1), None
    weights = scores.exp()
    total = weights.sum(dim=-1, keepdim=True)
    low, high = torch.aminmax(total)
    if not (float(low) > LEAST_SUM and float(high) < MOST_SUM):
        weights = scores.sub_(scores.amax(dim=-1, keepdim=True)).exp_()
        total = weights.sum(dim=-1, keepdim=True)
    return weights, total


def _share(values: Tensor, total: Tensor | None) -> Tensor:
    return values if total is None else values / total


class _Attention(torch.autograd.Function):
    """The same with gradients, also computed window by window; autograd would keep and add full rows for every window.

    With weights E, row sums t, dropout factors F and gathered O = (E * F) V / t, the gradient of the scores is
    E * (F * (dO / t) V' - r), r the row sums of dO * O / t: again nothing but small factors is divided.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bounds: Sequence[int], dropout: float) -> Tensor:
        gathered = torch.empty_like(v.transpose(0, 1))  # (N, heads, D)
        kept: list[Tensor | None] = []
        for at in _windows(bounds):
            weights, total = _weights(torch.bmm(q[:, at], k[:, at].transpose(1, 2)))
            factors = dropout_factors(weights, dropout) if dropout else None
            kept += [weights, total, factors]
            gathered[at] = _share(torch.bmm(_times(weights, factors), v[:, at]), total).transpose(0, 1)
        ctx.save_for_backward(q, k, v, gathered, *kept)
        ctx.bounds = bounds
        return gathered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, gathered, *kept = ctx.saved_tensors
        dq, dk, dv = (torch.empty_like(part.transpose(0, 1)).transpose(0, 1) for part in (q, k, v))
        sums = (grad * gathered).sum(dim=-1, keepdim=True).transpose(0, 1)  # (heads, N, 1)
        for number, at in enumerate(_windows(ctx.bounds)):
            weights, total, factors = kept[3 * number : 3 * number + 3]
            above = _share(grad[at].transpose(0, 1), total)  # (heads, T, D)
            inner = torch.bmm(above, v[:, at].transpose(1, 2))
            inner = _times(inner, factors).sub_(_share(sums[:, at], total)).mul_(weights)
            dq[:, at] = torch.bmm(inner, k[:, at])
            dk[:, at] = torch.bmm(inner.transpose(1, 2), q[:, at])
            dv[:, at] = torch.bmm(_times(weights, factors).transpose(1, 2), above)
        return dq, dk, dv, None, None


def _times(values: Tensor, factors: Tensor | None) -> Tensor:
    return values if factors is None else values * factors


def dropout_factors(like: Tensor, dropout: float) -> Tensor:
    """0 with probability `dropout`, rounded to 1 / 65,536, else the factor that keeps the mean; shaped like `like`.

    Needs a quarter of the random draws of torch's dropout.
    """
    lost, count = round(dropout * LEVELS), like.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)
    kept = bits.view(torch.int16)[:count].view(like.shape) >= lost - LEVELS // 2
    return kept.to(like.dtype).mul_(LEVELS / (LEVELS - lost))


class Dropout(nn.Dropout):
    """torch's dropout with fewer random draws."""

    def forward(self, values: Tensor) -> Tensor:
        return values * dropout_factors(values, self.p) if self.training and self.p else values


def use_cheap_dropout(encoder: nn.Module) -> None:
    """Replace each dropout layer of the encoder; they hold no weights, so a saved encoder is unchanged."""
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))


@dataclass(frozen=True, slots=True)
class Row:
    """The windows of a batch (B, T) packed into one row: `inside` (B, T) marks their positions, `places` (N,) counts
    from 0 in each, window w is `bounds[w] : bounds[w + 1]`. The last window may be padding that rounds N up, all at
    place 0, because an encoder may have fewer positions."""

    inside: Tensor
    places: Tensor
    bounds: list[int]

    def fill(self, values: Tensor, padding: int) -> Tensor:
        """The values (B, T) of all windows as a row (1, N)."""
        row = values.new_full((1, self.bounds[-1]), padding)
        inside = values[self.inside]
        row[0, : len(inside)] = inside
        return row

    def spread(self, values: Tensor) -> Tensor:
        """A row's values (N, H) back in their batch, (B, T, H); zeros at padding."""
        spread = values.new_zeros((*self.inside.shape, values.shape[-1]))
        spread[self.inside] = values[: int(self.inside.sum())]
        return spread


def packed_row(attention: Tensor) -> Row:
    """The row of a batch whose mask is (B, T); its length is a multiple of `ROW_STEP`."""
    lengths = attention.sum(dim=1).tolist()
    places = [torch.arange(length) for length in lengths]
    if filling := -sum(lengths) % ROW_STEP:
        lengths.append(filling)
        places.append(torch.zeros(filling, dtype=torch.int64))
    return Row(attention.bool(), torch.cat(places), [0, *accumulate(lengths)])
