"""What a training takes, over all the processes that worked on it."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from labeler.ablation.lock import write_json


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds up to a step, loading included, and the largest resident memory of one process so far."""

    step: int
    seconds: float
    peak_mib: float


class Meter:
    """Counts what a training takes over all processes that worked on it; work that a kill undid is counted once.

    One note is kept for each step that was told, so that a process which goes on from an earlier step takes up there.
    """

    def __init__(self, path: Path, notes: dict[int, float], peak_mib: float) -> None:
        self._path = path
        self._notes = notes
        self._earlier_peak = peak_mib
        self._before: float | None = None  # seconds of the steps that earlier processes did
        self._began = _cpu_seconds()
        self._step = 0

    @classmethod
    def of(cls, path: Path) -> Meter:
        if not path.is_file():
            return cls(path, {}, 0.0)
        held = json.loads(path.read_text(encoding="utf-8"))
        return cls(path, {int(step): seconds for step, seconds in held["steps"].items()}, held["peak_mib"])

    def told(self, step: int, total: int = 0, *_: object) -> None:
        """An update is done. Written down every 20th, and the last: what comes of it may appear at any moment now."""
        if self._before is None:
            done = [known for known in self._notes if known < step]
            self._before = self._notes[max(done)] if done else 0.0
        self._step = step
        if step % 20 == 0 or step == total:
            self.note()

    def note(self) -> Spent:
        """What was taken so far; written down."""
        if self._before is None:  # an earlier process had finished
            self._before = max(self._notes.values(), default=0.0)
        spent = Spent(self._step, self._before + _cpu_seconds() - self._began, self._peak())
        self._notes[spent.step] = spent.seconds
        steps = {str(step): seconds for step, seconds in self._notes.items()}
        write_json(self._path, {"steps": steps, "seconds": spent.seconds, "peak_mib": spent.peak_mib})
        return spent

    def _peak(self) -> float:
        import resource

        largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return max(self._earlier_peak, largest / (1024 * 1024 if sys.platform == "darwin" else 1024))


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended: a training may run in several."""
    others = os.times()
    return time.process_time() + others.children_user + others.children_system
