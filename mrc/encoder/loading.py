"""Loading Hugging Face checkpoints from folders and the hub, with errors of one line."""

from __future__ import annotations

import pickle
import ssl
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from mrc.errors import BadCheckpoint

HUB_SECONDS = 5.0  # to wait for the hub before it counts as unreachable
NO_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # for str.translate: tokenizers accept only valid UTF-8
_LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    ImportError,
    TypeError,
    AttributeError,
    SafetensorError,
    pickle.UnpicklingError,  # weights that hold more than tensors: torch reads no code
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


def checkpoint_folder(source: str | Path) -> Path:
    """The folder of a checkpoint, downloaded from the Hugging Face hub unless it is a folder or in the cache.

    Raises: BadCheckpoint where there is no such folder, and no such model or no connection to the hub.
    """
    if Path(source).is_dir():
        return Path(source)
    if Path(source).is_absolute():
        raise BadCheckpoint(f"{source}: there is no such folder")
    weights = ("*.safetensors", "*.bin")  # the second kind only where the first is missing
    with _named(source):
        for kind in weights:
            wanted = [*_DESCRIBING, kind]
            folder = Path(snapshot_download(str(source), allow_patterns=wanted, ignore_patterns=list(_OTHER_KINDS)))
            if any(folder.glob(kind)):
                break
    return folder


def max_positions(encoder: nn.Module) -> int:
    """Number of tokens that an encoder has positions for."""
    config: Any = encoder.config
    return int(getattr(config, "max_position_embeddings", None) or 10**6) - first_position(encoder)


def first_position(encoder: nn.Module) -> int:
    """The position of a text's first token; RoBERTa's table starts after its padding index."""
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    padding = table.padding_idx if isinstance(table, nn.Embedding) else None
    return 0 if padding is None else padding + 1


def load_config(source: str | Path) -> Any:
    """The checkpoint's configuration; `source` is a folder or a name on the Hugging Face hub.

    Raises: BadCheckpoint if there is none or it cannot be read.
    """
    folder = Path(source)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise BadCheckpoint(f"{source}: no config.json, so this folder is no model; give a folder that holds one")
    with _named(source):
        return AutoConfig.from_pretrained(str(source), trust_remote_code=False)


def load_tokenizer(source: str | Path) -> Any:
    """The checkpoint's fast tokenizer; only a fast one gives offsets.

    Raises: BadCheckpoint if there is none, or only a slow one.
    """
    folder = Path(source)
    if folder.is_dir() and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise BadCheckpoint(f"{source}: no tokenizer in this folder; save tokenizer.json beside the model")
    with _named(source):
        tokenizer = AutoTokenizer.from_pretrained(str(source), use_fast=True, trust_remote_code=False)
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
        return auto_class.from_pretrained(str(source), trust_remote_code=False, **options)


def _check_weights(path: Path) -> None:
    try:
        with safe_open(path, framework="pt"):
            return
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(f"{path}: broken weights ({_line(error)}); copy or train the model again") from error


@contextmanager
def _named(source: str | Path) -> Iterator[None]:
    """Raise what transformers, tokenizers and safetensors raise for a bad checkpoint as BadCheckpoint, in one line."""
    try:
        if not Path(source).is_dir() and not _in_cache(str(source)) and not _hub_reachable():
            raise BadCheckpoint(f"{source}: no such folder, and no network to look for the model on the hub")
        yield
    except _LOADING_ERRORS as error:
        here = Path(source).is_dir()
        where = "this folder holds no usable model" if here else "no such folder, and no such model on the hub"
        raise BadCheckpoint(f"{source}: {where} ({_line(error)})") from error


def _in_cache(name: str) -> bool:
    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def _hub_reachable() -> bool:
    """Whether the hub answers within HUB_SECONDS: transformers would try for half a minute, and blame the name."""
    if constants.HF_HUB_OFFLINE:
        return False
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # transformers may know the certificate
    except OSError:
        return False


def _line(error: BaseException) -> str:
    return textwrap.shorten(str(error), 200, placeholder=" …") or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warning about a new head: a starting checkpoint has none."""
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
