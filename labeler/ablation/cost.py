"""CPU time and memory of a training, over all the processes that worked on it."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from labeler.ablation.lock import write_json

SAVE_EVERY = 20  # updates


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds up to an update, loading included, and the largest resident memory of one process so far."""

    step: int
    seconds: float
    peak_mib: float


class CostMeter:
    """Measures a training over all processes that worked on it; work that a kill undid is counted once.

    The file holds the CPU seconds at several updates, so a process that resumes at an earlier one counts from there.
    """

    def __init__(self, path: Path, seconds_at: dict[int, float], peak_mib: float) -> None:
        self._path = path
        self._seconds_at = seconds_at  # update -> CPU seconds up to it
        self._earlier_peak = peak_mib
        self._before: float | None = None  # seconds of the updates that earlier processes did
        self._began = _cpu_seconds()
        self._step = 0

    @classmethod
    def load(cls, path: Path) -> CostMeter:
        """A meter that continues what the file holds; starts at zero without a file."""
        if not path.is_file():
            return cls(path, {}, 0.0)
        saved = json.loads(path.read_text(encoding="utf-8"))
        return cls(path, {int(step): seconds for step, seconds in saved["steps"].items()}, saved["peak_mib"])

    def step(self, step: int, total: int = 0, *_: object) -> None:
        """Note that an update is done. Saves at every 20th and at the last, after which the result may appear."""
        if self._before is None:
            done = [known for known in self._seconds_at if known < step]
            self._before = self._seconds_at[max(done)] if done else 0.0
        self._step = step
        if step % SAVE_EVERY == 0 or step == total:
            self.save()

    def save(self) -> Usage:
        """Write the usage so far to the file; returns it."""
        if self._before is None:  # an earlier process had finished
            self._before = max(self._seconds_at.values(), default=0.0)
        usage = Usage(self._step, self._before + _cpu_seconds() - self._began, self._peak())
        self._seconds_at[usage.step] = usage.seconds
        steps = {str(step): seconds for step, seconds in self._seconds_at.items()}
        write_json(self._path, {"steps": steps, "seconds": usage.seconds, "peak_mib": usage.peak_mib})
        return usage

    def _peak(self) -> float:
        import resource

        largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return max(self._earlier_peak, largest / (1024 * 1024 if sys.platform == "darwin" else 1024))


def _cpu_seconds() -> float:
    """CPU seconds of this process and of its children that have ended: a training may run in several."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system
