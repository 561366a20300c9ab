"""The network (encoder + head), its checkpoint folder, and `Reader`, which answers questions with one.

A folder is an ordinary Hugging Face checkpoint: config.json, model.safetensors, tokenizer files. With the linear head
`AutoModelForQuestionAnswering.from_pretrained` loads it and computes the same logits.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForQuestionAnswering

from mrc.encoder import load_config, load_pretrained, load_tokenizer, max_positions, pick_device, pick_dtype
from mrc.errors import BadCheckpoint
from mrc.metrics import Metric, normalize_answer
from mrc.read.config import ReadConfig
from mrc.read.features import EXACT_MATCH_KEY, IGNORED_KEY, Batch, Windower
from mrc.read.heads import new_head
from mrc.read.predict import Group, read_groups
from mrc.text import passage_id, question_id
from mrc.types import Passage, Prediction

HEAD_KEY: Final = "labeler_head"  # in config.json
RECORD_FILE: Final = "training.json"  # how the folder came to be; not part of the model's hash
HASHED_SUFFIXES: Final = (".safetensors", ".bin", ".json", ".txt", ".model")


class SpanModel(nn.Module):
    """An encoder and a head. `prefix` and `architecture` are the names Hugging Face gives this encoder's QA model."""

    def __init__(self, encoder: nn.Module, head: nn.Module, *, prefix: str, architecture: str, head_name: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self._prefix = prefix
        self._names = {"architectures": [architecture], HEAD_KEY: head_name}
        accepts_types = "token_type_ids" in inspect.signature(encoder.forward).parameters
        self._uses_types = accepts_types and int(getattr(self.config, "type_vocab_size", 0) or 0) > 1

    @property
    def config(self) -> Any:
        return self.encoder.config

    @property
    def max_positions(self) -> int:
        """Tokens the encoder has positions for."""
        return max_positions(self.encoder)

    def forward(self, ids: Tensor, types: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Start and end logits, each (B, T) in the head's precision; inputs (B, T)."""
        inputs = {"input_ids": ids, "attention_mask": attention}
        if self._uses_types:
            inputs["token_type_ids"] = types
        hidden = self.encoder(**inputs).last_hidden_state  # (B, T, H)
        logits = self.head(hidden.to(next(self.head.parameters()).dtype))
        return logits[..., 0], logits[..., 1]

    def weights(self) -> dict[str, Tensor]:
        """All weights by the names of the Hugging Face checkpoint, on the CPU."""
        named = {f"{self._prefix}.{name}": value for name, value in self.encoder.state_dict().items()}
        named.update(self.head.state_dict())
        return {name: value.detach().cpu().contiguous() for name, value in named.items()}

    def save(self, folder: Path, tokenizer: Any) -> None:
        """Writes config.json, model.safetensors and the tokenizer's files into the folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        self.config.update(self._names)
        self.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        save_file(self.weights(), folder / "model.safetensors", metadata={"format": "pt"})
        shutil.copymode(folder / "config.json", folder / "model.safetensors")  # else it is private to its owner


def load_model(source: str | Path, *, device: torch.device, dtype: torch.dtype, head: str, seed: int = 0) -> SpanModel:
    """The network of a checkpoint; a head the checkpoint does not hold is new, from `seed`.

    The head stays in float32. On a CPU attention is computed as plain products ("eager"): in small sorted batches of
    bfloat16 that is faster than the fused kernel.

    Raises: BadCheckpoint.
    """
    options = {"attn_implementation": "eager"} if device.type == "cpu" else {}
    with torch.random.fork_rng(devices=[]):  # transformers draws weights that the checkpoint then replaces
        loaded, info = load_pretrained(
            AutoModelForQuestionAnswering, source, dtype=dtype, output_loading_info=True, **options
        )
    encoder = loaded.base_model
    fresh = new_head(head, int(loaded.config.hidden_size), seed=seed)
    missing = set(info["missing_keys"])
    lost = sorted(name for name in missing if name.startswith(f"{loaded.base_model_prefix}."))
    if lost:
        raise BadCheckpoint(f"{source}: {len(lost)} weights are missing ({lost[0]}); copy or train the model again")
    stored = {name: value for name, value in loaded.state_dict().items() if name not in missing}
    if all(name in stored and stored[name].shape == value.shape for name, value in fresh.state_dict().items()):
        fresh.load_state_dict({name: stored[name].float() for name in fresh.state_dict()})
    names = {"prefix": loaded.base_model_prefix, "architecture": type(loaded).__name__, "head_name": head}
    return SpanModel(encoder, fresh, **names).to(device)


class Reader:
    """Answers questions from passages with one checkpoint on one device."""

    def __init__(self, model: SpanModel, tokenizer: Any, *, device: torch.device) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._device = device
        self.windower = windower_of(tokenizer, model.config)

    @classmethod
    def load(cls, source: str | Path, *, device: str = "auto", precision: str = "auto") -> Self:
        """A reader from a folder or a Hugging Face hub name.

        Raises: BadCheckpoint if there is no usable model or no fast tokenizer.
        """
        config, chosen = load_config(source), pick_device(device)
        tokenizer = load_tokenizer(source)
        dtype = pick_dtype(precision, device=chosen, hidden_size=int(getattr(config, "hidden_size", 0)))
        model = load_model(source, device=chosen, dtype=dtype, head=getattr(config, HEAD_KEY, "linear"))
        return cls(model, tokenizer, device=chosen)

    @property
    def max_seq_length(self) -> int:
        """The longest window the encoder has positions for."""
        return self._model.max_positions

    def save(self, folder: str | Path) -> None:
        """Writes a checkpoint folder, in the precision the weights were loaded in."""
        self._model.save(Path(folder), self._tokenizer)

    def logits(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Start and end logits, each (B, T) float32."""
        with torch.inference_mode():
            start, end = self._model(*to_tensors(batch, self._device))
        return start.float().cpu().numpy(), end.float().cpu().numpy()

    def answer(
        self, pairs: Sequence[tuple[str, str]], config: ReadConfig | None = None, *, metric: Metric = "squad"
    ) -> list[Prediction]:
        """One prediction for each (question, passage): `answers[0].text` is the best answer. For notebooks."""
        settings = config or ReadConfig()
        passages = [Passage(passage_id(context), context) for _, context in pairs]
        groups = [Group(question, (passage,)) for (question, _), passage in zip(pairs, passages, strict=True)]
        ids = [question_id(question, context) for question, context in pairs]
        found = read_groups(self, groups, config=settings, normalize=normalizer(metric))
        return [Prediction(key, ranked.answers, ranked.null_score, ()) for key, ranked in zip(ids, found, strict=True)]


def windower_of(tokenizer: Any, config: Any) -> Windower:
    """The windower a checkpoint asks for: with exact-match token types where its config.json says so."""
    exact_match = bool(getattr(config, EXACT_MATCH_KEY, False))
    return Windower(tokenizer, exact_match=exact_match, ignored=getattr(config, IGNORED_KEY, ()))


def normalizer(metric: Metric) -> Callable[[str], str]:
    """The form in which two answer texts are compared: equal ones are one answer."""
    return partial(normalize_answer, metric=metric)


def to_tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """ids, types and attention of a batch, each (B, T) int64, on the device."""
    ids, types, attention = (torch.from_numpy(part) for part in (batch.ids, batch.types, batch.attention))
    return ids.to(device), types.to(device), attention.to(device)


def model_hash(folder: str | Path) -> str:
    """sha256 hex over names and bytes of a checkpoint's weights, configuration and tokenizer files, in name order.

    Raises: BadCheckpoint if the folder holds no config.json.
    """
    if not (Path(folder) / "config.json").is_file():
        raise BadCheckpoint(f"{folder}: no config.json, so this folder is no model; give a folder that holds one")
    digest = hashlib.sha256()
    files = [path for path in Path(folder).iterdir() if path.suffix in HASHED_SUFFIXES and path.name != RECORD_FILE]
    for path in sorted(files):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
