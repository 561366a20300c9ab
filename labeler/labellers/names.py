"""Names of labellers."""

from __future__ import annotations

import unicodedata
from typing import Final

from labeler.core.errors import ConfigError

LONGEST: Final = 64  # characters
CURRENT: Final = "current"  # the current reader of the workspace, where two labellers are compared


def checked_name(text: str) -> str:
    """The name as it is stored: one form for names that look the same. Raises ConfigError."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > LONGEST or not name.isprintable():
        raise ConfigError(f"--labeller: a name has 1 to {LONGEST} printable characters")
    if name == CURRENT:
        raise ConfigError(f"--labeller: {CURRENT!r} means the reader of the workspace; choose another name")
    return name
