"""The candidates of a task, each taken by one key: a choice of the verdict names the region of its candidate."""

from __future__ import annotations

import re

from labeler.review.presentation import MAX_CANDIDATES

_NAME = re.compile(r"candidate([1-9])")

CANDIDATE_NAMES = tuple(f"candidate{rank}" for rank in range(1, MAX_CANDIDATES + 1))  # ids of regions, and choices


def candidate_name(rank: int) -> str:
    """The id of the region of a candidate, and the choice that takes it; ranks count from 1."""
    return f"candidate{rank}"


def rank_of(choice: str) -> int | None:
    """The rank of the candidate that a choice takes; None for another choice."""
    match = _NAME.fullmatch(choice)
    return None if match is None else int(match[1])
