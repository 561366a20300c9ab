"""Loading a Hugging Face checkpoint, choosing device and precision, and batches sorted by length to a token budget."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from mrc.errors import BadCheckpoint, NoDevice

log = logging.getLogger(__name__)

BF16_PAYS_FROM = 256  # hidden size; below it a CPU loses more to conversions than bf16 products win
BATCH_TOKENS = {"cpu": 2048, "cuda": 65536}  # padded, of a batch: what fits a processor core's caches is fastest there
NO_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # for str.translate: tokenizers take what UTF-8 carries


def use_threads(count: int) -> None:
    """Lets torch compute with this many processor threads."""
    torch.set_num_threads(count)


def pick_device(device: str) -> torch.device:
    """The torch device for "auto" (a GPU if there is one), "cpu" or "cuda".

    Raises: NoDevice for "cuda" on a machine without one.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise NoDevice(f"device {device!r}: this machine has no usable GPU; use device 'cpu'")
    return torch.device(device)


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 matrices faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def pick_dtype(precision: str, *, device: torch.device, hidden_size: int) -> torch.dtype:
    """float32 or bfloat16; "auto" takes bfloat16 where the hardware has it and the encoder is wide enough to gain."""
    if precision == "auto":
        pays = has_bf16(device) and (device.type == "cuda" or hidden_size >= BF16_PAYS_FROM)
        return torch.bfloat16 if pays else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def checkpoint_folder(source: str | Path) -> Path:
    """The folder of a checkpoint; one of the Hugging Face hub is downloaded first, if it is not there already.

    Raises: BadCheckpoint where there is no such folder, and no such model or no way to the hub.
    """
    if Path(source).is_dir():
        return Path(source)
    if Path(source).is_absolute():
        raise BadCheckpoint(f"{source}: there is no such folder")
    weights = ("*.safetensors", "*.bin")  # the second only where the first are missing
    with _named(source):
        for kind in weights:
            wanted = [*_DESCRIBING, kind]
            folder = Path(snapshot_download(str(source), allow_patterns=wanted, ignore_patterns=list(_OTHER_KINDS)))
            if any(folder.glob(kind)):
                break
    return folder


def max_positions(encoder: nn.Module) -> int:
    """Tokens that an encoder has positions for; RoBERTa's table begins after its padding index."""
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    offset = (table.padding_idx or -1) + 1 if isinstance(table, nn.Embedding) else 0
    config: Any = encoder.config
    return int(getattr(config, "max_position_embeddings", None) or 10**6) - offset


def load_config(source: str | Path) -> Any:
    """The checkpoint's configuration; `source` is a folder or a name on the Hugging Face hub.

    Raises: BadCheckpoint if there is none or it cannot be read.
    """
    folder = Path(source)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise BadCheckpoint(f"{source}: no config.json, so this folder is no model; give a folder that holds one")
    with _named(source):
        return AutoConfig.from_pretrained(str(source))


def load_tokenizer(source: str | Path) -> Any:
    """The checkpoint's fast tokenizer: only a fast one tells where in the text each token stands.

    Raises: BadCheckpoint if there is none, or only a slow one.
    """
    folder = Path(source)
    if folder.is_dir() and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise BadCheckpoint(f"{source}: no tokenizer in this folder; save tokenizer.json beside the model")
    with _named(source):
        tokenizer = AutoTokenizer.from_pretrained(str(source), use_fast=True)
    if not tokenizer.is_fast:
        raise BadCheckpoint(f"{source}: a slow tokenizer, which gives no offsets; choose a model with tokenizer.json")
    return tokenizer


def load_pretrained(auto_class: Any, source: str | Path, **options: Any) -> Any:
    """`auto_class.from_pretrained(source, **options)` with its failures named.

    Raises: BadCheckpoint where weights are missing, broken or of another shape, or the hub cannot be reached.
    """
    for weights in sorted(Path(source).glob("*.safetensors")) if Path(source).is_dir() else ():
        _check_weights(weights)
    with _named(source), _quiet():
        return auto_class.from_pretrained(str(source), **options)


def _check_weights(path: Path) -> None:
    try:
        with safe_open(path, framework="pt"):
            return
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(f"{path}: broken weights ({_line(error)}); copy or train the model again") from error


@contextmanager
def _named(source: str | Path) -> Iterator[None]:
    """What transformers, tokenizers and safetensors raise for a bad checkpoint, as BadCheckpoint of one line."""
    try:
        yield
    except _LOADING_ERRORS as error:
        here = Path(source).is_dir()
        where = "this folder holds no usable model" if here else "no such folder, and no such model on the hub"
        raise BadCheckpoint(f"{source}: {where} ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence about a head that is new: a starting checkpoint has none."""
    before = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
        if bars:
            transformers_logging.enable_progress_bar()


def sorted_batches(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """Indexes grouped so that rows times the longest row stays within `budget` (one row may exceed it alone).

    Longest first, ties by index: the first batch then needs the most memory, and a lack shows at once.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


_LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    ImportError,
    TypeError,
    AttributeError,
    SafetensorError,
)
_TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
_DESCRIBING = ("*.json", "*.txt", "*.model")
_OTHER_KINDS = ("onnx/*", "openvino/*", "tf_model*", "flax_model*", "*.onnx")
