"""Parameter groups with their learning rates: head, encoder, and lower rates for lower layers (`layer_decay`)."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from torch import nn

from mrc.checkpoints import weight_groups
from mrc.read.data.windows import MATCH_TYPES_KEY
from mrc.read.model.network import SpanModel
from mrc.read.train_config import TrainConfig

log = logging.getLogger(__name__)

_LAYER: Final = re.compile(r"(?:^|\.)layers?\.(\d+)\.")  # as transformers names the layers of encoders


def param_groups(model: SpanModel, config: TrainConfig) -> list[dict[str, Any]]:
    """Parameter groups for AdamW, every trained weight in exactly one.

    With a `layer_decay` below 1 the top layer has the encoder's rate, each layer the rate of the one above times the
    decay, and the embeddings the lowest rate. The head and the exact-match embedding have `head_learning_rate`.

    Source: Howard & Ruder 2018, ULMFiT, section 3.2 (discriminative fine-tuning).
    """
    groups: list[dict[str, Any]] = []
    peak = config.learning_rate or default_rate(model.config)
    for depth, weights in sorted(_by_depth(model.encoder, config.layer_decay).items()):
        rate = peak * config.layer_decay**depth
        groups += weight_groups(weights, rate=rate, weight_decay=config.weight_decay)
    inside = {id(parameter) for parameter in model.encoder.parameters()}
    above = [parameter for parameter in model.parameters() if id(parameter) not in inside]
    return groups + weight_groups(above, rate=config.head_learning_rate, weight_decay=config.weight_decay)


def default_rate(config: Any) -> float:
    """The peak rate for an encoder, by its config: narrow ones and those without pretraining take more."""
    if is_builtin(config):
        return 1e-3
    return 1e-4 if int(getattr(config, "hidden_size", 0) or 0) in range(1, 385) else 5e-5


def is_builtin(config: Any) -> bool:
    """Whether this is the config of the built-in encoder: it alone marks shared words by token types."""
    return bool(getattr(config, MATCH_TYPES_KEY, False))


def _by_depth(encoder: nn.Module, decay: float) -> dict[int, list[nn.Parameter]]:
    """The encoder's weights by distance from the top layer, embeddings lowest; all at 0 without decay."""
    if decay == 1:
        return {0: list(encoder.parameters())}
    layers = {name: _LAYER.search(name) for name, _ in encoder.named_parameters()}
    top = max((int(found[1]) for found in layers.values() if found), default=-1)
    if top < 0:
        log.warning("layer_decay %s: the encoder has no layers by a known name; all weights have one rate", decay)
        return {0: list(encoder.parameters())}
    depths: dict[int, list[nn.Parameter]] = {}
    for name, parameter in encoder.named_parameters():
        found = layers[name]
        depth = top - int(found[1]) if found else _outside(name, top)
        depths.setdefault(depth, []).append(parameter)
    return depths


def _outside(name: str, top: int) -> int:
    """The depth of a weight in no layer: below all layers for embeddings, that of the top layer for a final norm."""
    return top + 1 if "embed" in name else 0
