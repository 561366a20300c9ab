"""The cross-encoder: one score for a question and a passage that are read together."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from mrc.encoder import (
    BATCH_TOKENS,
    NO_SURROGATES,
    checkpoint_folder,
    load_config,
    load_pretrained,
    load_tokenizer,
    max_positions,
    pick_device,
    pick_dtype,
    sorted_batches,
)
from mrc.errors import BadCheckpoint, StaleIndex
from mrc.retrieve.dense.checkpoint_info import checkpoint_hash
from mrc.retrieve.fuse import Floats
from mrc.retrieve.rerank.config import RerankConfig, Scoring

_MOST_TOKENS: Final = 512  # of a question and a passage, where the settings name no number
_OUTPUTS: Final = (1, 2)


class CrossEncoder:
    """Scores of passages for a question, by one checkpoint on one device: higher is better, of no certain scale."""

    def __init__(self, scoring: Scoring, model: Any, tokenizer: Any, *, device: torch.device) -> None:
        self.scoring = scoring
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._device = device
        taken = inspect.signature(model.forward).parameters
        typed = "token_type_ids" in taken and int(getattr(model.config, "type_vocab_size", 0) or 0) > 1
        self._inputs = ("input_ids", "token_type_ids") if typed else ("input_ids",)

    @classmethod
    def load(cls, config: RerankConfig, *, device: str = "auto") -> Self:
        """The cross-encoder that the settings name.

        Raises:
            BadCheckpoint: there is none, it cannot be read, or it does not score a pair of texts.
        """
        if config.model is None:
            raise ValueError("the settings name no model")
        folder, on = checkpoint_folder(config.model), pick_device(device)
        dtype = pick_dtype(config.precision, device=on, hidden_size=_width(folder))
        scoring = Scoring(
            source=str(folder.resolve()) if Path(config.model).is_dir() else config.model,
            checkpoint=checkpoint_hash(folder),
            max_seq_length=config.max_seq_length or _MOST_TOKENS,
            precision="bf16" if dtype is torch.bfloat16 else "fp32",
        )
        return cls._of(scoring, folder, device=on, at_most=config.max_seq_length is None)

    @classmethod
    def again(cls, scoring: Scoring, *, device: str = "auto") -> Self:
        """The cross-encoder that an index was built with.

        Raises:
            BadCheckpoint: it is gone, or cannot be read.
            StaleIndex: its files are others now.
        """
        folder = checkpoint_folder(scoring.source)
        if checkpoint_hash(folder) != scoring.checkpoint:
            raise StaleIndex(f"{scoring.source}: its files changed since the index was built; run `labeler index`")
        return cls._of(scoring, folder, device=pick_device(device), at_most=False)

    @classmethod
    def _of(cls, scoring: Scoring, folder: Path, *, device: torch.device, at_most: bool) -> Self:
        """`at_most`: fewer tokens will do, where the network has no more positions."""
        tokenizer = load_tokenizer(folder)
        dtype = pick_dtype(scoring.precision, device=device, hidden_size=_width(folder))
        options = {"attn_implementation": "eager"} if device.type == "cpu" and dtype is torch.bfloat16 else {}
        with torch.random.fork_rng(devices=[]):  # transformers draws weights that the checkpoint then replaces
            model, info = load_pretrained(
                AutoModelForSequenceClassification, folder, dtype=dtype, output_loading_info=True, **options
            )
        if lost := sorted(info["missing_keys"]):
            raise BadCheckpoint(
                f"{folder}: {len(lost)} weights are missing ({lost[0]}), so it scores no pairs of texts; "
                "choose a cross-encoder as rerank.model"
            )
        if (outputs := int(model.config.num_labels)) not in _OUTPUTS:
            raise BadCheckpoint(
                f"{folder}: has {outputs} outputs; a cross-encoder has one, or two of which the second means relevant; "
                "choose another rerank.model"
            )
        places = max_positions(model.base_model)
        if scoring.max_seq_length > places and not at_most:
            raise BadCheckpoint(
                f"{folder}: {scoring.max_seq_length} tokens are more than its {places} positions; "
                f"set rerank.max_seq_length = {places} or less"
            )
        scoring = replace(scoring, max_seq_length=min(scoring.max_seq_length, places))
        return cls(scoring, model.to(device), tokenizer, device=device)

    def scores(self, question: str, texts: Sequence[str]) -> Floats:
        """(n,) scores of these passages; they are read in batches by themselves, so nothing else changes a bit of them.

        The output, or with two outputs the second minus the first: the log-odds that the passage is relevant. What does
        not fit into `max_seq_length` is cut off the end of the longer one.
        """
        found = np.zeros(len(texts))
        if not texts:
            return found
        asked = question.translate(NO_SURROGATES)
        cut = {"truncation": True, "max_length": self.scoring.max_seq_length, "return_attention_mask": False}
        rows = self._tokenizer([asked] * len(texts), [text.translate(NO_SURROGATES) for text in texts], **cut)
        budget = BATCH_TOKENS[self._device.type]
        for batch in sorted_batches([len(row) for row in rows["input_ids"]], budget=budget):
            found[batch] = self._forward({name: [rows[name][place] for place in batch] for name in self._inputs})
        if not np.isfinite(found).all():
            raise BadCheckpoint(f"{self.scoring.source}: gives no numbers for some texts; copy the model again")
        return found

    def _forward(self, rows: Mapping[str, Sequence[Sequence[int]]]) -> Floats:
        """(B,) scores of token rows, padded here."""
        lengths = torch.tensor([len(row) for row in rows["input_ids"]])
        longest = max(1, int(lengths.max()))
        padding = {"input_ids": int(self._tokenizer.pad_token_id or 0)}
        inputs = {
            name: torch.tensor([[*row, *[padding.get(name, 0)] * (longest - len(row))] for row in values]).long()
            for name, values in rows.items()
        }
        inputs["attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
        with torch.inference_mode():
            logits = self._model(**{name: values.to(self._device) for name, values in inputs.items()}).logits.float()
        scores: Floats = (logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]).double().cpu().numpy()
        return scores


def _width(folder: Path) -> int:
    return int(getattr(load_config(folder), "hidden_size", 0))
