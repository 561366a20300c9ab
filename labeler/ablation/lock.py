"""Files that appear whole or not at all, and locks that a killed process releases by dying."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labeler.core.files import atomic_write
from labeler.core.files.locks import file_lock


def write_json(path: Path, content: Any) -> Path:
    """Write the content to the file atomically; returns the path."""
    with atomic_write(path) as file:
        json.dump(content, file, ensure_ascii=False)
    return path


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for the lock file at `path` and hold it in the block."""
    with file_lock(path):
        yield
