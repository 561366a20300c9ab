"""The bi-encoder: it encodes texts as vectors of length 1.

The last bits of a vector depend on the other texts of its batch: cosines differ by up to 1e-6, in bf16 by .002.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModel

from mrc.analyzers.base import list_of_texts
from mrc.encoder.compute import BATCH_TOKENS, pick_device, pick_dtype, sorted_batches
from mrc.encoder.loading import (
    NO_SURROGATES,
    check_tokenizer,
    checkpoint_folder,
    load_config,
    load_pretrained,
    load_tokenizer,
    max_positions,
)
from mrc.errors import BadCheckpoint, StaleIndex, writing
from mrc.retrieve.dense.checkpoint_info import CheckpointInfo, checkpoint_hash, copy_info, write_info
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.dense.vectors import Encoding, Vectors

_DEFAULT_LENGTH: Final = 512  # tokens of a text, where the checkpoint names no length


class BiEncoder:
    """Encodes questions and passages with one checkpoint on one device."""

    def __init__(self, encoding: Encoding, model: Any, tokenizer: Any, *, device: torch.device) -> None:
        self.encoding = encoding
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._device = device

    @classmethod
    def load(cls, config: DenseConfig | str | Path, *, device: str = "auto") -> Self:
        """The encoder of a checkpoint, or of settings that name one; what they leave open is read from its files.

        Raises:
            BadCheckpoint: there is none, it cannot be read, or its kind is not supported.
        """
        config = config if isinstance(config, DenseConfig) else DenseConfig(model=str(config))
        if config.model is None:
            raise ValueError("the settings name no model")
        folder = checkpoint_folder(config.model)
        info, settings, on = CheckpointInfo(folder), load_config(folder), pick_device(device)
        if getattr(settings, "is_encoder_decoder", False):
            raise BadCheckpoint(f"{config.model}: has a decoder; choose a checkpoint of an encoder alone")
        width = int(getattr(settings, "hidden_size", 0))
        dtype = pick_dtype(config.precision, device=on, hidden_size=width)
        passage_prefix = info.prompt("passage", "document") if config.passage_prefix is None else config.passage_prefix
        encoding = Encoding(
            source=str(folder.resolve()) if Path(config.model).is_dir() else config.model,
            checkpoint=checkpoint_hash(folder),
            pooling=info.pooling() if config.pooling == "auto" else config.pooling,
            query_prefix=info.prompt("query") if config.query_prefix is None else config.query_prefix,
            passage_prefix=passage_prefix,
            max_seq_length=config.max_seq_length or info.max_seq_length() or _DEFAULT_LENGTH,
            precision="bf16" if dtype is torch.bfloat16 else "fp32",
            dimension=width,
        )
        return cls._load(encoding, folder, device=on, may_shorten=config.max_seq_length is None)

    @classmethod
    def reload(cls, encoding: Encoding, *, device: str = "auto") -> Self:
        """The encoder that an index was built with, unchanged.

        Raises:
            BadCheckpoint: it is gone, or cannot be read.
            StaleIndex: its files have changed.
        """
        try:
            folder = checkpoint_folder(encoding.source)
        except BadCheckpoint as error:
            raise BadCheckpoint(f"{error}; choose another encoder: labeler index --dense MODEL") from error
        if checkpoint_hash(folder) != encoding.checkpoint:
            raise StaleIndex(f"{encoding.source}: its files changed since the index was built; run `labeler index`")
        return cls._load(encoding, folder, device=pick_device(device), may_shorten=False)

    @classmethod
    def _load(cls, encoding: Encoding, folder: Path, *, device: torch.device, may_shorten: bool) -> Self:
        """`may_shorten`: texts may be cut to the positions that the network has."""
        tokenizer = load_tokenizer(folder)
        dtype = pick_dtype(encoding.precision, device=device, hidden_size=encoding.dimension)
        # On a CPU plain products beat the fused kernel in small batches of bfloat16, and lose in float32.
        attention = "eager" if device.type == "cpu" and dtype is torch.bfloat16 else None
        with torch.random.fork_rng(devices=[]):  # transformers draws weights that the checkpoint then replaces
            model, info = load_pretrained(
                AutoModel, folder, dtype=dtype, output_loading_info=True, attn_implementation=attention
            )
        missing = sorted(name for name in info["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise BadCheckpoint(f"{folder}: {len(missing)} weights are missing ({missing[0]}); copy the model again")
        check_tokenizer(tokenizer, model, folder)
        positions = max_positions(model)
        if encoding.max_seq_length > positions and not may_shorten:
            raise BadCheckpoint(
                f"{folder}: {encoding.max_seq_length} tokens are more than its {positions} positions; "
                f"set dense.max_seq_length = {positions} or less"
            )
        encoding = replace(encoding, max_seq_length=min(encoding.max_seq_length, positions))
        return cls(encoding, model.to(device), tokenizer, device=device)

    def __repr__(self) -> str:
        encoding = self.encoding
        return f"BiEncoder({encoding.source!r}, {encoding.dimension} dimensions, device={self._device.type!r})"

    @property
    def model(self) -> Any:
        """The network, in evaluation mode."""
        return self._model

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the checkpoint."""
        return self._tokenizer

    def save(self, folder: str | Path) -> None:
        """Write a checkpoint that `load` and sentence-transformers read, with this encoder's pooling and prefixes."""
        ready = Path(folder)
        with writing(ready):
            ready.mkdir(parents=True, exist_ok=True)
            copy_info(checkpoint_folder(self.encoding.source), ready)
            self._model.config.update({"architectures": [type(self._model).__name__]})
            self._model.config.save_pretrained(ready)
            self._tokenizer.save_pretrained(ready)
            weights = {name: value.detach().cpu().contiguous() for name, value in self._model.state_dict().items()}
            save_file(weights, ready / "model.safetensors", metadata={"format": "pt"})
            shutil.copymode(ready / "config.json", ready / "model.safetensors")  # else it is private to its owner
            write_info(ready, self.encoding)

    def questions(self, texts: Sequence[str]) -> Vectors:
        """(Q, D) vectors of length 1."""
        return self._encode([self.encoding.query_prefix + text for text in list_of_texts(texts, "questions")])

    def passages(self, texts: Sequence[str]) -> Vectors:
        """(N, D) vectors of length 1; a text is truncated to `max_seq_length` tokens."""
        return self._encode([self.encoding.passage_prefix + text for text in list_of_texts(texts, "passages")])

    def _encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.encoding.dimension), dtype=np.float32)
        if not texts:
            return vectors
        cut = {"truncation": True, "max_length": self.encoding.max_seq_length, "return_attention_mask": False}
        rows = self._tokenizer([text.translate(NO_SURROGATES) for text in texts], **cut)["input_ids"]
        budget = BATCH_TOKENS[self._device.type]
        for batch in sorted_batches([len(row) for row in rows], budget=budget):
            vectors[batch] = self._forward([rows[index] for index in batch])
        if not np.isfinite(vectors).all():
            raise BadCheckpoint(
                f"{self.encoding.source}: returns no finite vectors for some texts; copy the model again"
            )
        return vectors

    def _forward(self, rows: Sequence[Sequence[int]]) -> Vectors:
        longest = max(1, max(map(len, rows)))
        ids = torch.full((len(rows), longest), int(self._tokenizer.pad_token_id or 0))
        mask = torch.zeros((len(rows), longest), dtype=torch.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row, dtype=torch.int64)
            mask[number, : len(row)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # (B, T, H)
            pooled = hidden[:, 0] if self.encoding.pooling == "cls" else _mean(hidden, mask)
            unit = torch.nn.functional.normalize(pooled, dim=1)
        found: Vectors = unit.cpu().numpy()
        return found


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, H) mean of (B, T, H) over the tokens of the mask (B, T)."""
    kept = mask.unsqueeze(-1).float()
    return (hidden * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
