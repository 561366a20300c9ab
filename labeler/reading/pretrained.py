"""A starting checkpoint that is first pretrained on passages, without labels; made once and shared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mrc.read.train_config import PretrainConfig

if TYPE_CHECKING:
    from mrc.read.pretrain.mlm import Progress

PRETRAIN = "pretrain"  # the name of such a folder begins with it


@dataclass(frozen=True, slots=True)
class PretrainedStart:
    """All that decides the result of pretraining. `texts` are passages that belong to no held-out question."""

    start: str  # folder or hub name
    texts: tuple[str, ...]
    config: PretrainConfig
    seed: int
    device: str
    precision: str
    head: str = "auto"  # that of the training to follow

    def folder(self, home: Path) -> Path:
        """The folder below `home` for exactly this checkpoint."""
        from mrc.read.pretrain.pretraining import pretrain_fingerprint

        how = (self.seed, self.device, self.precision, self.head)
        named = pretrain_fingerprint(self.start, self.texts, self.config, *how)
        return home / f"{PRETRAIN}-{named[:12]}"

    def make(self, home: Path, progress: Progress | None = None) -> Path:
        """Pretrain into `folder(home)` unless it exists; killed, the same call resumes. Returns the folder.

        Raises: BadCheckpoint, DataError, TrainingDiverged; see `mrc.read.pretrain.pretraining.pretrain`.
        """
        from mrc.read.pretrain.pretraining import pretrain

        return pretrain(
            self.start,
            self.texts,
            self.folder(home),
            config=self.config,
            seed=self.seed,
            progress=progress,
            device=self.device,
            precision=self.precision,
            head=self.head,
        )
