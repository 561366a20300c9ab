"""A training as a value: all that decides it, and the file by which the processes of a team hear of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from mrc.metrics import Metric
from mrc.read.config import WindowConfig
from mrc.read.model.reader import model_hash
from mrc.read.train_config import DevExample, ExperimentalTrainConfig, TrainConfig, TrainingExample


@dataclass(frozen=True, slots=True)
class Job:
    """All that decides a training, and where it goes."""

    examples: Sequence[TrainingExample]
    start: str | Path
    config: TrainConfig
    seed: int
    folder: Path
    dev: Sequence[DevExample] = ()
    shares: Mapping[str, float] | None = None
    metric: Metric = "squad"
    teachers: tuple[str, ...] = ()  # their fingerprints
    teach_trusted: bool = True  # whether they teach the trusted examples, too
    device: str = "auto"
    precision: str = "auto"

    @property
    def partial(self) -> Path:
        """Where the checkpoints are while it trains."""
        return self.folder.with_name(f"{self.folder.name}.partial")

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the result."""
        begin = model_hash(self.start) if Path(self.start).is_dir() else str(self.start)
        parts = [begin, asdict(self.config), self.seed, [asdict(example) for example in self.examples]]
        parts += [self.device, self.precision, self.metric, self.shares, self.teachers]
        parts += [[asdict(each) for each in self.dev] if self.config.early_stopping_patience else []]
        parts += [self.teach_trusted] if self.teachers else []
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Nothing; the file is JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**asdict(self), "start": str(self.start), "folder": str(self.folder)}))

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` wrote."""
        told = json.loads(path.read_text())
        return cls(
            [_example(each) for each in told["examples"]],
            told["start"],
            _config(told["config"]),
            told["seed"],
            Path(told["folder"]),
            [DevExample(**{**each, "answers": tuple(each["answers"])}) for each in told["dev"]],
            told["shares"],
            told["metric"],
            tuple(told["teachers"]),
            told["teach_trusted"],
            told["device"],
            told["precision"],
        )


def _config(stored: Mapping[str, Any]) -> TrainConfig:
    windows, experimental = WindowConfig(**stored["windows"]), ExperimentalTrainConfig(**stored["experimental"])
    return TrainConfig(**{**stored, "windows": windows, "experimental": experimental})


def _example(told: Mapping[str, Any]) -> TrainingExample:
    lists = {name: tuple(told[name]) for name in ("negatives", "golds")}
    return TrainingExample(**{**told, **lists, "also": tuple((start, end) for start, end in told["also"])})
