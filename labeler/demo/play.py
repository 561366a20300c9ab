"""The demonstration: a small made-up world, the whole loop with a simulated reviewer, and what each part brought."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from db import queries, store
from db.engine import Session
from db.rows import ModelRow, RoundRow
from labeler.core.config import Config
from labeler.core.errors import ServerDown, WorkspaceBusy, WorkspaceError
from labeler.core.files import atomic_write
from labeler.core.runtime import Runtime
from labeler.core.workspace import create_workspace, open_workspace
from labeler.demo.settings import DIVISION, DOCUMENTS, settings
from labeler.demo.world import Language, make_world
from labeler.evaluation import end_to_end
from labeler.evaluation.pseudo_precision import pseudo_precision
from labeler.importing.ingest import import_files
from labeler.importing.splits import parse_split
from labeler.report import write_report
from labeler.retrieval.indexing import build_index
from labeler.rounds import machine
from labeler.rounds.steps import human_review, training

WORLD = "world.json"
SPLIT = "test"  # what every number of the demonstration is measured on


@dataclass(frozen=True, slots=True)
class Marks:
    """End-to-end EM and F1 on the test questions, 0-1."""

    exact_match: float
    f1: float


@dataclass(frozen=True, slots=True)
class RoundMarks:
    """One round of the full loop. `pseudo_precision` is that of the pseudo-labels trained on, by the hidden answers."""

    round: int
    labels: dict[str, int]
    exact_match: float
    f1: float
    pseudo_precision: float | None
    released_precision: float | None
    released: int
    promoted: bool


@dataclass(frozen=True, slots=True)
class Played:
    """What `labeler demo` says. The three readers had the same number of updates."""

    rounds: list[RoundMarks]
    baseline: Marks  # gold labels only
    gold_and_human: Marks  # the last round's labels without its pseudo-labels
    full_loop: Marks  # the best reader after the last round
    test_questions: int
    report: str
    workspace: str


def play(
    folder: Path,
    *,
    language: Language,
    seed: int,
    rounds: int,
    say: Callable[[str], None],
    overrides: Sequence[str] = (),
    reviewer: str = "simulated",
) -> Played:
    """Makes the world in `folder` (or goes on with it), runs the rounds, measures, writes the report.

    Interrupted, it goes on where it stopped when it is called again. With the reviewer `studio` it starts a Label
    Studio, unless the environment names one, and waits for people in every round; the workspace is free meanwhile.

    Raises WorkspaceError where the folder holds a demonstration of another language or seed; StudioError.
    """
    workspace_folder = folder / "workspace"
    world = json.dumps(make_world(language, seed=seed, documents=DOCUMENTS).squad(), ensure_ascii=False)
    if not (workspace_folder / "labeler.toml").exists():
        _prepare(folder, workspace_folder, world, language=language, seed=seed, say=say)
    elif (folder / WORLD).read_text(encoding="utf-8") != world:
        raise WorkspaceError(f"{folder} holds a demonstration of another language, seed or version; name another")
    workspace = open_workspace(workspace_folder, overrides=overrides)
    database = workspace.database()
    try:
        runtime = Runtime(workspace, database)
        with workspace.lock():
            _train_baseline(runtime, say)
        if reviewer == human_review.STUDIO:
            _invite(runtime, say)
        for number in range(1, rounds + 1):
            _play_round(runtime, number, reviewer=reviewer, say=say)
        with workspace.lock():
            return _measure(runtime, folder, rounds=rounds, say=say)
    finally:
        database.close()


def _prepare(
    folder: Path, workspace: Path, world: str, *, language: Language, seed: int, say: Callable[[str], None]
) -> None:
    """The world as a file, imported and indexed in a new workspace."""
    say(f"making a small world ({language}, seed {seed}) in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / WORLD
    with atomic_write(file) as out:
        out.write(world)
    draft = workspace.with_name(f"{workspace.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    made = create_workspace(draft, language="en" if language == "en" else "ko", settings=settings(language, seed))
    database = made.database()
    try:
        report = import_files(database, [str(file)], split=parse_split(DIVISION), seed=seed)
        say(
            f"  {report.passages} passages; questions: " + ", ".join(f"{n} {role}" for role, n in report.splits.items())
        )
        build_index(Runtime(made, database))
    finally:
        database.close()
    draft.rename(workspace)


def _measure(runtime: Runtime, folder: Path, *, rounds: int, say: Callable[[str], None]) -> Played:
    """What the rounds, all closed, brought."""
    marks = [_round_marks(runtime, number) for number in range(1, rounds + 1)]
    with runtime.database.read() as session:
        first, best = queries.model_of_round(session, 0), queries.best_model(session)
    assert first is not None
    assert best is not None
    say("measuring gold + human labels without pseudo-labels, with the same number of updates")
    without = _without_pseudo(runtime, folder)
    baseline, full_loop = _marks(runtime, first), _marks(runtime, best)
    report = write_report(runtime.database, folder / "report.html", title="labeler demo")
    return Played(
        rounds=marks,
        baseline=baseline,
        gold_and_human=without,
        full_loop=full_loop,
        test_questions=len(end_to_end.labelled(runtime, SPLIT)),
        report=str(report),
        workspace=str(runtime.workspace.folder),
    )


def _invite(runtime: Runtime, say: Callable[[str], None]) -> None:
    """Starts the workspace's own Label Studio and says how to log in; another one, if the environment names it."""
    from labeler.review.studio.connection import URL_VARIABLE
    from labeler.review.studio.server.local import start

    if os.environ.get(URL_VARIABLE):
        say(f"reviews are given in the Label Studio that {URL_VARIABLE} names: {human_review.client(runtime).url}")
        return
    say("starting a Label Studio; the first time installs it, which takes a minute or two")
    started = start(runtime.workspace.folder)
    if started.moved_from:
        with runtime.workspace.lock(), runtime.database.write() as session:
            store.move_projects(session, started.moved_from, started.url)
    say(f"Label Studio runs at {started.url}: log in as {started.email}")
    say(f"  the password stands in {started.password_file}")
    say(f"  to stop it later: labeler studio stop -w {runtime.workspace.folder}")


def _play_round(runtime: Runtime, number: int, *, reviewer: str, say: Callable[[str], None]) -> None:
    """Runs round `number` as far as it is not done yet; waits for people where they review.

    While it waits, a server that is away or a workspace in use is tried again at the next look.
    """
    waiting: str | None = ""
    while waiting is not None:
        try:
            found = _look(runtime, number, reviewer=reviewer, say=say if not waiting else None)
        except (ServerDown, WorkspaceBusy) as error:
            if not waiting:
                raise
            found = waiting
            say(f"  {error}; looking again later")
        if found and found != waiting:
            say(f"  waiting for {found} (Ctrl-C: the same command goes on)")
        waiting = found
        if waiting is not None:
            time.sleep(runtime.config.studio.poll_seconds)


def _look(runtime: Runtime, number: int, *, reviewer: str, say: Callable[[str], None] | None) -> str | None:
    """What round `number` waits for, run as far as it goes; None once it is done, by whomever."""
    with runtime.workspace.lock():
        with runtime.database.read() as session:
            if any(row.number == number and not row.is_open for row in queries.rounds(session)):
                return None
        if say is not None:
            say(f"round {number}: predict, review, label, retrain, judge")
        return machine.run(runtime, reviewer=reviewer).waiting_for


def _train_baseline(runtime: Runtime, say: Callable[[str], None]) -> None:
    with runtime.database.read() as session:
        done = queries.best_model(session) is not None
    if not done:
        say("round 0: a reader from gold labels alone")
        machine.train(runtime)


def _round_marks(runtime: Runtime, number: int) -> RoundMarks:
    """The marks of a closed round."""
    with runtime.database.read() as session:
        row = queries.round_(session, number)
        model = queries.model(session, (row.student_id if row.promoted else row.teacher_id) or 0)
        precision = pseudo_precision(session, number, metric=runtime.metric)
        labels = labels_after(session, row)
    marks = _marks(runtime, model)
    return RoundMarks(
        round=number,
        labels=labels,
        exact_match=marks.exact_match,
        f1=marks.f1,
        pseudo_precision=precision.trained.rate if precision else None,
        released_precision=precision.released.rate if precision else None,
        released=precision.released.items if precision else 0,
        promoted=bool(row.promoted),
    )


def labels_after(session: Session, row: RoundRow) -> dict[str, int]:
    """Labels that taught in a round, by kind."""
    taught: Counter[str] = Counter()
    for (kind, _, _), count in queries.training_counts(session, row.number).items():
        taught[kind] += count
    return {kind: taught[kind] for kind in ("gold", "human", "pseudo")}


def _marks(runtime: Runtime, model: ModelRow) -> Marks:
    reading = end_to_end.read(runtime, model, SPLIT, index=runtime.current_index())
    return Marks(reading.exact_match, reading.f1)


def _without_pseudo(runtime: Runtime, folder: Path) -> Marks:
    """A reader trained as the last round's was, but without its pseudo-labels."""
    with runtime.database.read() as session:
        row = queries.rounds(session)[-1]
        rows = [each for each in queries.training_rows(session, row.number) if each.label.kind != "pseudo"]
    runtime = runtime.with_config(Config.from_resolved(row.config))
    model = training.train_on(runtime, row, rows, folder=folder / "without-pseudo-labels")
    index = runtime.current_index()
    entries = end_to_end.markable(runtime, SPLIT, index=index)
    summary = end_to_end.summary(
        end_to_end.scored(runtime, runtime.load(model.folder), entries, index=index), index=index
    )
    return Marks(summary["exact_match"], summary["f1"])
