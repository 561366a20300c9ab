"""A workspace in review, made once for the tests of a process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeler.core.runtime import Runtime
from tests.labeler.serving.world import in_review
from tests.worlds import at


@pytest.fixture(scope="session")
def reviewed(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose round 1 waits for people. Not to be changed."""
    return in_review(baseline, tmp_path_factory.mktemp("serving") / "ws")


@pytest.fixture
def folder(reviewed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(reviewed, tmp_path / "ws")


@pytest.fixture
def runtime(folder: Path) -> Iterator[Runtime]:
    with at(folder) as opened:
        yield opened
