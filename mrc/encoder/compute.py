"""Devices, precision, threads, memory, and batches within a token budget."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from mrc.errors import NoDevice

BF16_PAYS_FROM = 256  # hidden size; below it conversions cost a CPU more than bf16 products save
PACKED_KINDS = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra"})
BATCH_TOKENS = {"cpu": 2048, "cuda": 65536}  # padded, of a batch: what fits a processor core's caches is fastest there
_MALLOC_OPTIONS = (
    (-8, 1),  # M_ARENA_MAX, pools
    (-3, 32 << 20),  # M_MMAP_THRESHOLD, bytes of a block that the system gives and takes back; its largest value
    (-1, 256 << 20),  # M_TRIM_THRESHOLD, bytes free at the pool's end before they are given back
)
_NO_MEMORY = ("can't allocate memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "std::bad_alloc")


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
    causal = bool(getattr(config, "is_decoder", False))
    return "packed" if wide and not causal and getattr(config, "model_type", "") in PACKED_KINDS else "eager"


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
