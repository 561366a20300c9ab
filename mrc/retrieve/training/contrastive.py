"""The contrastive loss of a bi-encoder and its gradient, computed in chunks that fit into memory.

Source: Karpukhin et al., "Dense Passage Retrieval", EMNLP 2020, section 3.2 (in-batch negatives; here cosines over a
temperature instead of inner products); Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup", RepL4NLP 2021, section 3 (gradient cache).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mrc.encoder.compute import sorted_batches
from mrc.retrieve.training.contrastive_batches import Rows


@dataclass(frozen=True, slots=True, eq=False)
class ContrastiveTargets:
    """The positive passage and the negatives of Q questions among P passages."""

    target: Tensor  # (Q,) int64, the positive passage
    allowed: Tensor  # (Q, P) bool, the positive and its negatives; other relevant passages are excluded
    weights: Tensor  # (Q,)


def contrastive_loss(questions: Tensor, passages: Tensor, targets: ContrastiveTargets, *, temperature: float) -> Tensor:
    """Mean over the questions of weight * cross-entropy of the positive passage, a scalar.

    Args:
        questions: (Q, D) vectors of length 1.
        passages: (P, D) vectors of length 1.
    """
    scores = questions @ passages.T / temperature  # (Q, P)
    scores = scores.masked_fill(~targets.allowed, -torch.inf)
    losses = torch.nn.functional.cross_entropy(scores, targets.target, reduction="none")  # (Q,)
    return (losses * targets.weights).mean()


@dataclass(frozen=True, slots=True, eq=False)
class Embedder:
    """Encodes token ids as vectors of length 1, with gradients. `bf16`: matrix products in bfloat16."""

    model: torch.nn.Module
    pooling: Literal["mean", "cls"]
    pad_id: int
    bf16: bool

    def __call__(self, rows: Rows) -> Tensor:
        """(B, D) float32."""
        device = next(self.model.parameters()).device
        longest = max(1, max(map(len, rows)))
        ids = torch.tensor([[*row, *[self.pad_id] * (longest - len(row))] for row in rows], device=device)  # (B, T)
        lengths = torch.tensor([max(1, len(row)) for row in rows], device=device)
        mask = torch.arange(longest, device=device) < lengths[:, None]  # (B, T)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            hidden = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        hidden = hidden.float()  # (B, T, D)
        kept = mask[..., None]
        pooled = hidden[:, 0] if self.pooling == "cls" else (hidden * kept).sum(dim=1) / lengths[:, None]
        return torch.nn.functional.normalize(pooled, dim=1)


def backward(
    embed: Callable[[Rows], Tensor], rows: Rows, loss_of: Callable[[Tensor], Tensor], *, chunk_tokens: int, seed: int
) -> float:
    """Add the gradients of the loss to those of the weights, as if all texts were encoded at once; returns the loss.

    Each chunk is encoded twice: first without a graph, for the gradient of the loss with respect to the vectors; then
    with one, to propagate that gradient to the weights. Both passes draw dropout from the same seed. A single chunk is
    encoded once.

    Args:
        embed: texts -> (B, D).
        loss_of: (N, D) vectors of all texts, in their order -> scalar.
        chunk_tokens: padded tokens of one chunk.
    """
    chunks = list(enumerate(sorted_batches([len(row) for row in rows], budget=chunk_tokens)))
    with torch.set_grad_enabled(len(chunks) == 1):
        parts = [_seeded(embed, rows, chunk, seed + number) for number, chunk in chunks]
    order = torch.tensor([index for _, chunk in chunks for index in chunk], device=parts[0].device)
    vectors = torch.cat(parts)[torch.argsort(order)]
    if len(chunks) == 1:
        loss = loss_of(vectors)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())
    vectors.requires_grad_()
    loss = loss_of(vectors)
    (gradient,) = torch.autograd.grad(loss, vectors)
    for number, chunk in chunks:
        again = _seeded(embed, rows, chunk, seed + number)
        again.backward(gradient[chunk])  # type: ignore[no-untyped-call]
    return float(loss.detach())


def _seeded(embed: Callable[[Rows], Tensor], rows: Rows, chunk: Sequence[int], seed: int) -> Tensor:
    torch.manual_seed(seed)
    return embed([rows[index] for index in chunk])
