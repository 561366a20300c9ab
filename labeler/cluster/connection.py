"""The connection of this process to a Ray cluster: made once, silent, and refused in one line where it cannot be."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from labeler.core.errors import ClusterError
from labeler.core.settings import ComputeConfig
from mrc.errors import MissingExtra

log = logging.getLogger(__name__)

PATIENCE: Final = 10.0  # seconds in which the head of a cluster must take a connection
RETRIES: Final = 10  # of a piece of work whose worker died; a chunk that kills every worker must end in an error
START: Final = "start one: ray start --head, or name another: compute.address"
#: Ray's own settings of this process, where the user has not set them
_VARIABLES: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_oom_retries": str(RETRIES),  # by default a task that never fits into memory is tried for ever
    "RAY_gcs_rpc_server_reconnect_timeout_s": "30",
    "RAY_py_gcs_connect_timeout_s": "10",  # of each of several tries, where another program answers at the address
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process is connected to. `dashboard`: the URL of its dashboard; empty where it has none."""

    ray: Any  # the module
    dashboard: str

    def slots(self, *, cpus: int, gpus: float) -> int:
        """How many workers of this size its machines have room for now."""
        return sum(_slots(node.get("Resources", {}), cpus, gpus) for node in self.ray.nodes() if node["Alive"])


def connect(compute: ComputeConfig) -> Cluster:
    """The cluster of the settings.

    Raises: MissingExtra without Ray; ClusterError where nothing answers, or where it runs another Python or Ray.
    """
    return _connected(compute.address.strip())


def note(compute: ComputeConfig) -> str:
    """What a progress line says of the cluster: the link to its dashboard; empty without a cluster."""
    if not compute.on_ray:
        return ""
    dashboard = connect(compute).dashboard
    return f"Ray dashboard {dashboard}" if dashboard else "on Ray"


@cache
def _connected(address: str) -> Cluster:
    ray = _module()
    if ray.is_initialized():  # by the program that uses this tool as a library
        return Cluster(ray, _url(_dashboard()))
    found = _resolved(ray, address)
    _check_answer(found)
    _keep_silent(ray)
    try:
        context = ray.init(address=found, log_to_driver=False, logging_level=logging.CRITICAL, namespace="labeler")
    except SystemExit:  # what answers is no Ray; Ray ends the process instead of raising
        raise ClusterError(f"no Ray cluster answers at {found}; {START}") from None
    except (ConnectionError, RuntimeError, ValueError, ImportError, TimeoutError) as error:
        raise ClusterError(_reason(found, error)) from error
    return Cluster(ray, _url(context.dashboard_url))


def _module() -> Any:
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise MissingExtra('compute.engine = "ray" needs Ray: pip install "labeler[ray]"') from None
    return ray


def _resolved(ray: Any, address: str) -> str:
    """HOST:PORT of the head, or the address of a Ray client."""
    if address.startswith("ray://"):
        return address
    from ray._private.services import canonicalize_bootstrap_address_or_die

    try:
        return str(canonicalize_bootstrap_address_or_die(address))
    except ConnectionError:
        raise ClusterError(f"no Ray cluster runs on this machine (compute.address = auto); {START}") from None
    except (ValueError, OSError) as error:
        raise ClusterError(f"compute.address {address!r} is not HOST:PORT, ray://HOST:PORT or auto: {error}") from error


def _check_answer(address: str) -> None:
    """Raise ClusterError where nothing listens: Ray would wait for minutes and then end the process."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        host, port = parts.hostname or "", parts.port or 10001
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except (OSError, ValueError) as error:
        raise ClusterError(f"no Ray cluster answers at {address} ({error}); {START}") from None


def _keep_silent(ray: Any) -> None:
    """Send the messages of Ray's daemons to the log: Ray prints them to stdout, where results of commands go."""
    from ray._private import worker

    def logged(data: dict[str, Any], *_: Any, **__: Any) -> None:
        log.debug("Ray: %s", " ".join(" ".join(data.get("lines", ())).split()))

    worker.print_to_stdstream = logged


def _reason(address: str, error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return f"the Ray cluster at {address} runs other versions: {text}; use one Python and one Ray on all machines"
    return f"the Ray cluster at {address} cannot be used: {text[:300]}; {START}"


def _dashboard() -> str:
    from ray._private.worker import get_dashboard_url

    return str(get_dashboard_url() or "")


def _url(dashboard: str | None) -> str:
    if not dashboard:
        return ""
    return dashboard if "://" in dashboard else f"http://{dashboard}"


def _slots(resources: dict[str, float], cpus: int, gpus: float) -> int:
    by_cpu = int(resources.get("CPU", 0) // cpus)
    return min(by_cpu, int(resources.get("GPU", 0) / gpus + 1e-9)) if gpus else by_cpu
