"""The passages of a question in which the answers of labellers are looked for, and that language models are shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from db.rows import QuestionRow
from labeler.core.runtime import Runtime
from labeler.retrieval.placing import PASSAGES
from mrc.types import Passage


def found_passages(runtime: Runtime, questions: Sequence[QuestionRow], *, count: int = PASSAGES) -> list[list[Passage]]:
    """The first passages that the current index finds for each question; with `read.passages = "given"` its context.

    Raises: NotReady, StaleIndex where there is no usable index.
    """
    if runtime.given:
        contexts = runtime.fetch([row.context_id for row in questions if row.context_id])
        return [[contexts[row.context_id]] if row.context_id else [] for row in questions]
    hits = runtime.index().retrieve([row.text for row in questions], count)
    passages = runtime.fetch(sorted({hit.passage_id for hit in chain.from_iterable(hits)}))
    return [[passages[hit.passage_id] for hit in found] for found in hits]
