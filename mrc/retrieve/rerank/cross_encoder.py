"""The cross-encoder: it scores a question and a passage in one forward pass."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

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
    named,
)
from mrc.errors import BadCheckpoint, StaleIndex, writing
from mrc.retrieve.dense.checkpoint_info import checkpoint_hash
from mrc.retrieve.fuse import Floats
from mrc.retrieve.rerank.config import RerankConfig, Scoring

_DEFAULT_LENGTH: Final = 512  # tokens of question and passage, where the settings name no number
_OUTPUTS: Final = (1, 2)


class CrossEncoder:
    """Scores passages for a question with one checkpoint on one device: higher is better, the scale is the model's."""

    def __init__(self, scoring: Scoring, model: Any, tokenizer: Any, *, device: torch.device) -> None:
        self.scoring = scoring
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._device = device
        accepted = inspect.signature(model.forward).parameters
        typed = "token_type_ids" in accepted and int(getattr(model.config, "type_vocab_size", 0) or 0) > 1
        self._inputs = ("input_ids", "token_type_ids") if typed else ("input_ids",)

    @classmethod
    def load(cls, config: RerankConfig | str | Path, *, device: str = "auto") -> Self:
        """The cross-encoder of a checkpoint, or of the settings that name one.

        Raises:
            BadCheckpoint: there is none, it cannot be read, or it has no output for a pair of texts.
        """
        config = config if isinstance(config, RerankConfig) else RerankConfig(model=str(config))
        if config.model is None:
            raise ValueError("the settings name no model")
        folder, on = checkpoint_folder(config.model), pick_device(device)
        dtype = pick_dtype(config.precision, device=on, hidden_size=_width(folder))
        scoring = Scoring(
            source=str(folder.resolve()) if Path(config.model).is_dir() else config.model,
            checkpoint=checkpoint_hash(folder),
            max_seq_length=config.max_seq_length or _DEFAULT_LENGTH,
            precision="bf16" if dtype is torch.bfloat16 else "fp32",
        )
        return cls._load(scoring, folder, device=on, may_shorten=config.max_seq_length is None)

    @classmethod
    def reload(cls, scoring: Scoring, *, device: str = "auto") -> Self:
        """The cross-encoder that an index was built with, unchanged.

        Raises:
            BadCheckpoint: it is gone, or cannot be read.
            StaleIndex: its files have changed.
        """
        folder = checkpoint_folder(scoring.source)
        if checkpoint_hash(folder) != scoring.checkpoint:
            raise StaleIndex(f"{scoring.source}: its files changed since the index was built; run `labeler index`")
        return cls._load(scoring, folder, device=pick_device(device), may_shorten=False)

    @classmethod
    def _load(cls, scoring: Scoring, folder: Path, *, device: torch.device, may_shorten: bool) -> Self:
        """`may_shorten`: texts may be cut to the positions that the network has."""
        tokenizer = load_tokenizer(folder)
        dtype = pick_dtype(scoring.precision, device=device, hidden_size=_width(folder))
        attention = "eager" if device.type == "cpu" and dtype is torch.bfloat16 else None
        with torch.random.fork_rng(devices=[]):  # transformers draws weights that the checkpoint then replaces
            model, info = load_pretrained(
                AutoModelForSequenceClassification,
                folder,
                dtype=dtype,
                output_loading_info=True,
                attn_implementation=attention,
            )
        if missing := sorted(info["missing_keys"]):
            raise BadCheckpoint(
                f"{folder}: {len(missing)} weights are missing ({missing[0]}), so it cannot score a pair of texts; "
                "choose a cross-encoder as rerank.model"
            )
        if (outputs := int(model.config.num_labels)) not in _OUTPUTS:
            raise BadCheckpoint(
                f"{folder}: has {outputs} outputs; a cross-encoder has one, or two of which the second means relevant; "
                "choose another rerank.model"
            )
        check_tokenizer(tokenizer, model.base_model, folder)
        positions = max_positions(model.base_model)
        if scoring.max_seq_length > positions and not may_shorten:
            raise BadCheckpoint(
                f"{folder}: {scoring.max_seq_length} tokens are more than its {positions} positions; "
                f"set rerank.max_seq_length = {positions} or less"
            )
        scoring = replace(scoring, max_seq_length=min(scoring.max_seq_length, positions))
        loaded = cls(scoring, model.to(device), tokenizer, device=device)
        with named(folder):
            loaded.scores("a", ["a"])  # a broken one fails here
        return loaded

    def __repr__(self) -> str:
        return f"CrossEncoder({self.scoring.source!r}, device={self._device.type!r})"

    def save(self, folder: str | Path) -> None:
        """Write a checkpoint that `load` reads."""
        with writing(Path(folder)):
            self._model.save_pretrained(folder)
            self._tokenizer.save_pretrained(folder)

    def scores(self, question: str, texts: Sequence[str]) -> Floats:
        """(n,) scores of these passages for one question, which do not depend on other questions.

        The model's output, or with two outputs the second minus the first: the log-odds of relevance. The longer of
        question and passage is truncated at its end to fit `max_seq_length`.
        """
        texts = list_of_texts(texts, "texts")
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
            raise BadCheckpoint(f"{self.scoring.source}: returns no finite scores for some texts; copy the model again")
        return found

    def _forward(self, rows: Mapping[str, Sequence[Sequence[int]]]) -> Floats:
        """(B,) scores of unpadded token rows."""
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
