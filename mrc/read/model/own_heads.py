"""Question-answering heads of transformers that are more than one linear layer, and T5's networks below the head, with
their own modules and weights.

They compute what transformers' classes compute above the encoder; `mrc.read.model.architectures` lists which have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from mrc.read.model.heads import Scores

OUT: Final = 1e6  # taken from the scores of the question, as BigBird does


class OwnHead(nn.Module):
    """The modules of a question-answering network that are not its encoder, under their own names, in float32."""

    def __init__(self, network: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        for name, module in network.named_children():
            if module is not encoder:
                self.add_module(name, module.float())
        self.settings: Any = network.config

    def forward(self, hidden: Tensor, inside: Tensor, ids: Tensor) -> Scores:
        """Scores of the hidden states (B, T, H) of the pieces (B, T); values at padding are arbitrary."""
        raise NotImplementedError


class ModernBertHead(OwnHead):
    """A dense layer with normalisation before the linear layer."""

    head: nn.Module
    drop: nn.Module
    classifier: nn.Module

    def forward(self, hidden: Tensor, inside: Tensor, ids: Tensor) -> Scores:
        logits = self.classifier(self.drop(self.head(hidden)))
        return Scores(logits[..., 0], logits[..., 1])


class BigBirdHead(OwnHead):
    """A feed-forward layer before the linear layer; the question, but not the first token, cannot be an answer."""

    qa_classifier: nn.Module

    def forward(self, hidden: Tensor, inside: Tensor, ids: Tensor) -> Scores:
        question = up_to_separator(ids, int(self.settings.sep_token_id)).long()
        question[:, 0] = 0
        logits = self.qa_classifier(hidden) - OUT * question[..., None]
        return Scores(logits[..., 0], logits[..., 1])


class SplinterHead(OwnHead):
    """Products of each token with the token [QUESTION], the first token where there is none.

    Source: Ram et al. 2021, Few-Shot Question Answering by Pretraining Span Selection, section 4.1.
    """

    splinter_qass: nn.Module

    def forward(self, hidden: Tensor, inside: Tensor, ids: Tensor) -> Scores:
        asked = (ids == int(self.settings.question_token_id)).int().argmax(dim=1, keepdim=True)
        start, end = self.splinter_qass(hidden, asked)
        return Scores(start[:, 0], end[:, 0])


OWN_HEADS: Final[Mapping[str, type[OwnHead]]] = {
    "big_bird": BigBirdHead,
    "modernbert": ModernBertHead,
    "splinter": SplinterHead,
}


class TextToText(nn.Module):
    """Encoder and decoder of T5's kinds: the decoder reads the window again, a piece later, and the head its states.

    transformers' classes without a head do not read like that.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.shared, self.encoder, self.decoder = network.shared, network.encoder, network.decoder
        self.config = network.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """An output with the `last_hidden_state` of pieces (B, T) whose mask is (B, T)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        later = torch.full_like(input_ids, int(self.config.decoder_start_token_id))
        later[:, 1:] = input_ids[:, :-1]
        return self.decoder(
            input_ids=later, encoder_hidden_states=hidden, encoder_attention_mask=attention_mask, use_cache=False
        )

    def get_input_embeddings(self) -> nn.Module:
        """The embeddings of the pieces."""
        embeddings: nn.Module = self.shared
        return embeddings

    def activation_checkpointing_enable(self) -> None:
        """Compute activations again in the backward pass."""
        for part in (self.encoder, self.decoder):
            part.activation_checkpointing_enable()


def up_to_separator(ids: Tensor, separator: int) -> Tensor:
    """(B, T) whether a piece is the first separator of its window or before it."""
    first = (ids == separator).int().argmax(dim=1, keepdim=True)
    return torch.arange(ids.shape[1], device=ids.device)[None] <= first
