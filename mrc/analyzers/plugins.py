"""Analyzers of other packages, found by entry points of the group `labeler.analyzers`.

An entry point names a class or function that returns the analyzer when called without arguments. The analyzer needs a
`version` (a string) and `__call__(text)`, which returns the terms of a text; `terms(texts)` is used if it is defined.

    [project.entry-points."labeler.analyzers"]
    chemistry = "my_package:Chemistry"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from typing import Any

from mrc.errors import BadAnalyzer

GROUP = "labeler.analyzers"
_BATCH = 1000  # texts passed to `terms` in one call


class PluginAnalyzer:
    """An analyzer of another package, whose results are checked. `version` includes the package's version."""

    def __init__(self, name: str) -> None:
        """Raises BadAnalyzer: it cannot be loaded, or is no analyzer."""
        point = _entry_point(name)
        self.name = name
        self._inner = _create(point)
        self._where = f"the analyzer {name} ({point.value})"
        version = getattr(self._inner, "version", None)
        if not isinstance(version, str) or not version:
            raise BadAnalyzer(f"{self._where} has no version; give it an attribute `version` with a string")
        if not callable(self._inner):
            raise BadAnalyzer(f"{self._where} cannot be called; give it __call__(text) that returns a list of terms")
        self.version = f"{point.dist.version if point.dist else '0'}+{version}"

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Raises BadAnalyzer: not one list for each text, or terms that are not strings."""
        batched: Callable[[list[str]], Iterable[Any]] | None = getattr(self._inner, "terms", None)
        if batched is None:
            yield from map(self, texts)
            return
        remaining = iter(texts)
        while batch := list(islice(remaining, _BATCH)):
            found = list(batched(batch))
            if len(found) != len(batch):
                raise BadAnalyzer(f"{self._where} returned {len(found)} lists of terms for {len(batch)} texts")
            yield from map(self._checked, found)

    def __call__(self, text: str) -> list[str]:
        return self._checked(self._inner(text))

    def _checked(self, found: Any) -> list[str]:
        if not isinstance(found, list) or not all(isinstance(term, str) for term in found):
            raise BadAnalyzer(
                f"{self._where} returned {str(found)[:60]!r} for a text; it must return a list of strings"
            )
        return found


def names() -> tuple[str, ...]:
    """The names of the analyzers that installed packages define."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def _entry_point(name: str) -> EntryPoint:
    found = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if not found:
        raise ValueError(f"no installed package defines an analyzer {name!r} in the group {GROUP}")
    if len(found) > 1:
        raise BadAnalyzer(f"two packages define an analyzer {name}: {', '.join(sorted(found))}; uninstall one")
    return next(iter(found.values()))


def _create(point: EntryPoint) -> Any:
    try:
        make = point.load()
    except (ImportError, AttributeError) as error:
        message = " ".join(str(error).split())
        raise BadAnalyzer(f"the analyzer {point.name} ({point.value}) cannot be loaded: {message}") from error
    if not callable(make):
        raise BadAnalyzer(
            f"the analyzer {point.name} ({point.value}) is no class or function; the entry point must name one"
        )
    return make()
