"""Query strategies of other packages, found by entry points of the group `labeler.query_strategies`.

An entry point names a `QueryStrategy`: a function of the candidates and the budget, with a generator `rng`, that
returns question ids.

    [project.entry-points."labeler.query_strategies"]
    longest = "my_package:longest"
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from labeler.core.errors import BadStrategy
from labeler.rounds.strategies.candidate import Candidate

GROUP = "labeler.query_strategies"
_SHOWN = 60  # characters of a wrong result


class PluginStrategy:
    """A strategy of another package, whose results are checked."""

    def __init__(self, name: str) -> None:
        """Raises BadStrategy: it cannot be loaded, or is no function."""
        point = _entry_point(name)
        self._where = f"the query strategy {name} ({point.value})"
        try:
            self._inner: Any = point.load()
        except Exception as error:
            raise BadStrategy(f"{self._where} cannot be loaded: {_line(error)}") from error
        if isinstance(self._inner, type) or not callable(self._inner):
            raise BadStrategy(f"{self._where} is no function; the entry point must name one")

    def __call__(self, candidates: Sequence[Candidate], budget: int, *, rng: np.random.Generator) -> list[str]:
        """Raises BadStrategy: it fails, or returns anything but ids of candidates, each once, within the budget."""
        if not budget or not candidates:
            return []
        try:
            found = list(self._inner(tuple(candidates), budget, rng=rng))
        except Exception as error:
            raise BadStrategy(f"{self._where} failed: {_line(error)}") from error
        if wrong := _wrong(found, {candidate.question_id for candidate in candidates}, budget):
            raise BadStrategy(f"{self._where} {wrong}")
        return found


def names() -> tuple[str, ...]:
    """The names of the strategies that installed packages define."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def _wrong(found: Sequence[Any], known: set[str], budget: int) -> str | None:
    """What is wrong with the ids that a strategy returned; None: nothing."""
    others = [each for each in found if not isinstance(each, str)]
    if others:
        return f"returned {repr(others[0])[:_SHOWN]}; it must return question ids, which are strings"
    if unknown := [each for each in found if each not in known]:
        return f"returned {repr(unknown[0])[:_SHOWN]}, which is no question id of its candidates"
    question_id, times = next(iter(Counter(found).most_common(1)), ("", 0))
    if times > 1:
        return f"returned {repr(question_id)[:_SHOWN]} {times} times; it must return each question once"
    if len(found) > budget:
        return f"returned {len(found)} questions for a budget of {budget}"
    return None


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _entry_point(name: str) -> EntryPoint:
    found = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if len(found) > 1:
        raise BadStrategy(f"two packages define a query strategy {name}: {', '.join(sorted(found))}; uninstall one")
    if not found:
        raise BadStrategy(f"no installed package defines a query strategy {name!r} in the group {GROUP}")
    return next(iter(found.values()))
