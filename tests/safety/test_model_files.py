"""A model folder opens only its own files, none that could fill the memory; its tokenizer stays within bounds."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from mrc.analyzers.wordpiece import WordPiece
from mrc.encoder.files import MOST_ITEMS
from mrc.encoder.loading import load_tokenizer
from mrc.errors import BadCheckpoint
from mrc.read.model import Reader
from mrc.retrieve.dense.encoder import BiEncoder
from tests.mrc import tiny
from tests.safety.test_model_sizes import refusal

INDEX = "model.safetensors.index.json"
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert(tmp_path_factory.mktemp("start") / "bert")


@pytest.fixture
def folder(start: Path, tmp_path: Path) -> Path:
    return shutil.copytree(start, tmp_path / "inside" / "model")


def sharded(folder: Path) -> Path:
    """The folder with its weights in two files and an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    listed = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(names)}
    for part in sorted(set(listed.values())):
        own = {name: weights[name] for name in names if listed[name] == part}
        save_file(own, folder / part, metadata={"format": "pt"})
    size = sum(value.nbytes for value in weights.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": listed}))
    return folder


def test_weights_in_several_files_are_read(start: Path, folder: Path) -> None:
    assert Reader.load(sharded(folder)).fingerprint == Reader.load(start).fingerprint


@pytest.mark.parametrize(
    "name",
    ["../part-0.safetensors", "/etc/hostname", "./part-0.safetensors", "a/../part-0.safetensors", "", ".", 7, None],
)
def test_an_index_names_plain_files_of_its_folder_only(name: object, folder: Path) -> None:
    sharded(folder)
    shutil.copy(folder / "part-0.safetensors", folder.parent / "part-0.safetensors")
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] = {
        key: name if part == "part-0.safetensors" else part for key, part in index["weight_map"].items()
    }
    (folder / INDEX).write_text(json.dumps(index))
    assert "is not the name of a .safetensors file in this folder" in refusal(Reader.load, folder)
    refusal(BiEncoder.load, folder)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": ["a"]}', "[" * 10**5])
def test_a_broken_index_is_refused(content: str, folder: Path) -> None:
    sharded(folder)
    (folder / INDEX).write_text(content)
    refusal(Reader.load, folder)


def moved(folder: Path, name: str) -> Path:
    """Move a file out of the folder and put a link to it in its place."""
    outside = folder.parent / f"outside-{name.replace('/', '-')}"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    return outside


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_link_out_of_the_folder_is_refused(name: str, folder: Path) -> None:
    moved(folder, name)
    assert "a link that leads out of the model folder" in refusal(Reader.load, folder)
    refusal(BiEncoder.load, folder)


def test_links_in_and_to_folders_inside_are_refused_too(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    moved(folder, "1_Pooling/config.json")
    refusal(BiEncoder.load, folder)
    shutil.rmtree(folder / "1_Pooling")
    (folder.parent / "outside").mkdir()
    (folder / "1_Pooling").symlink_to(folder.parent / "outside")
    refusal(BiEncoder.load, folder)


def test_a_link_to_a_neighbour_whose_name_begins_alike_is_refused(folder: Path) -> None:
    other = folder.with_name(f"{folder.name}-other")
    other.mkdir()
    (folder / "config.json").rename(other / "config.json")
    (folder / "config.json").symlink_to(other / "config.json")
    refusal(Reader.load, folder)


def test_a_link_inside_the_folder_and_to_the_folder_is_followed(start: Path, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights")
    (folder / "model.safetensors").symlink_to("weights")
    (folder.parent / "named").symlink_to(folder)
    assert Reader.load(folder.parent / "named").fingerprint == Reader.load(start).fingerprint


def test_the_links_of_a_hub_cache_are_followed(start: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--somebody--model"
    snapshot, blobs = repository / "snapshots" / "0123", repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in start.iterdir():
        shutil.copy(path, blobs / f"{path.name}-blob")
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}-blob")
    assert Reader.load(snapshot).fingerprint == Reader.load(start).fingerprint
    (blobs / "config.json-blob").rename(tmp_path / "config.json")
    (blobs / "config.json-blob").symlink_to(tmp_path / "config.json")
    assert "leads out of the model folder" in refusal(Reader.load, snapshot)


def pipe(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def circle(folder: Path) -> None:
    (folder / "vocab.txt").symlink_to("vocab.txt")


def distributed(folder: Path) -> None:
    (folder / ".metadata").write_bytes(b"pickled")
    (folder / "__0_0.distcp").write_bytes(b"")


def adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "../other"}')


def sparse(name: str, size: int) -> Damage:
    def damage(folder: Path) -> None:
        with (folder / name).open("ab") as file:
            file.truncate(size)

    return damage


def replaced(name: str, content: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).write_text(content)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        pipe,
        circle,
        distributed,
        adapter,
        sparse("config.json", 1 << 30),
        sparse("tokenizer.json", 1 << 40),
        sparse("tokenizer_config.json", 1 << 30),
        sparse("vocab.txt", 1 << 30),
        sparse("spiece.model", 1 << 30),
        sparse("added_tokens.json", 1 << 30),
        sparse("chat_template.jinja", 1 << 30),
        replaced("tokenizer.json", "[" * 10**6),
        replaced("tokenizer_config.json", '{"a":' * 10**5 + "1" + "}" * 10**5),
        replaced("tokenizer_config.json", '{"gguf_file": "/etc/hostname"}'),
        replaced("tokenizer_config.json", '{"init_inputs": ["/etc/hostname"]}'),
        replaced("tokenizer_config.json", "[]"),
        replaced("tokenizer_config.json", '{"model_max_length": {"a": 1}}'),
        replaced("tokenizer_config.json", '{"unk_token": "nowhere", "tokenizer_class": "PreTrainedTokenizerFast"}'),
        replaced("tokenizer.json", '{"model": {"type": "BPE", "vocab": {"a": null}, "merges": []}}'),
        replaced("tokenizer.json", '{"version": "1.0", "model": {"type": "Nope"}}'),
        replaced("special_tokens_map.json", "7" * (MOST_ITEMS // 100)),
        replaced("added_tokens.json", "[" + "," * (MOST_ITEMS + 1) + "]"),
        replaced("vocab.txt", "\n" * (MOST_ITEMS + 1)),
    ],
)
def test_other_files_than_a_models_are_refused(damage: Damage, folder: Path) -> None:
    damage(folder)
    if (folder / "special_tokens_map.json").is_file():  # read only where the configuration lists no added tokens
        (folder / "tokenizer_config.json").write_text("{}")
    refusal(Reader.load, folder)


def edited(folder: Path, **parts: Any) -> Path:
    """The folder with these parts of its tokenizer.json replaced."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **parts}))
    return folder


FIXED = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0}
CUT = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}


def test_padding_and_truncation_of_a_tokenizer_are_switched_off(start: Path, folder: Path) -> None:
    edited(folder, padding={**FIXED, "pad_token": "[PAD]"}, truncation=CUT)
    assert AutoTokenizer.from_pretrained(folder).backend_tokenizer.padding  # as transformers loads it
    tokenizer = load_tokenizer(folder)
    assert tokenizer.backend_tokenizer.padding is tokenizer.backend_tokenizer.truncation is None
    pairs = [("Who founded the mill?", tiny.TEXTS[0])]
    assert Reader.load(folder).answer(pairs) == Reader.load(start).answer(pairs)
    found, expected = (BiEncoder.load(each).passages(list(tiny.TEXTS)) for each in (folder, start))
    assert (found == expected).all()


def replace(old: str, new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def charsmap(replacement: bytes) -> dict[str, Any]:
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(bytes(4) + replacement + b"\0").decode()}


@pytest.mark.parametrize(
    "normalizer",
    [
        replace("a", "a" * 10_000),
        {"type": "Sequence", "normalizers": [replace("a", "aa")] * 40},
        {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [replace("a", "aa")] * 8}] * 4},
        {"type": "Prepend", "prepend": "a" * 10_000},
        {"type": "Replace", "pattern": {"Regex": ""}, "content": "a" * 10_000},
        charsmap(b"a" * 10_000),
    ],
    ids=["one", "many", "nested", "prepend", "regex", "charsmap"],
)
def test_a_normaliser_that_could_fill_the_memory_is_refused(normalizer: dict[str, Any], folder: Path) -> None:
    edited(folder, normalizer=normalizer)
    assert "times as long" in refusal(load_tokenizer, folder)
    with pytest.raises(BadCheckpoint, match="times as long"):
        WordPiece(str(folder))


def test_a_great_many_added_tokens_are_refused(folder: Path) -> None:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    edited(folder, added_tokens=[{"id": 1000 + number, "content": f"<{number}>", **flags} for number in range(60_000)])
    assert "added tokens" in refusal(load_tokenizer, folder)


def test_ordinary_replacements_are_allowed(folder: Path) -> None:
    steps = [replace("``", '"'), replace("''", '"'), {"type": "NFKC"}, {"type": "Lowercase"}, charsmap(b"a" * 33)]
    sequence = {"type": "Sequence", "normalizers": steps[:4]}
    assert load_tokenizer(edited(folder, normalizer=sequence)).tokenize("``Tarn''")


def test_many_tokens_around_two_texts_are_refused(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    ends = [{"SpecialToken": {"id": "[SEP]", "type_id": 0}}] * 10_000
    tokenizer["post_processor"]["pair"] = [*tokenizer["post_processor"]["pair"], *ends]
    edited(folder, post_processor=tokenizer["post_processor"])
    with pytest.raises(BadCheckpoint, match="tokens around two texts of one letter"):
        Reader.load(folder)


@pytest.mark.parametrize("load", [Reader.load, BiEncoder.load])
def test_a_piece_with_a_number_beyond_the_rows_of_the_model_is_refused(
    load: Callable[[Path], object], folder: Path
) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    piece = next(piece for piece, number in tokenizer["model"]["vocab"].items() if number == 20)
    tokenizer["model"]["vocab"][piece] = 10**9
    edited(folder, model=tokenizer["model"])
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(piece) == 10**9
    assert "do not belong together" in refusal(load, folder)


def test_an_analyzer_opens_only_its_own_folder_too(folder: Path) -> None:
    moved(folder, "tokenizer.json")
    with pytest.raises(BadCheckpoint, match="leads out of the model folder"):
        WordPiece(str(folder))
