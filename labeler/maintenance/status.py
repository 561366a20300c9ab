"""The state of a workspace, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db import certificates, queries
from db.engine import Session
from labeler.core.errors import NotReady
from labeler.core.runtime import INDEX_KEY, Runtime
from labeler.review.agreement import AnswerMatcher, matcher_of
from labeler.review.statistics import ProjectSummary, ReviewStatistics, project_url, review_statistics, studio_projects
from mrc.errors import MrcError, StaleIndex

if TYPE_CHECKING:
    from db.rows import Counts, LabellerCounts, RoundRow
    from labeler.certificates.standing import Standing
    from labeler.evaluation.standing_alarms import RoundAlarm


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """The reader that was last promoted."""

    round: int
    hash: str
    path: str  # relative to the workspace
    start: str  # the checkpoint that it was trained from


@dataclass(frozen=True, slots=True)
class RetrieverStatus:
    """The trained encoder of the current index."""

    round: int
    hash: str
    path: str  # relative to the workspace
    start: str  # the checkpoint that it was trained from


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a workspace; active rows and live labels only."""

    workspace: str
    database: str
    documents: int
    passages: int
    questions: Mapping[str, int]  # by role
    labels: Mapping[str, int]  # by kind
    labelled: Mapping[str, int]  # questions with a live label, by role
    round: int | None  # the newest that is not reverted
    kind: str | None
    stage: str | None
    tasks: Mapping[str, int]  # by state; conflict: questions whose conflict is not resolved
    reviews: ReviewStatistics
    studio: tuple[ProjectSummary, ...]  # projects in Label Studio
    index: str  # current, stale, missing, broken
    reader: ReaderStatus | None
    retriever: RetrieverStatus | None  # None where no round trained the encoder, or there is none
    alarms: tuple[RoundAlarm, ...]  # those in force
    labellers: tuple[LabellerCounts, ...]  # sources of answers from outside
    certificates: tuple[Standing, ...]  # and attempts at one, oldest first
    next: str  # what to do next, with the command


def status(runtime: Runtime) -> Status:
    """Return the state of the workspace."""
    with runtime.database.read() as session:
        counts = queries.counts(session)
        newest = queries.last_round(session)
        best = queries.best_model(session)
        open_pool = queries.has_pool_to_predict(session)
        reviews, studio = review_statistics(session, _matcher(session, runtime)), studio_projects(session)
        review = _review_step(session, newest) if newest else None
        raised = _alarms(session) if newest else ()
        certified = _standings(session) if certificates.certificates(session) else ()
        labellers = tuple(queries.labeller_counts(session))
    index = _index(runtime)
    return Status(
        workspace=str(runtime.workspace.folder),
        database=str(runtime.database),
        documents=counts.documents,
        passages=counts.passages,
        questions=counts.questions,
        labels=counts.labels,
        labelled=counts.labels_by_role,
        round=newest.number if newest else None,
        kind=newest.kind if newest else None,
        stage=newest.stage if newest else None,
        tasks={**counts.tasks, "conflict": len(reviews.conflicts)},
        reviews=reviews,
        studio=studio,
        index=index,
        reader=ReaderStatus(best.round_number, best.hash, best.path, best.start) if best else None,
        retriever=_retriever(runtime) if index in ("current", "stale") else None,
        alarms=raised,
        labellers=labellers,
        certificates=certified,
        next=review or next_step(counts, newest, index=index, given=runtime.given, open_pool=open_pool),
    )


def next_step(counts: Counts, newest: RoundRow | None, *, index: str, given: bool, open_pool: bool) -> str:
    """Return the command to run next. `open_pool`: some pool question has no gold or human label."""
    if not sum(counts.questions.values()):
        return "labeler import FILE --as gold" if counts.passages else "labeler import FILE --split gold=1000,pool=rest"
    if newest is not None and newest.is_open:
        return "labeler certify" if newest.kind == "audit" else "labeler round"
    if index != "current" and not given:
        return "labeler index"
    return "labeler round" if newest is None or open_pool else "labeler report"


def _alarms(session: Session) -> tuple[RoundAlarm, ...]:
    from labeler.evaluation.standing_alarms import standing_alarms

    return standing_alarms(session)


def _standings(session: Session) -> tuple[Standing, ...]:
    from labeler.certificates.standing import standings

    return tuple(standings(session))


def _matcher(session: Session, runtime: Runtime) -> AnswerMatcher:
    """What compares reviews; without any, one that need not know the language of the passages."""
    return matcher_of(runtime) if queries.has_reviews(session) else AnswerMatcher("squad", "en")


def _review_step(session: Session, row: RoundRow) -> str | None:
    """Return where to review the open tasks of a round; None if there are none for people to review."""
    tasks = {task.id: task.question_id for task in queries.tasks(session, round_number=row.number, states=["open"])}
    if row.stage != "in_review" or row.reviewer not in ("studio", "people") or not tasks:
        return None
    count = len(set(tasks.values()))
    review = f"review {count} question{'s' if count > 1 else ''}"
    then = "labeler certify" if row.kind == "audit" else "labeler round"
    if row.reviewer == "people":
        return f"{review} with labeler review, then {then}"
    sent = {placement.project_id for placement in queries.studio_tasks_of(session, tasks)}
    urls = [project_url(project) for project in queries.projects(session) if project.id in sent]
    if not urls:
        return f"labeler push, then {review} in Label Studio"
    return f"{review} at {' and '.join(urls)}, then {then}"


def _index(runtime: Runtime) -> str:
    try:
        runtime.check_index(runtime.current_index())
    except NotReady:
        return "missing"
    except StaleIndex:
        return "stale"
    except MrcError:
        return "broken"
    return "current"


def _retriever(runtime: Runtime) -> RetrieverStatus | None:
    from mrc.retrieve.storage.meta import read_meta

    with runtime.database.read() as session:
        fingerprint = queries.get_meta(session, INDEX_KEY)
    dense = read_meta(runtime.index_folder(fingerprint)).dense if fingerprint else None
    found = runtime.retriever_of(dense["encoding"]["checkpoint"]) if dense else None
    return RetrieverStatus(found.round_number, found.hash, found.path, found.start) if found else None
