"""What turns an encoder's hidden states into start and end logits. A head is a module (B, T, H) -> (B, T, 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

INITIAL_STD: Final = 0.02  # as BERT initialises its heads


class LinearHead(nn.Module):
    """One linear layer, named as Hugging Face's question-answering models name it, so that they load its weights."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.qa_outputs = nn.Linear(hidden_size, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Start and end logits, (B, T, 2), of hidden states (B, T, H)."""
        return torch.as_tensor(self.qa_outputs(hidden))


_HEADS: Final[dict[str, Callable[[int], nn.Module]]] = {"linear": LinearHead}


def new_head(name: str, hidden_size: int, *, seed: int) -> nn.Module:
    """A head with fresh weights: normal(0, 0.02), biases 0, from a generator of its own."""
    with torch.random.fork_rng(devices=[]):  # torch draws weights of its own, which are replaced
        head = _HEADS[name](hidden_size)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, INITIAL_STD, generator=generator)
            else:
                parameter.zero_()
    return head
