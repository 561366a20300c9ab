"""Jobs that workers of the tests are given."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeler.cluster.folders import Folder
from mrc.errors import BadCheckpoint


@dataclass(frozen=True)
class Call:
    """Calls a function of this module with each item and the places of the folders."""

    name: str
    folders: Sequence[Folder] = ()

    def opened(self, places: Sequence[Path]) -> Callable[[Any], Any]:
        function = globals()[self.name]
        return lambda item: function(item, places)


def double(item: int, _: Sequence[Path]) -> int:
    return 2 * item


def node(seconds: float, _: Sequence[Path]) -> str:
    """The machine that worked for so long."""
    import ray

    time.sleep(seconds)
    return str(ray.get_runtime_context().get_node_id())


def sizes(_: Any, places: Sequence[Path]) -> dict[str, int]:
    """Name and size of each file, and the folder they are in."""
    (place,) = places
    return {str(place): 0} | {path.name: path.stat().st_size for path in place.iterdir()}


def fail(kind: str, _: Sequence[Path]) -> None:
    if kind == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/file")
    if kind == "memory":
        raise MemoryError
    if kind == "model":
        raise BadCheckpoint("m: broken")
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise KeyError("a bug")
