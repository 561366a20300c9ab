"""What a model folder may hold: plain files inside it, small enough to be read, and weights that lie there too.

Model folders come from other people. Everything is checked before a library opens the first file. The limits are
several times what published models need.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mrc.errors import BadCheckpoint

MIB: Final = 1 << 20
TOKENIZER_FILE: Final = "tokenizer.json"
INDEXES: Final = {"model.safetensors.index.json": ".safetensors", "pytorch_model.bin.index.json": ".bin"}
MOST_BYTES: Final = {  # of the files that describe a model, by the end of their names
    "config.json": 4 * MIB,
    "added_tokens.json": 4 * MIB,
    ".index.json": 16 * MIB,
    ".json": 64 * MIB,
    ".txt": 64 * MIB,
    ".model": 16 * MIB,
    ".jinja": MIB,
    ".tiktoken": 64 * MIB,
}
DESCRIBING: Final = (  # the files that loading reads whole
    "config.json",
    "generation_config.json",
    *INDEXES,
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "tekken.json",
    "vocab.txt",
    "merges.txt",
    "entity_vocab.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)
PATTERNS: Final = ("*.model", "*.tiktoken", "*.jinja", "additional_chat_templates/*")
MOST_ITEMS: Final = 1_600_000  # commas, brackets or lines: pieces and merges of a tokenizer
OTHER_FORMATS: Final = {  # files that transformers prefers to ordinary weights
    "adapter_config.json": "an adapter, not a whole model; merge it into its model",
    ".metadata": "a distributed checkpoint; save it as safetensors",
}


def check_folder(folder: Path) -> None:
    """Check links, kinds and sizes of the files in a model folder, and the files that its weight index names.

    Raises: BadCheckpoint for a link out of the folder, other than a hub cache's own, anything that is no file or
    folder, files beyond the limits, weights in a format that runs code, and an index that names files elsewhere.
    """
    try:
        for path in _entries(folder):
            _check_entry(path, folder)
        for path in _described(folder):
            _check_size(path)
    except (OSError, RuntimeError) as error:  # a link that leads to itself is a RuntimeError before Python 3.13
        raise BadCheckpoint(f"{folder}: not readable ({str(error)[:200]}); copy the model again") from error
    for name, what in OTHER_FORMATS.items():
        if (folder / name).exists():
            raise BadCheckpoint(f"{folder}: {name} says that this is {what}")
    for name in INDEXES:
        if (folder / name).is_file():
            indexed_files(folder / name)


def indexed_files(index: Path) -> list[str]:
    """The names of the weight files that an index lists, in order.

    Raises: BadCheckpoint if one is not a plain name of a file in the folder of the index.
    """
    listed, suffix = read_json(index).get("weight_map"), INDEXES[index.name]
    if not isinstance(listed, dict) or not listed:
        raise BadCheckpoint(f"{index}: lists no weights; copy the model again")
    for name in listed.values():
        plain = isinstance(name, str) and Path(name).name == name and "\\" not in name and name.endswith(suffix)
        if not plain:
            raise BadCheckpoint(f"{index}: {str(name)[:100]!r} is not the name of a {suffix} file in this folder")
        if not (index.parent / name).is_file():
            raise BadCheckpoint(f"{index}: {name} is missing; copy the model again")
    return sorted(set(listed.values()))


def read_json(path: Path, *, kind: type = dict) -> Any:
    """The JSON object, or list, of a file. Raises BadCheckpoint where it is none, too large or nested too deeply."""
    _check_size(path)
    try:
        found = json.loads(path.read_bytes())
    except RecursionError as error:
        raise BadCheckpoint(f"{path}: nested too deeply; copy the model again") from error
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{path}: broken ({str(error)[:100]}); copy the model again") from error
    if not isinstance(found, kind):
        raise BadCheckpoint(f"{path}: holds a {type(found).__name__}, not a {kind.__name__}; copy the model again")
    return found


def _entries(folder: Path) -> Iterator[Path]:
    """What lies in the folder and in the folders directly below it: nothing deeper is opened."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from sorted(path.iterdir())


def _check_entry(path: Path, folder: Path) -> None:
    if path.is_symlink():
        home = folder.resolve()
        target = path.resolve()
        if not (target.is_relative_to(home) or _is_hub_blob(target, home)):
            raise BadCheckpoint(f"{path}: a link that leads out of the model folder; replace it by the file itself")
        if not target.exists():
            return
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise BadCheckpoint(f"{path}: neither a file nor a folder; copy the model again")
    if path.suffix == ".distcp":
        raise BadCheckpoint(f"{path}: a distributed checkpoint; save it as safetensors")


def _is_hub_blob(target: Path, home: Path) -> bool:
    """Whether a link leads from a snapshot of the Hugging Face cache to its blobs."""
    return home.parent.name == "snapshots" and target.parent == home.parent.parent / "blobs"


def _described(folder: Path) -> Iterator[Path]:
    yield from (path for name in DESCRIBING if (path := folder / name).is_file())
    yield from (path for pattern in PATTERNS for path in sorted(folder.glob(pattern)) if path.is_file())
    versions = [path for pattern in ("tokenizer.*.json", "config.*.json") for path in folder.glob(pattern)]
    yield from (path for path in sorted(versions) if path.is_file())


def _check_size(path: Path) -> None:
    """Raises: BadCheckpoint for more bytes, or more items in a text, than a model's files have."""
    size = path.stat().st_size
    limit = next((most for end, most in MOST_BYTES.items() if path.name.endswith(end)), MIB)
    if size > limit:
        raise BadCheckpoint(f"{path}: {size / MIB:,.0f} MiB, more than the {limit // MIB} MiB of any known model")
    if path.suffix == ".model" or size < MOST_ITEMS:
        return
    data = path.read_bytes()
    marks = (b"\n",) if path.suffix == ".txt" else (b",", b"[", b"{")
    if (most := max(map(data.count, marks))) > MOST_ITEMS:
        raise BadCheckpoint(f"{path}: {most:,} items, more than the {MOST_ITEMS:,} of any known model")
