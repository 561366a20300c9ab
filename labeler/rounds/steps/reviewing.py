"""predicted -> in_review -> reviewed: selection of questions, their tasks, and the end of the review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from db import queries, store
from db.rows import Decision, NewTask, PredictionRow, QuestionRow, RoundRow
from db.vocabulary import CONTROL
from labeler.core.round_settings import LLM, SelectConfig
from labeler.core.runtime import Runtime, with_settings
from labeler.review import suspects
from labeler.review.agreement import matcher_of
from labeler.review.follow_up import resolve
from labeler.rounds import simulated_reviewer
from labeler.rounds.adjudication import adjudicate
from labeler.rounds.select import Plan, doubly_annotated, plan, shown_blind
from labeler.rounds.steps import human_review, model_review
from labeler.rounds.strategies import Candidate

Pages = Mapping[str, tuple[str, ...]]  # question id -> ids of the passages that its reviewer sees


def select(runtime: Runtime, row: RoundRow) -> RoundRow:
    """Decide what happens to each pool question, add the tasks, and advance the round to `in_review`.

    Late reviews are fetched first, so that questions they decide are not asked again.
    """
    chosen = plan(
        _candidates(runtime, row),
        _selection_config(runtime, row),
        seed=row.seed,
        round_number=row.number,
    )
    decisions = [Decision(each.question_id, each.decision, each.train_weight) for each in chosen.choices]
    planned = _with_controls(runtime, row, _tasks(chosen, _pages(runtime, row, chosen)))
    tasks = _with_double_annotation(runtime, row, planned)
    again = _suspects(runtime, row, position=len(tasks))
    with runtime.database.write() as session:
        store.set_decisions(session, row.number, decisions)
        store.add_tasks(session, row.number, [*tasks, *again])
        if again:
            suspects.take_queue(session)
        detail = {"tasks": len(chosen.tasks)} | ({"suspect_labels": len(again)} if again else {})
        store.add_event(session, "selected", detail=detail, round_number=row.number)
        return store.advance(session, row.number, "predicted", "in_review")


def _suspects(runtime: Runtime, row: RoundRow, *, position: int) -> list[NewTask]:
    """Blind tasks for the labels that were queued to be reviewed again; without a reviewer they wait."""
    with runtime.database.read() as session:
        ids = suspects.queued(session) if row.reviewer != "none" else []
        if not ids:
            return []
        live = queries.live_labels(session, kinds=["gold", "human"], question_ids=ids)
        labels = {label.question_id: label for label in live if label.answers}
        questions = queries.questions(session, ids=labels, duplicates=False)
    pages = _retrieved(runtime, row, questions)
    kept = {entry.id: labels[entry.id] for entry in questions}
    return suspects.review_tasks(ids, kept, pages, places=runtime.config.review.passages, position=position)


def select_at_random(runtime: Runtime, row: RoundRow) -> RoundRow:
    """Add blind tasks for a random sample of the pool: a cold round has no reader to select by."""
    rng = np.random.default_rng(row.seed)
    pool = _undecided(runtime, row)
    count = min(runtime.config.review.review_budget, len(pool))
    sample = [pool[place] for place in rng.permutation(len(pool))[:count]]
    pages = _retrieved(runtime, row, sample)
    tasks = [
        NewTask(entry.id, "random", blind=True, position=place, passages=pages[entry.id])
        for place, entry in enumerate(sample)
    ]
    with runtime.database.write() as session:
        store.add_tasks(session, row.number, _with_double_annotation(runtime, row, tasks))
        return store.advance(session, row.number, "open", "in_review")


def review(runtime: Runtime, row: RoundRow) -> RoundRow:
    """Exchange tasks and reviews; advance the round to `reviewed` once no task is open, else return it as it is.

    A conflict without an open adjudication task does not hold up the round: its question gets no label. A language
    model answers first, and the round goes on with the reviewer of what it leaves.
    """
    if row.reviewer == LLM:
        row = model_review.answer(runtime, row)
    if row.reviewer == human_review.STUDIO:
        human_review.exchange(runtime, row)
    resolve(runtime, row.number)
    if row.reviewer == simulated_reviewer.NAME:
        while _has_open_tasks(runtime, row):
            simulated_reviewer.answer_tasks(runtime, row)
            resolve(runtime, row.number)
    if row.reviewer == human_review.STUDIO and not _has_open_tasks(runtime, row):
        human_review.fetch(runtime, everything=True)  # the server's clock may hide a change: compare all tasks once
        resolve(runtime, row.number)
        if _has_open_tasks(runtime, row):
            human_review.exchange(runtime, row)  # send the tasks that are open again
    with runtime.database.write() as session:
        if row.reviewer == "none":
            store.withdraw_tasks(session, row.number)
        if queries.tasks(session, round_number=row.number, states=["open"]):
            return row
        return store.advance(session, row.number, "in_review", "reviewed")


def _has_open_tasks(runtime: Runtime, row: RoundRow) -> bool:
    with runtime.database.read() as session:
        return bool(queries.tasks(session, round_number=row.number, states=["open"]))


def check_reviewer(runtime: Runtime, reviewer: str) -> None:
    """Check that this reviewer can answer.

    Raises NotReady; ServerDown, BadKey for Label Studio; ConfigError, MissingExtra for a language model.
    """
    if reviewer == LLM:
        model_review.check(runtime.config.llm)
        check_reviewer(runtime, runtime.config.llm.then)
    elif reviewer == simulated_reviewer.NAME:
        simulated_reviewer.check_answers(runtime)
    elif reviewer == human_review.STUDIO:
        human_review.check(runtime)


def change_reviewer(runtime: Runtime, row: RoundRow, reviewer: str) -> RoundRow:
    """Set another reviewer for the remaining tasks of a round. Raises as `check_reviewer` does.

    A language model that has answered already stays as it is: people review what it left.
    """
    if reviewer == LLM and model_review.is_done(runtime, row):
        return row
    check_reviewer(runtime, reviewer)
    with runtime.database.write() as session:
        detail = {"before": row.reviewer, "after": reviewer}
        store.add_event(session, "reviewer_changed", detail=detail, round_number=row.number)
        return store.advance(session, row.number, row.stage, row.stage, reviewer=reviewer)


def page(entry: PredictionRow, *, places: int) -> tuple[str, ...]:
    """The ids of the first `places` passages retrieved for a question.

    The passage of the best answer is always among them: a lower-ranked one takes the last place, since nobody can
    judge an answer without its passage.
    """
    hits = [passage for passage, _ in entry.hits]
    shown = hits[:places]
    if entry.answers and entry.answers[0].passage_id in hits[places:]:
        shown[-1] = entry.answers[0].passage_id
    return tuple(shown)


def _selection_config(runtime: Runtime, row: RoundRow) -> SelectConfig:
    """The selection settings; without a reviewer the budget is 0."""
    if row.reviewer == "none":
        return with_settings(runtime.config, review={"review_budget": 0}).review
    return runtime.config.review


def _candidates(runtime: Runtime, row: RoundRow) -> list[Candidate]:
    """The predicted pool questions that no review has decided."""
    pool = {entry.id: entry for entry in _undecided(runtime, row)}
    with runtime.database.read() as session:
        held_out = queries.held_out_passages(session)
        sampled = queries.sampled_questions(session, row.number)
        return [
            replace(_candidate(pool[entry.question_id], entry, held_out), sampled=entry.question_id in sampled)
            for entry in queries.iter_predictions(session, row.number)
            if entry.question_id in pool
        ]


def _candidate(question: QuestionRow, entry: PredictionRow, held_out: set[str]) -> Candidate:
    if not entry.answers:
        return Candidate(question.id, question.text, question.split_group)
    best = entry.answers[0]
    return Candidate(
        question.id,
        question.text,
        question.split_group,
        answer=best.text,
        passage_id=best.passage_id,
        score=entry.score,
        confidence=entry.confidence,
        held_out=best.passage_id in held_out,
        passage_rank=int(entry.features["passage_rank"]),
        margin=entry.features["margin"],
        support=int(entry.features["support"]),
        features=dict(entry.features),
    )


def _undecided(runtime: Runtime, row: RoundRow) -> list[QuestionRow]:
    """The pool questions that no review has decided, in id order; reviews in Label Studio are fetched first."""
    if (runtime.config.llm.then if row.reviewer == LLM else row.reviewer) == human_review.STUDIO:
        human_review.fetch(runtime)
    with runtime.database.read() as session:
        decided = adjudicate(session, matcher_of(runtime)).decided
        return [entry for entry in queries.pool_to_predict(session) if entry.id not in decided]


def _pages(runtime: Runtime, row: RoundRow, chosen: Plan) -> Pages:
    places = runtime.config.review.passages
    with runtime.database.read() as session:
        ids = [task.question_id for task in chosen.tasks]
        predictions = queries.predictions(session, row.number, question_ids=ids)
        return {entry.question_id: page(entry, places=places) for entry in predictions}


def _tasks(chosen: Plan, pages: Pages) -> list[NewTask]:
    return [
        NewTask(task.question_id, task.kind, task.blind, position, pages[task.question_id])
        for position, task in enumerate(chosen.tasks)
    ]


def _with_controls(runtime: Runtime, row: RoundRow, tasks: Sequence[NewTask]) -> list[NewTask]:
    """The tasks, a share of those with a suggestion blind: they measure what showing it does to the answers."""
    suggested = [task.question_id for task in tasks if not task.blind]
    held_back = shown_blind(suggested, runtime.config.review.blind_share, seed=row.seed)
    return [replace(task, kind=CONTROL, blind=True) if task.question_id in held_back else task for task in tasks]


def _with_double_annotation(runtime: Runtime, row: RoundRow, tasks: Iterable[NewTask]) -> list[NewTask]:
    """The tasks, a share of them with two reviewers."""
    tasks = list(tasks)
    share = runtime.config.review.double_annotation
    double = doubly_annotated([task.question_id for task in tasks], share, seed=row.seed)
    return [replace(task, reviewers=2) if task.question_id in double else task for task in tasks]


def _retrieved(runtime: Runtime, row: RoundRow, questions: list[QuestionRow]) -> Pages:
    """The retrieved passages of each question; without an index the passage it came with."""
    if row.index_fingerprint is None:
        return {entry.id: (entry.context_id,) if entry.context_id else () for entry in questions}
    count = min(runtime.config.read.top_k, runtime.config.review.passages)
    found = runtime.index(row.index_fingerprint).retrieve([entry.text for entry in questions], count)
    return {entry.id: tuple(hit.passage_id for hit in hits) for entry, hits in zip(questions, found, strict=True)}
