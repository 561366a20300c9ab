"""The parts of a labelled file, as SQuAD-format files that stay the same while a study goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from labeler.ablation import PARTS, Sizes
from labeler.core.errors import ConfigError
from labeler.core.files import atomic_folder, read_text
from labeler.importing.conflicts import document_id, question_hash
from labeler.importing.splits import Item, SplitPlan, assign, split_groups
from mrc.analyzers import detect_language
from mrc.errors import DataError
from mrc.metrics import Metric, resolve_metric
from mrc.squad import parse_squad, read_contexts, read_squad, write_squad
from mrc.text import passage_id
from mrc.types import Example, Passage

log = logging.getLogger(__name__)

SPLIT_SEED = 0
PASSAGES = "passages"  # all passages of the file: the corpus of end-to-end reading


def split_file(file: Path, folder: Path, *, sizes: Sizes, split_by: str) -> None:
    """Write the parts of a file into `folder`, unless it exists: whole paragraphs (or documents), and no question text
    in two parts. Raises DataError, FileError, OSError; ConfigError where a part would be empty."""
    if folder.is_dir():
        return
    data = parse_squad(read_text(file)[0], where=str(file))
    found, rejected = read_squad(data, where=str(file))
    labelled = [example for example in _first_of_each_id(found) if example.answers or example.is_impossible]
    if not labelled:
        raise DataError(f"{file}: no question has an answer")
    for row in rejected[:3]:
        log.warning("%s: %s", row.where, row.why)
    if rejected:
        log.warning("%s: %d questions were rejected", file, len(rejected))
    parts = assign(_split_groups(labelled, split_by), _plan(sizes), seed=SPLIT_SEED)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as making:
        for part in PARTS:
            members = [example for example in labelled if parts.get(example.id) == part]
            if not members and (part != "dev" or sizes.dev > sizes.screen):  # screening may take all of dev
                raise ConfigError(
                    f"{file} has {len(labelled)} usable questions: none is left for {part}; ask for smaller parts"
                )
            _write(making / f"{part}.json", write_squad(members, version="squad_v2"))
            log.info("%s: %d questions", part, len(members))
        passages = read_contexts(data, where=str(file))[0]
        _write(making / f"{PASSAGES}.json", _bare(passages))


def part_examples(folder: Path, part: str) -> list[Example]:
    """The questions of a part."""
    path = folder / f"{part}.json"
    return read_squad(parse_squad(path.read_text(encoding="utf-8"), where=str(path)), where=str(path))[0]


def passages_of(folder: Path) -> list[Passage]:
    """All passages of the file."""
    path = folder / f"{PASSAGES}.json"
    return read_contexts(parse_squad(path.read_text(encoding="utf-8"), where=str(path)), where=str(path))[0]


def contexts_of(examples: Iterable[Example]) -> list[Passage]:
    """The contexts of these questions, each once."""
    found = (Passage(passage_id(example.context), example.context, example.title) for example in examples)
    return list({passage.id: passage for passage in found}.values())


def document_of(example: Example) -> str:
    """The id of a question's document: the cluster that the bootstrap draws."""
    return document_id(Passage(passage_id(example.context), example.context, example.title))


def metric_of(name: str, folder: Path) -> Metric:
    """The metric that `squad`, `korquad` or `auto` means for the questions of the parts."""
    examples = part_examples(folder, "train")
    language = detect_language([example.question for example in examples[:200]])
    impossible = any(example.is_impossible for part in PARTS for example in part_examples(folder, part))
    return resolve_metric(name, language=language, impossible=impossible)


def _first_of_each_id(examples: Iterable[Example]) -> list[Example]:
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.id, example)
    return list(first.values())


def _split_groups(examples: Sequence[Example], split_by: str) -> dict[str, str]:
    def place(example: Example) -> str:
        return document_of(example) if split_by == "document" else passage_id(example.context)

    keys = ((example.id, question_hash(example.question), place(example)) for example in examples)
    return split_groups(Item(id_, (("wording", words), ("place", where))) for id_, words, where in keys)


def _plan(sizes: Sizes) -> SplitPlan:
    rest = sizes.dev - sizes.screen
    counts = (("train", sizes.train), ("test", sizes.test), ("screen", sizes.screen))
    return SplitPlan((*counts, ("dev", rest)) if rest > 0 else counts, None)


def _bare(passages: Iterable[Passage]) -> dict[str, Any]:
    """A SQuAD-format file of passages without questions."""
    data = [{"title": each.title, "paragraphs": [{"context": each.text, "qas": []}]} for each in passages]
    return {"version": "v2.0", "data": data}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
