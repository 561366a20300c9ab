"""Analyzers of the user's own, found by entry points of the group `labeler.analyzers`.

An entry point names what gives the analyzer when it is called without arguments: a class, or a function. It needs a
`version` (text) and a call that takes a text and gives its terms; `terms` over many texts is used where there is one.

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
_BATCH = 1000  # texts given at a time


class Foreign:
    """A user's analyzer, whose results are checked. `version` holds that of its package too."""

    def __init__(self, name: str) -> None:
        """Raises BadAnalyzer: it cannot be loaded, or is none."""
        point = _entry_point(name)
        self.name = name
        self._inner = _made(point)
        self._where = f"the analyzer {name} ({point.value})"
        own = getattr(self._inner, "version", None)
        if not isinstance(own, str) or not own:
            raise BadAnalyzer(f"{self._where} has no version; give it an attribute `version` with a text")
        if not callable(self._inner):
            raise BadAnalyzer(f"{self._where} cannot be called; give it __call__(text) that returns a list of terms")
        self.version = f"{point.dist.version if point.dist else '0'}+{own}"

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Raises BadAnalyzer: another number of lists than of texts, or terms that are no texts."""
        many: Callable[[list[str]], Iterable[Any]] | None = getattr(self._inner, "terms", None)
        if many is None:
            yield from map(self, texts)
            return
        remaining = iter(texts)
        while batch := list(islice(remaining, _BATCH)):
            found = list(many(batch))
            if len(found) != len(batch):
                raise BadAnalyzer(f"{self._where} gave {len(found)} lists of terms for {len(batch)} texts")
            yield from map(self._checked, found)

    def __call__(self, text: str) -> list[str]:
        return self._checked(self._inner(text))

    def _checked(self, found: Any) -> list[str]:
        if not isinstance(found, list) or not all(isinstance(term, str) for term in found):
            raise BadAnalyzer(f"{self._where} gave {str(found)[:60]!r} for a text; it must give a list of texts")
        return found


def names() -> tuple[str, ...]:
    """The names of the analyzers that installed packages bring."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def _entry_point(name: str) -> EntryPoint:
    found = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if not found:
        raise ValueError(f"no installed package brings an analyzer {name!r} in the group {GROUP}")
    if len(found) > 1:
        raise BadAnalyzer(f"two packages bring an analyzer {name}: {', '.join(sorted(found))}; uninstall one")
    return next(iter(found.values()))


def _made(point: EntryPoint) -> Any:
    try:
        make = point.load()
    except (ImportError, AttributeError) as error:
        message = " ".join(str(error).split())
        raise BadAnalyzer(f"the analyzer {point.name} ({point.value}) cannot be loaded: {message}") from error
    if not callable(make):
        raise BadAnalyzer(f"the analyzer {point.name} ({point.value}) is no class or function; the entry must name one")
    return make()
