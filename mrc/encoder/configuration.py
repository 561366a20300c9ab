"""A model's configuration, without what would choose code or kernels; its sizes are checked before it is built."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from mrc.encoder.files import read_json
from mrc.encoder.weights import StoredWeights
from mrc.errors import BadCheckpoint

CONFIG_FILE: Final = "config.json"
IGNORED: Final = frozenset(  # keys that choose code, kernels, files or forms of output: the tool chooses those
    {
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_attn_implementation_internal",
        "_experts_implementation",
        "_experts_implementation_internal",
        "_name_or_path",
        "attn_implementation",
        "auto_map",
        "configuration_files",
        "custom_pipelines",
        "distributed_config",
        "experts_implementation",
        "fusion_config",
        "gradient_checkpointing",
        "kernel_config",
        "name_or_path",
        "output_attentions",
        "output_hidden_states",
        "quantization_config",
        "reference_compile",
        "return_dict",
        "torchscript",
        "transformers_weights",
        "use_kernels",
        "use_return_dict",
    }
)
FREE: Final = frozenset({"id2label", "label2id", "task_specific_params"})  # mappings with keys of the author's choice
SIZES: Final = re.compile(  # at least 1
    r"(num_|n_|encoder_|decoder_|^)(attention_|key_value_|kv_)?heads?|n_head|hidden_size|embedding_size|intermediate_size"
    r"|vocab_size|d_model|d_ff|d_kv|d_head|head_dim|n_embd|emb_dim|dim|hidden_dim|ffn_dim|(encoder|decoder)_ffn_dim"
)
LAYERS: Final = re.compile(r"(^|_)(layers?|blocks?|block_sizes|depth|groups?|group_num|experts?|stages?|repeats)(_|$)")
POSITIONS: Final = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")
MOST_SIZE: Final = 1 << 24
MOST_LAYERS: Final = 1024
MOST_LABELS: Final = 100_000
ROOM: Final = 1 << 26  # weights that need not be in the files: a new head, computed tables of positions


def read_config(folder: Path) -> Any:
    """The configuration of a model folder, without the keys of `IGNORED` at any depth.

    Raises: BadCheckpoint for sizes that no model has; ValueError for a kind of model that transformers does not know.
    """
    path = folder / CONFIG_FILE
    given = read_json(path)
    _check_values(given, path)
    kept = _without_ignored(given)
    kind = kept.get("model_type")
    if kind == "mistral" and "layer_types" in kept:  # as transformers' AutoConfig does
        kind = kept["model_type"] = "ministral"
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise ValueError(f"transformers knows no model_type {str(kind)[:100]!r}")
    return CONFIG_MAPPING[kind].from_dict(kept)


def check_sizes(config: Any, weights: StoredWeights, source: str | Path) -> None:
    """Compare the sizes that a configuration claims with the stored weights.

    Raises: BadCheckpoint where a size is none of the weights', or the network would be larger than they are.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    width, layers = _number(text, "hidden_size"), _number(text, "num_hidden_layers")
    claims = [("hidden_size", width), ("vocab_size", _number(text, "vocab_size"))]
    for name, size in claims:
        if size is not None and weights.sizes and size not in weights.sizes:
            raise BadCheckpoint(f"{source}: {name} is {size:,}, but no weight has that size; copy the model again")
    if weights.count and layers is not None and layers > max(weights.count, 64):
        raise BadCheckpoint(
            f"{source}: num_hidden_layers is {layers:,}, but there are {weights.count} weights; copy the model again"
        )
    for name in POSITIONS:
        claimed = (_number(text, name) or 0) * (width or 1)
        if claimed > weights.elements + ROOM:
            raise BadCheckpoint(
                f"{source}: {name} is {_number(text, name):,}, too many for {weights.elements:,} stored numbers; "
                "copy the model again"
            )


def _number(config: Any, name: str) -> int | None:
    try:
        value = getattr(config, name, None)
    except (NotImplementedError, AttributeError, TypeError):  # a property that does not apply
        return None
    return value if isinstance(value, int) and value > 0 else None


def _without_ignored(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_ignored(value) if isinstance(value, dict) and key not in FREE else value
        for key, value in given.items()
        if key not in IGNORED
    }


def _check_values(given: Mapping[str, Any], path: Path) -> None:
    classes = given.get("architectures")
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise BadCheckpoint(f"{path}: architectures is no list of names; copy the model again")
    for key, value in _values(given):
        if isinstance(value, float) and not math.isfinite(value):
            raise BadCheckpoint(f"{path}: {key} is {value}, not a finite number; copy the model again")
        if value is None:
            continue
        if (limits := _limits(key, value)) and not _within(value, limits):
            low, high = limits
            raise BadCheckpoint(
                f"{path}: {key} is {str(value)[:40]}, not a whole number from {low} to {high:,}; copy the model again"
            )


def _limits(key: str, value: Any) -> tuple[int, int] | None:
    """The smallest and the largest value of a key; None for a key that is no size."""
    if key == "num_labels":
        return 0, MOST_LABELS
    if key in POSITIONS:
        return -1, MOST_SIZE  # -1: without limit
    if SIZES.fullmatch(key):
        return 1, MOST_SIZE
    if LAYERS.search(key) and isinstance(value, int) and not isinstance(value, bool):
        return -1, MOST_LAYERS
    if isinstance(value, int) and not isinstance(value, bool):
        return -(1 << 40), 1 << 40
    return None


def _within(value: Any, limits: tuple[int, int]) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and limits[0] <= value <= limits[1]


def _values(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every key with its value, or with each value of its list, in objects inside it too."""
    for key, value in given.items():
        if isinstance(value, dict) and key not in FREE:
            yield from _values(value)
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    yield from _values(each)
                else:
                    yield key, each
        elif not isinstance(value, dict):
            yield key, value
