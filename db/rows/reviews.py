"""Tasks and reviews."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from db.rows.corpus import SpanRow


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to add to a round."""

    question_id: str
    kind: str  # see `db.vocabulary.TASK_KINDS`
    blind: bool  # no suggestion is shown
    position: int  # order of presentation, from 0
    passages: tuple[str, ...]  # ids of those shown, as retrieved
    attempt: int = 0  # above 0: asked again
    reviewers: int = 1  # people who are to answer it: 1 or 2
    search: str | None = None  # words of a reviewer by which its passages were found
    searched_from: int | None = None  # the attempt whose reviewer named them


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A question put to reviewers in one round."""

    id: int
    round_number: int
    question_id: str
    kind: str
    blind: bool
    position: int
    passages: tuple[str, ...]
    attempt: int
    reviewers: int
    state: str  # open, done, skipped, withdrawn, conflict
    created_at: datetime
    withdrawn_at: datetime | None  # the round went on without it; a late review still counts
    search: str | None = None  # as in NewTask
    searched_from: int | None = None


@dataclass(frozen=True, slots=True)
class NewReview:
    """A review to record."""

    task_id: int
    reviewer: str
    verdict: str  # answerable, no_answer, bad_question, skipped
    answer: SpanRow | None = None  # required with answerable, else None
    origin: str | None = None  # accepted, changed, written
    seconds: float | None = None  # of the reviewer's time
    comment: str | None = None
    source: str | None = None  # simulated, studio, file, terminal
    search_again: str | None = None  # words to search further passages by; only with no_answer


@dataclass(frozen=True, slots=True)
class FileReview:
    """A reviewer's newest annotation of a task in an export file; `review` is None where it cannot be parsed."""

    task_id: int
    reviewer: str
    numbered: bool  # the file names the reviewer by a number only
    unique_id: str  # of the annotation, on all servers
    remote_id: int  # of the annotation, on its server
    updated_at: datetime  # by the clock of that server
    review: NewReview | None


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """What one reviewer did with one task; an edit is a new row that supersedes the old one."""

    id: int
    task_id: int
    round_number: int  # of its task
    question_id: str  # of its task
    reviewer: str
    verdict: str
    answer: SpanRow | None
    origin: str | None
    seconds: float | None
    comment: str | None
    passages: tuple[str, ...]  # ids shown with its task
    created_at: datetime
    superseded_at: datetime | None  # edited or taken back
    deleted_at: datetime | None  # taken back by the reviewer
    recorded_in: int | None  # the round whose labelling considered it
    source: str | None  # simulated, studio, file, terminal
    search_again: str | None = None  # words to search further passages by
