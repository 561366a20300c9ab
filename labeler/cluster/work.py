"""Pieces of work as Ray tasks: results as they come, and one line for whatever goes wrong.

A worker keeps what it opened for a job, such as a reader, until it is given another job. A task whose worker or machine
dies is repeated by Ray, on any machine that has room, also on one that joined later.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from labeler.cluster.connection import RETRIES, Cluster
from labeler.cluster.folders import Folder, Pieces, place, shipped
from labeler.cluster.version import version
from labeler.core.error_messages import explain
from labeler.core.errors import ClusterError
from labeler.core.settings import ComputeConfig

log = logging.getLogger("labeler")

Item = TypeVar("Item")
AHEAD: Final = 2  # tasks submitted for each place of the cluster: those that wait keep its workers busy
LOOK_EVERY: Final = 10.0  # seconds between two looks at the machines of the cluster
RESUME: Final = "nothing is lost: run the same command to resume"


class Job(Protocol):
    """What the tasks of one call share. It is sent once to each machine."""

    @property
    def folders(self) -> Sequence[Folder]:
        """The folders that it reads."""
        ...

    def opened(self, places: Sequence[Any]) -> Callable[[Any], Any]:
        """On a worker: what computes the result of an item, given the places of the folders there."""
        ...


@dataclass(frozen=True, slots=True)
class _Unseen:
    """The result of a task on a machine that neither sees the folders nor was sent them."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a worker occupies: processors and GPUs; `most` workers at a time, 0: as many as there is room for."""

    cpus: int
    gpus: float
    most: int


def size_of(compute: ComputeConfig) -> Size:
    """What each worker occupies that loads a model."""
    return Size(cpus=compute.threads or 1, gpus=compute.gpus_per_worker, most=compute.workers)


def results(cluster: Cluster, job: Job, items: Sequence[Item], size: Size) -> Iterator[tuple[int, Any]]:
    """The number and the result of each item, as they come.

    Raises: ClusterError, naming the machine; the traceback of a bug.
    """
    if items:
        yield from _Tasks(cluster, job, size).run(items)


class _Tasks:
    """The tasks of one call."""

    def __init__(self, cluster: Cluster, job: Job, size: Size) -> None:
        self._cluster, self._ray, self._size, self._job = cluster, cluster.ray, size, job
        from ray import cloudpickle

        content = cloudpickle.dumps(job)
        self._key = hashlib.sha256(content).hexdigest()
        self._content = self._ray.put(content)
        self._pieces: Pieces = {}
        limits = {"num_cpus": size.cpus, "num_gpus": size.gpus, "max_retries": RETRIES, "max_calls": 0}
        self._remote = self._ray.remote(**limits)(_on_worker)
        self._room, self._looked = 0, -LOOK_EVERY

    def run(self, items: Sequence[Item]) -> Iterator[tuple[int, Any]]:
        left = list(reversed(range(len(items))))
        running: dict[Any, int] = {}  # task -> the number of its item
        self._check_room()
        try:
            while left or running:
                while left and len(running) < self._most():
                    number = left.pop()
                    running[self._submitted(items[number])] = number
                done, _ = self._ray.wait(list(running), num_returns=1, timeout=LOOK_EVERY)
                for task in done:
                    number = running.pop(task)
                    result = self._result(task)
                    if isinstance(result, _Unseen):
                        self._ship()
                        left.append(number)
                    else:
                        yield number, result
        finally:
            for task in running:
                self._ray.cancel(task, force=True)

    def _submitted(self, item: Any) -> Any:
        return self._remote.remote(version(), self._key, self._content, self._pieces, item)

    def _ship(self) -> None:
        """Put the folders into the object store, the first time that a machine does not see them."""
        if not self._pieces:
            log.info("a machine of the cluster does not see the folders of models and index: they are sent to it")
            with _explained(self._ray):
                self._pieces = shipped(self._ray, self._job.folders)

    def _result(self, task: Any) -> Any:
        with _explained(self._ray):
            return self._ray.get(task)

    def _most(self) -> int:
        """How many tasks may be submitted now; machines that joined since count."""
        if self._size.most:
            return self._size.most
        if time.monotonic() - self._looked >= LOOK_EVERY:
            room = self._cluster.slots(cpus=self._size.cpus, gpus=self._size.gpus)
            if not room and self._room:
                log.warning("no machine of the Ray cluster has room for a worker any more; waiting for one")
            self._room, self._looked = room, time.monotonic()
        return max(1, AHEAD * self._room)

    def _check_room(self) -> None:
        """Raise ClusterError where no machine is large enough for a worker: its tasks would wait for ever."""
        size = self._size
        if not self._cluster.slots(cpus=size.cpus, gpus=size.gpus):
            gpus = f" and {size.gpus:g} GPUs" if size.gpus else ""
            raise ClusterError(
                f"no machine of the Ray cluster has {size.cpus} processors{gpus} for a worker; lower compute.threads "
                "or compute.gpus_per_worker, or add a machine: ray start --address=HOST:PORT"
            )


# --- on a worker ----------------------------------------------------------------------------------

_opened: dict[str, Callable[[Any], Any]] = {}  # the last job of this process


def _on_worker(expected: str, key: str, content: bytes, pieces: Pieces, item: Any) -> Any:
    """The result of an item, by what was opened for its job. Raises: ClusterError; a bug as it is."""
    try:
        return _computed(expected, key, content, pieces, item)
    except Exception as error:
        line = _OUT_OF_MEMORY if isinstance(error, MemoryError) else explain(error)
        if line is None:
            raise
        raise ClusterError(f"machine {platform.node()}: {line}") from None


def _computed(expected: str, key: str, content: bytes, pieces: Pieces, item: Any) -> Any:
    if version() != expected:
        raise ClusterError(f"it runs labeler {version()}, this is labeler {expected}; install the same version there")
    if key not in _opened:
        import ray
        from ray import cloudpickle

        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        job = cloudpickle.loads(content)
        places = [place(ray, folder, pieces) for folder in job.folders]
        if None in places:
            return _Unseen()
        _opened.clear()
        _opened[key] = job.opened(places)
    return _opened[key](item)


# --- errors ---------------------------------------------------------------------------------------


@contextmanager
def _explained(ray: Any) -> Iterator[None]:
    """A block in which errors of Ray, and of the work on it, become one line."""
    try:
        yield
    except ray.exceptions.RayError as error:
        line = reason(ray, error)
        if line is None:
            raise
        raise ClusterError(f"{line}; {RESUME}") from error


def reason(ray: Any, error: Any) -> str | None:
    """One line for an error of Ray; None for a bug of ours that was raised on a worker."""
    if isinstance(error, ray.exceptions.RayTaskError):
        if isinstance(error.cause, ClusterError):
            return str(error.cause)
        return _NOT_INSTALLED if "No module named 'labeler'" in str(error) else None
    for kind, line in _REASONS:
        if isinstance(error, getattr(ray.exceptions, kind)):
            return line
    return f"Ray failed: {' '.join(str(error).split())[:300]}"


_OUT_OF_MEMORY: Final = "out of memory; lower compute.workers or read.batch_tokens"
_NOT_INSTALLED: Final = "labeler is not installed on a machine of the Ray cluster; install the same version on all"
_REASONS: Final = (
    (
        "OutOfMemoryError",
        "workers ran out of memory again and again on one piece of work; lower compute.workers or read.batch_tokens",
    ),
    (
        "OutOfDiskError",
        "the disk of a machine of the Ray cluster is full, so its object store cannot hold what is sent; free some",
    ),
    ("ObjectStoreFullError", "the object store of Ray is too small; start Ray with a larger --object-store-memory"),
    ("LocalRayletDiedError", "the Ray daemon of this machine died; start it again: ray start"),
    (
        "WorkerCrashedError",
        "workers died again and again on one piece of work; where the system kills them for their memory, lower "
        "compute.workers",
    ),
    ("NodeDiedError", "machines of the Ray cluster died again and again; see ray status"),
)
