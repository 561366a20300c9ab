"""screened -> final -> chosen -> tested; each step is recorded in `study.json` before the next one starts."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from labeler.ablation import GIVEN, RETRIEVED, Arm, ArmResult, ArmScores, Choice, Design, Run, RunResult, Study, runs
from labeler.ablation.arms import config_of
from labeler.ablation.compare import aggregate, scores_by_seed
from labeler.ablation.data import metric_of, split_file
from labeler.ablation.record import STUDY_FILE, Record
from labeler.ablation.runs import is_done, result
from labeler.ablation.spread import Crew, finished
from labeler.core.config import Config
from labeler.core.errors import ConfigError, FileError, LabelerError, WorkspaceBusy
from labeler.core.files import folder_lock
from labeler.core.settings import ComputeConfig
from mrc.removal import remove_folder

log = logging.getLogger(__name__)


def run_study(design: Design) -> Study:
    """Run what is left of a study; returns its state. Killed at any moment, the same call resumes it.

    Raises: ConfigError for settings that are wrong or differ from those of the folder; DataError for an unusable file;
    BadCheckpoint for an unusable start; WorkspaceBusy where another process works in the folder; LabelerError where a
    training failed, naming it and why.
    """
    _check_folder(design.folder)
    design.folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(design.folder, lambda: _busy(design.folder)):
        return _StudyRun(design).run()


def _check_folder(folder: Path) -> None:
    """Raise FileError for a folder that holds something else than a study, or one that was killed at its start."""
    held = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in held if name not in (".lock", "data") and not name.startswith(".data.")]
    if foreign and STUDY_FILE not in held:
        raise FileError(f"{folder} is not empty ({foreign[0]}) and holds no study; name a new folder")


def _busy(folder: Path) -> WorkspaceBusy:
    return WorkspaceBusy(f"{folder} is in use by another labeler ablate; wait for it or stop it")


class _StudyRun:
    """A study in progress."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.configs = {arm.name: _in_one_process(config_of(arm, design.common)) for arm in design.arms}
        self.arms = {arm.name: arm for arm in design.arms}
        self.record = Record.open(design, self.configs)
        if self.record.fresh:
            _check_start(design.start)
            remove_folder(self._data, root=self._data.parent)  # of another plan, killed before it was recorded
        split_file(design.file, self._data, sizes=design.sizes, split_by=design.split_by)
        self.record.update()
        self.metric = metric_of(design.metric, self._data)

    @property
    def _data(self) -> Path:
        return self.design.folder / "data"

    def run(self) -> Study:
        every = tuple(self.arms)
        self._run_all([self._run(name, 0, ("screen",)) for name in every], "screened")
        finals = self._finals()
        self._run_all([self._run(name, seed, self._dev) for name in finals for seed in self._seeds], "final")
        if not self.design.test:
            return self._save(finals)
        choice = self._choice(finals)
        tested = [name for name in finals if name in (self.design.base, choice.arm) or self.arms[name].control]
        self._run_all(
            [self._run(name, seed, (*self._dev, "test")) for name in tested for seed in self._seeds], "tested"
        )
        return self._save(finals)

    # --- steps --------------------------------------------------------------------------------------

    def _finals(self) -> tuple[str, ...]:
        """The base arm, the controls and the best arms of the screening; fixed once the choice is made."""
        if self.record.choice:
            return self._as_chosen(self.record.choice)
        rivals = [name for name, arm in self.arms.items() if name != self.design.base and not arm.control]
        scores = {name: self._scores(name, ("screen",), [0]) for name in rivals}
        best = sorted(rivals, key=lambda name: (-scores[name][0], -scores[name][1], rivals.index(name)))
        kept = set(best[: self.design.finalists])
        finals = tuple(
            name for name, arm in self.arms.items() if name == self.design.base or arm.control or name in kept
        )
        self.record.update(finals=finals)
        return finals

    def _as_chosen(self, choice: Choice) -> tuple[str, ...]:
        """The finals that the choice was made from. Raises ConfigError where the finals or controls differ now: a test
        score of a further arm could be mistaken for a second choice."""
        missing = [name for name in self.record.finals if name not in self.arms]
        if missing or choice.seeds != self.design.seeds or self._controls != self.record.controls:
            finals = f"{', '.join(self.record.finals)} with --seeds {choice.seeds}"
            controls = f"controls {', '.join(self.record.controls)}" if self.record.controls else "no controls"
            raise ConfigError(f"the choice was made from {finals} and {controls}; name the same, or use another folder")
        return self.record.finals

    def _choice(self, finals: Sequence[str]) -> Choice:
        """The best final arm on dev by exact match, then F1; ties to the earlier arm. Made once."""
        if self.record.choice:
            return self.record.choice
        rivals = [name for name in finals if not self.arms[name].control]
        scores = {name: self._scores(name, self._dev, self._seeds) for name in rivals}
        best = max(rivals, key=lambda name: (*scores[name], -rivals.index(name)))
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        choice = Choice(best, *scores[best], self.design.seeds, now)
        self.record.update(choice=choice, controls=self._controls)
        return choice

    def _scores(self, name: str, parts: Sequence[str], seeds: Sequence[int]) -> tuple[float, float]:
        """Exact match and F1 on given passages, means over the seeds."""
        results = [result(self._run(name, seed, parts)) for seed in seeds]
        found = aggregate(scores_by_seed(results, parts, GIVEN), None)
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

    def _run_all(self, wanted: Sequence[Run], stage: str) -> None:
        """Finish these runs, `jobs` at a time. A failure does not stop the others; all are reported at the end."""
        left = [run for run in wanted if not is_done(run)]
        crew = Crew(self.design.jobs, self.design.threads, self.design.compute)
        reasons: dict[int, str] = {}
        ended = finished(left, crew, module=runs.MODULE, launch=self._launch, describe=runs.write_run)
        for number, why in ended:
            if why is None:
                log.info("%s", _summary(left[number]))
            else:
                reasons[number] = why
        failed: dict[str, list[str]] = {}
        for number in sorted(reasons):
            failed.setdefault(reasons[number], []).append(f"arm {left[number].arm}, seed {left[number].seed}")
        if failed:
            self._save()
            raise LabelerError("; ".join(f"{'; '.join(runs)}: {why}" for why, runs in failed.items()))
        self.record.update(stage=stage)

    def _launch(self, run: Run) -> str | None:
        return runs.launch(run, threads=self.design.threads)

    # --- results --------------------------------------------------------------------------------------

    def _save(self, finals: Sequence[str] = ()) -> Study:
        """Write the table, the plot and the JSON of the results so far; returns the study."""
        from labeler.ablation.page import as_json, write_page

        results = tuple(self._arm_results(finals))
        study = Study(self.design.base, results, self.record.choice, self.design.folder)
        self.record.update(arms=as_json(results))
        write_page(study)
        return study

    def _arm_results(self, finals: Sequence[str]) -> Iterator[ArmResult]:
        base = self._finished(self.design.base)
        for name, arm in self.arms.items():
            own = base if name == self.design.base else self._finished(name)
            if own:
                stage = "control" if arm.control else _stage(name, finals, self.record.choice)
                yield self._arm_result(arm, stage, own, base if own is not base else None)

    def _arm_result(
        self, arm: Arm, stage: str, own: Sequence[RunResult], base: Sequence[RunResult] | None
    ) -> ArmResult:
        def scores(parts: Sequence[str], how: str) -> ArmScores | None:
            return aggregate(scores_by_seed(own, parts, how), scores_by_seed(base, parts, how) if base else None)

        dev = self._dev if all((self._dev[-1], GIVEN) in run.scores for run in own) else ("screen",)
        given = scores(dev, GIVEN)
        assert given is not None  # `_finished` gives runs that are scored on the screening part
        return ArmResult(
            arm=arm.name,
            stage=stage,
            settings=arm.settings,
            part="dev" if dev == self._dev else "screen",
            dev=given,
            dev_retrieved=scores(dev, RETRIEVED),
            test=scores(("test",), GIVEN),
            test_retrieved=scores(("test",), RETRIEVED),
            cpu_seconds=sum(run.cost.cpu_seconds for run in own) / len(own),
            start_seconds=own[0].cost.start_seconds,
            peak_mib=max(run.cost.peak_mib for run in own),
        )

    def _finished(self, name: str) -> list[RunResult]:
        """The runs of an arm that are scored on the screening part, with all their scores."""
        found = []
        for seed in self._seeds:
            parts = [part for part in ("screen", "dev", "test") if is_done(self._run(name, seed, (part,)))]
            if "screen" in parts:
                found.append(result(self._run(name, seed, parts)))
        return found


def _check_start(start: str) -> None:
    """Raises BadCheckpoint where nothing can be trained from this checkpoint, before anything is recorded."""
    from mrc.encoder.loading import load_config, load_tokenizer

    load_config(start)
    load_tokenizer(start)


def _in_one_process(config: Config) -> Config:
    """The settings of a run: where it is played is not part of them, so that a study goes on with or without Ray."""
    return replace(config, compute=config.compute.with_engine_of(ComputeConfig()))


def _stage(name: str, finals: Sequence[str], choice: Choice | None) -> str:
    if choice and name == choice.arm:
        return "chosen"
    return "final" if name in finals else "screened"


def _summary(run: Run) -> str:
    found = result(run)
    scores = [each for (_, how), rows in found.scores.items() if how == GIVEN for each in rows]
    exact = sum(each.exact_match for each in scores) / max(1, len(scores))
    cost = f"{found.cost.cpu_seconds:.0f} CPU s"
    return f"{run.arm}, seed {run.seed}: EM {100 * exact:.1f} on {', '.join(run.parts)}; {cost}"
