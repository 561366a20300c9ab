"""What a run does: make the base of a seed, or play an arm from a copy of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from db import hidden_answers, queries
from db.engine import Session
from db.rows import HiddenRow, PassageRow, QuestionRow
from labeler.certify.ranking import ranking as certifiable
from labeler.core.files import atomic_folder, atomic_write, is_leftover
from labeler.core.runtime import Runtime
from labeler.core.workspace import create_workspace, open_workspace
from labeler.evaluation.pseudo_precision import judged_answers, pool_ranking, pseudo_precision, right_answers
from labeler.evaluation.reader_metrics import question_scores
from labeler.importing.ingest import import_files
from labeler.importing.splits import parse_split
from labeler.planning.ahead import ahead
from labeler.planning.evidence import Evidence, gather, trusted_labels
from labeler.replay import ORACLE, SUPERVISED, Point, Run, Validity
from labeler.replay.points import points, write_point
from labeler.replay.validity import validity
from labeler.retrieval.indexing import build_index
from labeler.review.agreement import matcher_of
from labeler.rounds import machine
from mrc.removal import TRASH, empty_trash, remove_folder

WORKSPACE = "workspace"
ONE_PROCESS = "compute.engine=local"  # of a run, wherever it is played


def play(run: Run) -> None:
    """Finish the run as far as it is not done; an arm's workspace goes once its rounds are scored."""
    _remove_leftovers(run.folder)
    if run.arm is None:
        if not is_done(run):
            _base(run)
        return
    if not is_done(run):
        _play_arm(run, oracle=run.arm.name == ORACLE)
    remove_folder(run.folder / WORKSPACE, root=run.folder)


def _remove_leftovers(folder: Path) -> None:
    """Remove what a run that was killed had half written or half removed."""
    empty_trash(folder)
    for each in [each for each in folder.iterdir() if is_leftover(each) and each.name != TRASH]:
        if each.is_dir():
            remove_folder(each, root=folder)
        else:
            each.unlink()


def _play_arm(run: Run, *, oracle: bool) -> None:
    """Play the rounds of an arm and score each."""
    assert run.arm is not None
    if not run.arm.own_base:
        _copy_base(run)
    elif not points(run):
        _base(run)
    with closing(_runtime(run)) as runtime:
        if oracle:
            _learn_everything(run, runtime)
        while not is_done(run):
            number, began = len(points(run)), time.monotonic()
            last = number * run.arm.generations
            _play_rounds(runtime, first=last - run.arm.generations + 1, last=last, oracle=oracle)
            write_point(run, _point(run, runtime, number, began))


def _play_rounds(runtime: Runtime, *, first: int, last: int, oracle: bool) -> None:
    """Play the workspace's rounds up to `last`: the one of the number `first` with reviews, the others without.

    A process that was killed may have closed the last one without scoring it.
    """
    while not _is_closed(runtime, last):
        if oracle:
            machine.train(runtime)
        else:
            reviewed = _next_number(runtime) == first
            machine.run(runtime, reviewer=runtime.config.round.reviewer if reviewed else "none")


def _next_number(runtime: Runtime) -> int:
    """The number of the open round, else of the next one."""
    current = machine.current(runtime)
    with runtime.database.read() as session:
        return current.number if current else queries.next_round_number(session)


def _is_closed(runtime: Runtime, number: int) -> bool:
    """Whether the round of this number is closed."""
    with runtime.database.read() as session:
        return any(row.number == number and not row.is_open for row in queries.rounds(session))


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
    settings = run.arm.product_settings if run.arm else ()
    workspace = open_workspace(run.folder / WORKSPACE, overrides=[*run.design.common, *settings, ONE_PROCESS])
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
        if not _is_closed(runtime, 0):
            machine.train(runtime)
        write_point(run, _point(run, runtime, 0, began))


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


def _point(run: Run, runtime: Runtime, number: int, began: float) -> Point:
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
        trusted = trusted_labels(session, last.number)
        judged = judged_answers(session, last.number, metric=runtime.metric) if number else []
        redrawn = _validity(runtime, session, last.number) if judged else ()
        seen = gather(session, runtime.config)
    return Point(
        round=number,
        human=len(human),
        minutes=sum(each.seconds or 0.0 for each in reviews) / 60,
        taught=checked.trained.items if checked else 0,
        precision=checked.trained.rate if checked else None,
        promoted=bool(last.promoted),
        seconds=time.monotonic() - began,
        scores=tuple(scores),
        ranking=pool_ranking(judged),
        trusted=trusted,
        validity=redrawn,
        judged=tuple(judged),
        dev=_dev(seen, last.number),
        forecasts=ahead(seen, runtime.config, rounds=rounds_of(run) - number),
    )


def _dev(seen: Evidence, number: int) -> float | None:
    """Dev exact match of the reader that a round trained."""
    scores = [value for each in seen.readers if each.round == number for value in each.exact_match.values()]
    return sum(scores) / len(scores) if scores else None


def _validity(runtime: Runtime, session: Session, number: int) -> tuple[Validity, ...]:
    """The validity experiment on the predictions that a round began with."""
    found = certifiable(session, number, matcher_of(runtime))
    texts = {item.question_id: item.answer.text for item in found.items}
    return validity(found, right_answers(session, texts, metric=runtime.metric), seed=runtime.config.round.seed)


def _learn_everything(run: Run, runtime: Runtime) -> None:
    """Import the hidden answers of the pool as gold."""
    with runtime.database.read() as session:
        pool = queries.questions(session, roles=["pool"])
        known = hidden_answers.answers(session, [row.id for row in pool])
        passages = queries.passages(session, sorted({row.context_id for row in pool if row.context_id}))
    if not known:
        return
    path = run.folder / "pool.json"
    with atomic_write(path) as file:
        json.dump(_squad(pool, known, passages), file, ensure_ascii=False)
    import_files(runtime.database, [str(path)], role="gold")


def _squad(
    pool: Sequence[QuestionRow], known: Mapping[str, HiddenRow], passages: Mapping[str, PassageRow]
) -> dict[str, object]:
    """The questions of the pool that have hidden answers, with these, in SQuAD's shape."""
    data = []
    for row in pool:
        if row.context_id is None or row.id not in known:
            continue
        spans = [span for span in known[row.id].answers if span.passage_id == row.context_id]
        answers = [{"text": span.text, "answer_start": span.start} for span in spans]
        flag = {} if row.is_impossible is None else {"is_impossible": bool(row.is_impossible)}
        question = {"id": row.id, "question": row.text, "answers": answers} | flag
        passage = passages[row.context_id]
        data.append({"title": passage.title, "paragraphs": [{"context": passage.text, "qas": [question]}]})
    return {"version": "1.1", "data": data}
