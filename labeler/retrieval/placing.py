"""Passages of the current index in which an import looks for answers that are texts alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from mrc.errors import StaleIndex
from mrc.types import Passage

PASSAGES = 10  # retrieved for a question


def passage_finder(runtime: Runtime) -> Callable[[Sequence[str]], Sequence[Sequence[Passage]] | None]:
    """Return a function that gives the first passages for each question, or None while there is no usable index."""

    def find(questions: Sequence[str]) -> Sequence[Sequence[Passage]] | None:
        try:
            index = runtime.index()
        except (NotReady, StaleIndex):
            return None
        hits = index.retrieve(questions, PASSAGES)
        passages = runtime.fetch(sorted({hit.passage_id for hit in chain.from_iterable(hits)}))
        return [[passages[hit.passage_id] for hit in found] for found in hits]

    return find
