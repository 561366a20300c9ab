"""A Ray cluster on this machine for the tests: two processors, a small object store, no dashboard."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from tests.services import require

STORE = 80 << 20  # bytes of the object store; Ray takes no less than 75 MiB


@contextmanager
def running_ray(*, cpus: int = 2) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` that lives until the block ends. Skips the test without Ray; in CI it fails."""
    require("Ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = _started(cpus)
    try:
        yield cluster
    finally:
        import ray

        from labeler.cluster import connection

        ray.shutdown()
        connection._connected.cache_clear()
        cluster.shutdown()


def _started(cpus: int) -> Any:
    """A cluster. Ray waits 30 s for its node, which no setting changes, so a busy machine gets more than one try."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": cpus, "object_store_memory": STORE, "include_dashboard": False}
    for last in (False, False, True):
        try:
            return Cluster(initialize_head=True, head_node_args=head)
        except Exception as error:  # Ray raises no other kind
            if last or "timed out" not in str(error).lower():
                raise
    raise AssertionError("the last try returns or raises")


def busy_workers() -> list[psutil.Process]:
    """The processes of this machine that execute a task of ours, oldest first; Ray's own are named `ray::…` too."""
    found = []
    for process in psutil.process_iter(["cmdline", "create_time"]):
        line = " ".join(process.info["cmdline"] or ())
        if line.startswith("ray::_on_worker"):
            found.append(process)
    return sorted(found, key=lambda process: process.info["create_time"])


def kill_worker(number: int = 0) -> bool:
    """kill -9 one of the processes that execute a task; returns whether there was one."""
    workers = busy_workers()
    if not workers:
        return False
    try:
        workers[number % len(workers)].send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return False
    return True
