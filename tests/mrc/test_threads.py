"""Threads that wait do not take a shared machine's cores, unless the user wants them to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
OPENBLAS = "OPENBLAS_THREAD_TIMEOUT"


def _of_process(program: str, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in (*POLICIES, OPENBLAS)}
    return subprocess.run([sys.executable, "-c", program], env=kept | given, capture_output=True, text=True, check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings GNU's OpenMP runtime on Linux alone")
@pytest.mark.parametrize(
    "entry",
    ["labeler.core.runtime, mrc.encoder.compute", "labeler.replay.runs, mrc.encoder.compute", "mrc.read.model.reader"],
)
def test_the_runtime_that_torch_loads_hardly_spins(entry: str) -> None:
    """libgomp itself prints what it took over; faiss and scikit-learn may load further copies of it."""
    shown = _of_process(f"import {entry}", {"OMP_DISPLAY_ENV": "VERBOSE"}).stderr
    counts = [line.split("'")[1] for line in shown.splitlines() if "GOMP_SPINCOUNT" in line]
    assert counts
    assert set(counts) == {"2000"}


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({}, {"GOMP_SPINCOUNT": "2000", "KMP_BLOCKTIME": "1"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7", "KMP_BLOCKTIME": "1"}),
        ({"KMP_BLOCKTIME": "200"}, {"GOMP_SPINCOUNT": "2000", "KMP_BLOCKTIME": "200"}),
    ],
)
def test_what_the_user_has_set_stays(given: dict[str, str], then: dict[str, str]) -> None:
    program = f"import mrc, os; print({{name: os.environ[name] for name in {POLICIES} if name in os.environ}})"
    assert _of_process(program, given).stdout.strip() == str({name: then[name] for name in POLICIES if name in then})


def test_threads_that_never_had_a_product_to_compute_sleep() -> None:
    """Where NumPy has no OpenBLAS, or the machine one core, nothing ever spins."""
    program = (
        "import mrc, numpy, time; time.sleep(0.01); before = time.process_time(); time.sleep(0.1); "
        "print(time.process_time() - before)"
    )
    spent = min(float(_of_process(program, {"OMP_NUM_THREADS": "4"}).stdout) for _ in range(3))
    assert spent < 0.01


def test_how_long_openblas_waits_may_be_set() -> None:
    program = f"import mrc, os; print(os.environ[{OPENBLAS!r}])"
    assert _of_process(program, {OPENBLAS: "26"}).stdout.strip() == "26"
