"""A server that changes its answers at random causes no traceback and no hang."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler.review.studio import reconcile
from tests.labeler.studio.runtimes import Shape, make_runtime
from tests.safety.server_fuzz import spoiled_session


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with four open tasks. Not to be changed."""
    return make_runtime(tmp_path_factory.mktemp("fuzz") / "ws", Shape(tasks=4, characters=60))


@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32))
def test_random_answers_cause_no_traceback_and_no_hang(
    seed: int, workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconcile, "LOST_SECONDS", 0.05)
        spoiled_session(Path(shutil.copytree(workspace, tmp_path_factory.mktemp("one") / "ws")), seed)
