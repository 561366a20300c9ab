"""Reads a database into a `Report`. Answers of the pool are asked for by `pseudo_precision` alone, which counts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from db import queries
from db.engine import Session
from db.rows import EvaluationRow, ReviewRow, RoundRow
from db.vocabulary import VERDICTS
from labeler.evaluation.pseudo_precision import PseudoPrecision, pseudo_precision
from labeler.report.data import Confidence, Misses, Outcome, Report, ReviewLine, RoundAlarm
from labeler.report.lines import SPLITS, newest_evaluations, round_lines
from labeler.report.misses import example, find_misses, passages_of
from labeler.review.agreement import AnswerMatcher
from labeler.review.statistics import ORIGINS, review_statistics, studio_projects
from mrc.calibration.selective import reliability_bins
from mrc.metrics import Metric, resolve_metric

RULES: Mapping[Metric, str] = {"squad": "SQuAD 1.1", "squad_v2": "SQuAD 2.0", "korquad": "KorQuAD"}
BIN_SIZE = 20  # questions a point of the reliability diagram stands for, at least: fewer say little


def gather(session: Session, *, title: str) -> Report:
    """Everything that the report says, from one consistent snapshot."""
    rounds = queries.rounds(session)
    language, metric = _language_and_metric(session, rounds)
    reviews = queries.reviews(session)
    newest = newest_evaluations(session)
    return Report(
        title=title,
        language=language,
        facts=_facts(session, rounds, language=language, metric=metric),
        counts=queries.counts(session),
        rounds=round_lines(session, rounds, reviews, newest),
        precision=_precision(session, rounds, metric),
        confidence=_confidence(session, rounds),
        reviews=_review_lines(reviews),
        reviewed=review_statistics(session, AnswerMatcher(metric, language)),
        studio=studio_projects(session),
        outcomes=_outcomes(session, newest),
        misses=_misses(session, rounds, metric),
        alarms=tuple(alarm for row in rounds for alarm in _alarms(row)),
    )


def _language_and_metric(session: Session, rounds: Sequence[RoundRow]) -> tuple[str, Metric]:
    """As the newest round resolved them, else as the workspace says."""
    settings = rounds[-1].config.get("workspace", {}) if rounds else {}
    language = settings.get("language") or queries.get_meta(session, "language") or ""
    metric = settings.get("metric") or queries.get_meta(session, "metric") or "auto"
    return language if language != "auto" else "", resolve_metric(metric, language=language)


def _facts(session: Session, rounds: Sequence[RoundRow], *, language: str, metric: Metric) -> dict[str, str]:
    """Name -> value; what is not known yet is left out."""
    best = queries.best_model(session)
    fingerprints = [row.index_fingerprint for row in rounds if row.index_fingerprint]
    facts = {
        "Language": {"ko": "Korean", "en": "English"}.get(language, language),
        "Answers compared by the rules of": RULES[metric] if rounds else None,
        "Split by": queries.get_meta(session, "split_by"),
        "Imports": str(sum(row.undone_at is None for row in queries.imports(session))),
        "Retrieval index": fingerprints[-1][:12] if fingerprints else None,
        "Best reader": f"round {best.round_number}, {best.hash[:12]}" if best else None,
        "Trained retriever": _retriever(session),
        "Starting checkpoint": best.start if best else None,
        "Passages read for a question": str(rounds[-1].config["read"]["top_k"]) if rounds else None,
        "Code version": rounds[-1].code_version if rounds else None,
    }
    return {name: value for name, value in facts.items() if value}


def _retriever(session: Session) -> str | None:
    """The newest retriever that was promoted, and what dev said of it; None where there is none."""
    promoted = [row for row in queries.retrievers(session, reverted=False) if row.promoted]
    if not promoted:
        return None
    newest, gate = promoted[-1], promoted[-1].gate or {}
    change = f"top-{gate['top_k']} {100 * gate['recall_change']:+.1f} points on {gate['questions']} dev questions"
    return f"round {newest.round_number}, {newest.hash[:12]}, {change}"


def _precision(session: Session, rounds: Iterable[RoundRow], metric: Metric) -> tuple[PseudoPrecision, ...]:
    found = (pseudo_precision(session, row.number, metric=metric) for row in rounds)
    return tuple(precision for precision in found if precision is not None)


def _alarms(row: RoundRow) -> list[RoundAlarm]:
    alarms = row.gate.get("alarms", ()) if row.gate else ()
    return [RoundAlarm(row.number, alarm["message"]) for alarm in alarms]


def _review_lines(reviews: Sequence[ReviewRow]) -> tuple[ReviewLine, ...]:
    numbers = sorted({review.round_number for review in reviews})
    return tuple(_review_line(number, [row for row in reviews if row.round_number == number]) for number in numbers)


def _review_line(number: int, reviews: Sequence[ReviewRow]) -> ReviewLine:
    verdicts = Counter(review.verdict for review in reviews)
    origins = Counter(review.origin for review in reviews)
    times = [review.seconds for review in reviews if review.seconds is not None]
    return ReviewLine(
        number=number,
        verdicts={name: verdicts[name] for name in VERDICTS},
        origins={name: origins[name] for name in ORIGINS},
        seconds=sum(times),
        timed=len(times),
    )


def _confidence(session: Session, rounds: Sequence[RoundRow]) -> Confidence | None:
    """Of the newest calibrator of a round that stands. Its state keeps what it said out of fold, and the truth."""
    status = [row for row in rounds if row.calibrator_id is not None and row.reverted_at is None]
    if not status or status[-1].calibrator_id is None:
        return None
    calibrator = queries.calibrator(session, status[-1].calibrator_id)
    metrics = calibrator.state["metrics"]
    confidence = np.array(calibrator.state["out_of_fold"], dtype=np.float64)
    correct = np.array(calibrator.state["correct"], dtype=np.bool_)
    return Confidence(
        round_number=status[-1].number,
        note=metrics["note"],
        questions=metrics["items"],
        accuracy=metrics["correct"] / metrics["items"],
        bins=reliability_bins(confidence, correct, bins=min(15, max(1, len(correct) // BIN_SIZE))),
        ece=metrics["ece"],
        aurc=metrics["aurc"],
        curve=risk_curve(confidence.tolist(), correct.tolist()),
    )


def risk_curve(confidence: Sequence[float], correct: Sequence[bool]) -> tuple[tuple[float, float], ...]:
    """(coverage, share wrong) of the items at or above each distinct confidence, the highest first."""
    levels, of_item, sizes = np.unique(-np.asarray(confidence), return_inverse=True, return_counts=True)
    kept = np.cumsum(sizes)
    wrong = np.cumsum(np.bincount(of_item, weights=~np.asarray(correct, dtype=np.bool_), minlength=len(levels)))
    return tuple(zip((kept / kept[-1]).tolist(), (wrong / kept).tolist(), strict=True))


def _outcomes(session: Session, newest: Mapping[tuple[int, str], EvaluationRow]) -> tuple[Outcome, ...]:
    """The best reader on each split that it was evaluated on."""
    best = queries.best_model(session)
    if best is None:
        return ()
    rows = [newest[best.id, split] for split in SPLITS if (best.id, split) in newest]
    return tuple(_split_outcome(row, round_number=best.round_number) for row in rows)


def _split_outcome(row: EvaluationRow, *, round_number: int) -> Outcome:
    marks = [(em, f1) for _, _, em, f1, *_ in row.results]
    exact = sum(em == 1 for em, _ in marks)
    partly = sum(em < 1 and f1 > 0 for em, f1 in marks)
    return Outcome(
        split=row.split,
        round_number=round_number,
        given=row.summary["mode"] != "end_to_end",
        exact=exact,
        partly=partly,
        wrong=len(marks) - exact - partly,
        passage_correct=row.summary["passage_correct"],
    )


def _misses(session: Session, rounds: Sequence[RoundRow], metric: Metric) -> Misses | None:
    """What the newest teacher got wrong among the calibration questions; None where none was predicted."""
    labelled = {row.question.id: row for row in queries.labelled_questions(session, "calibration")}
    for row in sorted(rounds, key=lambda row: -row.number):
        if row.kind != "loop" or row.reverted_at is not None:
            continue
        predictions = queries.predictions(session, row.number, question_ids=labelled)
        judged = [(labelled[each.question_id], each) for each in predictions]
        if judged:
            found, shown = find_misses(judged, metric=metric, round_number=row.number)
            passages = queries.passages(session, {key for _, pair in shown for key in passages_of(pair)})
            return dataclasses.replace(found, examples=tuple(example(why, pair, passages) for why, pair in shown))
    return None
