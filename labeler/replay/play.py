"""What a run does: make the base of a seed, or play an arm from a copy of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from db import hidden_answers, queries
from db.rows import QuestionRow
from labeler.core.files import atomic_folder, atomic_write
from labeler.core.runtime import Runtime
from labeler.core.workspace import create_workspace, open_workspace
from labeler.evaluation.pseudo_precision import pseudo_precision
from labeler.evaluation.reader_metrics import question_scores
from labeler.importing.ingest import import_files
from labeler.importing.splits import parse_split
from labeler.replay import ORACLE, SUPERVISED, Point, Run
from labeler.replay.points import points, write_point
from labeler.retrieval.indexing import build_index
from labeler.rounds import machine
from mrc.removal import remove_folder

WORKSPACE = "workspace"


def play(run: Run) -> None:
    """Finish the run as far as it is not done; its workspace goes once its rounds are scored."""
    if is_done(run):
        return
    if run.arm is None:
        _base(run)
        return
    _copy_base(run)
    with closing(_runtime(run)) as opened:
        if run.arm.name == ORACLE:
            _learn_everything(run, opened)
        while not is_done(run):
            _next_point(run, opened)
    remove_folder(run.folder / WORKSPACE, root=run.folder)


def is_done(run: Run) -> bool:
    """Whether all rounds of the run are scored."""
    return len(points(run)) == 1 + rounds_of(run)


def rounds_of(run: Run) -> int:
    """How many rounds the run plays; the oracle trains once."""
    if run.arm is None or run.arm.name == SUPERVISED:
        return 0
    return 1 if run.arm.name == ORACLE else run.design.rounds


class _Opened(Runtime):
    """A runtime that is closed with its database."""

    def close(self) -> None:
        self.database.close()


def _runtime(run: Run) -> _Opened:
    settings = run.arm.settings if run.arm else ()
    workspace = open_workspace(run.folder / WORKSPACE, overrides=[*run.design.common, *settings])
    return _Opened(workspace, workspace.database())


def _base(run: Run) -> None:
    """Import the file under the seed's split, build the index, train the seed reader and score it."""
    folder, design = run.folder / WORKSPACE, run.design
    if not (folder / "labeler.toml").exists():
        create_workspace(folder, language=design.language, settings={("round", "seed"): run.seed}, environ={})
    with closing(_runtime(run)) as runtime:
        began = time.monotonic()
        import_files(runtime.database, [str(design.file)], split=parse_split(design.split), seed=run.seed)
        build_index(runtime, dense=design.dense)
        if not machine_trained(runtime):
            machine.train(runtime)
        write_point(run, _point(runtime, 0, began))


def machine_trained(runtime: Runtime) -> bool:
    """Whether the seed reader is trained."""
    with runtime.database.read() as session:
        return queries.best_model(session) is not None


def _copy_base(run: Run) -> None:
    """The arm's workspace: a copy of the base's database, with links to its models and indexes, which never change."""
    if (run.folder / WORKSPACE).is_dir():
        return
    with atomic_folder(run.folder / WORKSPACE) as making:
        shutil.copytree(run.base / WORKSPACE, making, copy_function=_linked, dirs_exist_ok=True)


def _linked(source: str, target: str) -> str:
    """Link what never changes, copy the rest."""
    if Path(source).suffix in (".safetensors", ".npy", ".faiss"):
        os.link(source, target)
        return target
    return str(shutil.copy2(source, target))


def _next_point(run: Run, runtime: Runtime) -> None:
    number, began = len(points(run)), time.monotonic()
    assert run.arm is not None
    if number and run.arm.name == ORACLE:
        machine.train(runtime)
    elif number:
        reviewer = runtime.config.round.reviewer
        machine.run(runtime, reviewer="none" if "round.reviewer=none" in run.arm.settings else reviewer)
    write_point(run, _point(runtime, number, began))


def _point(runtime: Runtime, number: int, began: float) -> Point:
    """The current reader on test, end to end, and what it cost so far."""
    scores = question_scores(runtime, runtime.best_model(), "test", index=runtime.current_index())
    with runtime.database.read() as session:
        reviews = [
            each for row in queries.rounds(session) for each in queries.reviews(session, round_number=row.number)
        ]
        human = queries.live_labels(session, kinds=["human"])
        last = queries.last_round(session)
        assert last is not None
        checked = pseudo_precision(session, last.number, metric=runtime.metric) if number else None
    return Point(
        round=number,
        human=len(human),
        minutes=sum(each.seconds or 0.0 for each in reviews) / 60,
        taught=checked.trained.items if checked else 0,
        precision=checked.trained.rate if checked else None,
        promoted=bool(last.promoted),
        seconds=time.monotonic() - began,
        scores=tuple(scores),
    )


def _learn_everything(run: Run, runtime: Runtime) -> None:
    """Import the hidden answers of the pool as gold."""
    with runtime.database.read() as session:
        pool = queries.questions(session, roles=["pool"])
        known = hidden_answers.answers(session, [row.id for row in pool])
    if not known:
        return
    path = run.folder / "pool.json"
    with atomic_write(path) as file:
        json.dump(_squad(runtime, [row for row in pool if row.id in known], run), file, ensure_ascii=False)
    import_files(runtime.database, [str(path)], role="gold")


def _squad(runtime: Runtime, pool: Sequence[QuestionRow], run: Run) -> dict[str, object]:
    """The pool with its hidden answers in SQuAD's shape."""
    with runtime.database.read() as session:
        known = hidden_answers.answers(session, [row.id for row in pool])
        rows = queries.passages(session, sorted({row.context_id for row in pool if row.context_id}))
    data = []
    for row in pool:
        if row.context_id is None:
            continue
        spans = [span for span in known[row.id].answers if span.passage_id == row.context_id]
        answers = [{"text": span.text, "answer_start": span.start} for span in spans]
        flag = {} if row.is_impossible is None else {"is_impossible": bool(row.is_impossible)}
        question = {"id": row.id, "question": row.text, "answers": answers} | flag
        passage = rows[row.context_id]
        data.append({"title": passage.title, "paragraphs": [{"context": passage.text, "qas": [question]}]})
    return {"version": "1.1", "data": data}
