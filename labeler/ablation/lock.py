"""Files of runs: each appears whole or not at all, and one process at a time works in a folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labeler.core.files import atomic_write


def write_json(path: Path, content: Any) -> Path:
    """The path, with the content in its file."""
    with atomic_write(path) as file:
        json.dump(content, file, ensure_ascii=False)
    return path


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Waits until no other process works in the folder; a killed one lets go by itself."""
    import filelock

    with filelock.FileLock(folder / ".lock"):
        yield
