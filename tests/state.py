"""The lasting state of a workspace in comparable form: no timestamps, no surrogate keys, no random names."""

from __future__ import annotations

from typing import Any

from db import certificates, queries
from db.engine import Session
from db.rows import CertificateRow, LabelRow, SpanRow


def state(session: Session) -> dict[str, Any]:
    """Labels, tasks, reviews, predictions, certificates, rounds and model hashes, as plain values."""
    rounds = queries.rounds(session)
    return {
        "rounds": [[row.number, row.kind, row.stage, row.promoted, row.release, row.gate] for row in rounds],
        "models": [[row.round_number, row.hash, row.training_sha256, row.examples] for row in queries.models(session)],
        "retrievers": [
            [
                *(row.round_number, row.hash, row.training_sha256, row.start, row.examples, row.loss),
                *(row.index_before, row.index_after, row.gate, row.promoted),
            ]
            for row in queries.retrievers(session)
        ],
        "index": queries.get_meta(session, "index"),
        "labels": sorted(label(row) for row in queries.labels(session)),
        "tasks": [
            [task.round_number, task.position, task.question_id, task.kind, task.blind, task.passages, task.state]
            for task in queries.tasks(session)
        ],
        "reviews": sorted(
            [
                row.round_number,
                row.question_id,
                row.reviewer,
                row.verdict,
                span(row.answer),
                str(row.origin),
                row.seconds or 0,
            ]
            for row in queries.reviews(session)
        ),
        "predictions": [
            [row.round_number, row.question_id, row.score, row.confidence, row.decision, row.train_weight]
            + [[span(answer), answer.score] for answer in row.answers]
            for number in (row.number for row in rounds)
            for row in queries.predictions(session, number)
        ],
        "labellers": [
            [row.name, row.kind, row.config, each.question_id, each.abstains, each.null_score]
            + [[one.text, one.passage_id, one.start, one.end, one.score, one.fault] for one in each.answers]
            for row in queries.labellers(session)
            for each in queries.labeller_predictions(session, row.id)
        ],
        "replies": _replies(session),
        "certificates": [_certificate(session, row) for row in certificates.certificates(session)],
        "taught": [
            [row.number, each.question.id, each.label.kind, each.weight]
            for row in rounds
            for each in queries.training_rows(session, row.number)
        ],
    }


def _replies(session: Session) -> list[list[Any]]:
    """What language models have been asked, by labeller."""
    counts = queries.labeller_counts(session)
    return [[row.name, row.requests, row.prompt_tokens, row.completion_tokens, row.cost] for row in counts]


def _certificate(session: Session, row: CertificateRow) -> list[Any]:
    """A certificate without its name and times, and its ranking with what the audit found."""
    document = {name: value for name, value in (row.document or {}).items() if name not in ("id", "made_at", "sha256")}
    items = [
        [item.rank, item.question_id, span(item.answer), item.confidence, item.drawn, item.outcome]
        for item in certificates.items(session, row.id)
    ]
    return [row.round_number, row.request, row.plan, row.seed, document, items, row.withdrawal_reason]


def label(row: LabelRow) -> list[Any]:
    """A label without its keys and times."""
    return [
        row.question_id,
        row.question_role,
        row.kind,
        row.origin,
        row.round_number if row.round_number is not None else -1,
        row.written_by if row.written_by is not None else -1,
        row.live,
        row.withdrawn_by if row.withdrawn_by is not None else -1,
        str(row.withdrawal_reason),
        row.train_weight,
        row.released,
        row.confidence or 0,
        str(row.reviewer),
        row.no_answer,
        [span(answer) for answer in row.answers],
    ]


def span(answer: SpanRow | Any | None) -> list[Any]:
    """A span as a list; empty where there is none."""
    return [] if answer is None else [answer.text, answer.passage_id, answer.start, answer.end]
