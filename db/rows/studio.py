"""Projects, pushes, tasks and annotations of Label Studio."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.rows.reviews import NewReview


@dataclass(frozen=True, slots=True)
class StudioProjectRow:
    """A Label Studio project: one for each server, page layout and number of reviewers."""

    id: int
    url: str  # of the server, without credentials
    uid: str  # in the project's description, by which it is found again
    remote_id: int | None  # the server's; None until it is known
    blind: bool  # its page shows no suggestion
    passage_slots: int  # passages on its page
    reviewers: int  # people who answer each task
    page_sha256: str
    cursor: str | None  # the server's clock: all changes before it were pulled
    created_at: datetime
    deleted_at: datetime | None  # found deleted on the server


@dataclass(frozen=True, slots=True)
class StudioPushRow:
    """A batch of tasks that was sent; finished once it is known which of them arrived, and their ids there."""

    id: int
    push_id: str
    project_id: int
    round_number: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class StudioTaskRow:
    """A task on a Label Studio server."""

    id: int
    task_id: int
    project_id: int
    push_id: int
    remote_id: int | None
    suggested_by: int | None  # the reader that renewed its suggestion; None: as it was sent
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class PulledAnnotation:
    """A pulled annotation: its review, or the `problem` why it cannot be read as one."""

    remote_id: int
    updated_at: str  # as the server sent it
    reviewer: str
    result: tuple[Any, ...]  # as the server sent it
    review: NewReview | None  # None where there is a problem, and only there
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StudioAnnotationRow:
    """An annotation as last pulled, and the review that was made of it."""

    id: int
    studio_task_id: int
    task_id: int  # of its studio task
    remote_id: int
    updated_at: str
    reviewer: str
    review_id: int | None
    problem: str | None
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class AnnotationChanges:
    """How many reviews `store.record_annotations` changed."""

    new: int = 0  # reviews that were not stored
    edited: int = 0  # reviews that replaced one of the same reviewer
    deleted: int = 0  # reviews taken back: their annotation was deleted, or can no longer be read
    skipped: int = 0  # of the new and edited ones
    labels: int = 0  # of the new and edited ones: an answer or a no_answer
    problems: int = 0  # annotations that became unreadable, or changed and are still unreadable
