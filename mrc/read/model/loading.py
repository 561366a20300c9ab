"""Loading a network from a checkpoint: encoder, span head, exact-match embedding."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForQuestionAnswering

from mrc.encoder.compute import attention_for, keep_freed_memory
from mrc.encoder.loading import checkpoint_folder, load_config, load_pretrained
from mrc.errors import BadCheckpoint
from mrc.read.config import WindowConfig
from mrc.read.data.exact_match import KINDS
from mrc.read.data.windows import FEATURES_KEY, MATCH_IGNORED_KEY, MORPHEMES_KEY, WINDOWS_KEY
from mrc.read.model.architectures import Architecture, architecture_of
from mrc.read.model.attention import use_cheap_dropout
from mrc.read.model.heads import HEADS, Head, new_head
from mrc.read.model.network import FEATURES_PREFIX, HEAD_KEY, HEAD_PREFIX, SpanModel
from mrc.read.model.own_heads import OWN_HEADS, OwnHead, TextToText
from mrc.read.train_config import NEW_HEAD

log = logging.getLogger(__name__)

LEAST_POSITIONS: Final = 32  # tokens of the shortest window that is worth reading
ATTENTION_DROPOUTS: Final = ("attention_probs_dropout_prob", "attention_dropout")  # names in configurations


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

    `exact_match_features` and `morphemes` are written into the network's configuration, which `windower_of` reads, and
    so are the `windows` that it will be trained with, if given; an attention dropout of None is the checkpoint's.

    Raises: BadCheckpoint, also for a checkpoint that lacks the weights of this head, where it names or needs it, or of
    this embedding, where it names it.
    """
    if device.type == "cpu":
        keep_freed_memory()
    before = load_config(source)
    check_stored_settings(before, source)
    kind = architecture_of(before, source)
    dropouts = _dropouts(before, source) if attention_dropout is not None else {}
    changed = dict.fromkeys(dropouts, attention_dropout)
    how = {"attn_implementation": attention_for(before, device), "dtype": dtype}
    loaded, info = _pretrained(source, changed, how, seed=seed)
    missing = _missing(loaded, info, source)
    _describe(loaded.config, exact_match_features, morphemes, windows)
    held = _head_of(before, loaded, missing)
    if held is None and not fresh_head:
        raise BadCheckpoint(f"{source}: it has no question-answering head: train it first (labeler train)")
    model = _network(loaded, (held or NEW_HEAD) if head == "auto" else head, kind, seed=seed)
    model.stored_dropouts = dropouts
    _check_own_head(model, source)
    _check_length(model, source)
    _load_parts(model, _stored(source, loaded, missing, model), before, source, fresh_head)
    if kind.sparse:
        use_full_attention(loaded.base_model)
    if held not in (None, model.head_name):
        log.info("%s: its %s head is replaced by a new %s one", source, held, model.head_name)
    if model.is_packed:
        use_cheap_dropout(model.encoder)
    return model.to(device)


def _pretrained(
    source: str | Path, settings: Mapping[str, Any], how: Mapping[str, Any], *, seed: int
) -> tuple[Any, Mapping[str, Any]]:
    """The network of transformers under changed settings, and what its checkpoint lacks."""
    with torch.random.fork_rng(devices=[]):  # transformers draws weights that the checkpoint or a new head replaces
        torch.manual_seed(seed)
        loaded, info = load_pretrained(
            AutoModelForQuestionAnswering,
            source,
            settings=dict(settings),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **how,
        )
    return loaded, info


def _describe(config: Any, exact_match_features: str, morphemes: bool, windows: WindowConfig | None) -> None:
    """Write into a network's configuration what its texts and windows are made with."""
    _set_key(config, FEATURES_KEY, exact_match_features if exact_match_features != "none" else None)
    _set_key(config, MORPHEMES_KEY, "kiwi" if morphemes else None)
    if windows is not None:
        _set_key(config, WINDOWS_KEY, asdict(windows))


def _network(loaded: Any, head: str, kind: Architecture, *, seed: int) -> SpanModel:
    """The encoder of a network of transformers under a new head."""
    return SpanModel(
        TextToText(loaded) if kind.text_to_text else loaded.base_model,
        _new_head(head, loaded, kind, seed=seed),
        prefix=_prefix(loaded),
        architecture=type(loaded).__name__,
        head_name=head,
        top_weight=_top_weight(loaded),
        kind=kind,
    )


def _check_length(model: SpanModel, source: str | Path) -> None:
    """Raises: BadCheckpoint where the encoder has too few positions."""
    if model.max_positions < LEAST_POSITIONS:
        raise BadCheckpoint(
            f"{source}: it has positions for {model.max_positions} tokens, too few for a question and a passage; "
            "choose another model"
        )


def check_stored_settings(config: Any, source: str | Path) -> None:
    """Raises: BadCheckpoint where what a reader stores in config.json is nothing that a reader would store."""
    for what, key, known in (
        ("head", HEAD_KEY, tuple(HEADS)),
        ("exact_match_features", FEATURES_KEY, ("none", *KINDS)),
    ):
        name = getattr(config, key, None)
        if name is not None and not (isinstance(name, str) and name in known):
            raise BadCheckpoint(f"{source}: its {what} {name!r} is none of {', '.join(known)}; train it again")
    ignored, windows = getattr(config, MATCH_IGNORED_KEY, []), getattr(config, WINDOWS_KEY, None)
    if not (isinstance(ignored, list) and all(type(piece) is int for piece in ignored)):
        raise BadCheckpoint(f"{source}: {MATCH_IGNORED_KEY} is no list of pieces; train it again")
    try:
        if windows is not None:
            WindowConfig(**windows)
    except (TypeError, ValueError) as error:
        raise BadCheckpoint(f"{source}: {WINDOWS_KEY}: {error}; train it again") from error


def _missing(loaded: Any, info: Mapping[str, Any], source: str | Path) -> set[str]:
    """The names of the head's weights that the checkpoint lacks or holds in another shape.

    Raises: BadCheckpoint where the encoder's are.
    """
    tops = set(_tops(loaded))
    other = {name: (stored, wanted) for name, stored, wanted in info["mismatched_keys"]}
    if broken := sorted(name for name in other if name not in tops):
        stored, wanted = (tuple(shape) for shape in other[broken[0]])
        raise BadCheckpoint(
            f"{source}: this folder holds no usable model ({broken[0]} is {stored}, its configuration says {wanted})"
        )
    if lost := sorted(name for name in info["missing_keys"] if name not in tops):
        raise BadCheckpoint(f"{source}: {len(lost)} weights are missing ({lost[0]}); copy or train the model again")
    return {*info["missing_keys"], *other}


def _prefix(loaded: Any) -> str:
    """What stands before the names of the encoder's weights: the encoder's name, nothing for a network without one."""
    return "" if loaded.base_model is loaded else f"{loaded.base_model_prefix}."


def _tops(loaded: Any) -> list[str]:
    """The names of the weights above the encoder in transformers' network."""
    inside = _prefix(loaded)
    top = (lambda name: not name.startswith(inside)) if inside else (lambda name: name.startswith("qa_outputs."))
    return list(filter(top, loaded.state_dict()))


def _top_weight(loaded: Any) -> str:
    """A weight of transformers' head that has more than one number."""
    weights = loaded.state_dict()
    return next(name for name in reversed(_tops(loaded)) if weights[name].dim() > 1)


def _new_head(name: str, loaded: Any, kind: Architecture, *, seed: int) -> Head | OwnHead:
    if name == "linear" and kind.own_head:
        return OWN_HEADS[loaded.config.model_type](loaded, loaded.base_model)
    return new_head(name, int(loaded.config.hidden_size), seed=seed)


def _check_own_head(model: SpanModel, source: str | Path) -> None:
    """Raises: BadCheckpoint for exact-match features under a head that transformers alone defines."""
    if isinstance(model.head, OwnHead) and model.match_embedding is not None:
        raise BadCheckpoint(
            f"{source}: its own head takes no exact-match features; set train.head = cnn, or leave them out"
        )


def use_full_attention(encoder: Any) -> None:
    """Let BigBird's kinds read every window with full attention, as transformers does up to the limit of windows.

    transformers changes to it at the first short window and stays there; so would longer windows read after it.
    """
    part = encoder if hasattr(encoder, "set_attention_type") else encoder.encoder
    part.set_attention_type("original_full")


def _load_parts(
    model: SpanModel, stored: Mapping[str, Tensor], before: Any, source: str | Path, fresh_head: bool
) -> None:
    """Load the stored weights of the head and of the exact-match embedding; `before` is the stored configuration."""
    head, features, held = model.head_name, getattr(model.config, FEATURES_KEY, None), getattr(before, HEAD_KEY, None)
    loaded = held in (None, head) and any(_load_part(model.head, stored, prefix=prefix) for prefix in (HEAD_PREFIX, ""))
    if held == head and not loaded:
        raise BadCheckpoint(f"{source}: its {head} head is missing; copy or train the model again")
    if not loaded and not fresh_head:
        raise BadCheckpoint(f"{source}: it has no question-answering head: train it first (labeler train)")
    if model.match_embedding is None or getattr(before, FEATURES_KEY, None) != features:
        return
    if not _load_part(model.match_embedding, stored, prefix=FEATURES_PREFIX):
        raise BadCheckpoint(f"{source}: its exact-match embedding is missing; copy or train the model again")


def _head_of(config: Any, loaded: Any, missing: set[str]) -> str | None:
    """The kind of head in a checkpoint: as its configuration says, or linear where transformers found its weights and
    the configuration names no class for another task."""
    classes = [str(name) for name in getattr(config, "architectures", None) or ()]
    other_task = bool(classes) and not any("ForQuestionAnswering" in name or name.endswith("Model") for name in classes)
    found = not other_task and not missing & set(_tops(loaded))
    return getattr(config, HEAD_KEY, "linear" if found else None)


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
    """The checkpoint's weights above the encoder; transformers loads only those of its own head."""
    found = {name: value for name, value in loaded.state_dict().items() if name not in missing}
    wanted = {f"{HEAD_PREFIX}{name}" for name in model.head.state_dict()}
    wanted |= {name for name in model.top() if name.startswith(FEATURES_PREFIX)}
    for path in sorted(checkpoint_folder(source).glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            found.update({name: weights.get_tensor(name) for name in wanted & set(weights.keys())})
    return found


def _load_part(part: nn.Module, stored: Mapping[str, Tensor], *, prefix: str) -> bool:
    """Load the stored weights into the module if all are there; return whether they are."""
    own = part.state_dict()
    if any(prefix + name not in stored or stored[prefix + name].shape != value.shape for name, value in own.items()):
        return False
    part.load_state_dict({name: stored[prefix + name].float() for name in own})
    return True
