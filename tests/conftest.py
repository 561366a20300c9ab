"""What every test shares."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("labeler", deadline=None, derandomize=True)
settings.load_profile("labeler")


@pytest.fixture(scope="session")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a world, an index and its baseline reader: where round 1 may begin. Not to be changed."""
    from labeler.rounds import machine
    from tests.worlds import at, make_workspace

    folder = make_workspace(tmp_path_factory.mktemp("worlds") / "baseline")
    with at(folder) as desk:
        machine.train(desk)
    return folder


@pytest.fixture(scope="session")
def undisturbed(baseline: Path) -> dict[str, Any]:
    """The state after a round that nothing went wrong in."""
    from tests.worlds import after_round

    return after_round(shutil.copytree(baseline, baseline.with_name("undisturbed")))
