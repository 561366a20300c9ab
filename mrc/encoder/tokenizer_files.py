"""What a tokenizer's files may say: no other sources, and no normaliser that fills the memory.

A few replacements in a row can make a text twice as long at every step.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mrc.encoder.files import TOKENIZER_FILE, read_json
from mrc.errors import BadCheckpoint

MOST_ADDED: Final = 50_000  # tokens outside of the vocabulary, which are slow to load
MOST_GROWTH: Final = 4096  # characters for one; published tokenizers stay below 100
GROWING: Final = (b'"Replace"', b'"Prepend"', b'"Precompiled"')


def check_tokenizer_json(folder: Path) -> None:
    """Check added tokens and normaliser in the folder's tokenizer.json, if there is one. Raises BadCheckpoint."""
    path = folder / TOKENIZER_FILE
    data = path.read_bytes() if path.is_file() else b""
    if (added := data.count(b'"single_word"')) > MOST_ADDED:
        raise BadCheckpoint(f"{path}: {added:,} added tokens, more than the {MOST_ADDED:,} of any known model")
    if any(mark in data for mark in GROWING):
        check_normalizer(read_json(path).get("normalizer"), path)


def check_tokenizer_config(path: Path) -> None:
    """Raises: BadCheckpoint where it names a file to read the tokenizer from: only the folder's own are read."""
    settings = read_json(path) if path.is_file() else {}
    for key in ("gguf_file", "init_inputs"):
        if settings.get(key):
            raise BadCheckpoint(f"{path}: {key} names another source of the tokenizer; remove it from the file")
    longest = settings.get("model_max_length")
    if longest is not None and (isinstance(longest, bool) or not isinstance(longest, int | float)):
        raise BadCheckpoint(f"{path}: model_max_length is {str(longest)[:40]}, not a number; copy the model again")


def check_loaded_normalizer(normalizer: Any, source: str | Path) -> None:
    """Check the normaliser of a loaded tokenizer, which may come from a sentencepiece model. Raises BadCheckpoint."""
    if normalizer is not None:
        check_normalizer(json.loads(normalizer.__getstate__()), source)


def check_normalizer(normalizer: Any, where: str | Path) -> None:
    """Raises: BadCheckpoint where the steps together could make a text more than `MOST_GROWTH` times as long."""
    growth = 1.0
    for step in _steps(normalizer):
        growth *= _growth(step)
        if growth > MOST_GROWTH:
            raise BadCheckpoint(
                f"{where}: its normaliser can make a text {MOST_GROWTH:,} times as long; copy the model again"
            )


def _steps(normalizer: Any) -> Iterator[dict[str, Any]]:
    """The steps of a normaliser in order, those of sequences inside it included."""
    pending = [normalizer]
    while pending:
        step = pending.pop()
        if isinstance(step, dict) and isinstance(step.get("normalizers"), list):
            pending.extend(reversed(step["normalizers"]))
        elif isinstance(step, dict):
            yield step


def _growth(step: dict[str, Any]) -> float:
    """The largest factor by which a step lengthens a text of one character."""
    match step.get("type"):
        case "Replace":
            pattern, content = step.get("pattern"), len(str(step.get("content", "")))
            fixed = str(pattern.get("String", "")) if isinstance(pattern, dict) else ""
            return max(1.0, content / len(fixed)) if fixed else 1.0 + content  # a regex may match between characters
        case "Prepend":
            return 1.0 + len(str(step.get("prepend", "")))
        case "Precompiled":
            return float(_longest_replacement(step.get("precompiled_charsmap")))
    return 1.0


def _longest_replacement(charsmap: Any) -> int:
    """Bytes of the longest text that a sentencepiece map puts for a character: a trie, then texts that end in NUL."""
    try:
        data = base64.b64decode(charsmap or "")
    except (binascii.Error, TypeError, ValueError):
        return 1  # tokenizers refuses it
    texts = data[4 + int.from_bytes(data[:4], "little") :]
    return max(1, max(map(len, texts.split(b"\0"))))
