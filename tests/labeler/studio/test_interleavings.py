"""Random interleavings of push, pull, kill, edit, delete and skip: the database equals the server's truth each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from labeler.review.studio import reconcile
from tests.labeler.studio.interleavings import tell
from tests.studio import TestServer


@pytest.mark.parametrize("seed", range(30))
def test_after_any_interleaving_the_database_equals_the_server(
    seed: int, label_studio: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "LOST_SECONDS", 0.3)
    assert len(tell(label_studio, tmp_path / "ws", seed, steps=12)) == 12
