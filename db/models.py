"""The stored world, one class a table; every invariant that a constraint can hold is a constraint here.

Words: a *label* is a stored answer, a *prediction* a model's, a *task* an item put before a reviewer,
a *review* what the reviewer did with it. Offsets are Python code points into the stored passage,
end exclusive. Every rate and confidence is 0-1. Nothing is deleted by ordinary work: labels are
withdrawn, imports are undone by deactivating rows, rounds are marked reverted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy import (
    text as sql,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.vocabulary import (
    DECISIONS,
    LABEL_KINDS,
    LABEL_ORIGINS,
    REVIEW_SOURCES,
    ROLES,
    ROUND_KINDS,
    STAGES,
    TASK_KINDS,
    TASK_STATES,
    VERDICTS,
)


def utc_now() -> datetime:
    """The present moment, timezone-aware, in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware UTC moment, stored the same way by SQLite (which drops zones) and PostgreSQL."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored moment needs a timezone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can alter them on any database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _rate(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} BETWEEN 0 AND 1", name=f"{column}_is_a_rate")


class Meta(Base):
    """Facts about the workspace as a whole: split_by, language, metric."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Import(Base):
    """One imported file or folder; the rows it brought are in import_passages and import_questions."""

    __tablename__ = "imports"
    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))  # of the content read and of the options
    role: Mapped[str] = mapped_column(String(16))  # corpus, a question role, or "split"
    format: Mapped[str] = mapped_column(String(16))
    options: Mapped[dict[str, Any]]
    counts: Mapped[dict[str, Any]]  # passages, questions, labels, duplicates, rejected
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    undone_at: Mapped[datetime | None]


class Document(Base):
    """An article; the unit of `--split-by document` and of bootstrap intervals."""

    __tablename__ = "documents"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # hash of the title, or of the untitled text
    title: Mapped[str] = mapped_column(Text)


class Passage(Base):
    """A paragraph, stored unaltered. `id` is the hash of its exact text."""

    __tablename__ = "passages"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id"), index=True)
    position: Mapped[int]  # in its document, from 0
    text: Mapped[str] = mapped_column(Text)
    active: Mapped[bool] = mapped_column(default=True, index=True)  # False once every import that brought it is undone


class Question(Base):
    """A question and the one side of the split that it stands on."""

    __tablename__ = "questions"
    id: Mapped[str] = mapped_column(String(255), primary_key=True)  # the file's id, else hash(question, context)
    text: Mapped[str] = mapped_column(Text)
    normalized: Mapped[str] = mapped_column(String(64), index=True)  # hash of the normalised text
    role: Mapped[str] = mapped_column(String(16), index=True)
    imported_role: Mapped[str] = mapped_column(String(16))  # as the file said, before anything was held out
    split_group: Mapped[str] = mapped_column(String(64), index=True)  # component that may not be torn apart by a split
    context_id: Mapped[str | None] = mapped_column(ForeignKey("passages.id"), index=True)
    is_impossible: Mapped[bool | None]  # only where a file gave the context
    duplicate_of: Mapped[str | None] = mapped_column(ForeignKey("questions.id"))
    exclusion_reason: Mapped[str | None] = mapped_column(
        Text
    )  # withdrawn by hand or a bad question: no model labels it again
    active: Mapped[bool] = mapped_column(default=True, index=True)

    __table_args__ = (
        _one_of("role", ROLES),
        UniqueConstraint("id", "role"),  # the target of labels' composite key
        CheckConstraint("is_impossible IS NULL OR context_id IS NOT NULL", name="impossible_needs_context"),
        CheckConstraint("role <> 'pool' OR is_impossible IS NULL", name="pool_hides_impossible"),
    )


class ImportPassage(Base):
    __tablename__ = "import_passages"
    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id"), primary_key=True)
    passage_id: Mapped[str] = mapped_column(ForeignKey("passages.id"), primary_key=True, index=True)


class ImportQuestion(Base):
    __tablename__ = "import_questions"
    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id"), primary_key=True)
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id"), primary_key=True, index=True)


class ImportLabel(Base):
    """A gold label and an import that brought it; the label is withdrawn when the last of them is undone."""

    __tablename__ = "import_labels"
    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id"), primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id"), primary_key=True, index=True)


class HiddenQuestion(Base):
    """A labelled pool's question; whether its file called it impossible is as hidden as its answers."""

    __tablename__ = "hidden_questions"
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id"), primary_key=True)
    is_impossible: Mapped[bool]


class HiddenAnswer(Base):
    """A labelled pool's answers: for the simulated reviewer, pseudo_precision and replay alone."""

    __tablename__ = "hidden_answers"
    id: Mapped[int] = mapped_column(primary_key=True)
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id"), index=True)
    text: Mapped[str] = mapped_column(Text)
    passage_id: Mapped[str] = mapped_column(ForeignKey("passages.id"))
    start: Mapped[int]
    end: Mapped[int]

    __table_args__ = (
        UniqueConstraint("question_id", "passage_id", "start", "end"),
        CheckConstraint('0 <= start AND start < "end" AND length(text) = "end" - start', name="span"),
    )


class Round(Base):
    """One turn of the loop. Round 0 is the baseline; `number` is never used twice."""

    __tablename__ = "rounds"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    uid: Mapped[str] = mapped_column(
        String(32), unique=True
    )  # random: a restored database never adopts another's folders
    kind: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str] = mapped_column(String(16))
    is_open: Mapped[bool] = mapped_column(default=True)
    config: Mapped[dict[str, Any]]  # resolved, every section
    seed: Mapped[int]
    code_version: Mapped[str] = mapped_column(String(64))
    teacher_id: Mapped[int | None] = mapped_column(ForeignKey("models.id", use_alter=True))  # predicts; best so far
    student_id: Mapped[int | None] = mapped_column(ForeignKey("models.id", use_alter=True))  # trained in this round
    index_fingerprint: Mapped[str | None] = mapped_column(String(64))
    calibrator_id: Mapped[int | None] = mapped_column(ForeignKey("calibrators.id"))
    release: Mapped[dict[str, Any] | None]  # the rule: threshold, target, precision, items; or why there is none
    gate: Mapped[dict[str, Any] | None]  # the verdict with its numbers
    promoted: Mapped[bool | None]  # None until judged
    reviewer: Mapped[str | None] = mapped_column(String(16))  # studio, simulated, none
    opened_at: Mapped[datetime] = mapped_column(default=utc_now)
    closed_at: Mapped[datetime | None]
    reverted_at: Mapped[datetime | None]

    __table_args__ = (
        _one_of("kind", ROUND_KINDS),
        _one_of("stage", STAGES),
        CheckConstraint("number >= 0", name="number_from_zero"),
        CheckConstraint("is_open = (stage <> 'closed' AND reverted_at IS NULL)", name="open_until_closed"),
        CheckConstraint("stage <> 'closed' OR promoted IS NOT NULL", name="closed_is_judged"),
        CheckConstraint("promoted IS NULL OR NOT promoted OR student_id IS NOT NULL", name="promoted_has_a_student"),
        Index("one_open_round", "is_open", unique=True, sqlite_where=sql("is_open"), postgresql_where=sql("is_open")),
    )


class RoundQuestion(Base):
    """The questions that a round predicts, fixed at its opening, and the chunk that each is read in."""

    __tablename__ = "round_questions"
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"), primary_key=True)
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id"), primary_key=True)
    chunk: Mapped[int]


class TrainingRow(Base):
    """A label that taught in a round, and how much; fixed before training starts."""

    __tablename__ = "training_rows"
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"), primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id"), primary_key=True, index=True)
    weight: Mapped[float]

    __table_args__ = (CheckConstraint("weight > 0 AND weight <= 1", name="weight_teaches"),)


class Model(Base):
    """A trained reader: its folder under the workspace, and the hash of what is in it."""

    __tablename__ = "models"
    id: Mapped[int] = mapped_column(primary_key=True)
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"))
    name: Mapped[str] = mapped_column(String(32), default="student")
    hash: Mapped[str] = mapped_column(String(64), index=True)
    training_sha256: Mapped[str] = mapped_column(String(64))  # of its training rows
    path: Mapped[str] = mapped_column(Text)  # relative to the workspace
    start: Mapped[str] = mapped_column(Text)  # the starting checkpoint: hub name, folder or "builtin"
    config: Mapped[dict[str, Any]]
    examples: Mapped[int]
    seconds: Mapped[float]
    loss: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    pruned_at: Mapped[datetime | None]  # the folder is gone, the row stays for provenance

    __table_args__ = (UniqueConstraint("round_number", "name"),)


class Retriever(Base):
    """An encoder of passages trained in a round, and what became of it: judged and, if promoted, used by an index."""

    __tablename__ = "retrievers"
    id: Mapped[int] = mapped_column(primary_key=True)
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"), unique=True)
    hash: Mapped[str] = mapped_column(String(64), index=True)
    training_sha256: Mapped[str] = mapped_column(String(64))  # of the training rows
    path: Mapped[str] = mapped_column(Text)  # relative to the workspace
    start: Mapped[str] = mapped_column(Text)  # the starting checkpoint: hub name or folder
    config: Mapped[dict[str, Any]]
    examples: Mapped[int]
    seconds: Mapped[float]
    loss: Mapped[float | None]
    encoder_before: Mapped[str | None] = mapped_column(Text)  # the model that `labeler index` would have used
    index_before: Mapped[str | None] = mapped_column(String(64))  # fingerprint of the index that it was judged against
    index_after: Mapped[str | None] = mapped_column(String(64))  # of the one built with it; None: not built
    gate: Mapped[dict[str, Any] | None]  # the verdict with its numbers
    promoted: Mapped[bool | None]  # None until judged
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    pruned_at: Mapped[datetime | None]  # the folder is gone, the row stays for provenance

    __table_args__ = (
        CheckConstraint("(promoted IS NULL) = (gate IS NULL)", name="judged_with_numbers"),
        CheckConstraint("promoted IS NULL OR NOT promoted OR index_after IS NOT NULL", name="promoted_has_an_index"),
    )


class Calibrator(Base):
    """What turned scores into confidences in a round: data and seed from which it is refitted, never a pickle."""

    __tablename__ = "calibrators"
    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]  # AURC, ECE, Brier, coverage at precision
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Evaluation(Base):
    """How a model did on a split: the summary, and each question's result for paired tests."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    split: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(64))  # hash of everything else the numbers depend on
    summary: Mapped[dict[str, Any]]
    results: Mapped[list[Any]]  # [question id, document id, exact match, F1]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    __table_args__ = (UniqueConstraint("model_id", "split", "key"),)


class Prediction(Base):
    """What a round's teacher answered to one question; its n-best is in prediction_answers."""

    __tablename__ = "predictions"
    id: Mapped[int] = mapped_column(primary_key=True)
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"))
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id"), index=True)
    question_role: Mapped[str] = mapped_column(String(16))  # when it was predicted: pool or calibration
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    index_fingerprint: Mapped[str | None] = mapped_column(String(64))  # None: the given context was read
    score: Mapped[float | None]  # mass of the best answer over all spans of all passages; None: nothing to answer from
    null_score: Mapped[float | None]  # mass of "not in these passages"
    confidence: Mapped[float | None]  # calibrated; None until a calibrator is fitted
    features: Mapped[dict[str, Any]]
    hits: Mapped[list[Any]]  # [passage id, retrieval score] in rank order: what was read
    decision: Mapped[str | None] = mapped_column(String(16))
    train_weight: Mapped[float | None]  # planned; None unless it is to teach
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    __table_args__ = (
        UniqueConstraint("round_number", "question_id"),
        _rate("confidence"),
        _rate("score"),
        _one_of("decision", DECISIONS),
        CheckConstraint("decision IS NULL OR question_role = 'pool'", name="only_the_pool_is_decided"),
    )


class PredictionAnswer(Base):
    __tablename__ = "prediction_answers"
    prediction_id: Mapped[int] = mapped_column(ForeignKey("predictions.id"), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)  # from 0
    text: Mapped[str] = mapped_column(Text)
    passage_id: Mapped[str] = mapped_column(ForeignKey("passages.id"))
    start: Mapped[int]
    end: Mapped[int]
    score: Mapped[float]  # mass of the answer's merged spans
    probability: Mapped[float]  # of its best single span

    __table_args__ = (CheckConstraint('0 <= start AND start < "end" AND length(text) = "end" - start', name="span"),)


class Task(Base):
    """A question put before a reviewer in one round."""

    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"))
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id"), index=True)
    attempt: Mapped[int] = mapped_column(default=0)  # above 0: asked again
    kind: Mapped[str] = mapped_column(String(16))
    blind: Mapped[bool]  # no suggestion is shown
    position: Mapped[int]  # order of presentation, from 0
    passages: Mapped[list[Any]]  # ids of those shown, as retrieved; a blind page shows them in an order of its own
    reviewers: Mapped[int] = mapped_column(default=1, server_default="1")  # people who are to answer it
    state: Mapped[str] = mapped_column(String(16), default="open", index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    withdrawn_at: Mapped[datetime | None]  # the round went on without it; a late review still counts

    __table_args__ = (
        UniqueConstraint("round_number", "question_id", "attempt"),
        _one_of("kind", TASK_KINDS),
        _one_of("state", TASK_STATES),
        CheckConstraint("reviewers IN (1, 2)", name="one_or_two_reviewers"),
    )


class Review(Base):
    """What one reviewer did with one task. The answer is null unless the verdict is `answerable`.

    An edited review is a new row that supersedes the old one.
    """

    __tablename__ = "reviews"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    reviewer: Mapped[str] = mapped_column(String(255))
    verdict: Mapped[str] = mapped_column(String(16))
    origin: Mapped[str | None] = mapped_column(String(16))  # accepted, changed, written
    text: Mapped[str | None] = mapped_column(Text)
    passage_id: Mapped[str | None] = mapped_column(ForeignKey("passages.id"))
    start: Mapped[int | None]
    end: Mapped[int | None]
    seconds: Mapped[float | None]  # of the reviewer's time
    comment: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    superseded_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]  # taken back by the reviewer: superseded, with nothing in its place
    recorded_in: Mapped[int | None] = mapped_column(ForeignKey("rounds.number"))  # the round that made labels of it
    source: Mapped[str | None] = mapped_column(String(16))  # where it was given; None: before this was kept

    __table_args__ = (
        Index(
            "one_current_review",
            "task_id",
            "reviewer",
            unique=True,
            sqlite_where=sql("superseded_at IS NULL"),
            postgresql_where=sql("superseded_at IS NULL"),
        ),
        _one_of("verdict", VERDICTS),
        CheckConstraint("(verdict = 'answerable') = (text IS NOT NULL)", name="answer_with_verdict"),
        CheckConstraint(
            "(text IS NULL) = (passage_id IS NULL) AND (text IS NULL) = (start IS NULL) "
            'AND (text IS NULL) = ("end" IS NULL)',
            name="answer_whole",
        ),
        CheckConstraint('text IS NULL OR (0 <= start AND start < "end" AND length(text) = "end" - start)', name="span"),
        CheckConstraint("deleted_at IS NULL OR superseded_at IS NOT NULL", name="deleted_is_superseded"),
        _one_of("source", REVIEW_SOURCES),
    )


class StudioProject(Base):
    """A Label Studio project made by this workspace: one for each server, form of the page and number of reviewers.

    The row comes first; its `uid` stands in the project's description, so that a project whose making was interrupted
    is found again instead of made twice.
    """

    __tablename__ = "studio_projects"
    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(255))  # of the server, without credentials
    uid: Mapped[str] = mapped_column(String(32), unique=True)
    remote_id: Mapped[int | None]  # the server's; None until it is known
    blind: Mapped[bool]  # its page shows no suggestion
    passage_slots: Mapped[int]  # passages on its page
    reviewers: Mapped[int]  # people who answer each task
    page_sha256: Mapped[str] = mapped_column(String(64))  # of the page configuration that was set
    cursor: Mapped[str | None] = mapped_column(String(40))  # the server's clock: all changes before it were pulled
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]  # found deleted on the server

    __table_args__ = (
        Index(
            "one_live_project",
            "url",
            "blind",
            "passage_slots",
            "reviewers",
            unique=True,
            sqlite_where=sql("deleted_at IS NULL"),
            postgresql_where=sql("deleted_at IS NULL"),
        ),
    )


class StudioPush(Base):
    """A batch of tasks sent to a project, once. Stored before the call, with a `push_id` that every task carries."""

    __tablename__ = "studio_pushes"
    id: Mapped[int] = mapped_column(primary_key=True)
    push_id: Mapped[str] = mapped_column(String(32), unique=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("studio_projects.id"))
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]  # known: which of its tasks stand on the server, and their ids there


class StudioTask(Base):
    """A task as it stands in Label Studio. Server ids come again after a deletion: only a live row's id is trusted."""

    __tablename__ = "studio_tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), index=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("studio_projects.id"))
    push_id: Mapped[int] = mapped_column(ForeignKey("studio_pushes.id"), index=True)
    remote_id: Mapped[int | None]  # the server's; None until it is known
    deleted_at: Mapped[datetime | None]  # found deleted on the server, or removed from it by us

    __table_args__ = (
        Index(
            "one_live_remote",
            "project_id",
            "remote_id",
            unique=True,
            sqlite_where=sql("deleted_at IS NULL"),
            postgresql_where=sql("deleted_at IS NULL"),
        ),
    )


class StudioAnnotation(Base):
    """An annotation as it was last pulled, and the review that was made of it. `problem`: why none could be made."""

    __tablename__ = "studio_annotations"
    id: Mapped[int] = mapped_column(primary_key=True)
    studio_task_id: Mapped[int] = mapped_column(ForeignKey("studio_tasks.id"))
    remote_id: Mapped[int]
    updated_at: Mapped[str] = mapped_column(String(40))  # as the server said it
    reviewer: Mapped[str] = mapped_column(String(255))
    review_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id"), index=True)
    problem: Mapped[str | None] = mapped_column(Text)
    result: Mapped[list[Any]]  # as the server sent it
    deleted_at: Mapped[datetime | None]  # found deleted on the server

    __table_args__ = (UniqueConstraint("studio_task_id", "remote_id"),)


class FileAnnotation(Base):
    """An annotation that a file brought, as the newest file had it: the same file, or an older one, changes nothing."""

    __tablename__ = "file_annotations"
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    unique_id: Mapped[str] = mapped_column(String(64), primary_key=True)  # of the annotation, in all servers
    reviewer: Mapped[str] = mapped_column(String(255))
    numbered: Mapped[bool]  # the file knew the reviewer by a number alone
    updated_at: Mapped[datetime]  # by the clock of the server that the file came from


class Label(Base):
    """A stored answer with its whole provenance. Live while `withdrawn_at` is null; at most one live a question."""

    __tablename__ = "labels"
    id: Mapped[int] = mapped_column(primary_key=True)
    question_id: Mapped[str] = mapped_column(String(255), index=True)
    question_role: Mapped[str] = mapped_column(String(16))  # follows questions.role
    kind: Mapped[str] = mapped_column(String(16))
    no_answer: Mapped[bool] = mapped_column(default=False)  # "not in these passages", or impossible in its context
    passages: Mapped[list[Any] | None]  # ids shown with a no_answer; they serve as negatives
    train_weight: Mapped[float]  # 0: does not teach
    released: Mapped[bool]  # may leave as a label
    origin: Mapped[str] = mapped_column(String(16))
    import_id: Mapped[int | None] = mapped_column(ForeignKey("imports.id"), index=True)
    round_number: Mapped[int | None] = mapped_column(
        ForeignKey("rounds.number"), index=True
    )  # where the answer came from
    written_by: Mapped[int | None] = mapped_column(ForeignKey("rounds.number"))  # the round that wrote this row
    review_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id"))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    index_fingerprint: Mapped[str | None] = mapped_column(String(64))
    calibrator_id: Mapped[int | None] = mapped_column(ForeignKey("calibrators.id"))
    confidence: Mapped[float | None]
    threshold: Mapped[float | None]  # of release, as it stood
    reviewer: Mapped[str | None] = mapped_column(String(255))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("labels.id"))  # the label this one replaced or restores
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[int | None] = mapped_column(ForeignKey("rounds.number"))
    withdrawal_reason: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        ForeignKeyConstraint(
            ["question_id", "question_role"],
            ["questions.id", "questions.role"],
            onupdate="CASCADE",
            name="fk_labels_question",
        ),
        _one_of("kind", LABEL_KINDS),
        _one_of("origin", LABEL_ORIGINS),
        _rate("confidence"),
        _rate("train_weight"),
        CheckConstraint(
            "kind <> 'pseudo' OR question_role = 'pool' OR withdrawn_at IS NOT NULL", name="pseudo_only_in_pool"
        ),
        CheckConstraint(
            "question_role IN ('gold', 'pool') OR train_weight = 0 OR withdrawn_at IS NOT NULL",
            name="held_out_never_teaches",
        ),
        CheckConstraint(
            "kind <> 'pseudo' OR NOT released OR (confidence IS NOT NULL AND threshold IS NOT NULL "
            "AND calibrator_id IS NOT NULL AND confidence >= threshold)",
            name="released_by_a_rule",
        ),
        CheckConstraint("kind <> 'human' OR NOT no_answer OR passages IS NOT NULL", name="no_answer_says_where"),
        CheckConstraint("kind <> 'pseudo' OR NOT no_answer", name="pseudo_has_an_answer"),
        CheckConstraint(
            "kind <> 'pseudo' OR (round_number IS NOT NULL AND model_id IS NOT NULL)", name="pseudo_is_traceable"
        ),
        CheckConstraint("kind <> 'gold' OR import_id IS NOT NULL OR origin = 'manual'", name="gold_is_traceable"),
        CheckConstraint("kind <> 'human' OR reviewer IS NOT NULL", name="human_has_a_reviewer"),
        CheckConstraint("(withdrawn_at IS NULL) = (withdrawal_reason IS NULL)", name="withdrawn_with_a_reason"),
        CheckConstraint("withdrawn_by IS NULL OR withdrawn_at IS NOT NULL", name="withdrawer_has_withdrawn"),
        Index(
            "one_live_label",
            "question_id",
            unique=True,
            sqlite_where=sql("withdrawn_at IS NULL"),
            postgresql_where=sql("withdrawn_at IS NULL"),
        ),
    )


class LabelAnswer(Base):
    __tablename__ = "label_answers"
    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)  # from 0, in the file's order
    text: Mapped[str] = mapped_column(Text)
    passage_id: Mapped[str] = mapped_column(ForeignKey("passages.id"), index=True)
    start: Mapped[int]
    end: Mapped[int]

    __table_args__ = (CheckConstraint('0 <= start AND start < "end" AND length(text) = "end" - start', name="span"),)


class Release(Base):
    """An immutable snapshot of the pseudo-labels that a round released."""

    __tablename__ = "releases"
    id: Mapped[int] = mapped_column(primary_key=True)
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"), index=True)
    rule: Mapped[dict[str, Any]]
    count: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))  # of its rows in question order
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class ReleaseRow(Base):
    __tablename__ = "release_rows"
    release_id: Mapped[int] = mapped_column(ForeignKey("releases.id"), primary_key=True)
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id"), primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id"))
    text: Mapped[str] = mapped_column(Text)
    passage_id: Mapped[str] = mapped_column(ForeignKey("passages.id"))
    start: Mapped[int]
    end: Mapped[int]
    confidence: Mapped[float]


class Event(Base):
    """The append-only journal: imports, splits, stages, gates, reverts, corrections by hand."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utc_now)
    kind: Mapped[str] = mapped_column(String(32))
    round_number: Mapped[int | None] = mapped_column(ForeignKey("rounds.number"), index=True)
    question_id: Mapped[str | None] = mapped_column(ForeignKey("questions.id"), index=True)
    label_id: Mapped[int | None] = mapped_column(ForeignKey("labels.id"))
    detail: Mapped[dict[str, Any]]
