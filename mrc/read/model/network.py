"""The network: an encoder, a span head, optionally an embedding of exact-match levels; saving.

A folder is a Hugging Face checkpoint: config.json, model.safetensors, tokenizer files. With the linear head and without
exact-match features, `AutoModelForQuestionAnswering.from_pretrained` loads it and computes the same logits. It refuses
all other readers, whose scores it could not compute: they store a weight of its head in a shape that does not fit.
"""

from __future__ import annotations

import copy
import inspect
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mrc.encoder.loading import first_position, max_positions
from mrc.read.data.exact_match import MATCH_LEVELS
from mrc.read.data.windows import FEATURES_KEY, MATCH_TYPES_KEY, Batch
from mrc.read.model.architectures import PLAIN, Architecture, sparse_limit
from mrc.read.model.attention import PACKED, packed_row
from mrc.read.model.heads import Head, Scores
from mrc.read.model.own_heads import OwnHead, up_to_separator

log = logging.getLogger(__name__)

HEAD_KEY: Final = "labeler_head"  # in config.json
FEATURES_PREFIX: Final = "match_embedding."  # of its weights in a checkpoint
HEAD_PREFIX: Final = "span_head."  # of the weights of a head that transformers does not have
REFUSING: Final = torch.full((1,), torch.nan)  # in place of a weight of transformers' head, which is larger

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]  # ids, types, attention, match levels, each (B, T)


class SpanModel(nn.Module):
    """An encoder, a head and optionally an embedding of exact-match levels, added to the hidden states.

    `architecture` is Hugging Face's name of the encoder's question-answering model, `prefix` begins the names of the
    encoder's weights in it, `top_weight` is the name of a weight of its head; `kind` says how the encoder is read.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: Head | OwnHead,
        *,
        prefix: str,
        architecture: str,
        head_name: str,
        top_weight: str = "qa_outputs.weight",
        kind: Architecture = PLAIN,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.match_embedding: nn.Embedding | None = None
        if hasattr(self.config, FEATURES_KEY):
            self.match_embedding = nn.Embedding(MATCH_LEVELS, int(self.config.hidden_size), padding_idx=0)
            nn.init.zeros_(self.match_embedding.weight)
        self.stored_dropouts: dict[str, float] = {}  # those of the checkpoint, where training uses others
        self.head_name = head_name
        self.kind = kind
        self._prefix, self._top_weight = prefix, top_weight
        self._accepted = frozenset(inspect.signature(encoder.forward).parameters)
        self._uses_types = "token_type_ids" in self._accepted and (
            kind.types or int(getattr(self.config, "type_vocab_size", 0) or 0) > 1
        )
        known = architecture if self.fits_transformers else type(encoder).__name__
        self._names = {"architectures": [known], HEAD_KEY: head_name}

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
        """Tokens that the encoder has positions for, and reads as transformers does."""
        limit = sparse_limit(self.config) if self.kind.sparse else None
        return min(max_positions(self.encoder), limit or max_positions(self.encoder))

    @property
    def fits_transformers(self) -> bool:
        """Whether transformers' question-answering class computes the same scores: it marks no shared words."""
        marks = self.match_embedding is not None or getattr(self.config, MATCH_TYPES_KEY, False)
        return self.head_name == "linear" and not marks

    @property
    def is_packed(self) -> bool:
        """Whether the windows of a batch are packed into one row, without padding."""
        return bool(self.config._attn_implementation == PACKED)

    def forward(self, ids: Tensor, types: Tensor, attention: Tensor, match_levels: Tensor) -> Scores:
        """Scores of windows in the head's precision; inputs (B, T)."""
        hidden = self.hidden(ids, types, attention).to(next(self.head.parameters()).dtype)
        if self.match_embedding is not None:
            hidden = hidden + self.match_embedding(match_levels)
        scores: Scores
        if isinstance(self.head, OwnHead):
            scores = self.head(hidden, attention.bool(), ids)
        else:
            scores = self.head(hidden, attention.bool())
        return scores

    def hidden(self, ids: Tensor, types: Tensor, attention: Tensor) -> Tensor:
        """The encoder's last hidden states, (B, T, H); values at padding are arbitrary. Inputs (B, T)."""
        if self.is_packed:
            return self._packed(ids, types, attention)
        if self.kind.alone:
            return self._by_length(ids, types, attention)
        return self._encoded(ids, types, attention)

    def _encoded(self, ids: Tensor, types: Tensor, attention: Tensor) -> Tensor:
        inputs: dict[str, Any] = {"input_ids": ids}
        if "attention_mask" in self._accepted:
            inputs["attention_mask"] = attention
        if self._uses_types:
            inputs["token_type_ids"] = types
        if "use_cache" in self._accepted:
            inputs["use_cache"] = False
        if self.kind.marked_question:
            inputs["token_type_ids"] = (~up_to_separator(ids, int(self.config.sep_token_id))).long()
        if self.kind.global_question:
            separators = ids == int(self.config.sep_token_id)
            inputs["global_attention_mask"] = (separators.cumsum(dim=1) == 0).long()
        return torch.as_tensor(self.encoder(**inputs).last_hidden_state)

    def _by_length(self, ids: Tensor, types: Tensor, attention: Tensor) -> Tensor:
        """The hidden states of windows read with those of the same length only, without padding."""
        lengths = attention.sum(dim=1)
        found = []
        for length in sorted(set(lengths.tolist())):
            rows = (lengths == length).nonzero()[:, 0]
            part = self._encoded(ids[rows, :length], types[rows, :length], attention[rows, :length])
            found.append((rows, part))
        hidden = found[0][1].new_zeros((*ids.shape, found[0][1].shape[-1]))
        for rows, part in found:
            hidden[rows, : part.shape[1]] = part
        return hidden

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
        named = {f"{self._prefix}{name}": value for name, value in self.encoder.state_dict().items()}
        named.update(self.top())
        if not self.fits_transformers:
            named[self._top_weight] = REFUSING
        return unshared(named)

    def top(self) -> dict[str, Tensor]:
        """The weights that are not the encoder's, by their names in the checkpoint."""
        before = "" if self.fits_transformers else HEAD_PREFIX
        own = {f"{before}{name}": value for name, value in self.head.state_dict().items()}
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


def unshared(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each weight under its first name only, on the CPU: a checkpoint file holds no shared weights."""
    first: dict[tuple[int, torch.Size], str] = {}
    for name, value in weights.items():
        first.setdefault((value.data_ptr(), value.shape), name)
    return {name: weights[name].detach().cpu().contiguous() for name in first.values()}


def to_tensors(batch: Batch, device: torch.device) -> Inputs:
    """ids, types, attention and match levels of a batch, each (B, T) int64, on the device."""
    tensors = (torch.from_numpy(array) for array in (batch.ids, batch.types, batch.attention, batch.match_levels))
    if device.type == "cuda":  # pinned memory, so that copying overlaps with computing
        tensors = (tensor.pin_memory() for tensor in tensors)
    ids, types, attention, match_levels = (tensor.to(device, non_blocking=True) for tensor in tensors)
    return ids, types, attention, match_levels
