"""Every benchmark starts: its imports resolve and it prints its help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.run import BENCHMARKS

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "benchmarks").rglob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)
#: one process for all scripts: most of them import torch, once is enough
PRINT_HELPS = """
import contextlib, io, runpy, sys, traceback
for script in sys.argv[1:]:
    sys.argv = [script, "--help"]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        failed = stop.code or not printed.getvalue().startswith("usage: ")
    except BaseException:
        failed = traceback.format_exc(limit=-1)
    else:
        failed = "it did not stop at --help"
    if failed:
        print(f"{script}: {failed}")
"""


def test_every_benchmark_starts_and_prints_its_help() -> None:
    command = [sys.executable, "-c", PRINT_HELPS, *SCRIPTS]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_make_bench_runs_every_benchmark() -> None:
    others = {"benchmarks/run.py", "benchmarks/screenshots.py"}  # the runner, and the pictures of the documentation
    alone = {path for path in SCRIPTS if path.count("/") == 1} - others
    assert {f"benchmarks/{name}.py" for name in BENCHMARKS} == alone
