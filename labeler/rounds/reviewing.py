"""predicted -> in_review -> reviewed: what is asked, who answers, and when the answers are in."""

from __future__ import annotations

import numpy as np

from db import queries, store
from db.rows import Decision, NewTask, PredictionRow, QuestionRow, RoundRow
from labeler.desk import Desk, with_settings
from labeler.rounds import simulated
from labeler.select import Candidate, Plan, SelectConfig, plan


def ask(desk: Desk, row: RoundRow) -> RoundRow:
    """The round at `in_review`: each pool question decided upon, the tasks laid out, in one transaction."""
    with desk.database.read() as session:
        guarded = queries.guarded_passages(session)
        pool = {entry.id: entry for entry in queries.pool_to_predict(session)}
        candidates = [
            _candidate(pool[entry.question_id], entry, guarded)
            for entry in queries.iter_predictions(session, row.number)
            if entry.question_id in pool
        ]
    chosen = plan(
        candidates,
        _budget(desk, row),
        release_threshold=(row.release or {}).get("threshold"),
        seed=row.seed,
        round_number=row.number,
    )
    with desk.database.read() as session:
        asked = [task.question_id for task in chosen.tasks]
        predictions = queries.predictions(session, row.number, question_ids=asked)
        shown = {entry.question_id: tuple(passage for passage, _ in entry.hits) for entry in predictions}
    with desk.database.write() as session:
        store.set_decisions(
            session,
            row.number,
            [Decision(each.question_id, each.decision, each.train_weight) for each in chosen.choices],
        )
        store.add_tasks(session, row.number, _tasks(chosen, shown))
        store.add_event(session, "asked", detail={"tasks": len(chosen.tasks)}, round_number=row.number)
        return store.advance(session, row.number, "predicted", "in_review")


def ask_at_random(desk: Desk, row: RoundRow) -> RoundRow:
    """The cold round at `in_review`: with no reader to go by, a random sample of the pool is asked blind."""
    rng = np.random.default_rng(row.seed)
    with desk.database.read() as session:
        pool = queries.pool_to_predict(session)
    count = min(desk.config.review.review_budget, len(pool))
    picked = [pool[place] for place in rng.permutation(len(pool))[:count]]
    shown = _retrieved(desk, row, picked)
    tasks = [
        NewTask(entry.id, "random", blind=True, position=place, passages=shown[entry.id])
        for place, entry in enumerate(picked)
    ]
    with desk.database.write() as session:
        store.add_tasks(session, row.number, tasks)
        return store.advance(session, row.number, "open", "in_review")


def review(desk: Desk, row: RoundRow) -> RoundRow:
    """The round at `reviewed` once no task is open; else where it was, for people to go on with."""
    if row.reviewer == "simulated":
        simulated.answer_tasks(desk, row)
    with desk.database.write() as session:
        if row.reviewer == "none":
            store.withdraw_tasks(session, row.number)
        if queries.tasks(session, round_number=row.number, states=["open"]):
            return row
        return store.advance(session, row.number, "in_review", "reviewed")


def waiting_for(desk: Desk, row: RoundRow) -> str:
    """What a round that did not move waits for, in words."""
    with desk.database.read() as session:
        count = len(queries.tasks(session, round_number=row.number, states=["open"]))
    return f"{count} reviews"


def check_reviewer(desk: Desk, reviewer: str) -> None:
    """Raises NotReady where this reviewer could not answer."""
    if reviewer == simulated.NAME:
        simulated.check_answers(desk)


def change_reviewer(desk: Desk, row: RoundRow, reviewer: str) -> RoundRow:
    """The round with another reviewer for the tasks still to be answered. Raises NotReady, see `check_reviewer`."""
    check_reviewer(desk, reviewer)
    with desk.database.write() as session:
        store.add_event(
            session, "reviewer_changed", detail={"before": row.reviewer, "after": reviewer}, round_number=row.number
        )
        return store.advance(session, row.number, row.stage, row.stage, reviewer=reviewer)


def _budget(desk: Desk, row: RoundRow) -> SelectConfig:
    """The selection settings; nobody to ask means nothing to ask."""
    if row.reviewer == "none":
        return with_settings(desk.config, review={"review_budget": 0}).review
    return desk.config.review


def _candidate(question: QuestionRow, entry: PredictionRow, guarded: set[str]) -> Candidate:
    if not entry.answers:
        return Candidate(question.id, question.text, question.unit)
    best = entry.answers[0]
    return Candidate(
        question.id,
        question.text,
        question.unit,
        answer=best.text,
        passage_id=best.passage_id,
        score=entry.score,
        confidence=entry.confidence,
        guarded=best.passage_id in guarded,
        passage_rank=int(entry.features["passage_rank"]),
        margin=entry.features["margin"],
        support=int(entry.features["support"]),
    )


def _tasks(chosen: Plan, shown: dict[str, tuple[str, ...]]) -> list[NewTask]:
    return [
        NewTask(task.question_id, task.kind, task.blind, position, shown[task.question_id])
        for position, task in enumerate(chosen.tasks)
    ]


def _retrieved(desk: Desk, row: RoundRow, questions: list[QuestionRow]) -> dict[str, tuple[str, ...]]:
    """Question id -> ids of the passages to show."""
    if row.index_fingerprint is None:
        return {entry.id: (entry.context_id,) if entry.context_id else () for entry in questions}
    found = desk.index(row.index_fingerprint).retrieve([entry.text for entry in questions], desk.config.read.top_k)
    return {entry.id: tuple(hit.passage_id for hit in hits) for entry, hits in zip(questions, found, strict=True)}
