"""Runs in processes of their own, several at a time: on this machine, or on those of a Ray cluster.

On a cluster a run reads and writes the same folder, so that all machines must share its file system. A run whose worker
dies is started again elsewhere and goes on from its last checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from labeler.ablation.runs import launch_module
from labeler.cluster.connection import connect
from labeler.cluster.folders import Folder
from labeler.cluster.work import Size, results
from labeler.core.errors import ClusterError
from labeler.core.settings import ComputeConfig

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Crew:
    """Who works on runs: `jobs` processes at a time on this machine, or the workers of a cluster; threads of each."""

    jobs: int
    threads: int
    compute: ComputeConfig


def finished(
    runs: Sequence[R],
    crew: Crew,
    *,
    module: str,
    launch: Callable[[R], str | None],
    describe: Callable[[R], Path],
) -> Iterator[tuple[int, str | None]]:
    """The number of each run, as they end, and why it failed; None: it did not.

    Args:
        module: what `python -m` runs on a cluster, with the file that `describe` writes.
        launch: finishes a run in a process of this machine.

    Raises: ClusterError.
    """
    if crew.compute.on_ray:
        size = Size(cpus=crew.threads, gpus=crew.compute.gpus_per_worker, most=crew.compute.workers)
        items = [(str(path.resolve()), _sha256(path)) for path in map(describe, runs)]
        yield from results(connect(crew.compute), RunJob(module, crew.threads), items, size)
        return
    with ThreadPoolExecutor(crew.jobs) as pool:
        started = {pool.submit(launch, run): number for number, run in enumerate(runs)}
        for each in as_completed(started):
            yield started[each], each.result()


@dataclass(frozen=True, slots=True)
class RunJob:
    """Runs that workers of a cluster finish, each in a process that ends with its worker."""

    module: str
    threads: int

    @property
    def folders(self) -> tuple[Folder, ...]:
        return ()

    def opened(self, places: Sequence[Any]) -> Callable[[tuple[str, str]], str | None]:
        return self._finish

    def _finish(self, described: tuple[str, str]) -> str | None:
        path, sha256 = Path(described[0]), described[1]
        if not path.is_file() or _sha256(path) != sha256:
            raise ClusterError(f"it does not see {path.parent}: use a folder on a file system that all machines share")
        return launch_module(self.module, path, threads=self.threads, ends_with_parent=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
