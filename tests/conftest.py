"""What every test shares."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.postgres import Server, running, skip_without

settings.register_profile("labeler", deadline=None, derandomize=True)
settings.load_profile("labeler")


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Notes of outputs are kept for this run of the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an index and its baseline reader, before round 1. Not to be changed."""
    from labeler.rounds import machine
    from tests.worlds import at, make_workspace

    folder = make_workspace(tmp_path_factory.mktemp("worlds") / "baseline")
    with at(folder) as runtime:
        machine.train(runtime)
    return folder


@pytest.fixture(scope="session")
def undisturbed(baseline: Path) -> dict[str, Any]:
    """The state after a round that nothing went wrong in."""
    from tests.worlds import after_round

    return after_round(shutil.copytree(baseline, baseline.with_name("undisturbed")))


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that passages can be found with, untrained."""
    from tests.mrc import tiny

    return tiny.bert(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="session")
def hybrid(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose rounds train the encoder of its passages, after its baseline. Not to be changed."""
    from tests.worlds import make_hybrid

    return make_hybrid(tmp_path_factory.mktemp("hybrid") / "baseline", encoder)


@pytest.fixture(scope="session")
def hybrid_undisturbed(hybrid: Path) -> dict[str, Any]:
    """The state after a round of it that nothing went wrong in."""
    from tests.worlds import after_round

    return after_round(shutil.copytree(hybrid, hybrid.with_name("undisturbed")))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for this process. Where none is installed the test is skipped; in CI it fails."""
    with running(skip_without()) as server:
        yield server


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster with two processors. Where Ray is not installed the test is skipped; in CI it fails."""
    from tests.ray_cluster import running_ray

    with running_ray() as cluster:
        yield cluster


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Spreads tests one by one, but the files that share a Label Studio or a browser whole.

    The marks that pytest-xdist has for this do nothing in version 3.8 with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFileWhereServersStart(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/labeler/cluster/"):
                return "tests/labeler/cluster/"  # one Ray for all its tests
            return nodeid.partition("::")[0] if nodeid.startswith("tests/labeler/studio/") else nodeid

    return ByFileWhereServersStart(config, log)
