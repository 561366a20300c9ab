"""Work on a real Ray: machines that join and leave, folders that travel, and one line for every fault."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from labeler.ablation.runs import launch_module
from labeler.ablation.spread import Crew, finished
from labeler.cluster import connection, folders, work
from labeler.cluster.folders import Folder
from labeler.cluster.work import Size, results
from labeler.core.errors import ClusterError
from labeler.core.settings import ComputeConfig
from mrc.errors import MissingExtra
from tests.labeler.cluster.jobs import Call

ONE = Size(cpus=1, gpus=0, most=0)


def compute(address: str, **more: Any) -> ComputeConfig:
    return ComputeConfig(engine="ray", address=address, **more)


@pytest.fixture
def cluster(ray_cluster: Any) -> connection.Cluster:
    return connection.connect(compute(ray_cluster.address))


def test_every_item_has_one_result_with_its_number(cluster: connection.Cluster) -> None:
    found = results(cluster, Call("double"), range(20), ONE)
    assert sorted(found) == [(number, 2 * number) for number in range(20)]
    assert list(results(cluster, Call("double"), [], ONE)) == []


def test_a_machine_that_joins_later_works_too_and_one_that_leaves_costs_its_work_alone(
    cluster: connection.Cluster, ray_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "LOOK_EVERY", 0.2)
    whole = Size(cpus=2, gpus=0, most=0)  # a worker fills a machine
    late = None
    found = []
    for _, machine in results(cluster, Call("node"), [0.3] * 30, whole):
        found.append(machine)
        if late is None:
            late = ray_cluster.add_node(num_cpus=2, object_store_memory=80 << 20)
        elif len(set(found)) == 2 and late is not False:
            ray_cluster.remove_node(late, allow_graceful=False)
            late = False
    assert late is False
    assert len(found) == 30


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Folder]:
    """A folder larger than the object store; its copy is removed afterwards."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "weights.bin").write_bytes(b"\1" * (100 << 20))
    (path / "empty.txt").touch()
    folder = Folder.of(path)
    yield folder
    shutil.rmtree(folders._home() / folder.key, ignore_errors=True)


def test_a_machine_that_sees_a_folder_reads_it_in_its_place(cluster: connection.Cluster, model: Folder) -> None:
    expected = {model.path: 0, "weights.bin": 100 << 20, "empty.txt": 0}
    assert list(results(cluster, Call("sizes", (model,)), [0], ONE)) == [(0, expected)]


def test_to_a_machine_that_does_not_see_it_a_folder_travels_once_through_a_store_smaller_than_it(
    cluster: connection.Cluster, model: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = Path(shutil.move(model.path, tmp_path / "aside"))  # here the workers do not look
    honest, sent = folders.shipped, []

    def shipped(ray: Any, wanted: Sequence[Folder]) -> Any:
        sent.append(len(wanted))
        (files,) = honest(ray, [Folder(str(aside), model.files)]).values()
        return {model.key: files}

    monkeypatch.setattr(work, "shipped", shipped)
    copy = folders._home() / model.key
    expected = {str(copy): 0, "weights.bin": 100 << 20, "empty.txt": 0}
    assert sorted(results(cluster, Call("sizes", (model,)), [0, 1, 2], ONE)) == [(n, expected) for n in range(3)]
    assert sent == [1]
    assert (copy / "weights.bin").read_bytes() == (aside / "weights.bin").read_bytes()


def test_a_folder_that_changed_on_a_machine_is_not_taken_for_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1")
    folder = Folder.of(tmp_path)
    assert folder.is_seen()
    (tmp_path / "a.txt").write_text("12")
    assert not folder.is_seen()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("disk", "/tmp/file: the disk is full"),
        ("memory", "out of memory; lower compute.workers"),
        ("model", "m: broken"),
        ("killed", "workers died again and again on one piece of work"),
    ],
)
def test_a_fault_on_a_worker_is_one_line(
    kind: str, says: str, cluster: connection.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "RETRIES", 1)
    with pytest.raises(ClusterError) as caught:
        list(results(cluster, Call("fail"), [kind], ONE))
    line = str(caught.value)
    assert says in line
    assert ("machine " in line) == (kind != "killed")
    assert line.endswith("nothing is lost: run the same command to resume")
    assert "\n" not in line


def test_a_bug_on_a_worker_keeps_its_traceback(cluster: connection.Cluster) -> None:
    with pytest.raises(KeyError, match="a bug"):
        list(results(cluster, Call("fail"), ["bug"], ONE))


def test_a_worker_of_another_version_is_named(cluster: connection.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "version", lambda: "0.0.9 (sources 00000000)")
    with pytest.raises(ClusterError, match=r"machine .*: it runs labeler 0\.1\.0 .*, this is labeler 0\.0\.9"):
        list(results(cluster, Call("double"), [1], ONE))


def test_without_a_machine_large_enough_nothing_waits(cluster: connection.Cluster) -> None:
    with pytest.raises(ClusterError, match=r"has 64 processors and 2 GPUs for a worker; lower compute.threads"):
        list(results(cluster, Call("double"), [1], Size(cpus=64, gpus=2, most=0)))


def test_a_machine_without_the_tool_is_told_to_install_it(cluster: connection.Cluster) -> None:
    error = cluster.ray.exceptions.RayTaskError("f", "ModuleNotFoundError: No module named 'labeler'", None)
    line = work.reason(cluster.ray, error)
    assert line is not None
    assert line.startswith("labeler is not installed on a machine of the Ray cluster")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("OutOfMemoryError", "ran out of memory"),
        ("OutOfDiskError", "disk of a machine of the Ray cluster is full"),
        ("ObjectStoreFullError", "--object-store-memory"),
        ("GetTimeoutError", "Ray failed: it took too long"),
    ],
)
def test_a_fault_of_ray_is_one_line(kind: str, says: str, cluster: connection.Cluster) -> None:
    line = work.reason(cluster.ray, getattr(cluster.ray.exceptions, kind)("it took\ntoo long"))
    assert line is not None
    assert says in line
    assert "\n" not in line


# --- the connection -------------------------------------------------------------------------------


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not connected yet."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    connection._connected.cache_clear()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    connection._connected.cache_clear()
    with pytest.raises(MissingExtra, match=r'needs Ray: pip install "labeler\[ray\]"'):
        connection.connect(compute("127.0.0.1:1"))


@pytest.mark.usefixtures("ray_cluster", "unconnected")
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_that_does_not_answer_is_refused_at_once(scheme: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=rf"no Ray cluster answers at .*:{port} .*start one: ray start --head"):
            connection.connect(compute(f"{scheme}127.0.0.1:{port}"))


@pytest.mark.usefixtures("ray_cluster", "unconnected")
@pytest.mark.parametrize("address", ["nowhere", "http://a b", "127.0.0.1:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ClusterError):
        connection.connect(compute(address))


@pytest.mark.usefixtures("ray_cluster", "unconnected")
def test_without_a_cluster_on_this_machine_auto_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    def none(*_: Any) -> None:
        raise ConnectionError("none")

    monkeypatch.setattr(services, "canonicalize_bootstrap_address_or_die", none)
    with pytest.raises(ClusterError, match=r"no Ray cluster runs on this machine .*: ray start --head"):
        connection.connect(compute("auto"))


@pytest.mark.usefixtures("unconnected")
def test_a_cluster_of_another_python_is_named_in_one_line(ray_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray._private.utils import check_version_info

    def init(**_: Any) -> None:
        check_version_info({"ray_version": ray.__version__, "python_version": "3.9.1"}, "here")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ClusterError) as caught:
        connection.connect(compute(ray_cluster.address))
    assert "runs other versions" in str(caught.value)
    assert "3.9.1" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "shown"), [("", ""), ("1.2.3.4:8265", "http://1.2.3.4:8265"), ("https://a", "https://a")]
)
def test_the_dashboard_is_a_link(given: str, shown: str) -> None:
    assert connection._url(given) == shown


def test_the_progress_line_names_the_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    linked = connection.Cluster(None, "http://1.2.3.4:8265")
    monkeypatch.setattr(connection, "connect", lambda _: linked)
    assert connection.note(compute("auto")) == "Ray dashboard http://1.2.3.4:8265"
    assert connection.note(ComputeConfig()) == ""


# --- runs of ablate and simulate ------------------------------------------------------------------


def played(run: Path, crew: Crew) -> list[tuple[int, str | None]]:
    """The outcome of one run of the tests' module."""

    def launch(_: Path) -> str | None:
        raise AssertionError("on a cluster nothing runs here")

    return list(finished([run], crew, module="tests.labeler.cluster.a_run", launch=launch, describe=lambda path: path))


def test_a_run_is_played_by_a_worker_in_a_process_of_its_own(ray_cluster: Any, tmp_path: Path) -> None:
    crew = Crew(jobs=1, threads=1, compute=compute(ray_cluster.address))
    for name, why in (("good", None), ("bad", "it failed")):
        path = tmp_path / name / "run.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"fails": name == "bad"}))
        assert played(path, crew) == [(0, why)]
        assert (path.parent / "done").is_file() == (name == "good")


def test_a_process_that_would_end_with_its_parent_ends_by_itself_without_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"fails": False}))
    assert launch_module("tests.labeler.cluster.a_run", path, threads=1, ends_with_parent=True) is None
    assert (tmp_path / "log.txt").read_text() == ""


def test_a_process_ends_when_its_parent_does() -> None:
    script = "import time; from labeler.ablation.runs import end_with_parent; end_with_parent(); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {script!r}], stdin=subprocess.PIPE)"
    subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, check=True, timeout=30)


def test_a_run_whose_folder_a_machine_does_not_see_is_refused(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labeler.ablation import spread

    (tmp_path / "run.json").write_text("{}")
    monkeypatch.setattr(spread, "_sha256", lambda _: "of another file")
    crew = Crew(jobs=1, threads=1, compute=compute(ray_cluster.address))
    with pytest.raises(ClusterError, match=r"does not see .*: use a folder on a file system that all machines share"):
        played(tmp_path / "run.json", crew)
