"""Database URLs as they may be shown and stored. Loads no SQLAlchemy: settings are read first."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(://[^:/@\s]*):\S*@")  # to the last @: an unescaped one belongs to the password
_PARAMETERS = re.compile(r"(?<=[?&])(?:ssl)?password=[^&\s'\"]*&|[?&](?:ssl)?password=[^&\s'\"]*", re.IGNORECASE)


def without_password(text: str) -> str:
    """The text without the passwords of database URLs in it; if in doubt, it removes too much."""
    return _PARAMETERS.sub("", _USERINFO.sub(r"\1@", text))
