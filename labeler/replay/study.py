"""All runs of a replay, several at a time: the bases first, then the arms; finished runs are never repeated."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labeler.ablation.lock import write_json
from labeler.ablation.spread import Crew, finished
from labeler.cluster.connection import note as cluster_note
from labeler.core.errors import ConfigError, FileError, LabelerError, WorkspaceBusy
from labeler.core.files import detect_encoding, folder_lock
from labeler.core.progress import bar
from labeler.replay import Design, Replay, Run
from labeler.replay.play import is_done, rounds_of
from labeler.replay.points import points
from labeler.replay.results import results
from labeler.replay.runs import MODULE, launch, write_run

log = logging.getLogger(__name__)

REPLAY_FILE = "replay.json"


def run_replay(design: Design) -> Replay:
    """Play what is left of a replay; returns its state. Killed at any moment, the same call resumes it.

    Raises: ConfigError where the folder holds another replay; FileError where it holds something else; WorkspaceBusy
    where another process works in it; LabelerError where a run failed, naming it and why.
    """
    _check_folder(design.folder)
    design.folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(design.folder, lambda: _busy(design.folder)):
        _record(design)
        bases = [Run(design, seed) for seed in range(design.seeds)]
        arms = [Run(design, seed, arm) for seed in range(design.seeds) for arm in design.arms]
        log.info("%s", _forecast(design, [*bases, *arms]))
        _play_all(design, bases)
        _play_all(design, arms)
        replay = state(design)
        _write(replay)
        return replay


def state(design: Design) -> Replay:
    """What the finished runs show."""
    return results(
        design,
        {
            arm.name: {seed: points(run) for seed in range(design.seeds) if is_done(run := Run(design, seed, arm))}
            for arm in design.arms
        },
    )


def _write(replay: Replay) -> None:
    from labeler.replay.page import format_replay, write_page

    write_page(replay)
    write_json(replay.folder / "results.json", {name: asdict(each) for name, each in replay.results.items()})
    log.info("%s", format_replay(replay))


def _play_all(design: Design, runs: Sequence[Run]) -> None:
    """Finish these runs, `jobs` at a time. A failure does not stop the others; all are reported at the end."""
    left, began = [run for run in runs if not is_done(run)], time.monotonic()
    crew, reasons = Crew(design.jobs, design.threads, design.compute), dict[int, str]()
    total, note = sum(1 + rounds_of(run) for run in left), cluster_note(design.compute)
    with bar("simulate", total=total, unit="readers", note=note) as progress:
        for number, why in finished(left, crew, module=MODULE, launch=launch, describe=write_run):
            progress.update(1 + rounds_of(left[number]))
            log.info("%s: %s after %.0f s", left[number].name, why or "played", time.monotonic() - began)
            if why is not None:
                reasons[number] = why
    if reasons:
        raise LabelerError("; ".join(f"{left[number].name}: {reasons[number]}" for number in sorted(reasons)))


def _forecast(design: Design, runs: Sequence[Run]) -> str:
    """What is left to do; the times of finished rounds give the time left."""
    left = [run for run in runs if not is_done(run)]
    trainings = sum(rounds_of(run) + (run.arm is None) for run in left)
    done = [point.seconds for run in runs for point in points(run) if point.round or run.arm is None]
    text = f"{len(left)} runs with {trainings} trainings to do, {design.jobs} at a time"
    if not done or not left:
        return text
    return f"{text}; about {trainings * sum(done) / len(done) / 60 / design.jobs:.0f} min, as the finished rounds took"


def _record(design: Design) -> None:
    """Store the design, or check it against the stored one; arms may be added."""
    path = design.folder / REPLAY_FILE
    plan: dict[str, Any] = {
        "file": detect_encoding(design.file).sha256,
        "common": list(design.common),
        "split": design.split,
        "dense": design.dense,
        "language": design.language,
        "rounds": design.rounds,
    }
    arms = {arm.name: list(arm.settings) for arm in design.arms}
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"plan": plan, "arms": {}}
    changed = [f"{name} was {stored['plan'].get(name)}" for name in plan if stored["plan"].get(name) != plan[name]]
    changed += [
        f"arm {name} was {','.join(settings)}"
        for name, settings in stored["arms"].items()
        if name in arms and arms[name] != settings
    ]
    if changed:
        raise ConfigError(f"{design.folder} holds a replay in which {', '.join(changed)}; use another folder")
    write_json(path, {"plan": plan, "arms": stored["arms"] | arms})


def _check_folder(folder: Path) -> None:
    held = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in held if name != ".lock"]
    if foreign and REPLAY_FILE not in held:
        raise FileError(f"{folder} is not empty ({foreign[0]}) and holds no replay; name a new folder")


def _busy(folder: Path) -> WorkspaceBusy:
    return WorkspaceBusy(f"{folder} is in use by another labeler simulate; wait for it or stop it")
