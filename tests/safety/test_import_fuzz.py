"""Changed files of every format cause no traceback and no hang, files made to fill the memory do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.safety.import_fuzz import Session, seeds

pytest.importorskip("datasets")
ROOT = Path(__file__).parents[2]
MAX_MIB = 1024


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A workspace for many imports."""
    return Session(tmp_path_factory.mktemp("fuzz"))


def test_there_is_a_valid_file_of_every_format_to_start_from() -> None:
    assert len(seeds()) == 20


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32))
def test_changed_files_end_with_an_import_or_with_one_line(seed: int, session: Session) -> None:
    session.one(seed)


def test_files_made_to_fill_the_memory_do_not() -> None:
    """Gzip and parquet bombs, endless lines, nesting, numbers and cells, in a process of its own."""
    command = [sys.executable, "-m", "tests.safety.import_fuzz", "18"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert int(ran.stdout) < MAX_MIB
