"""The text of a new labeler.toml, made from the settings themselves, so that it cannot fall behind them."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

from labeler.core.config import PREFIX, section_types


def template(given: Mapping[tuple[str, str], Any]) -> str:
    """The text of a new labeler.toml: every setting with what its code says of it; those not given are commented out
    and show their default."""
    lines = [
        "# Settings of this workspace. A line that starts with # shows a default; remove the # to change it.",
        f"# Over these go variables ({PREFIX}SECTION__KEY=value), over them --set section.key=value.",
    ]
    for section, section_type in section_types().items():
        lines += ["", f"[{section}]  # {_first_sentence(section_type)}"]
        notes = _notes(section_type)
        for entry in dataclasses.fields(section_type):
            value = given.get((section, entry.name), _default(entry))
            shown = f"{entry.name} = {_toml(value)}"
            note = f"  # {notes[entry.name]}" if entry.name in notes else ""
            lines.append(("" if (section, entry.name) in given else "# ") + shown + note)
    return "\n".join(lines) + "\n"


def _first_sentence(section_type: type[Any]) -> str:
    text = inspect.cleandoc(section_type.__doc__ or "").partition("\n\n")[0]
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def _notes(section_type: type[Any]) -> dict[str, str]:
    """The comment beside each field in the source of a section and of what it extends; none where that is not at
    hand."""
    extended = [each for each in reversed(section_type.__mro__) if dataclasses.is_dataclass(each)]
    try:
        source = "".join(map(inspect.getsource, extended))
    except OSError:
        return {}
    return dict(re.findall(r"^    (\w+): [^#\n]*=[^#\n]*# (.+)$", source, flags=re.MULTILINE))


def _default(entry: dataclasses.Field[Any]) -> Any:
    if entry.default is not dataclasses.MISSING:
        return entry.default
    return entry.default_factory() if entry.default_factory is not dataclasses.MISSING else None


def _toml(value: Any) -> str:
    """A value as TOML; strings of TOML are written as JSON's are. None has no TOML: it is shown as what --set takes."""
    if value is None:
        return '"none"'
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
