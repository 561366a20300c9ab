"""The network: an encoder, a span head, optionally an embedding of exact-match levels; loading and saving.

A folder is an ordinary Hugging Face checkpoint: config.json, model.safetensors, tokenizer files. With the linear head
`AutoModelForQuestionAnswering.from_pretrained` loads it and computes the same logits.
"""

from __future__ import annotations

import copy
import inspect
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForQuestionAnswering

from mrc.encoder import (
    attention_for,
    checkpoint_folder,
    first_position,
    keep_freed_memory,
    load_config,
    load_pretrained,
    max_positions,
)
from mrc.errors import BadCheckpoint
from mrc.read.config import WindowConfig
from mrc.read.data.exact_match import MATCH_LEVELS
from mrc.read.data.windows import FEATURES_KEY, MORPHEMES_KEY, WINDOWS_KEY, Batch
from mrc.read.model.attention import PACKED, packed_row, use_cheap_dropout
from mrc.read.model.heads import Head, Scores, new_head
from mrc.read.train_config import NEW_HEAD

log = logging.getLogger(__name__)

HEAD_KEY: Final = "labeler_head"  # in config.json
FEATURES_PREFIX: Final = "match_embedding."  # of its weights in a checkpoint
ATTENTION_DROPOUTS: Final = ("attention_probs_dropout_prob", "attention_dropout")  # names in configurations

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


def load_model(
    source: str | Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    head: str,
    seed: int = 0,
    exact_match_features: str = "none",
    morphemes: bool = False,
    windows: WindowConfig | None = None,
    fresh_head: bool = True,
    attention_dropout: float | None = None,
) -> SpanModel:
    """Load the network of a checkpoint, its head in float32; parts that the checkpoint lacks are initialised anew, a
    head from `seed`.

    The head `auto` is the checkpoint's own, or a new one of the default kind where it has none. Without `fresh_head`
    the checkpoint must hold this head, as it does once it was trained to answer questions.

    `exact_match_features` and `morphemes` are written into the network's configuration, which
    `windower_of` reads, and so are the `windows` that it will be trained with, if given; an attention dropout of None
    is the checkpoint's.

    Raises: BadCheckpoint, also for a checkpoint that lacks the weights of this head, where it names or needs it, or of
    this embedding, where it names it.
    """
    if device.type == "cpu":
        keep_freed_memory()
    before = load_config(source)
    options: dict[str, Any] = {"attn_implementation": attention_for(before, device), "dtype": dtype}
    dropouts = _dropouts(before, source) if attention_dropout is not None else {}
    options.update(dict.fromkeys(dropouts, attention_dropout))
    with torch.random.fork_rng(devices=[]):  # transformers draws weights that the checkpoint then replaces
        loaded, info = load_pretrained(AutoModelForQuestionAnswering, source, output_loading_info=True, **options)
    prefix = loaded.base_model_prefix
    if lost := sorted(name for name in info["missing_keys"] if name.startswith(f"{prefix}.")):
        raise BadCheckpoint(f"{source}: {len(lost)} weights are missing ({lost[0]}); copy or train the model again")
    _set_key(loaded.config, FEATURES_KEY, exact_match_features if exact_match_features != "none" else None)
    _set_key(loaded.config, MORPHEMES_KEY, "kiwi" if morphemes else None)
    if windows is not None:
        _set_key(loaded.config, WINDOWS_KEY, asdict(windows))
    held = _head_of(before, set(info["missing_keys"]))
    head = (held or NEW_HEAD) if head == "auto" else head
    fresh = new_head(head, int(loaded.config.hidden_size), seed=seed)
    model = SpanModel(loaded.base_model, fresh, prefix=prefix, architecture=type(loaded).__name__, head_name=head)
    model.stored_dropouts = dropouts
    stored = _stored(source, loaded, set(info["missing_keys"]), model)
    named = getattr(before, HEAD_KEY, None) == head
    if not _load_part(model.head, stored, source, what=f"{head} head", named=named) and not fresh_head:
        raise BadCheckpoint(f"{source}: it has no question-answering head: train it first (labeler train)")
    if model.match_embedding is not None and getattr(before, FEATURES_KEY, None) == exact_match_features:
        _load_part(
            model.match_embedding, stored, source, what="exact-match embedding", named=True, prefix=FEATURES_PREFIX
        )
    if held not in (None, head):
        log.info("%s: its %s head is replaced by a new %s one", source, held, head)
    if model.is_packed:
        use_cheap_dropout(model.encoder)
    return model.to(device)


def _head_of(config: Any, missing: set[str]) -> str | None:
    """The kind of head in a checkpoint: as its configuration says, or linear where transformers found such weights."""
    return getattr(config, HEAD_KEY, None if any(name.startswith("qa_outputs.") for name in missing) else "linear")


def _dropouts(config: Any, source: str | Path) -> dict[str, float]:
    """The attention dropouts of a configuration, by name."""
    found = {name: getattr(config, name) for name in ATTENTION_DROPOUTS if hasattr(config, name)}
    if not found:
        log.warning(
            "%s: attention_dropout has no effect: the configuration has no attention dropout by a known name", source
        )
    return found


def _set_key(config: Any, key: str, value: Any) -> None:
    if value is not None:
        config.update({key: value})
    elif hasattr(config, key):
        delattr(config, key)


def _stored(source: str | Path, loaded: Any, missing: set[str], model: SpanModel) -> dict[str, Tensor]:
    """The checkpoint's weights above the encoder; transformers loads only those of a linear head."""
    found = {name: value for name, value in loaded.state_dict().items() if name not in missing}
    wanted = set(model.top()) - set(found)
    if wanted - missing:
        for path in sorted(checkpoint_folder(source).glob("*.safetensors")):
            with safe_open(path, framework="pt") as weights:
                found.update({name: weights.get_tensor(name) for name in wanted & set(weights.keys())})
    return found


def _load_part(
    part: nn.Module, stored: Mapping[str, Tensor], source: str | Path, *, what: str, named: bool, prefix: str = ""
) -> bool:
    """Load the stored weights into the module if all are there; return whether they are.

    Raises: BadCheckpoint if weights are missing though the checkpoint names the module.
    """
    own = part.state_dict()
    if all(prefix + name in stored and stored[prefix + name].shape == value.shape for name, value in own.items()):
        part.load_state_dict({name: stored[prefix + name].float() for name in own})
        return True
    if named:
        raise BadCheckpoint(f"{source}: its {what} is missing; copy or train the model again")
    return False


def check_tokenizer(tokenizer: Any, encoder: Any, source: str | Path) -> None:
    """Raises: BadCheckpoint where the tokenizer has pieces without an embedding in the encoder."""
    pieces, rows = len(tokenizer), int(encoder.get_input_embeddings().num_embeddings)
    if pieces > rows:
        raise BadCheckpoint(
            f"{source}: the tokenizer has {pieces:,} pieces, the model {rows:,} rows: they do not belong together; "
            "copy both from one place"
        )


def to_tensors(batch: Batch, device: torch.device) -> Inputs:
    """ids, types, attention and match levels of a batch, each (B, T) int64, on the device."""
    tensors = (torch.from_numpy(array) for array in (batch.ids, batch.types, batch.attention, batch.match_levels))
    if device.type == "cuda":  # pinned memory, so that copying overlaps with computing
        tensors = (tensor.pin_memory() for tensor in tensors)
    ids, types, attention, match_levels = (tensor.to(device, non_blocking=True) for tensor in tensors)
    return ids, types, attention, match_levels
