"""Span heads: scores of spans from an encoder's hidden states, S(i, j) = start_i + end_j (+ left_i . right_j).

Every head computes in float32 and ignores padding, so that a window's scores do not depend on the other windows of the
batch. All heads have the same interface; `new_head` makes one by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

INITIAL_STD: Final = 0.02  # as BERT initialises its heads
KERNEL: Final = 5  # tokens of the convolution
RANK: Final = 64  # of the biaffine head's product of start and end


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of windows: `start` and `end` (B, T); `left` and `right` (B, T, R) of a biaffine head."""

    start: Tensor
    end: Tensor
    left: Tensor | None = None
    right: Tensor | None = None


class Head(nn.Module):
    """A head: scores of hidden states (B, T, H); `inside` (B, T) is False at padding.

    Its last layer has the name used by Hugging Face's question-answering models.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.qa_outputs = nn.Linear(hidden_size, 2)

    def forward(self, hidden: Tensor, inside: Tensor) -> Scores:
        """Scores of the hidden states; values at padding are arbitrary."""
        raise NotImplementedError

    def _scores(self, hidden: Tensor) -> Scores:
        logits = self.qa_outputs(hidden)
        return Scores(logits[..., 0], logits[..., 1])


class LinearHead(Head):
    """One linear layer; Hugging Face's question-answering models load its weights and compute the same scores."""

    def forward(self, hidden: Tensor, inside: Tensor) -> Scores:
        return self._scores(hidden)


class ConvolutionHead(Head):
    """A convolution over neighbouring tokens, added to the hidden states before the linear layer."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size)
        self.narrow = nn.Conv1d(hidden_size, hidden_size // 2, KERNEL, padding=KERNEL // 2)
        self.widen = nn.Linear(hidden_size // 2, hidden_size)

    def forward(self, hidden: Tensor, inside: Tensor) -> Scores:
        with torch.autocast(hidden.device.type, enabled=False):
            full = hidden.float()
            seen = full.masked_fill(~inside[..., None], 0.0)
            near = nn.functional.gelu(self.narrow(seen.transpose(1, 2)).transpose(1, 2))
            return self._scores(full + self.widen(near))


class RecurrentHead(Head):
    """A bidirectional LSTM over the window, added to the hidden states before the linear layer."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size // 2, batch_first=True, bidirectional=True)

    def forward(self, hidden: Tensor, inside: Tensor) -> Scores:
        with torch.autocast(hidden.device.type, enabled=False):
            full = hidden.float()
            lengths = inside.sum(dim=1).cpu()
            packed = pack_padded_sequence(full, lengths, batch_first=True, enforce_sorted=False)
            read, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=hidden.shape[1])
            return self._scores(full + read)


class BiaffineHead(Head):
    """Start and end scores and a product that conditions the end on the start: l_i . r_j / sqrt(R).

    The softmax over all spans stays exact, so training and decoding need no beam.
    Source: Dozat & Manning 2017, Deep Biaffine Attention, section 3.1, for heads of arcs as here for ends of spans.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size)
        self.left = nn.Linear(hidden_size, RANK)
        self.right = nn.Linear(hidden_size, RANK)

    def forward(self, hidden: Tensor, inside: Tensor) -> Scores:
        single = self._scores(hidden)
        return Scores(single.start, single.end, self.left(hidden) / math.sqrt(RANK), self.right(hidden))


HEADS: Final[Mapping[str, type[Head]]] = {
    "linear": LinearHead,
    "cnn": ConvolutionHead,
    "lstm": RecurrentHead,
    "biaffine": BiaffineHead,
}


def new_head(name: str, hidden_size: int, *, seed: int) -> Head:
    """A head with new weights: normal(0, 0.02), biases 0, from its own generator."""
    with torch.random.fork_rng(devices=[]):  # torch draws weights that are replaced below
        head = HEADS[name](hidden_size)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, INITIAL_STD, generator=generator)
            else:
                parameter.zero_()
    return head


def pair_band(left: Tensor, right: Tensor, width: int) -> Tensor:
    """(B, T, width) products left[b, i] . right[b, i + d] at [b, i, d], of both (B, T, R); -inf past the last token."""
    tokens = left.shape[1]
    ends = torch.arange(tokens, device=left.device)[:, None] + torch.arange(width, device=left.device)  # (T, width)
    products = left @ right.transpose(1, 2)  # (B, T, T)
    band = products.gather(2, ends.clamp(max=tokens - 1).expand(len(left), -1, -1))
    return band.masked_fill(ends >= tokens, -torch.inf)
