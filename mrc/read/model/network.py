"""The network: an encoder, a span head, optionally an embedding of exact-match levels; saving.

A folder is an ordinary Hugging Face checkpoint: config.json, model.safetensors, tokenizer files. With the linear head
`AutoModelForQuestionAnswering.from_pretrained` loads it and computes the same logits.
"""

from __future__ import annotations

import copy
import inspect
import logging
import shutil
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mrc.encoder.loading import first_position, max_positions
from mrc.read.data.exact_match import MATCH_LEVELS
from mrc.read.data.windows import FEATURES_KEY, Batch
from mrc.read.model.attention import PACKED, packed_row
from mrc.read.model.heads import Head, Scores

log = logging.getLogger(__name__)

HEAD_KEY: Final = "labeler_head"  # in config.json
FEATURES_PREFIX: Final = "match_embedding."  # of its weights in a checkpoint

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]  # ids, types, attention, match levels, each (B, T)


class SpanModel(nn.Module):
    """An encoder, a head and optionally an embedding of exact-match levels, added to the hidden states.

    `prefix` and `architecture` are Hugging Face's names of the encoder's question-answering model.
    """

    def __init__(self, encoder: nn.Module, head: Head, *, prefix: str, architecture: str, head_name: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.match_embedding: nn.Embedding | None = None
        if hasattr(self.config, FEATURES_KEY):
            self.match_embedding = nn.Embedding(MATCH_LEVELS, int(self.config.hidden_size), padding_idx=0)
            nn.init.zeros_(self.match_embedding.weight)
        self.stored_dropouts: dict[str, float] = {}  # those of the checkpoint, where training uses others
        self.head_name = head_name
        self._prefix = prefix
        self._names = {"architectures": [architecture], HEAD_KEY: head_name}
        accepts_types = "token_type_ids" in inspect.signature(encoder.forward).parameters
        self._uses_types = accepts_types and int(getattr(self.config, "type_vocab_size", 0) or 0) > 1

    def __repr__(self) -> str:
        config, extra = self.config, ", exact-match embedding" if self.match_embedding is not None else ""
        return (
            f"SpanModel({config.model_type}, {config.num_hidden_layers} layers, hidden size {config.hidden_size}, "
            f"{self.head_name} head{extra}, {self.max_positions} positions)"
        )

    @property
    def config(self) -> Any:
        """The encoder's Hugging Face configuration."""
        return self.encoder.config

    @property
    def max_positions(self) -> int:
        """Tokens that the encoder has positions for."""
        return max_positions(self.encoder)

    @property
    def is_packed(self) -> bool:
        """Whether the windows of a batch are packed into one row, without padding."""
        return bool(self.config._attn_implementation == PACKED)

    def forward(self, ids: Tensor, types: Tensor, attention: Tensor, match_levels: Tensor) -> Scores:
        """Scores of windows in the head's precision; inputs (B, T)."""
        hidden = self.hidden(ids, types, attention).to(next(self.head.parameters()).dtype)
        if self.match_embedding is not None:
            hidden = hidden + self.match_embedding(match_levels)
        scores: Scores = self.head(hidden, attention.bool())
        return scores

    def hidden(self, ids: Tensor, types: Tensor, attention: Tensor) -> Tensor:
        """The encoder's last hidden states, (B, T, H); values at padding are arbitrary. Inputs (B, T)."""
        if self.is_packed:
            return self._packed(ids, types, attention)
        inputs = {"input_ids": ids, "attention_mask": attention}
        if self._uses_types:
            inputs["token_type_ids"] = types
        return torch.as_tensor(self.encoder(**inputs).last_hidden_state)

    def _packed(self, ids: Tensor, types: Tensor, attention: Tensor) -> Tensor:
        row = packed_row(attention)
        inputs = {"input_ids": row.fill(ids, int(self.config.pad_token_id or 0))}
        if self._uses_types:
            inputs["token_type_ids"] = row.fill(types, 0)
        places = row.places[None] + first_position(self.encoder)
        hidden = self.encoder(**inputs, position_ids=places, cu_seq_lens_q=row.bounds).last_hidden_state
        return row.spread(hidden[0])

    def weights(self) -> dict[str, Tensor]:
        """All weights by the names of the Hugging Face checkpoint, on the CPU."""
        named = {f"{self._prefix}.{name}": value for name, value in self.encoder.state_dict().items()}
        named.update(self.top())
        return {name: value.detach().cpu().contiguous() for name, value in named.items()}

    def top(self) -> dict[str, Tensor]:
        """The weights that are not the encoder's, by their names in the checkpoint."""
        own = dict(self.head.state_dict())
        if self.match_embedding is not None:
            own.update({f"{FEATURES_PREFIX}{name}": value for name, value in self.match_embedding.state_dict().items()})
        return own

    def save(self, folder: Path, tokenizer: Any) -> None:
        """Write config.json, model.safetensors and the tokenizer's files into the folder, created if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self.config.update(self._names)
        written = copy.deepcopy(self.config)
        written.update(self.stored_dropouts)
        written.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        save_file(self.weights(), folder / "model.safetensors", metadata={"format": "pt"})
        shutil.copymode(
            folder / "config.json", folder / "model.safetensors"
        )  # safetensors makes files private to their owner


def to_tensors(batch: Batch, device: torch.device) -> Inputs:
    """ids, types, attention and match levels of a batch, each (B, T) int64, on the device."""
    tensors = (torch.from_numpy(array) for array in (batch.ids, batch.types, batch.attention, batch.match_levels))
    if device.type == "cuda":  # pinned memory, so that copying overlaps with computing
        tensors = (tensor.pin_memory() for tensor in tensors)
    ids, types, attention, match_levels = (tensor.to(device, non_blocking=True) for tensor in tensors)
    return ids, types, attention, match_levels
