"""A training as a value: everything that its result depends on, and the file that passes it to worker processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from mrc.metrics import Metric
from mrc.read.config import WindowConfig
from mrc.read.model.reader import model_hash
from mrc.read.train_config import DevExample, ExperimentalTrainConfig, TrainConfig, TrainingExample


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a training depends on, and its folder."""

    examples: Sequence[TrainingExample]
    start: str | Path
    config: TrainConfig
    seed: int
    folder: Path
    dev: Sequence[DevExample] = ()
    shares: Mapping[str, float] | None = None
    metric: Metric = "squad"
    teachers: tuple[str, ...] = ()  # their fingerprints
    distill_human_labelled: bool = True  # whether they are read on human-labelled examples too
    device: str = "auto"
    precision: str = "auto"
    teacher_of: Mapping[str, int] = field(default_factory=dict)  # example id -> the only teacher that reads it

    @property
    def partial(self) -> Path:
        """The folder of the checkpoints during the training."""
        return self.folder.with_name(f"{self.folder.name}.partial")

    @property
    def fingerprint(self) -> str:
        """Hash of everything that the result depends on."""
        begin = model_hash(self.start) if Path(self.start).is_dir() else str(self.start)
        parts = [begin, asdict(self.config), self.seed, [asdict(example) for example in self.examples]]
        parts += [self.device, self.precision, self.metric, self.shares, self.teachers]
        parts += [[asdict(each) for each in self.dev] if self.config.early_stopping_patience else []]
        parts += [self.distill_human_labelled] if self.teachers else []
        parts += [dict(self.teacher_of)] if self.teacher_of else []
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**asdict(self), "start": str(self.start), "folder": str(self.folder)}))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The job that `write` stored."""
        stored = json.loads(path.read_text())
        return cls(
            [_example(each) for each in stored["examples"]],
            stored["start"],
            _config(stored["config"]),
            stored["seed"],
            Path(stored["folder"]),
            [DevExample(**{**each, "answers": tuple(each["answers"])}) for each in stored["dev"]],
            stored["shares"],
            stored["metric"],
            tuple(stored["teachers"]),
            stored["distill_human_labelled"],
            stored["device"],
            stored["precision"],
            stored["teacher_of"],
        )


def _config(stored: Mapping[str, Any]) -> TrainConfig:
    windows, experimental = WindowConfig(**stored["windows"]), ExperimentalTrainConfig(**stored["experimental"])
    return TrainConfig(**{**stored, "windows": windows, "experimental": experimental})


def _example(stored: Mapping[str, Any]) -> TrainingExample:
    lists = {name: tuple(stored[name]) for name in ("negatives", "golds", "priors")}
    return TrainingExample(**{**stored, **lists, "also": tuple((start, end) for start, end in stored["also"])})
