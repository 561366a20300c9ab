"""What the folder of a checkpoint says of how its embeddings are made, and a hash of what they depend on."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final, Literal

from mrc.errors import BadCheckpoint
from mrc.retrieve.dense.vectors import Encoding

KNOWN_MODULES: Final = ("Transformer", "Pooling", "Normalize")  # of sentence-transformers
RECORD_FILE: Final = "training.json"  # how a trained folder came to be
_OTHER_KINDS: Final = ("onnx", "openvino")
_MODULES: Final = [
    {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for number, (kind, path) in enumerate(zip(KNOWN_MODULES, ("", "1_Pooling", "2_Normalize"), strict=True))
]
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


class Described:
    """What the files of sentence-transformers say beside a checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        modules = [str(module.get("type", "")).rpartition(".")[2] for module in self.read("modules.json") or ()]
        if unknown := [name for name in modules if name not in KNOWN_MODULES]:
            raise BadCheckpoint(f"{folder}: behind its encoder is a layer {unknown[0]}, which is not known here; "
                                "choose another checkpoint")  # fmt: skip

    def pooling(self) -> Literal["mean", "cls"]:
        """Mean where no file says another."""
        said = self.read("1_Pooling/config.json") or {"pooling_mode": "mean"}
        on = [name.removeprefix("pooling_mode_") for name, value in said.items() if value is True]
        mode = said.get("pooling_mode") or "+".join(name for name in on if name != "include_prompt")
        if mode in ("mean", "mean_tokens"):
            return "mean"
        if mode in ("cls", "cls_token"):
            return "cls"
        raise BadCheckpoint(f"{self._folder}: it pools by {mode or 'nothing'}, not by mean or cls; set dense.pooling")

    def prompt(self, *names: str) -> str:
        """What stands before a text; nothing where no file says it."""
        prompts = (self.read("config_sentence_transformers.json") or {}).get("prompts") or {}
        return next((str(prompts[name]) for name in names if prompts.get(name)), "")

    def max_seq_length(self) -> int | None:
        """Of a text that were seen in training; None where no file says it."""
        said = (self.read("sentence_bert_config.json") or {}).get("max_seq_length")
        return int(said) if said else None

    def read(self, name: str) -> Any:
        """The JSON value of a file; None where there is none."""
        path = self._folder / name
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadCheckpoint(f"{path}: broken ({error}); copy the model again") from error


def copy_description(source: Path, target: Path) -> None:
    """Nothing; `target` holds the files of `source` that describe it and its tokenizer: none of the weights."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        described = path.suffix in (".json", ".txt", ".model") and not name.name.endswith(".index.json")
        if path.is_file() and described and len(name.parts) <= 2 and name.parts[0] not in _OTHER_KINDS:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


def describe(folder: Path, encoding: Encoding) -> None:
    """Nothing; `Described(folder)` says pooling, prompts and length of this encoding; what it said beside them stays.

    A prompt stands under both names that are in use for passages.
    """
    said = Described(folder)
    length = said.read("sentence_bert_config.json") or {}
    _write(folder / "sentence_bert_config.json", {**length, "max_seq_length": encoding.max_seq_length})
    prompts = {"query": encoding.query_prefix, "passage": encoding.passage_prefix, "document": encoding.passage_prefix}
    others = said.read("config_sentence_transformers.json") or {}
    _write(
        folder / "config_sentence_transformers.json",
        {**others, "prompts": {**(others.get("prompts") or {}), **prompts}},
    )
    if said.read("1_Pooling/config.json") is None or said.pooling() != encoding.pooling:
        modes = {f"pooling_mode_{name}": name.startswith(encoding.pooling) for name in ("cls_token", "mean_tokens")}
        _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": encoding.dimension, **modes})
    if said.read("modules.json") is None:
        _write(folder / "modules.json", _MODULES)


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def checkpoint_hash(folder: Path) -> str:
    """64 hexadecimal digits over names and bytes of the files that an encoder is loaded from, in name order."""
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    digest = hashlib.sha256()
    for path in sorted([*(folder / name for name in HASHED if (folder / name).is_file()), *weights]):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
