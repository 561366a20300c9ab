"""Small workspaces: the demonstration's encyclopaedia, a reader of a few thousand weights, rounds in seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labeler.core.runtime import Runtime
from labeler.core.workspace import create_workspace, open_workspace
from labeler.demo.encyclopaedia import make_encyclopaedia
from labeler.importing.ingest import import_files
from labeler.importing.splits import parse_split
from labeler.retrieval.indexing import build_index
from labeler.rounds import machine
from mrc.encoder.compute import use_threads
from tests.state import state

DIVISION = "gold=60,dev=30,test=20,pool=60"
SETTINGS: Mapping[tuple[str, str], Any] = {
    ("index", "analyzer"): "english",
    ("read", "top_k"): 2,
    ("read", "max_seq_length"): 128,
    ("read", "doc_stride"): 32,
    ("read", "max_answer_length"): 16,
    ("builtin", "layers"): 1,
    ("builtin", "hidden_size"): 32,
    ("builtin", "heads"): 2,
    ("builtin", "positions"): 128,
    ("calibrate", "folds"): 1,  # a reader less to train: tests/labeler/test_folds.py has them
    ("train", "max_steps"): 6,
    ("train", "batch_size"): 8,
    ("train", "checkpoint_every"): 2,
    ("train", "learning_rate"): 1e-3,
    ("compute", "device"): "cpu",
    ("review", "review_budget"): 12,
    ("gate", "min_questions"): 1,  # 30 dev questions judge as a hundred do: six updates leave EM at 0, and F1 to chance
    ("round", "chunk_size"): 25,
    ("round", "seed"): 3,
}


#: for a workspace whose rounds train the encoder of its passages, in a moment
SMALL_RETRIEVER: Mapping[str, Any] = {
    "retriever__train": True,
    "retriever__max_steps": 6,
    "retriever__batch_size": 8,
    "retriever__checkpoint_every": 2,
    "retriever__learning_rate": 1e-3,
}


def squad_v2() -> dict[str, Any]:
    """The same encyclopaedia as a SQuAD 2.0 file: the third question of every paragraph has no answer in it."""
    squad = make_encyclopaedia("en", seed=5, documents=80).squad()
    for article in squad["data"]:
        for paragraph in article["paragraphs"]:
            for place, qa in enumerate(paragraph["qas"]):
                qa["is_impossible"] = place == 2
                qa["answers"] = [] if place == 2 else qa["answers"]
    return squad | {"version": "v2.0"}


def make_workspace(
    folder: Path, *, division: str = DIVISION, squad: Mapping[str, Any] | None = None, **changes: Any
) -> Path:
    """A workspace with an imported and indexed SQuAD file; `changes` are settings named `section__key`, None: unset."""
    changed = dict(SETTINGS) | {tuple(name.split("__")): value for name, value in changes.items()}
    given = {name: value for name, value in changed.items() if value is not None}
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(squad or make_encyclopaedia("en", seed=5, documents=80).squad()), encoding="utf-8")
    workspace = create_workspace(folder, language="en", settings=given, environ={})
    database = workspace.database()
    import_files(database, [str(file)], split=parse_split(division), seed=1)
    build_index(Runtime(workspace, database))
    database.close()
    return folder


def make_hybrid(folder: Path, encoder: Path, **changes: Any) -> Path:
    """A workspace after its baseline, whose rounds train the encoder that its index finds passages with."""
    use_threads(1)
    make_workspace(folder, **SMALL_RETRIEVER | changes)
    with at(folder) as runtime:
        build_index(runtime, dense=str(encoder))
        machine.train(runtime)
    return folder


def after_round(folder: Path) -> dict[str, Any]:
    """The state once the round that is under way, or the next one, is closed; computed by one thread, as tests do."""
    use_threads(1)
    with at(folder) as runtime:
        machine.run(runtime, reviewer="simulated")
        with runtime.database.read() as session:
            return state(session)


@contextmanager
def at(folder: Path) -> Iterator[Runtime]:
    """The runtime of a workspace."""
    workspace = open_workspace(folder, environ={})
    database = workspace.database()
    try:
        yield Runtime(workspace, database)
    finally:
        database.close()
