"""Tables of tasks and reviews, and of where both are on a Label Studio server or came from in a file."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Double, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from db.tables.columns import (
    HASH,
    METADATA,
    PERSON,
    UID,
    WORD,
    JsonTuple,
    Moment,
    created_at,
    key,
    one_of,
    optional,
    required,
    unique_where,
)
from db.vocabulary import REVIEW_SOURCES, TASK_KINDS, TASK_STATES, VERDICTS

# A question that one or two people are to answer in one round.
TASKS = Table(
    "tasks",
    METADATA,
    key("id", Integer),
    required("round_number", ForeignKey("rounds.number")),
    required("question_id", ForeignKey("questions.id"), index=True),
    required("kind", WORD),
    required("blind", Boolean),  # no suggestion is shown
    required("position", Integer),  # order of presentation, from 0
    required("passages", JsonTuple),  # ids of those shown, as retrieved; a blind page shuffles them
    required("attempt", Integer, default=0),  # above 0: asked again
    required("reviewers", Integer, default=1),  # people who are to answer it
    required("state", WORD, default="open", index=True),
    created_at(),
    optional("withdrawn_at", Moment),  # the round went on without it; a late review still counts
    optional("search", Text),  # words of a reviewer by which its passages were found
    optional("searched_from", Integer),  # the attempt whose reviewer named them
    UniqueConstraint("round_number", "question_id", "attempt"),
    CheckConstraint("(search IS NULL) = (searched_from IS NULL)", name="words_of_an_attempt"),
    one_of("kind", TASK_KINDS),
    one_of("state", TASK_STATES),
    CheckConstraint("reviewers IN (1, 2)", name="one_or_two_reviewers"),
)

# What one reviewer did with one task. An edited review is a new row that supersedes the old one.
REVIEWS = Table(
    "reviews",
    METADATA,
    key("id", Integer),
    required("task_id", ForeignKey("tasks.id")),
    required("reviewer", PERSON),
    required("verdict", WORD),
    optional("origin", WORD),  # accepted, changed, written
    optional("text", Text),  # the answer: null unless the verdict is `answerable`
    optional("passage_id", ForeignKey("passages.id")),
    optional("start", Integer),
    optional("end", Integer),
    optional("seconds", Double),  # of the reviewer's time
    optional("comment", Text),
    optional("search_again", Text),  # words to search further passages by; only with `no_answer`
    created_at(),
    optional("superseded_at", Moment),
    optional("deleted_at", Moment),  # taken back by the reviewer: superseded, without a successor
    optional("recorded_in", ForeignKey("rounds.number")),  # the round whose labelling considered it
    optional("source", WORD),  # where it was given
    unique_where("one_current_review", "task_id", "reviewer", condition="superseded_at IS NULL"),
    one_of("verdict", VERDICTS),
    one_of("source", REVIEW_SOURCES),
    CheckConstraint("(verdict = 'answerable') = (text IS NOT NULL)", name="answer_with_verdict"),
    CheckConstraint("search_again IS NULL OR verdict = 'no_answer'", name="search_without_an_answer"),
    CheckConstraint(
        "(text IS NULL) = (passage_id IS NULL) AND (text IS NULL) = (start IS NULL) "
        'AND (text IS NULL) = ("end" IS NULL)',
        name="answer_whole",
    ),
    CheckConstraint('text IS NULL OR (0 <= start AND start < "end" AND length(text) = "end" - start)', name="span"),
    CheckConstraint("deleted_at IS NULL OR superseded_at IS NOT NULL", name="deleted_is_superseded"),
)

# A Label Studio project: one for each server, page layout and number of reviewers. The row is stored first; its `uid`
# is in the project's description, so that an interrupted creation is found again instead of repeated.
STUDIO_PROJECTS = Table(
    "studio_projects",
    METADATA,
    key("id", Integer),
    required("url", String(255)),  # of the server, without credentials
    required("uid", UID, unique=True),
    optional("remote_id", Integer),  # the server's; null until it is known
    required("blind", Boolean),  # its page shows no suggestion
    required("passage_slots", Integer),  # passages on its page
    required("reviewers", Integer),  # people who answer each task
    required("page_sha256", HASH),  # of the labeling configuration that was set
    optional("cursor", String(40)),  # the server's clock: all changes before it were pulled
    created_at(),
    optional("deleted_at", Moment),  # found deleted on the server
    unique_where("one_live_project", "url", "blind", "passage_slots", "reviewers", condition="deleted_at IS NULL"),
)

# A batch of tasks sent to a project, once. Stored before the call, with a `push_id` that every task carries.
STUDIO_PUSHES = Table(
    "studio_pushes",
    METADATA,
    key("id", Integer),
    required("push_id", UID, unique=True),
    required("project_id", ForeignKey("studio_projects.id")),
    required("round_number", ForeignKey("rounds.number")),
    created_at(),
    optional("finished_at", Moment),  # from then on it is known which of its tasks arrived, and their ids there
)

# A task on a server. Servers reuse ids after a deletion, so only the id of a row not deleted counts.
STUDIO_TASKS = Table(
    "studio_tasks",
    METADATA,
    key("id", Integer),
    required("task_id", ForeignKey("tasks.id"), index=True),
    required("project_id", ForeignKey("studio_projects.id")),
    required("push_id", ForeignKey("studio_pushes.id"), index=True),
    optional("remote_id", Integer),  # the server's; null until it is known
    optional("suggested_by", ForeignKey("models.id")),  # the reader that renewed its suggestion; null: as it was sent
    optional("deleted_at", Moment),  # found deleted on the server, or deleted there by this tool
    unique_where("one_live_remote", "project_id", "remote_id", condition="deleted_at IS NULL"),
)

# An annotation as it was last pulled, and the review that was made of it or the reason why none could be made.
STUDIO_ANNOTATIONS = Table(
    "studio_annotations",
    METADATA,
    key("id", Integer),
    required("studio_task_id", ForeignKey("studio_tasks.id")),
    required("remote_id", Integer),
    required("updated_at", String(40)),  # as the server sent it
    required("reviewer", PERSON),
    optional("review_id", ForeignKey("reviews.id"), index=True),
    optional("problem", Text),
    required("result", JsonTuple),  # as the server sent it
    optional("deleted_at", Moment),  # found deleted on the server
    UniqueConstraint("studio_task_id", "remote_id"),
)

# An annotation from an export file, as the newest file had it: the same or an older file changes nothing.
FILE_ANNOTATIONS = Table(
    "file_annotations",
    METADATA,
    key("task_id", ForeignKey("tasks.id")),
    key("unique_id", String(64)),  # of the annotation, on all servers
    required("reviewer", PERSON),
    required("numbered", Boolean),  # the file names the reviewer by a number only
    required("updated_at", Moment),  # by the clock of the server that the file came from
)
