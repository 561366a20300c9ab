"""The frozen rows that go into and come out of the database. `New…` goes in, `…Row` comes out.

Offsets are Python code points into the stored passage, end exclusive. Rates and confidences are 0-1.
JSON columns appear as mappings and lists of plain JSON values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]


# --- the world: documents, passages, questions ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpanRow:
    """`text == passage[start:end]` of the passage named."""

    text: str
    passage_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DocumentRow:
    id: str
    title: str


@dataclass(frozen=True, slots=True)
class PassageRow:
    id: str
    document_id: str
    position: int  # in its document, from 0
    text: str
    title: str = ""  # of its document; not read by writes


@dataclass(frozen=True, slots=True)
class QuestionRow:
    id: str
    text: str
    normalized: str  # hash of the normalised text
    role: str
    imported_role: str  # as the file said, before anything was held out
    split_group: str
    context_id: str | None = None
    is_impossible: bool | None = None
    duplicate_of: str | None = None
    exclusion_reason: str | None = None  # why no model labels it again; not read by writes
    active: bool = True  # not read by writes: what an import brings is active


# --- labels --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewLabel:
    """A label to store. Its kind, origin, round and parent are the store's to say."""

    question_id: str
    answers: tuple[SpanRow, ...]  # in file order; empty only with no_answer
    no_answer: bool = False
    passages: tuple[str, ...] | None = None  # ids shown with a no_answer
    train_weight: float = 1.0
    released: bool = True
    reviewer: str | None = None  # required of a human label
    review_id: int | None = None
    model_id: int | None = None  # required of a pseudo-label
    index_fingerprint: str | None = None
    calibrator_id: int | None = None
    confidence: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class LabelRow:
    id: int
    question_id: str
    question_role: str
    kind: str  # gold, human, pseudo
    answers: tuple[SpanRow, ...]
    no_answer: bool
    passages: tuple[str, ...] | None
    train_weight: float
    released: bool
    origin: str  # import, spare, review, round, manual, restored
    import_id: int | None
    round_number: int | None  # where the answer came from
    written_by: int | None  # the round that wrote this row
    review_id: int | None
    model_id: int | None
    index_fingerprint: str | None
    calibrator_id: int | None
    confidence: float | None
    threshold: float | None
    reviewer: str | None
    parent_id: int | None
    created_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: int | None  # round; None when by hand or by undoing an import
    withdrawal_reason: str | None

    @property
    def live(self) -> bool:
        return self.withdrawn_at is None


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question with its live label; `document_id` is that of its context, else of its first answer."""

    question: QuestionRow
    label: LabelRow
    document_id: str | None


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A label that may teach or leave. `passages` are its answers', or for a no_answer those that were shown."""

    question: QuestionRow
    label: LabelRow
    weight: float
    passages: Mapping[str, PassageRow]


@dataclass(frozen=True, slots=True)
class HiddenRow:
    """A labelled pool's question with its golds in file order, none if its file called it impossible."""

    question_id: str
    is_impossible: bool
    answers: tuple[SpanRow, ...]


# --- imports -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewImport:
    """All that one file or folder brings, in one piece."""

    path: str
    sha256: str  # of the content read and of the options
    role: str  # corpus, a question role, or "split"
    format: str
    options: Json
    counts: Json  # passages, questions, labels, duplicates, rejected: as reported to the user
    documents: tuple[DocumentRow, ...] = ()
    passages: tuple[PassageRow, ...] = ()
    questions: tuple[QuestionRow, ...] = ()
    labels: tuple[NewLabel, ...] = ()  # gold
    hidden: tuple[HiddenRow, ...] = ()  # of pool questions, kept aside


@dataclass(frozen=True, slots=True)
class ImportRow:
    id: int
    path: str
    sha256: str
    role: str
    format: str
    options: Json
    counts: Json
    created_at: datetime
    undone_at: datetime | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import really added: rows that were not there, or were inactive."""

    import_id: int
    passages: int
    questions: int
    labels: int  # live ones; a question that already has a live label keeps it


@dataclass(frozen=True, slots=True)
class Undone:
    """What undoing an import took away."""

    import_id: int
    passages: int  # now inactive
    questions: int  # now inactive
    labels: int  # gold labels withdrawn
    restored: int  # gold labels of another import of the same question, live instead
    hidden: int  # questions whose hidden answers were removed


# --- rounds --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoundRow:
    number: int
    uid: str  # random, for the names of folders
    kind: str
    stage: str
    is_open: bool
    config: Json
    seed: int
    code_version: str
    teacher_id: int | None
    student_id: int | None
    index_fingerprint: str | None
    calibrator_id: int | None
    release: Json | None
    gate: Json | None
    promoted: bool | None
    reviewer: str | None
    opened_at: datetime
    closed_at: datetime | None
    reverted_at: datetime | None


@dataclass(frozen=True, slots=True)
class ModelRow:
    id: int
    round_number: int
    name: str  # within its round
    hash: str
    training_sha256: str
    path: str  # relative to the workspace
    start: str
    config: Json
    examples: int
    seconds: float
    loss: float | None
    created_at: datetime
    pruned_at: datetime | None


@dataclass(frozen=True, slots=True)
class RetrieverRow:
    id: int
    round_number: int
    hash: str
    training_sha256: str
    path: str  # relative to the workspace
    start: str
    config: Json
    examples: int
    seconds: float
    loss: float | None
    encoder_before: str | None
    index_before: str | None
    index_after: str | None
    gate: Json | None
    promoted: bool | None  # None until judged
    created_at: datetime
    pruned_at: datetime | None


@dataclass(frozen=True, slots=True)
class CalibratorRow:
    id: int
    hash: str
    kind: str
    state: Json
    metrics: Json
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    id: int
    model_id: int
    split: str
    key: str
    summary: Json
    results: tuple[Any, ...]  # [question id, document id, exact match, F1]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """An immutable released snapshot; `sha256` is that of its rows in question order."""

    id: int
    round_number: int
    rule: Json
    count: int
    sha256: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ReleasedAnswer:
    """One row of a released snapshot."""

    question_id: str
    label_id: int
    answer: SpanRow
    confidence: float


# --- predictions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A candidate of a prediction's n-best."""

    text: str
    passage_id: str
    start: int
    end: int
    score: float  # mass of the answer's merged spans
    probability: float  # of its best single span


@dataclass(frozen=True, slots=True)
class NewPrediction:
    question_id: str
    answers: tuple[AnswerRow, ...]  # best first; empty when no passage was found
    score: float | None  # of the best answer; None without answers
    null_score: float | None
    hits: tuple[tuple[str, float], ...]  # (passage id, retrieval score) in rank order: what was read
    features: Json = field(default_factory=dict)
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class PredictionRow:
    id: int
    round_number: int
    question_id: str
    question_role: str  # when it was predicted: pool or calibration
    model_id: int
    index_fingerprint: str | None
    answers: tuple[AnswerRow, ...]
    score: float | None
    null_score: float | None
    confidence: float | None
    hits: tuple[tuple[str, float], ...]
    features: Json
    decision: str | None
    train_weight: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What selection decided for one predicted question; `train_weight` is None unless it is to teach."""

    question_id: str
    decision: str  # release, train, review, leave
    train_weight: float | None = None


# --- tasks and reviews ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewTask:
    question_id: str
    kind: str  # random, uncertain, suspect
    blind: bool  # no suggestion is shown
    position: int  # order of presentation, from 0
    passages: tuple[str, ...]  # ids of those shown, as retrieved
    attempt: int = 0  # above 0: asked again
    reviewers: int = 1  # people who are to answer it: 1 or 2


@dataclass(frozen=True, slots=True)
class TaskRow:
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


@dataclass(frozen=True, slots=True)
class NewReview:
    task_id: int
    reviewer: str
    verdict: str  # answerable, no_answer, bad_question, skipped
    answer: SpanRow | None = None  # required with answerable, else None
    origin: str | None = None  # accepted, changed, written
    seconds: float | None = None  # of the reviewer's time
    comment: str | None = None
    source: str | None = None  # simulated, studio, file, terminal


@dataclass(frozen=True, slots=True)
class FileReview:
    """A person's newest annotation of a task in a file; `review` is None where it cannot be read."""

    task_id: int
    reviewer: str
    numbered: bool  # the file knows the reviewer by a number alone
    unique_id: str  # of the annotation, in all servers
    remote_id: int  # of the annotation, on its server
    updated_at: datetime  # by the clock of that server
    review: NewReview | None


@dataclass(frozen=True, slots=True)
class ReviewRow:
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
    passages: tuple[str, ...]  # ids that its task showed
    created_at: datetime
    superseded_at: datetime | None  # an edit came later, or it was taken back
    deleted_at: datetime | None  # taken back by the reviewer
    recorded_in: int | None  # the round whose labelling considered it
    source: str | None  # simulated, studio, file, terminal


# --- Label Studio --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StudioProjectRow:
    """A project on a Label Studio server: one for each form of the page and number of reviewers."""

    id: int
    url: str  # of the server, without credentials
    uid: str  # in the project's description: how it is known again
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
    """A batch of tasks that was sent; finished once it is known which of them stand on the server, under which ids."""

    id: int
    push_id: str
    project_id: int
    round_number: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class StudioTaskRow:
    """A task as it stands in Label Studio."""

    id: int
    task_id: int
    project_id: int
    push_id: int
    remote_id: int | None
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class PulledAnnotation:
    """An annotation as pulled: what its reviewer says, or why that cannot be told (`problem`)."""

    remote_id: int
    updated_at: str  # as the server said it
    reviewer: str
    result: tuple[Any, ...]  # as the server sent it
    review: NewReview | None  # None exactly where there is a problem
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StudioAnnotationRow:
    """An annotation as last pulled; `review_id`: the review that was made of it."""

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
    """What bringing tasks' annotations into the database changed."""

    new: int = 0  # reviews that were not there
    edited: int = 0  # reviews that replaced one of the same reviewer
    deleted: int = 0  # reviews taken back: their annotation is gone, or cannot be read any more
    skipped: int = 0  # of the new and edited ones
    labels: int = 0  # of the new and edited ones: an answer, or that there is none
    problems: int = 0  # annotations that became unreadable, or changed and stayed so


# --- results of writes, counts, history ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """What `store.record_labels` did."""

    withdrawn: int  # earlier labels, of any kind
    human: int
    pseudo: int
    skipped: int  # pseudo-labels not written: a gold or human label, an excluded question, a guarded passage


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What refusing or reverting did: labels withdrawn, and earlier labels live again."""

    labels: int
    restored: int
    rounds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `store.prune` removed: prediction rows, and models and retrievers whose folders may now be deleted."""

    predictions: int
    models: tuple[ModelRow, ...]
    retrievers: tuple[RetrieverRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Where everything stands, active rows only. Every kind, role and state is present, also with 0."""

    documents: int
    passages: int
    questions: Mapping[str, int]  # by role
    labels: Mapping[str, int]  # live, by kind
    labels_by_role: Mapping[str, int]  # live, by the question's role
    tasks: Mapping[str, int]  # by state, over rounds that are not reverted
    rounds: int  # not reverted
    models: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """One thing that happened, from whatever table: `kind` names it, `detail` holds its full provenance."""

    at: datetime
    kind: str
    round_number: int | None
    question_id: str | None
    detail: Json


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The database's revision (None: no tables yet) and this version's."""

    revision: str | None
    head: str


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A known normalised question: what an import may not contradict."""

    normalized: str
    role: str
    imported_role: str
    split_group: str
    question_id: str  # the canonical one, or the lowest id
    active: bool
