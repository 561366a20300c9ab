"""Loading Hugging Face checkpoints, choosing device and precision, and batches within a token budget."""

from __future__ import annotations

import ctypes
import logging
import ssl
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from mrc.errors import BadCheckpoint, NoDevice

log = logging.getLogger(__name__)

BF16_PAYS_FROM = 256  # hidden size; below it conversions cost a CPU more than bf16 products save
PACKED_KINDS = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra"})
HUB_SECONDS = 5.0  # to wait for the hub before it counts as unreachable
BATCH_TOKENS = {"cpu": 2048, "cuda": 65536}  # padded, of a batch: what fits a processor core's caches is fastest there
NO_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # for str.translate: tokenizers accept only valid UTF-8


def use_threads(count: int) -> None:
    """Let torch compute with this many CPU threads."""
    torch.set_num_threads(count)


@cache
def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next batch, in one pool for all threads; no effect on other platforms.

    By default it returns large blocks to the system and keeps a pool for each thread, so that page faults take a tenth
    of the reading time of two workers.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        for option, value in _MALLOC_OPTIONS:
            library.mallopt(option, value)


@contextmanager
def one_thread_workers() -> Iterator[int]:
    """A context in which every torch operation uses one thread; yields the previous number and restores it at the end.

    torch keeps the number for each thread and for all threads started later, so a worker sets it for itself as well.
    Nested and concurrent contexts get the number that the first one found; the last one to leave restores it.
    """
    with _threads.lock:
        if not _threads.inside:
            _threads.before = torch.get_num_threads()
        _threads.inside += 1
        count = _threads.before
        torch.set_num_threads(1)
    try:
        yield count
    finally:
        with _threads.lock:
            _threads.inside -= 1
            if not _threads.inside:
                torch.set_num_threads(count)


class _Threads:
    """The number of active `one_thread_workers` contexts, and the number of threads before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.before = 1


_threads = _Threads()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch means that memory ran out, on a GPU or a CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


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


def attention_for(config: Any, device: torch.device) -> str | None:
    """The attention implementation for an encoder, "packed" or "eager"; None leaves the choice to transformers.

    On a CPU plain products in small sorted batches are faster than the fused kernel. Rows without padding
    (mrc.read.model.attention) are faster still, where the encoder supports them and is wide enough for its products to
    cost more than the calls.
    """
    if device.type != "cpu":
        return None
    wide = int(getattr(config, "hidden_size", 0) or 0) >= BF16_PAYS_FROM
    return "packed" if wide and getattr(config, "model_type", "") in PACKED_KINDS else "eager"


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
        return AutoConfig.from_pretrained(str(source))


def load_tokenizer(source: str | Path) -> Any:
    """The checkpoint's fast tokenizer; only a fast one gives offsets.

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


def sorted_batches(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """Indexes grouped so that rows times the longest row stays within `budget` (a single row may exceed it).

    Longest first, ties by index: the first batch needs the most memory, so that a lack shows at once.
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
_MALLOC_OPTIONS = (
    (-8, 1),  # M_ARENA_MAX, pools
    (-3, 32 << 20),  # M_MMAP_THRESHOLD, bytes of a block that the system gives and takes back; its largest value
    (-1, 256 << 20),  # M_TRIM_THRESHOLD, bytes free at the pool's end before they are given back
)
_NO_MEMORY = ("can't allocate memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "std::bad_alloc")
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
