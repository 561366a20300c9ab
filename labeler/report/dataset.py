"""Facts of the data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import accumulate

from db import queries
from db.engine import Session
from labeler.report.data import DatasetFacts
from mrc.text.question_types import question_type

SAMPLE = 10_000  # questions from which on types and lengths are those of about so many


def dataset_facts(session: Session) -> DatasetFacts:
    """The facts of all active questions and their gold and human labels; of many questions, of a random sample."""
    total = sum(queries.active_by_role(session).values())
    sample = queries.sample_by_hash(session, SAMPLE / total) if total > SAMPLE else None
    lengths = queries.answer_lengths(session, kinds=["gold", "human"], question_ids=sample)
    types = Counter(map(question_type, queries.question_texts(session) if sample is None else sample.values()))
    return DatasetFacts(
        answers=sum(lengths.values()),
        median_length=quantile(lengths, 0.5),
        p90_length=quantile(lengths, 0.9),
        max_length=max(lengths, default=None),
        types=dict(sorted(types.items(), key=lambda item: (-item[1], item[0]))),
        duplicates=queries.duplicate_questions(session),
        sampled_of=None if sample is None else total,
    )


def quantile(counts: Mapping[int, int], share: float) -> int | None:
    """The smallest value that at least this share of the items do not exceed; None without items.

    Args:
        counts: value -> number of items, in rising order of values.
        share: 0-1.
    """
    total = sum(counts.values())
    reached = zip(counts, accumulate(counts.values()), strict=True)
    return next((value for value, number in reached if number >= share * total), None)
