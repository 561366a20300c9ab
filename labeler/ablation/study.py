"""screened -> final -> chosen -> tested, each step written to `study.json` before the next one starts."""

from __future__ import annotations

import datetime
import logging
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from labeler.ablation import BASE, GIVEN, RETRIEVED, Choice, Design, Line, Run, Study, Trained, runs
from labeler.ablation.arms import config_of
from labeler.ablation.compare import marks_of, measured
from labeler.ablation.data import metric_of, split_file
from labeler.ablation.record import Record
from labeler.ablation.runs import is_done, result
from labeler.core.errors import ConfigError, LabelerError, WorkspaceBusy
from labeler.core.files import alone

log = logging.getLogger(__name__)


def run_study(design: Design) -> Study:
    """Does what is left of a study and tells where it stands. Killed at any moment, the same call goes on.

    Raises: ConfigError for settings that are wrong, or other than those with which the folder was begun; DataError for
    an unusable file; BadCheckpoint for an unusable start; WorkspaceBusy where another process is at it; LabelerError
    where a training failed, naming it and why.
    """
    design.folder.mkdir(parents=True, exist_ok=True)
    with alone(design.folder, lambda: _busy(design.folder)):
        return _StudyRun(design).go()


def _busy(folder: Path) -> WorkspaceBusy:
    return WorkspaceBusy(f"{folder} is in use by another labeler ablate; wait for it or stop it")


class _StudyRun:
    """A study at work."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.configs = {arm.name: config_of(arm, design.common) for arm in design.arms}
        self.arms = {arm.name: arm for arm in design.arms}
        self.record = Record.opened(design, self.configs)
        if self.record.fresh:
            _check_start(design.start)
            shutil.rmtree(self._data, ignore_errors=True)  # of another plan, killed before it was written down
        split_file(design.file, self._data, sizes=design.sizes, split_by=design.split_by)
        self.record.note()
        self.metric = metric_of(design.metric, self._data)

    @property
    def _data(self) -> Path:
        return self.design.folder / "data"

    def go(self) -> Study:
        every = tuple(self.arms)
        self._do([self._run(name, 0, ("screen",)) for name in every], "screened")
        finals = self._finals()
        self._do([self._run(name, seed, self._dev) for name in finals for seed in self._seeds], "final")
        if not self.design.test:
            return self._saved(finals)
        choice = self._choice(finals)
        tested = [name for name in finals if name in (BASE, choice.arm) or self.arms[name].control]
        self._do([self._run(name, seed, (*self._dev, "test")) for name in tested for seed in self._seeds], "tested")
        return self._saved(finals)

    # --- steps --------------------------------------------------------------------------------------

    def _finals(self) -> tuple[str, ...]:
        """The plain reader, the controls and the best arms of the screening; what was chosen from stays fixed."""
        if self.record.choice:
            return self._as_chosen(self.record.choice)
        rivals = [name for name, arm in self.arms.items() if name != BASE and not arm.control]
        marks = {name: self._on(name, ("screen",), [0]) for name in rivals}
        best = sorted(rivals, key=lambda name: (-marks[name][0], -marks[name][1], rivals.index(name)))
        kept = set(best[: self.design.finalists])
        finals = tuple(name for name, arm in self.arms.items() if name == BASE or arm.control or name in kept)
        self.record.note(finals=finals)
        return finals

    def _as_chosen(self, choice: Choice) -> tuple[str, ...]:
        """The finals that the choice was made from. Raises ConfigError where other ones are asked for now, or other
        controls: what test says of an arm that was not to be tested could be taken for a choice."""
        missing = [name for name in self.record.finals if name not in self.arms]
        if missing or choice.seeds != self.design.seeds or self._controls != self.record.controls:
            told = f"{', '.join(self.record.finals)} with --seeds {choice.seeds}"
            controls = f"controls {', '.join(self.record.controls)}" if self.record.controls else "no controls"
            raise ConfigError(f"the choice was made from {told} and {controls}; name the same, or use another folder")
        return self.record.finals

    def _choice(self, finals: Sequence[str]) -> Choice:
        """The best final arm on dev by exact match, then F1; ties to the earlier arm. Written down once."""
        if self.record.choice:
            return self.record.choice
        rivals = [name for name in finals if not self.arms[name].control]
        marks = {name: self._on(name, self._dev, self._seeds) for name in rivals}
        best = max(rivals, key=lambda name: (*marks[name], -rivals.index(name)))
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        choice = Choice(best, *marks[best], self.design.seeds, now)
        self.record.note(choice=choice, controls=self._controls)
        return choice

    def _on(self, name: str, parts: Sequence[str], seeds: Sequence[int]) -> tuple[float, float]:
        """Exact match and F1 on given passages, means over the seeds."""
        found = measured(marks_of(self._results(name, parts, seeds), parts, GIVEN), None)
        assert found is not None
        return found.exact_match, found.f1

    # --- runs ---------------------------------------------------------------------------------------

    @property
    def _seeds(self) -> range:
        return range(self.design.seeds)

    @property
    def _controls(self) -> tuple[str, ...]:
        return tuple(sorted(name for name, arm in self.arms.items() if arm.control))

    @property
    def _dev(self) -> tuple[str, ...]:
        return ("screen", "dev") if self.design.sizes.dev > self.design.sizes.screen else ("screen",)

    def _run(self, name: str, seed: int, parts: Sequence[str]) -> Run:
        folder = self.design.folder
        return Run(
            arm=name,
            seed=seed,
            folder=folder / "runs" / f"{name}-{seed}",
            data=self._data,
            starts=folder / "starts",
            start=self.design.start,
            config=self.configs[name],
            metric=self.metric,
            top_k=self.design.top_k,
            parts=tuple(parts),
        )

    def _results(self, name: str, parts: Sequence[str], seeds: Sequence[int]) -> list[Trained]:
        return [result(self._run(name, seed, parts)) for seed in seeds]

    def _do(self, wanted: Sequence[Run], stage: str) -> None:
        """All that is left of these runs, a few at a time. One that fails does not stop the others; then it is told."""
        left = [run for run in wanted if not is_done(run)]
        with ThreadPoolExecutor(self.design.jobs) as pool:
            told = list(pool.map(self._done, left))
        failed: dict[str, list[str]] = {}
        for run, why in zip(left, told, strict=True):
            if why:
                failed.setdefault(why, []).append(f"arm {run.arm}, seed {run.seed}")
        if failed:
            self._saved()
            raise LabelerError("; ".join(f"{'; '.join(runs)}: {why}" for why, runs in failed.items()))
        self.record.note(stage=stage)

    def _done(self, run: Run) -> str | None:
        """Why the run failed; None once it is done."""
        why = runs.launch(run, threads=self.design.threads)
        if why is None:
            log.info("%s", _told(run))
        return why

    # --- what is written ------------------------------------------------------------------------------

    def _saved(self, finals: Sequence[str] = ()) -> Study:
        """The study as it stands, with its table, plot and JSON written."""
        from labeler.ablation.page import as_json, write_page

        lines = tuple(self._lines(finals))
        study = Study(lines, self.record.choice, self.design.folder)
        self.record.note(arms=as_json(lines))
        write_page(study)
        return study

    def _lines(self, finals: Sequence[str]) -> Iterator[Line]:
        finished = {name: self._finished(name) for name in self.arms}
        for name, arm in self.arms.items():
            own, base = finished[name], finished[BASE]
            if not own:
                continue
            dev = self._dev if all(("dev", GIVEN) in run.marks for run in own) and "dev" in self._dev else ("screen",)

            def on(parts: Sequence[str], how: str, own: Sequence[Trained] = own, base: Sequence[Trained] = base) -> Any:
                theirs = marks_of(base, parts, how) if base is not own else None
                return measured(marks_of(own, parts, how), theirs)

            yield Line(
                arm=name,
                stage="control" if arm.control else _stage(name, finals, self.record.choice),
                settings=arm.settings,
                part="dev" if dev == self._dev else "screen",
                dev=on(dev, GIVEN),
                dev_retrieved=on(dev, RETRIEVED),
                test=on(("test",), GIVEN),
                test_retrieved=on(("test",), RETRIEVED),
                cpu_seconds=sum(run.cost.cpu_seconds for run in own) / len(own),
                start_seconds=own[0].cost.start_seconds,
                peak_mib=max(run.cost.peak_mib for run in own),
            )

    def _finished(self, name: str) -> list[Trained]:
        """The runs of an arm that are marked on the screening part, with all the marks that they have."""
        found = []
        for seed in self._seeds:
            parts = [part for part in ("screen", "dev", "test") if is_done(self._run(name, seed, (part,)))]
            if "screen" in parts:
                found.append(result(self._run(name, seed, parts)))
        return found


def _check_start(start: str) -> None:
    """Raises BadCheckpoint where nothing could be trained from this checkpoint, before anything is written down."""
    from mrc.encoder import load_config, load_tokenizer

    load_config(start)
    load_tokenizer(start)


def _stage(name: str, finals: Sequence[str], choice: Choice | None) -> str:
    if choice and name == choice.arm:
        return "chosen"
    return "final" if name in finals else "screened"


def _told(run: Run) -> str:
    found = result(run)
    marks = [mark for (_, how), rows in found.marks.items() if how == GIVEN for mark in rows]
    exact = sum(mark.exact_match for mark in marks) / max(1, len(marks))
    took = f"{found.cost.cpu_seconds:.0f} CPU s"
    return f"{run.arm}, seed {run.seed}: EM {100 * exact:.1f} on {', '.join(run.parts)}; {took}"
