"""Loading Hugging Face checkpoints from folders and the hub, with errors of one line.

A folder is checked before anything in it is loaded: its files (mrc.encoder.files), its configuration and sizes
(mrc.encoder.configuration) and its tokenizer (mrc.encoder.tokenizer_files).
"""

from __future__ import annotations

import copy
import pickle
import ssl
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoTokenizer
from transformers.initialization import no_init_weights
from transformers.utils import logging as transformers_logging

from mrc.encoder.configuration import ROOM, check_sizes, read_config
from mrc.encoder.files import check_folder
from mrc.encoder.tokenizer_files import check_loaded_normalizer, check_tokenizer_config, check_tokenizer_json
from mrc.encoder.weights import StoredWeights, check_weights, stored_weights
from mrc.errors import BadCheckpoint, MrcError

TRIED = 16  # pieces
HUB_SECONDS = 5.0  # to wait for the hub before it counts as unreachable
NO_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # for str.translate: tokenizers accept only valid UTF-8
_LOADING_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    ImportError,
    TypeError,
    AttributeError,
    SafetensorError,
    StrictDataclassError,
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
_POSITIONS = (
    "max_position_embeddings",
    "max_encoder_position_embeddings",
    "max_decoder_position_embeddings",
    "max_seq_len",
)
_DESCRIBING = ("*.json", "*.txt", "*.model")
_OTHER_KINDS = ("onnx/*", "openvino/*", "tf_model*", "flax_model*", "*.onnx")


def checkpoint_folder(source: str | Path, *, weights: bool = True) -> Path:
    """The checked folder of a checkpoint, downloaded from the Hugging Face hub unless it is a folder or in the cache.

    Raises: BadCheckpoint where there is no such folder, it holds what no model folder may hold, and where there is no
    such model or no connection to the hub.
    """
    folder = Path(source) if Path(source).is_dir() else _downloaded(source, weights=weights)
    check_folder(folder)
    return folder


def _downloaded(source: str | Path, *, weights: bool) -> Path:
    if Path(source).is_absolute():
        raise BadCheckpoint(f"{source}: there is no such folder")
    kinds = ("*.safetensors", "*.bin") if weights else ()  # the second kind only where the first is missing
    ignored = list(_OTHER_KINDS)
    with named(source):
        folder = Path(snapshot_download(str(source), allow_patterns=list(_DESCRIBING), ignore_patterns=ignored))
        for kind in kinds:
            wanted = [*_DESCRIBING, kind]
            folder = Path(snapshot_download(str(source), allow_patterns=wanted, ignore_patterns=ignored))
            if any(folder.glob(kind)):
                break
    return folder


def max_positions(encoder: nn.Module) -> int:
    """Number of tokens that an encoder has positions for."""
    return configured_positions(encoder.config) - first_position(encoder)


def configured_positions(config: Any) -> int:
    """Number of positions by a configuration, those that an encoder keeps for padding included."""
    limits = [limit for name in _POSITIONS if (limit := getattr(config, name, None) or 0) > 0]  # XLNet says -1
    return min(limits, default=10**6)


def first_position(encoder: nn.Module) -> int:
    """The position of a text's first token; RoBERTa's table starts after its padding index."""
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else padding + 1


def load_config(source: str | Path) -> Any:
    """The checkpoint's configuration; `source` is a folder or a name on the Hugging Face hub.

    Raises: BadCheckpoint if there is none, it cannot be read, or it claims sizes that no model has.
    """
    folder = Path(source)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise BadCheckpoint(f"{source}: no config.json, so this folder is no model; give a folder that holds one")
    folder = checkpoint_folder(source, weights=False)
    with named(source):
        return read_config(folder)


def load_tokenizer(source: str | Path) -> Any:
    """The checkpoint's fast tokenizer, which neither pads nor truncates by itself; only a fast one gives offsets.

    Raises: BadCheckpoint if there is none, only a slow one, or one that could make texts much longer.
    """
    folder = checkpoint_folder(source, weights=False)
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise BadCheckpoint(f"{source}: no tokenizer in this folder; save tokenizer.json beside the model")
    config = load_config(folder) if (folder / "config.json").is_file() else None
    check_tokenizer_json(folder)
    check_tokenizer_config(folder / "tokenizer_config.json")
    with named(source):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), config=config, use_fast=True, trust_remote_code=False)
        if tokenizer.is_fast:
            _try(tokenizer)
    if not tokenizer.is_fast:
        raise BadCheckpoint(f"{source}: a slow tokenizer, which gives no offsets; choose a model with tokenizer.json")
    backend = tokenizer.backend_tokenizer
    check_loaded_normalizer(backend.normalizer, source)
    backend.no_padding()
    backend.no_truncation()
    return tokenizer


def _try(tokenizer: Any) -> None:
    """Use a tokenizer, so that a broken one fails here."""
    tokenizer("a", "a", verbose=False)
    tokenizer.convert_ids_to_tokens(tokenizer.all_special_ids)


def check_tokenizer(tokenizer: Any, encoder: Any, source: str | Path) -> None:
    """Raises: BadCheckpoint where the tokenizer has pieces without an embedding in the encoder."""
    pieces, rows = len(tokenizer), int(encoder.get_input_embeddings().weight.shape[0])
    if max(pieces, 1 + max(tokenizer.get_vocab().values(), default=-1)) > rows:
        raise BadCheckpoint(
            f"{source}: the tokenizer has {pieces:,} pieces, the model {rows:,} rows: they do not belong together; "
            "copy both from one place"
        )


def load_pretrained(
    auto_class: Any, source: str | Path, *, settings: Mapping[str, Any] | None = None, **options: Any
) -> Any:
    """`auto_class.from_pretrained(source, **options)` with its failures named; `settings` replace values of the
    configuration.

    Raises: BadCheckpoint where weights are missing, broken or of another size than the configuration says, or the hub
    cannot be reached.
    """
    folder, config = checkpoint_folder(source), load_config(source)
    for name, value in (settings or {}).items():
        setattr(config, name, value)
    with named(source):
        weights = stored_weights(folder)
        for path in sorted(folder.glob("*.safetensors")):
            check_weights(path)
        check_sizes(config, weights, source)
        with _quiet():
            _check_size(auto_class, config, weights, source)
            loaded = auto_class.from_pretrained(str(folder), config=config, trust_remote_code=False, **options)
            _try_network(loaded[0] if isinstance(loaded, tuple) else loaded)
            return loaded


def _try_network(network: Any) -> None:
    """Compute a few pieces, so that a network that cannot compute fails here."""
    config = network.config
    pieces = torch.full((1, TRIED), int(not getattr(config, "pad_token_id", 0)))  # 0, or 1 where 0 is the padding
    packed = config._attn_implementation == "packed"
    with torch.no_grad():
        network.base_model(input_ids=pieces, **({"cu_seq_lens_q": [0, TRIED]} if packed else {}))


def _check_size(auto_class: Any, config: Any, weights: StoredWeights, source: str | Path) -> None:
    """Build the network without memory and compare it with the stored numbers.

    Raises: BadCheckpoint where it is larger than they are and a new head.
    """
    with torch.device("meta"), no_init_weights():
        network = auto_class.from_config(copy.deepcopy(config), trust_remote_code=False)
    size = sum(part.numel() for part in (*network.parameters(), *network.buffers()))
    if size > weights.elements + weights.largest + ROOM:
        raise BadCheckpoint(
            f"{source}: the configuration describes {size:,} weights, but {weights.elements:,} are stored; "
            "copy the model again"
        )


@contextmanager
def named(source: str | Path) -> Iterator[None]:
    """Raise what transformers, tokenizers and safetensors raise for a bad checkpoint as BadCheckpoint, in one line."""
    try:
        if not Path(source).is_dir() and not _in_cache(str(source)) and not _hub_reachable():
            raise BadCheckpoint(f"{source}: no such folder, and no network to look for the model on the hub")
        yield
    except MrcError:
        raise
    except BaseException as error:
        if not (isinstance(error, _LOADING_ERRORS) or _of_tokenizers(error)):
            raise
        here = Path(source).is_dir()
        where = "this folder holds no usable model" if here else "no such folder, and no such model on the hub"
        raise BadCheckpoint(f"{source}: {where} ({_line(error)})") from error


def _of_tokenizers(error: BaseException) -> bool:
    """Whether an error is of tokenizers: it raises plain exceptions, and panics that are not even those."""
    return type(error) is Exception or type(error).__name__ == "PanicException"


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
