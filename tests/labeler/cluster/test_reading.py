"""Reading on a real Ray: the same bits as one process, whatever happens to workers and to the driver."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db import queries, store
from labeler.core.runtime import Runtime, with_settings
from labeler.evaluation.reader_metrics import compute_scores, scorable
from labeler.reading import answering, postprocessing, tuning
from labeler.reading.answering import UNTUNED
from labeler.retrieval import encoding
from labeler.retrieval.indexing import build_index
from labeler.rounds import machine
from mrc.encoder.compute import use_threads
from mrc.retrieve.dense import vectors
from tests.ray_cluster import kill_worker
from tests.state import state
from tests.worlds import at

SPREAD = ("--set", "compute.engine=ray", "--threads", "1", "--json")


def on_ray(runtime: Runtime, cluster: Any, **more: Any) -> Runtime:
    """The runtime on a cluster."""
    given = {"engine": "ray", "address": cluster.address, "threads": 1, **more}
    return runtime.with_config(with_settings(runtime.config, compute=given))


def predicted(runtime: Runtime) -> dict[str, Any]:
    """The state of a round once its predictions are made."""
    machine.run(runtime, reviewer="none", until="predicted")
    with runtime.database.read() as session:
        number = queries.predicted_rounds(session)[-1]
        rows = queries.predictions(session, number)
        exact = [[row.question_id, row.score, row.null_score, row.hits, row.features, row.answers] for row in rows]
        return state(session) | {"exact": exact}


@pytest.fixture(scope="module")
def expected(baseline: Path) -> dict[str, Any]:
    """What one process predicts."""
    use_threads(1)
    with at(shutil.copytree(baseline, baseline.with_name("predicted"))) as runtime:
        found = predicted(runtime)
    assert len(found["exact"]) > 2 * 25  # several chunks
    return found


def test_a_round_on_ray_has_the_predictions_of_one_process_to_the_bit(
    baseline: Path, expected: dict[str, Any], ray_cluster: Any, tmp_path: Path
) -> None:
    with at(shutil.copytree(baseline, tmp_path / "ray")) as runtime:
        assert predicted(on_ray(runtime, ray_cluster)) == expected


@pytest.mark.parametrize("index", [True, False])
def test_scores_and_tuning_on_ray_are_those_of_one_process(
    index: bool, baseline: Path, ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mrc.calibration.retrieval_weight.MIN_QUESTIONS", 1)
    with at(shutil.copytree(baseline, tmp_path / "ray")) as runtime:
        use_threads(1)
        small = runtime.with_config(with_settings(runtime.config, read={"chunk_size": 7}))
        model, fingerprint = runtime.best_model(), runtime.current_index() if index else None
        found = []
        for each in (small, on_ray(small, ray_cluster)):
            with runtime.database.write() as session:
                store.set_meta(session, postprocessing.key_of(runtime, model), "")  # forget what the baseline tuned
            reader, entries = answering.answerer(each, model), scorable(each, "test", index=fingerprint)
            tuned = tuning.tune(each, model, index=fingerprint)
            found.append((compute_scores(each, reader, entries, index=fingerprint, plan=UNTUNED), tuned))
    assert found[0] == found[1]
    assert found[0][1].questions > 0


def test_passages_are_encoded_on_ray_to_the_bit(
    baseline: Path, encoder: Path, ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_threads(1)
    for module in (vectors, encoding):
        monkeypatch.setattr(module, "CHUNK", 16)
    found = []
    for name in ("one", "ray"):
        with at(shutil.copytree(baseline, tmp_path / name)) as runtime:
            each = on_ray(runtime, ray_cluster) if name == "ray" else runtime
            build_index(each, dense=str(encoder))
            dense = each.index().dense
            assert dense is not None
            found.append((each.current_index(), np.array(dense.vectors)))
    assert len(found[0][1]) > 3 * 16
    assert found[0][0] == found[1][0]
    assert np.array_equal(found[0][1], found[1][1])


@contextmanager
def killing(times: int) -> Iterator[list[float]]:
    """Kills a worker at work so often while the block runs; yields when."""
    killed: list[float] = []
    stop = threading.Event()

    def kill() -> None:
        while len(killed) < times and not stop.wait(0.2):
            if kill_worker(len(killed)):
                killed.append(time.monotonic())
                stop.wait(2)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def test_a_killed_worker_costs_its_chunk_alone_and_stdout_holds_one_json_object(
    baseline: Path, expected: dict[str, Any], ray_cluster: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(baseline, tmp_path / "killed")
    command = [sys.executable, "-m", "labeler", "predict", *SPREAD]
    command += ["--set", f"compute.address={ray_cluster.address}", "-w", str(folder)]
    with killing(2) as killed:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stage"] == "predicted"
    assert killed
    assert "raylet" not in done.stderr
    assert "Traceback" not in done.stderr
    with at(folder) as runtime:
        assert predicted(runtime) == expected


def test_a_driver_killed_on_ray_goes_on_in_one_process_and_reads_no_stored_chunk_again(
    baseline: Path, expected: dict[str, Any], ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(baseline, tmp_path / "killed")
    command = [sys.executable, "-m", "tests.killing", "predictions stored", "2", "predict", *SPREAD]
    command += ["--set", f"compute.address={ray_cluster.address}", "-w", str(folder)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    read: list[int] = []
    honest = answering.answers

    def answers(at: Runtime, questions: Any, *rest: Any, **more: Any) -> Any:
        read.append(len(questions))
        return honest(at, questions, *rest, **more)

    monkeypatch.setattr(answering, "answers", answers)
    with at(folder) as runtime:
        row = machine.current(runtime)
        assert row is not None
        with runtime.database.read() as session:
            stored = len(queries.predictions(session, row.number))
            chunks = queries.round_chunks(session, row.number)
        assert stored in map(len, chunks)  # one whole chunk: the second was lost inside its transaction
        assert predicted(runtime) == expected
    assert sum(read[: len(chunks) - 1]) == sum(map(len, chunks)) - stored


def test_a_second_driver_is_refused_while_the_first_holds_the_workspace(
    baseline: Path, ray_cluster: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(baseline, tmp_path / "held")
    command = [sys.executable, "-m", "labeler", "predict", *SPREAD]
    command += ["--set", f"compute.address={ray_cluster.address}", "-w", str(folder)]
    with at(folder) as runtime, runtime.workspace.lock("labeler predict"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is in use by process" in json.loads(done.stdout)["error"]
