"""The sentence-transformers files of a checkpoint, read and written, and a hash of what its embeddings depend on."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final, Literal

from mrc.encoder.files import read_json
from mrc.errors import BadCheckpoint
from mrc.retrieve.dense.vectors import Encoding

KNOWN_MODULES: Final = ("Transformer", "Pooling", "Normalize")  # of sentence-transformers
RECORD_FILE: Final = "training.json"  # how a trained folder came to be
_OTHER_KINDS: Final = ("onnx", "openvino")
_MODULES: Final = [
    {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for number, (kind, path) in enumerate(zip(KNOWN_MODULES, ("", "1_Pooling", "2_Normalize"), strict=True))
]
LONGEST: Final = 1 << 20  # tokens of a text
HASHED: Final = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


class CheckpointInfo:
    """How a checkpoint's embeddings are made, according to its sentence-transformers files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        listed = self.read("modules.json", kind=list) or ()
        modules = [str(each.get("type", "") if isinstance(each, dict) else "").rpartition(".")[2] for each in listed]
        if unknown := [name for name in modules if name not in KNOWN_MODULES]:
            raise BadCheckpoint(
                f"{folder}: its module {unknown[0]} after the encoder is not supported; choose another checkpoint"
            )

    def pooling(self) -> Literal["mean", "cls"]:
        """The pooling of token vectors; mean where no file names one. Raises BadCheckpoint for another pooling."""
        stored = self.read("1_Pooling/config.json") or {"pooling_mode": "mean"}
        on = [name.removeprefix("pooling_mode_") for name, value in stored.items() if value is True]
        mode = stored.get("pooling_mode") or "+".join(name for name in on if name != "include_prompt")
        if mode in ("mean", "mean_tokens"):
            return "mean"
        if mode in ("cls", "cls_token"):
            return "cls"
        raise BadCheckpoint(f"{self._folder}: it pools by {mode or 'nothing'}, not by mean or cls; set dense.pooling")

    def prompt(self, *names: str) -> str:
        """The first of these prompts that is set, to be put before a text; empty where none is."""
        prompts = (self.read("config_sentence_transformers.json") or {}).get("prompts") or {}
        if not isinstance(prompts, dict):
            raise BadCheckpoint(f"{self._folder}: its prompts are no JSON object; copy the model again")
        return next((str(prompts[name]) for name in names if prompts.get(name)), "")

    def max_seq_length(self) -> int | None:
        """The longest text in tokens; None where no file names it."""
        length = (self.read("sentence_bert_config.json") or {}).get("max_seq_length")
        if length and not (isinstance(length, int) and 0 < length <= LONGEST):
            raise BadCheckpoint(
                f"{self._folder}: max_seq_length is {str(length)[:40]}, not a whole number up to {LONGEST:,}; set "
                "dense.max_seq_length"
            )
        return length or None

    def read(self, name: str, *, kind: type = dict) -> Any:
        """The JSON object, or list, of a file; None where there is none. Raises BadCheckpoint."""
        path = self._folder / name
        return read_json(path, kind=kind) if path.is_file() else None


def copy_info(source: Path, target: Path) -> None:
    """Copy the configuration and tokenizer files of a checkpoint, without its weights."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        wanted = path.suffix in (".json", ".txt", ".model") and not name.name.endswith(".index.json")
        if path.is_file() and wanted and len(name.parts) <= 2 and name.parts[0] not in _OTHER_KINDS:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


def write_info(folder: Path, encoding: Encoding) -> None:
    """Write pooling, prompts and length of an encoding, so that `CheckpointInfo` reads them; other values stay.

    The prompt of passages is stored under both names in use, passage and document.
    """
    info = CheckpointInfo(folder)
    length = info.read("sentence_bert_config.json") or {}
    _write(folder / "sentence_bert_config.json", {**length, "max_seq_length": encoding.max_seq_length})
    prompts = {"query": encoding.query_prefix, "passage": encoding.passage_prefix, "document": encoding.passage_prefix}
    others = info.read("config_sentence_transformers.json") or {}
    _write(
        folder / "config_sentence_transformers.json",
        {**others, "prompts": {**(others.get("prompts") or {}), **prompts}},
    )
    if info.read("1_Pooling/config.json") is None or info.pooling() != encoding.pooling:
        modes = {f"pooling_mode_{name}": name.startswith(encoding.pooling) for name in ("cls_token", "mean_tokens")}
        _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": encoding.dimension, **modes})
    if info.read("modules.json", kind=list) is None:
        _write(folder / "modules.json", _MODULES)


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def checkpoint_hash(folder: Path) -> str:
    """SHA-256 in hexadecimal over names and contents of the files that an encoder is loaded from, in name order."""
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    digest = hashlib.sha256()
    for path in sorted([*(folder / name for name in HASHED if (folder / name).is_file()), *weights]):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
