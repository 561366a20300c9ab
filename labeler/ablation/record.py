"""`study.json`: the design of a study, its progress and its choice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labeler.ablation import Choice, Design
from labeler.core.config import Config, changed_settings
from labeler.core.errors import ConfigError, NotReady
from labeler.core.files import atomic_write, detect_encoding

STAGES = ("begun", "screened", "final", "tested")

STUDY_FILE = "study.json"


class Record:
    """The record of a study; every change is on the disk when `update` returns."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path = path
        self._content = dict(content)

    @classmethod
    def open(cls, design: Design, configs: Mapping[str, Config]) -> Record:
        """The record of the study, new or as it was saved. Raises ConfigError where the folder holds another study
        or an arm under other settings; NotReady for an arm that comes after the choice."""
        path = design.folder / STUDY_FILE
        plan = _plan(design)
        fresh: dict[str, Any] = {
            "plan": plan,
            "settings": {},
            "stage": "begun",
            "finals": [],
            "controls": [],
            "choice": None,
            "arms": {},
        }
        record = cls(path, fresh | (json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}))
        saved = record._content["plan"]
        changed = [f"{key} was {saved.get(key)}" for key in plan if saved.get(key) != plan[key]]
        if changed:
            raise ConfigError(f"{design.folder} holds a study in which {', '.join(changed)}; use another folder")
        for name, config in configs.items():
            record._check_arm(name, config)
        settings = {name: config.resolved() for name, config in configs.items()}
        record._content["settings"] = record._content["settings"] | settings
        return record

    @property
    def fresh(self) -> bool:
        """Whether nothing of the study has been recorded yet."""
        return not self._path.is_file()

    @property
    def choice(self) -> Choice | None:
        """The choice, if it was made."""
        return Choice(**self._content["choice"]) if self._content["choice"] else None

    @property
    def controls(self) -> tuple[str, ...]:
        """The arms that are tested beside the base arm and the chosen one."""
        return tuple(self._content["controls"])

    @property
    def finals(self) -> tuple[str, ...]:
        """The arms of the last finals."""
        return tuple(self._content["finals"])

    def update(
        self,
        *,
        stage: str | None = None,
        finals: tuple[str, ...] | None = None,
        controls: tuple[str, ...] | None = None,
        choice: Choice | None = None,
        arms: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what is given. Once the choice is made the stage only moves forward: looking at a finished study again
        does not undo it."""
        if self.choice and stage and STAGES.index(stage) < STAGES.index(self._content["stage"]):
            stage = None
        given = {
            "stage": stage,
            "finals": finals,
            "controls": controls,
            "choice": choice and asdict(choice),
            "arms": arms,
        }
        self._content |= {name: value for name, value in given.items() if value is not None}
        with atomic_write(self._path) as file:
            json.dump(self._content, file, ensure_ascii=False, indent=1)

    def _check_arm(self, name: str, config: Config) -> None:
        saved = self._content["settings"].get(name)
        if saved is None:
            if self.choice:
                raise NotReady(f"arm {name}: the choice was made and test was read; use another folder for new arms")
            return
        changed = changed_settings(Config.from_resolved(saved).resolved(), config.resolved())
        if changed:
            key, (before, now) = next(iter(changed.items()))
            raise ConfigError(f"arm {name} was begun with {key} = {before}, not {now}; use another name or folder")


def _plan(design: Design) -> dict[str, Any]:
    """What may not change during a study."""
    return {
        "file": detect_encoding(design.file).sha256,
        "start": design.start,
        "base": design.base,
        "sizes": asdict(design.sizes),
        "split_by": design.split_by,
        "metric": design.metric,
        "top_k": design.top_k,
        "threads": design.threads,  # they change the last bits of a training
    }
