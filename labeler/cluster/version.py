"""The version of this tool, exact enough to tell two machines apart that would not compute the same bits."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

_PACKAGES = ("labeler", "mrc", "db")


@cache
def version() -> str:
    """`0.1.0 (sources 1a2b3c4d)`: the version, and a hash of the sources that are installed here."""
    home, digest = Path(__file__).parents[2], hashlib.sha256()
    for path in sorted(path for package in _PACKAGES for path in (home / package).rglob("*.py")):
        digest.update(f"{path.relative_to(home)}\0".encode())
        digest.update(path.read_bytes())
    number = sys.modules[_PACKAGES[0]].__version__  # an import would be a circle: the package's face imports this room
    return f"{number} (sources {digest.hexdigest()[:8]})"
