"""predicted -> in_review -> reviewed: what is asked, who answers, and when the answers are in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from db import queries, store
from db.rows import Decision, NewTask, PredictionRow, QuestionRow, RoundRow
from labeler.core.round_settings import SelectConfig
from labeler.core.runtime import Runtime, with_settings
from labeler.review.agreement import matcher_of
from labeler.review.follow_up import resolve
from labeler.rounds import adjudication, simulated_reviewer
from labeler.rounds.select import Candidate, Plan, doubled, plan
from labeler.rounds.steps import human_review


def ask(runtime: Runtime, row: RoundRow) -> RoundRow:
    """The round at `in_review`: each pool question decided upon, the tasks laid out, in one transaction.

    Late reviews are fetched first: what they decide is not asked again.
    """
    pool = {entry.id: entry for entry in _undecided(runtime, row)}
    with runtime.database.read() as session:
        held_out = queries.held_out_passages(session)
        candidates = [
            _candidate(pool[entry.question_id], entry, held_out)
            for entry in queries.iter_predictions(session, row.number)
            if entry.question_id in pool
        ]
    chosen = plan(
        candidates,
        _budget(runtime, row),
        release_threshold=(row.release or {}).get("threshold"),
        seed=row.seed,
        round_number=row.number,
    )
    with runtime.database.read() as session:
        asked = [task.question_id for task in chosen.tasks]
        predictions = queries.predictions(session, row.number, question_ids=asked)
        places = runtime.config.review.passages
        pages = {entry.question_id: shown(entry, places=places) for entry in predictions}
    with runtime.database.write() as session:
        store.set_decisions(
            session,
            row.number,
            [Decision(each.question_id, each.decision, each.train_weight) for each in chosen.choices],
        )
        store.add_tasks(session, row.number, _for_two(runtime, row, _tasks(chosen, pages)))
        store.add_event(session, "asked", detail={"tasks": len(chosen.tasks)}, round_number=row.number)
        return store.advance(session, row.number, "predicted", "in_review")


def ask_at_random(runtime: Runtime, row: RoundRow) -> RoundRow:
    """The cold round at `in_review`: with no reader to go by, a random sample of the pool is asked blind."""
    rng = np.random.default_rng(row.seed)
    pool = _undecided(runtime, row)
    count = min(runtime.config.review.review_budget, len(pool))
    picked = [pool[place] for place in rng.permutation(len(pool))[:count]]
    found = _retrieved(runtime, row, picked)
    tasks = [
        NewTask(entry.id, "random", blind=True, position=place, passages=found[entry.id])
        for place, entry in enumerate(picked)
    ]
    with runtime.database.write() as session:
        store.add_tasks(session, row.number, _for_two(runtime, row, tasks))
        return store.advance(session, row.number, "open", "in_review")


def shown(entry: PredictionRow, *, places: int) -> tuple[str, ...]:
    """The passages of a question's page, as retrieved. That of the best answer is always among them: it takes the
    last place where it came later, for nobody can judge an answer whose passage is not there."""
    hits = [passage for passage, _ in entry.hits]
    page = hits[:places]
    if entry.answers and entry.answers[0].passage_id in hits[places:]:
        page[-1] = entry.answers[0].passage_id
    return tuple(page)


def review(runtime: Runtime, row: RoundRow) -> RoundRow:
    """The round at `reviewed` once no task is open; else where it was, for people to go on with.

    A conflict that nobody is asked about any more does not hold the round up: its question gets no label.
    """
    if row.reviewer == human_review.STUDIO:
        human_review.exchange(runtime, row)
    resolve(runtime, row.number)
    if row.reviewer == simulated_reviewer.NAME:
        while _open_tasks(runtime, row):
            simulated_reviewer.answer_tasks(runtime, row)
            resolve(runtime, row.number)
    if row.reviewer == human_review.STUDIO and not _open_tasks(runtime, row):
        human_review.fetch(runtime, everything=True)  # the last look: whatever its clock says, nothing is left behind
        resolve(runtime, row.number)
        if _open_tasks(runtime, row):
            human_review.exchange(runtime, row)  # what is to be asked again after all is sent at once
    with runtime.database.write() as session:
        if row.reviewer == "none":
            store.withdraw_tasks(session, row.number)
        if queries.tasks(session, round_number=row.number, states=["open"]):
            return row
        return store.advance(session, row.number, "in_review", "reviewed")


def _open_tasks(runtime: Runtime, row: RoundRow) -> bool:
    with runtime.database.read() as session:
        return bool(queries.tasks(session, round_number=row.number, states=["open"]))


def check_reviewer(runtime: Runtime, reviewer: str) -> None:
    """Raises NotReady where this reviewer could not answer."""
    if reviewer == simulated_reviewer.NAME:
        simulated_reviewer.check_answers(runtime)
    elif reviewer == human_review.STUDIO:
        human_review.check(runtime)


def change_reviewer(runtime: Runtime, row: RoundRow, reviewer: str) -> RoundRow:
    """The round with another reviewer for the tasks still to be answered. Raises NotReady, see `check_reviewer`."""
    check_reviewer(runtime, reviewer)
    with runtime.database.write() as session:
        store.add_event(
            session, "reviewer_changed", detail={"before": row.reviewer, "after": reviewer}, round_number=row.number
        )
        return store.advance(session, row.number, row.stage, row.stage, reviewer=reviewer)


def _budget(runtime: Runtime, row: RoundRow) -> SelectConfig:
    """The selection settings; nobody to ask means nothing to ask."""
    if row.reviewer == "none":
        return with_settings(runtime.config, review={"review_budget": 0}).review
    return runtime.config.review


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
    )


def _undecided(runtime: Runtime, row: RoundRow) -> list[QuestionRow]:
    """The pool's questions that no review, recorded or not, has decided; in id order."""
    if row.reviewer == human_review.STUDIO:
        human_review.fetch(runtime)
    matcher = matcher_of(runtime)
    with runtime.database.read() as session:
        decided = adjudication.gather(session, matcher).decided
        return [entry for entry in queries.pool_to_predict(session) if entry.id not in decided]


def _tasks(chosen: Plan, pages: dict[str, tuple[str, ...]]) -> list[NewTask]:
    return [
        NewTask(task.question_id, task.kind, task.blind, position, pages[task.question_id])
        for position, task in enumerate(chosen.tasks)
    ]


def _for_two(runtime: Runtime, row: RoundRow, tasks: list[NewTask]) -> list[NewTask]:
    """The tasks, a share of which two people answer."""
    ids = [task.question_id for task in tasks]
    double = doubled(ids, runtime.config.review.double_annotation, seed=row.seed)
    return [replace(task, reviewers=2) if task.question_id in double else task for task in tasks]


def _retrieved(runtime: Runtime, row: RoundRow, questions: list[QuestionRow]) -> dict[str, tuple[str, ...]]:
    """Question id -> ids of the passages to show."""
    if row.index_fingerprint is None:
        return {entry.id: (entry.context_id,) if entry.context_id else () for entry in questions}
    count = min(runtime.config.read.top_k, runtime.config.review.passages)
    found = runtime.index(row.index_fingerprint).retrieve([entry.text for entry in questions], count)
    return {entry.id: tuple(hit.passage_id for hit in hits) for entry, hits in zip(questions, found, strict=True)}
