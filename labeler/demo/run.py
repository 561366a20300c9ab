"""The demo: a synthetic encyclopaedia, the whole loop with a simulated reviewer, and the gain of each part."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from db import queries, store
from labeler.core.errors import ServerDown, WorkspaceBusy, WorkspaceError
from labeler.core.files import atomic_write, is_leftover
from labeler.core.runtime import Runtime
from labeler.core.workspace import create_workspace, open_workspace
from labeler.demo.certificate import certify_demo
from labeler.demo.encyclopaedia import Language, make_encyclopaedia
from labeler.demo.results import DemoResult, evaluate_demo
from labeler.demo.settings import DOCUMENTS, SPLIT, settings
from labeler.importing.ingest import import_files
from labeler.importing.splits import parse_split
from labeler.retrieval.indexing import build_index
from labeler.rounds import machine
from labeler.rounds.steps import human_review
from mrc.removal import remove_folder

CORPUS = "encyclopaedia.json"


def run_demo(
    folder: Path,
    *,
    language: Language,
    seed: int,
    rounds: int,
    say: Callable[[str], None],
    overrides: Sequence[str] = (),
    reviewer: str = "simulated",
) -> DemoResult:
    """Generate the corpus in `folder` (or resume there), run the rounds, certify, evaluate, write the report.

    Interrupted, the same call resumes. With the reviewer `studio` it starts a Label Studio, unless the environment
    names one, and waits for people in every round; the workspace is not locked meanwhile, and nothing is certified.

    Raises WorkspaceError where the folder holds a demo of another language or seed; StudioError.
    """
    workspace_folder = folder / "workspace"
    corpus = json.dumps(make_encyclopaedia(language, seed=seed, documents=DOCUMENTS).squad(), ensure_ascii=False)
    if not (workspace_folder / "labeler.toml").exists():
        _prepare(folder, workspace_folder, corpus, language=language, seed=seed, say=say)
    elif not (folder / CORPUS).is_file() or (folder / CORPUS).read_text(encoding="utf-8") != corpus:
        raise WorkspaceError(f"{folder} holds a demo of another language, seed or version; choose another folder")
    workspace = open_workspace(workspace_folder, overrides=overrides)
    database = workspace.database()
    try:
        runtime = Runtime(workspace, database)
        with workspace.lock():
            _train_baseline(runtime, say)
        if reviewer == human_review.STUDIO:
            _start_label_studio(runtime, say)
        for number in range(1, rounds + 1):
            _run_round(runtime, number, reviewer=reviewer, say=say)
        with workspace.lock():
            by_people = reviewer == human_review.STUDIO
            certificate = None if by_people else certify_demo(runtime, seed=seed, say=say)
            return evaluate_demo(runtime, folder, rounds=rounds, certificate=certificate, say=say)
    finally:
        database.close()


def _prepare(
    folder: Path, workspace: Path, corpus: str, *, language: Language, seed: int, say: Callable[[str], None]
) -> None:
    """Write the corpus, import and index it in a new workspace."""
    folder.mkdir(parents=True, exist_ok=True)
    file, draft = folder / CORPUS, workspace.with_name(f"{workspace.name}.draft")
    held = [entry for entry in folder.iterdir() if entry not in (file, draft) and not is_leftover(entry)]
    foreign = sorted(entry.name for entry in held)
    if foreign or (file.exists() and file.read_text(encoding="utf-8") != corpus):
        raise WorkspaceError(f"{folder} is not empty ({(foreign or [file.name])[0]}); name a new folder")
    say(f"generating a small encyclopaedia ({language}, seed {seed}) in {folder}")
    with atomic_write(file) as out:
        out.write(corpus)
    remove_folder(draft, root=draft.parent)
    made = create_workspace(draft, language="en" if language == "en" else "ko", settings=settings(language, seed))
    database = made.database()
    try:
        report = import_files(database, [str(file)], split=parse_split(SPLIT), seed=seed)
        say(
            f"  {report.passages} passages; questions: " + ", ".join(f"{n} {role}" for role, n in report.splits.items())
        )
        build_index(Runtime(made, database))
    finally:
        database.close()
    draft.rename(workspace)


def _start_label_studio(runtime: Runtime, say: Callable[[str], None]) -> None:
    """Start the workspace's Label Studio, unless the environment names one, and say how to log in."""
    from labeler.review.studio.api.connection import URL_VARIABLE
    from labeler.review.studio.server.local import start

    if os.environ.get(URL_VARIABLE):
        say(f"review in the Label Studio that {URL_VARIABLE} names: {human_review.client(runtime).url}")
        return
    say("starting Label Studio; the first start installs it, which takes a minute or two")
    started = start(runtime.workspace.folder)
    if started.moved_from:
        with runtime.workspace.lock(), runtime.database.write() as session:
            store.move_projects(session, started.moved_from, started.url)
    say(f"Label Studio runs at {started.url}; log in as {started.email}")
    say(f"  password: in {started.password_file}")
    say(f"  stop it later: labeler studio stop -w {runtime.workspace.folder}")


def _run_round(runtime: Runtime, number: int, *, reviewer: str, say: Callable[[str], None]) -> None:
    """Run round `number` unless it is closed; wait for people where they review.

    While it waits, it retries a server that is down or a workspace in use at the next poll.
    """
    waiting: str | None = ""
    while waiting is not None:
        try:
            found = _advance(runtime, number, reviewer=reviewer, say=say if not waiting else None)
        except (ServerDown, WorkspaceBusy) as error:
            if not waiting:
                raise
            found = waiting
            say(f"  {error}; retrying later")
        if found and found != waiting:
            say(f"  waiting for {found} (Ctrl-C to stop; the same command resumes)")
        waiting = found
        if waiting is not None:
            time.sleep(runtime.config.studio.poll_seconds)


def _advance(runtime: Runtime, number: int, *, reviewer: str, say: Callable[[str], None] | None) -> str | None:
    """Run round `number` as far as possible; returns what it waits for, or None once it is closed."""
    with runtime.workspace.lock():
        with runtime.database.read() as session:
            if any(row.number == number and not row.is_open for row in queries.rounds(session)):
                return None
        if say is not None:
            say(f"round {number}: predict, review, label, train, gate")
        return machine.run(runtime, reviewer=reviewer).waiting_for


def _train_baseline(runtime: Runtime, say: Callable[[str], None]) -> None:
    with runtime.database.read() as session:
        done = queries.best_model(session) is not None
    if not done:
        say("round 0: training on gold labels alone")
        machine.train(runtime)
