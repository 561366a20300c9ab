"""Read a database into a `Report`. Only `pseudo_precision` reads hidden answers, and returns counts of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from db import queries
from db.engine import Session
from db.rows import EvaluationRow, LabellerCounts, ReviewRow, RoundRow
from db.vocabulary import VERDICTS
from labeler.evaluation.standing_alarms import alarms_of, standing_alarms
from labeler.report.certificates import certificate_summaries
from labeler.report.data import Alarm, Confidence, ConfidenceMeasure, ErrorAnalysis, Report, RoundReviews, SplitOutcome
from labeler.report.dataset import dataset_facts
from labeler.report.errors import analyse, example, passages_of
from labeler.report.precision import precision_rows
from labeler.report.rounds import SPLITS, Newest, newest_evaluations, round_summaries
from labeler.review.agreement import AnswerMatcher
from labeler.review.reviewers.summary import reviewer_report
from labeler.review.statistics import ORIGINS, review_statistics, studio_projects
from mrc.calibration.selective import reliability_bins
from mrc.metrics import Metric, resolve_metric

METRICS: Mapping[Metric, str] = {"squad": "SQuAD 1.1", "squad_v2": "SQuAD 2.0", "korquad": "KorQuAD"}
BIN_SIZE = 20  # questions in a point of the reliability diagram, at least


def gather(session: Session, *, title: str, next_step: str | None = None) -> Report:
    """The whole report, from one consistent snapshot. `next_step`: the command that leads on."""
    rounds = queries.rounds(session)
    language, metric = _language_and_metric(session, rounds)
    reviews = queries.reviews(session)
    newest = newest_evaluations(session)
    matcher = AnswerMatcher(metric, language)
    return Report(
        title=title,
        language=language,
        next_step=next_step,
        settings=_settings(session, rounds, language=language, metric=metric),
        counts=queries.counts(session),
        dataset=dataset_facts(session),
        rounds=round_summaries(session, rounds, reviews, newest),
        precision=precision_rows(session, rounds, metric),
        confidence=_confidence(session, rounds),
        reviews=_reviews_by_round(reviews),
        review_statistics=review_statistics(session, matcher),
        projects=studio_projects(session),
        outcomes=_outcomes(session, newest),
        errors=_errors(session, rounds, metric),
        certificates=certificate_summaries(session),
        alarms=_alarms(session, rounds),
        reviewers=reviewer_report(session, matcher) if reviews else None,
    )


def _language_and_metric(session: Session, rounds: Sequence[RoundRow]) -> tuple[str, Metric]:
    """As the newest round resolved them, else as the workspace says."""
    settings = rounds[-1].config.get("workspace", {}) if rounds else {}
    language = settings.get("language") or queries.get_meta(session, "language") or ""
    metric = settings.get("metric") or queries.get_meta(session, "metric") or "auto"
    return language if language != "auto" else "", resolve_metric(metric, language=language)


def _settings(session: Session, rounds: Sequence[RoundRow], *, language: str, metric: Metric) -> dict[str, str]:
    """Name -> value; what is not known yet is left out."""
    reader = queries.best_model(session)
    fingerprints = [row.index_fingerprint for row in rounds if row.index_fingerprint]
    settings = {
        "Language": {"ko": "Korean", "en": "English"}.get(language, language),
        "Metric": METRICS[metric] if rounds else None,
        "Split by": queries.get_meta(session, "split_by"),
        "Imports": str(sum(row.undone_at is None for row in queries.imports(session))),
        "Retrieval index": fingerprints[-1][:12] if fingerprints else None,
        "Current reader": f"round {reader.round_number}, {reader.hash[:12]}" if reader else None,
        "Trained retriever": _retriever(session),
        "Labellers": _labellers(session),
        "Starting checkpoint": reader.start if reader else None,
        "Passages read per question": str(rounds[-1].config["read"]["top_k"]) if rounds else None,
        "Code version": rounds[-1].code_version if rounds else None,
    }
    return {name: value for name, value in settings.items() if value}


def _labellers(session: Session) -> str | None:
    """The sources of answers from outside; None where there is none."""
    return "; ".join(map(_labeller, queries.labeller_counts(session))) or None


def _labeller(row: LabellerCounts) -> str:
    cost = "" if row.cost is None else f", cost {row.cost:.4f}"
    return f"{row.name}: {row.questions} questions, {row.anchored} anchored{cost}"


def _retriever(session: Session) -> str | None:
    """The newest promoted retriever and its gain on dev; None where there is none."""
    promoted = [row for row in queries.retrievers(session, reverted=False) if row.promoted]
    if not promoted:
        return None
    newest, gate = promoted[-1], promoted[-1].gate or {}
    change = f"top-{gate['top_k']} {100 * gate['recall_change']:+.1f} points on {gate['questions']} dev questions"
    return f"round {newest.round_number}, {newest.hash[:12]}, {change}"


def _alarms(session: Session, rounds: Sequence[RoundRow]) -> tuple[Alarm, ...]:
    """The alarms of rounds that are not reverted, the newest round first."""
    standing = {(each.round, each.alarm.kind) for each in standing_alarms(session)}
    kept = [row for row in reversed(rounds) if row.kind == "loop" and row.reverted_at is None]
    return tuple(
        Alarm(row.number, each.message, stands=(row.number, each.kind) in standing, blocks=each.blocks)
        for row in kept
        for each in alarms_of(row)
    )


def _reviews_by_round(reviews: Sequence[ReviewRow]) -> tuple[RoundReviews, ...]:
    numbers = sorted({review.round_number for review in reviews})
    return tuple(_round_reviews(number, [row for row in reviews if row.round_number == number]) for number in numbers)


def _round_reviews(number: int, reviews: Sequence[ReviewRow]) -> RoundReviews:
    verdicts = Counter(review.verdict for review in reviews)
    origins = Counter(review.origin for review in reviews)
    times = [review.seconds for review in reviews if review.seconds is not None]
    return RoundReviews(
        number=number,
        verdicts={name: verdicts[name] for name in VERDICTS},
        origins={name: origins[name] for name in ORIGINS},
        seconds=sum(times),
        timed=len(times),
    )


def _confidence(session: Session, rounds: Sequence[RoundRow]) -> Confidence | None:
    """Of the newest calibrator of a round that is not reverted, from its stored out-of-fold confidences."""
    calibrated = [row for row in rounds if row.calibrator_id is not None and row.reverted_at is None]
    if not calibrated or calibrated[-1].calibrator_id is None:
        return None
    calibrator = queries.calibrator(session, calibrated[-1].calibrator_id)
    metrics = calibrator.state["metrics"]
    confidence = np.array(calibrator.state["out_of_fold"], dtype=np.float64)
    correct = np.array(calibrator.state["correct"], dtype=np.bool_)
    return Confidence(
        round_number=calibrated[-1].number,
        note=metrics["note"],
        questions=metrics["items"],
        accuracy=metrics["correct"] / metrics["items"],
        bins=reliability_bins(confidence, correct, bins=min(15, max(1, len(correct) // BIN_SIZE))),
        ece=metrics["ece"],
        aurc=metrics["aurc"],
        measures=_measures(metrics),
        curve=risk_curve(confidence.tolist(), correct.tolist()),
    )


def _measures(metrics: Mapping[str, Any]) -> tuple[ConfidenceMeasure, ...]:
    """The measures of a calibrator, those of ranking first."""
    coverage = {f"coverage_{key}": value for key, value in metrics["coverage_at"].items()}
    values = {name: metrics[name] for name in ("aurc", "auroc")} | coverage
    values |= {name: metrics[name] for name in ("ece", "brier")}
    return tuple(
        ConfidenceMeasure(name, value, *metrics["intervals"][name], *metrics["changes"][name])
        for name, value in values.items()
    )


def risk_curve(confidence: Sequence[float], correct: Sequence[bool]) -> tuple[tuple[float, float], ...]:
    """(coverage, risk) of the items at or above each distinct confidence, the highest confidence first."""
    levels, of_item, sizes = np.unique(-np.asarray(confidence), return_inverse=True, return_counts=True)
    kept = np.cumsum(sizes)
    wrong = np.cumsum(np.bincount(of_item, weights=~np.asarray(correct, dtype=np.bool_), minlength=len(levels)))
    return tuple(zip((kept / kept[-1]).tolist(), (wrong / kept).tolist(), strict=True))


def _outcomes(session: Session, newest: Newest) -> tuple[SplitOutcome, ...]:
    """The current reader on each split that it was evaluated on."""
    reader = queries.best_model(session)
    if reader is None:
        return ()
    rows = [newest[reader.id, split] for split in SPLITS if (reader.id, split) in newest]
    return tuple(_outcome(row, round_number=reader.round_number) for row in rows)


def _outcome(row: EvaluationRow, *, round_number: int) -> SplitOutcome:
    scores = [(em, f1) for _, _, em, f1, *_ in row.results]
    exact = sum(em == 1 for em, _ in scores)
    partial = sum(em < 1 and f1 > 0 for em, f1 in scores)
    return SplitOutcome(
        split=row.split,
        round_number=round_number,
        given=row.summary["mode"] != "end_to_end",
        exact=exact,
        partial=partial,
        wrong=len(scores) - exact - partial,
        passage_correct=row.summary["passage_correct"],
    )


def _has_folds(row: RoundRow) -> bool:
    """Whether fold readers answered gold questions in a round, as far as it says."""
    return bool(row.config.get("calibrate", {}).get("folds") != 1)


def _errors(session: Session, rounds: Sequence[RoundRow], metric: Metric) -> ErrorAnalysis | None:
    """The analysis of the newest predictions for calibration questions, or for gold ones by fold readers; else None."""
    for row in sorted(rounds, key=lambda row: -row.number):
        if row.kind != "loop" or row.reverted_at is not None:
            continue
        roles = ("calibration", "gold") if _has_folds(row) else ("calibration",)
        asked = queries.predicted_ids(session, row.number, roles=roles)
        found = (each for role in roles for each in queries.labelled_questions(session, role, ids=asked))
        labelled = {each.question.id: each for each in found}
        predictions = queries.predictions(session, row.number, question_ids=labelled)
        judged = [(labelled[each.question_id], each) for each in predictions]
        if judged:
            analysis, shown = analyse(judged, metric=metric, round_number=row.number)
            passages = queries.passages(session, {key for _, pair in shown for key in passages_of(pair)})
            return dataclasses.replace(analysis, examples=tuple(example(why, pair, passages) for why, pair in shown))
    return None
