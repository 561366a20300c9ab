"""The population of a certificate, its ranking by confidence, and what earlier answers suggest about its precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import numpy as np

from db import queries
from db.engine import Session
from db.rows import CertificateItem, LabelledQuestion, PredictionRow, SpanRow
from labeler.certificates.document import ids_sha256, ranking_sha256
from labeler.certify.request import Attempt
from labeler.review.agreement import AnswerMatcher
from labeler.review.judgement import same_text
from labeler.rounds.adjudication import consensus_of_round
from labeler.rounds.steps import predicting
from labeler.rounds.steps.calibrating import is_correct
from mrc.calibration.audit_plan import choose_sets, precision_curves
from mrc.calibration.certification import nested_sizes
from mrc.calibration.looks import LOOKS, Look, planned_looks
from mrc.calibration.selective import Bools, Floats


@dataclass(frozen=True, slots=True)
class Ranking:
    """The predictions of a round that may be certified, most confident first."""

    round_number: int
    population: Sequence[str]  # ids of the questions without a gold or human label, ranked or not
    items: Sequence[CertificateItem]
    left_out: Mapping[str, int]  # why questions are not ranked
    evidence: Floats  # confidences of judged answers
    right: Bools  # whether these are right


def ranking(session: Session, round_number: int, matcher: AnswerMatcher) -> Ranking:
    """The ranking by the stored predictions of a round.

    Not ranked are questions without a predicted answer, and answers in passages of held-out questions or of undone
    imports: they never leave. Equal confidences are ranked by score, then by question id.
    """
    population = [question.id for question in queries.pool_to_predict(session)]
    barred = queries.held_out_passages(session) | queries.inactive_passages(session)
    left_out: Counter[str] = Counter()
    rows = []
    known = set(population)
    for entry in queries.iter_predictions(session, round_number):
        if entry.question_id not in known:
            continue
        known.discard(entry.question_id)
        if not entry.answers:
            left_out["no answer was predicted"] += 1
        elif entry.answers[0].passage_id in barred:
            left_out["answers in passages of held-out questions"] += 1
        else:
            rows.append(entry)
    if known:
        left_out["questions that were not predicted"] = len(known)
    rows.sort(key=lambda row: (-_or_lowest(row.confidence), -_or_lowest(row.score), row.question_id))
    evidence = _evidence(session, round_number, matcher)
    return Ranking(
        round_number,
        population,
        [_item(rank, row) for rank, row in enumerate(rows)],
        dict(left_out),
        np.array([confidence for confidence, _ in evidence], dtype=np.float64),
        np.array([right for _, right in evidence], dtype=np.bool_),
    )


def _or_lowest(value: float | None) -> float:
    return -inf if value is None else value


def _item(rank: int, entry: PredictionRow) -> CertificateItem:
    best = entry.answers[0]
    span = SpanRow(best.text, best.passage_id, best.start, best.end)
    return CertificateItem(rank, entry.question_id, span, entry.score, entry.confidence)


def _evidence(session: Session, round_number: int, matcher: AnswerMatcher) -> list[tuple[float, bool]]:
    """Confidence and correctness of answers that the calibrator had not seen: to labelled and blindly reviewed ones."""
    golds = {
        entry.question.id: entry
        for entry in _calibrating(session, round_number)
        if entry.label.gold_texts or entry.question.is_impossible
    }
    blind = {task.id for task in queries.tasks(session, round_number=round_number) if task.kind == "random"}
    reviewed = {
        row.question_id: row for row in consensus_of_round(session, round_number, matcher) if row.task_id in blind
    }
    found = []
    for entry in queries.predictions(session, round_number, question_ids=[*golds, *reviewed]):
        if entry.confidence is None or not entry.answers:
            continue
        best = entry.answers[0]
        if entry.question_id in golds:
            right = is_correct(entry, golds[entry.question_id], matcher.metric)
        else:
            span = SpanRow(best.text, best.passage_id, best.start, best.end)
            right = same_text(reviewed[entry.question_id], span, matcher)
        found.append((entry.confidence, right))
    return found


def _calibrating(session: Session, round_number: int) -> list[LabelledQuestion]:
    """The labelled questions that the round's readers had not seen."""
    return predicting.calibrating(session, queries.round_(session, round_number))


@dataclass(frozen=True, slots=True)
class Plan:
    """The nested sets of a certificate and the order of their tests, and what to expect of them."""

    sizes: tuple[int, ...]
    coverage: float  # of the largest set
    start: int  # number of the set that is tested first, from 1; 0 without sets
    audits: int  # questions drawn from the largest set
    precisions: tuple[float | None, ...]  # expected, of each set
    expected: int | None  # certified answers, in at least half of all draws; None where nothing is known
    enough: int  # certified answers with which an audit with looks ends: a quarter of all draws have so many
    looks: tuple[Look, ...]


def plan(found: Ranking, attempt: Attempt) -> Plan:
    """The plan of an attempt: every number follows from the ranking and the evidence, before anything is drawn."""
    population = len(found.population)
    every = nested_sizes(population, ranked=len(found.items), coverage=1.0)
    if not every:
        return Plan((), 0.0, 0, 0, (), 0, 0, ())
    curves = precision_curves(every, [item.confidence for item in found.items], found.evidence, found.right)
    chosen = choose_sets(every, curves, audits=attempt.audits, target=attempt.target, delta=attempt.delta)
    sizes = every[: chosen.last + 1]
    audits = min(attempt.audits, sizes[-1])
    return Plan(
        sizes,
        sizes[-1] / population,
        chosen.start + 1,
        audits,
        curves.mean[: len(sizes)] if curves is not None else (None,) * len(sizes),
        chosen.expected,
        chosen.hoped or sizes[-1],
        planned_looks(audits, delta=attempt.delta, count=LOOKS if attempt.looks else 1),
    )


def frozen(found: Ranking, planned: Plan, attempt: Attempt) -> dict[str, Any]:
    """What is fixed before the draw, as the certificate says it."""
    return {
        "target": attempt.target,
        "delta": attempt.delta,
        "delta_shared": attempt.delta_shared,
        "attempts": attempt.attempts,
        "attempt": attempt.attempt,
        "population": len(found.population),
        "population_sha256": ids_sha256(found.population),
        "ranked": len(found.items),
        "not_ranked": dict(found.left_out),
        "ranking_sha256": ranking_sha256(found.items),
        "predictions_of_round": found.round_number,
        "sizes": list(planned.sizes),
        "largest_coverage": planned.coverage,
        "start": planned.start,
        "expected_precision": list(planned.precisions),
        "audits": planned.audits,
        "looks": [asdict(look) for look in planned.looks],
        "enough": planned.enough,
    }
