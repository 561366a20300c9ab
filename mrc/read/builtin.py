"""A small starting checkpoint made from nothing but the texts at hand, for demonstrations and tests.

What it is: a BERT of a few narrow layers with its own WordPiece vocabulary, warmed up by masked language modelling on
the given texts, and told by its token types which pieces the question and the passage share (Chen et al. 2017,
Reading Wikipedia to Answer Open-Domain Questions, section 3.2: the exact-match feature is the strongest one). What it
is not: a pretrained language model. It knows no word that the texts do not teach it; on real questions a pretrained
encoder is far better.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from mrc.read.config import check_range
from mrc.read.features import EXACT_MATCH_KEY, IGNORED_KEY

SPECIALS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TYPES: Final = 4  # question or passage, times shared piece or not
NOT_PREDICTED: Final = -100  # label that cross_entropy leaves out


@dataclass(frozen=True, slots=True)
class BuiltinConfig:
    """Size of the built-in encoder and of its warm-up.

    Raises: ValueError for a value out of range.
    """

    vocab_size: int = 4000
    layers: int = 3
    hidden_size: int = 128
    heads: int = 4
    positions: int = 384
    warmup_steps: int = 150  # updates of masked language modelling; 0: none
    warmup_batch: int = 32  # texts of one such update
    warmup_length: int = 96  # tokens of each
    warmup_rate: float = 2e-3
    mask_share: float = 0.15
    common_share: float = 0.2  # pieces in more than this share of the texts do not count as shared

    def __post_init__(self) -> None:
        for name in ("vocab_size", "layers", "hidden_size", "heads", "positions", "warmup_batch", "warmup_length"):
            check_range(name, getattr(self, name), low=1)
        check_range("warmup_steps", self.warmup_steps, low=0)
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        for name in ("mask_share", "common_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")


def build_builtin(
    texts: Sequence[str], folder: str | Path, *, seed: int, config: BuiltinConfig | None = None
) -> Path:
    """The folder of a new starting checkpoint with vocabulary and weights from `texts`; it appears whole or not at all.

    Raises: ValueError without texts; FileExistsError if the folder is there.
    """
    settings, final = config or BuiltinConfig(), Path(folder)
    if not any(text.strip() for text in texts):
        raise ValueError("a built-in encoder needs texts to learn from")
    if final.exists():
        raise FileExistsError(f"{final} is there already")
    draft = final.with_name(f"{final.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    tokenizer = _tokenizer(texts, settings)
    encoded = [ids for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if ids]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForMaskedLM(_bert_config(tokenizer, encoded, settings))
        _warm_up(model, _chunks(encoded, tokenizer, settings), tokenizer, settings, np.random.default_rng(seed))
    model.bert.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    draft.rename(final)
    return final


def _tokenizer(texts: Sequence[str], settings: BuiltinConfig) -> Any:
    """A WordPiece tokenizer of the texts' own words, lower case."""
    trained = BertWordPieceTokenizer(lowercase=True, strip_accents=False, clean_text=True, handle_chinese_chars=True)
    trained.train_from_iterator(
        texts, vocab_size=settings.vocab_size, min_frequency=2, show_progress=False, special_tokens=list(SPECIALS)
    )
    return BertTokenizerFast(
        tokenizer_object=trained._tokenizer, do_lower_case=True, strip_accents=False, model_max_length=settings.positions
    )


def _bert_config(tokenizer: Any, encoded: Sequence[Sequence[int]], settings: BuiltinConfig) -> BertConfig:
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.hidden_size,
        max_position_embeddings=settings.positions,
        type_vocab_size=TYPES,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    config.update({EXACT_MATCH_KEY: True, IGNORED_KEY: _ignored(tokenizer, encoded, settings.common_share)})
    return config


def _ignored(tokenizer: Any, encoded: Sequence[Sequence[int]], common_share: float) -> list[int]:
    """Ids of punctuation and of pieces that stand in more than `common_share` of the texts."""
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for ids in encoded:
        counts[np.unique(ids)] += 1
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    marks = np.array([not any(letter.isalnum() for letter in piece) for piece in pieces])
    return [int(index) for index in np.flatnonzero((counts > common_share * len(encoded)) | marks)]


def _chunks(encoded: Sequence[Sequence[int]], tokenizer: Any, settings: BuiltinConfig) -> NDArray[np.int64]:
    """All texts one after another, separated, cut to rows (N, warmup_length) that begin with [CLS]."""
    flat = [index for ids in encoded for index in (*ids, tokenizer.sep_token_id)]
    width = settings.warmup_length - 1
    flat += [tokenizer.pad_token_id] * (-len(flat) % width)
    rows = np.array(flat, dtype=np.int64).reshape(-1, width)
    return np.concatenate([np.full((len(rows), 1), tokenizer.cls_token_id), rows], axis=1)


def _warm_up(
    model: Any, rows: NDArray[np.int64], tokenizer: Any, settings: BuiltinConfig, rng: np.random.Generator
) -> None:
    """Masked language modelling on the rows, in place; the mask is drawn anew each time."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.warmup_rate, weight_decay=0.01)
    model.train()
    for step in range(settings.warmup_steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.warmup_rate * min((step + 1) / 20, 1 - step / settings.warmup_steps)
        batch = rows[rng.choice(len(rows), size=min(settings.warmup_batch, len(rows)), replace=False)]
        hidden = (rng.random(batch.shape) < settings.mask_share) & (batch >= len(SPECIALS))
        if not hidden.any():
            continue
        shown = np.where(hidden, tokenizer.mask_token_id, batch)
        labels = np.where(hidden, batch, NOT_PREDICTED)
        loss = model(
            input_ids=torch.from_numpy(shown),
            attention_mask=torch.from_numpy((batch != tokenizer.pad_token_id).astype(np.int64)),
            token_type_ids=torch.ones(batch.shape, dtype=torch.int64),
            labels=torch.from_numpy(labels),
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
