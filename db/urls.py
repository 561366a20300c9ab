"""Database URLs as they may be shown and stored. Loads nothing: settings are read before any database is."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(://[^:/@\s]*):\S*@")  # to the last @: an unescaped one belongs to the password
_PARAMETERS = re.compile(r"(?<=[?&])(?:ssl)?password=[^&\s'\"]*&|[?&](?:ssl)?password=[^&\s'\"]*", re.IGNORECASE)


def without_password(text: str) -> str:
    """The same text with the passwords of database URLs in it left out: too much rather than too little."""
    return _PARAMETERS.sub("", _USERINFO.sub(r"\1@", text))
