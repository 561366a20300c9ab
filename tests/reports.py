"""A report with four rounds, made by hand: as much on the page as a real workspace has."""

from __future__ import annotations

from db.rows import Counts
from labeler.certificates.standing import Standing
from labeler.evaluation.pseudo_precision import Checked
from labeler.report.certificates import CertificateSummary
from labeler.report.data import (
    Alarm,
    Audit,
    Confidence,
    ConfidenceMeasure,
    DatasetFacts,
    ErrorAnalysis,
    ErrorCause,
    Estimate,
    Excerpt,
    PrecisionRow,
    Report,
    RoundCost,
    RoundReviews,
    RoundSummary,
    SplitOutcome,
    SplitScores,
    Training,
    TrainingLabels,
    TypeErrors,
    WrongAnswer,
)
from labeler.report.precision import wilson
from labeler.review.agreement import Agreement
from labeler.review.statistics import ProjectSummary, Reviewer, ReviewStatistics
from mrc.calibration.selective import ReleaseRule, ReliabilityBin

TARGET = 0.85


def scores(em: float, *, questions: int) -> SplitScores:
    around = lambda rate: Estimate(rate, rate - 0.03, rate + 0.03)  # noqa: E731
    return SplitScores(around(em), around(em + 0.06), questions, given=False)


GATE = {"promoted": "promoted: EM +2.7 points, F1 +2.1 points (p = 0.003)", "refused": "refused: EM -0.4 points"}


def a_closed_round(number: int, *, outcome: str, em: float) -> RoundSummary:
    return RoundSummary(
        number=number,
        kind="loop" if number else "baseline",
        stage="closed",
        outcome=outcome,
        is_current=number == 2,
        training=Training(1000 + 700 * number, 4.2 + number, 0.41),
        labels=TrainingLabels(1000, 150 * number, 660 * number),
        scores={"dev": scores(em - 0.01, questions=500), "test": scores(em, questions=1500)},
        gate=GATE[outcome],
        release=ReleaseRule(0.913, TARGET, 0.87, 212, "") if number else None,
        audit=Audit(48, 54) if number else None,
        cost=RoundCost(
            reviewing=38.5 if number else None,
            training=4.2 + number,
            retriever=2.5 if number == 2 else None,
            elapsed=63.0 + 20 * number,
        ),
        reviews=150 * number,
        review_minutes=38.5 * number,
    )


def an_open_round(number: int) -> RoundSummary:
    return RoundSummary(
        number=number,
        kind="loop",
        stage="in_review",
        outcome="open",
        is_current=False,
        training=None,
        labels=TrainingLabels(),
        scores={},
        gate=None,
        release=None,
        audit=None,
        cost=RoundCost(reviewing=38.5, training=None, retriever=None, elapsed=None),
        reviews=150 * number,
        review_minutes=38.5 * number,
    )


def a_certificate() -> CertificateSummary:
    standing = Standing(
        certificate="3f9a12c0" * 4,
        round=3,
        state="in_force",
        why="valid",
        current=True,
        target=TARGET,
        delta=0.1,
        size=12_300,
        released=12_112,
        coverage=0.41,
        unseen_precision_at_least=0.849,
        predictions_of_round=3,
        later=None,
        made_at=None,
    )
    test = {"set": 8, "look": 1, "size": 12_300, "audited": 188, "correct": 171, "p_value": 0.031, "passed": True}
    words = "At least 85% of the 12,300 machine-made answers that this certificate covers are correct."
    return CertificateSummary(standing, words, (test,), (), {"different": 80, "equal": 220}, ("ann",), (), 0.1)


def a_precision(number: int) -> PrecisionRow:
    trained = Checked(490 + 10 * number, 660, 5)
    return PrecisionRow(number, trained, wilson(trained.correct, 660))


def an_excerpt(span: str) -> Excerpt:
    before, after = (
        "조선의 무신 이순신은 1545년 한성부 ",
        "에서 태어났으며, 임진왜란 때 수군을 이끌었다. 그의 일기가 남아 있다.",
    )
    return Excerpt("이순신", before, span, after, cut_before=True, cut_after=True)


def a_wrong_answer(cause: ErrorCause) -> WrongAnswer:
    return WrongAnswer(
        question_id="6516884-0-1",
        question="임진왜란 때 조선 수군을 이끈 이순신이 태어난 곳은 한성부의 어디인가?",
        golds=("건천동",),
        predicted="한성부 건천동",
        confidence=0.71,
        cause=cause,
        chosen=an_excerpt("한성부 건천동"),
        gold=an_excerpt("건천동"),
    )


def a_report() -> Report:
    rounds = (
        a_closed_round(0, outcome="promoted", em=0.642),
        a_closed_round(1, outcome="refused", em=0.638),
        a_closed_round(2, outcome="promoted", em=0.689),
        an_open_round(3),
    )
    verdicts = {"answerable": 121, "no_answer": 20, "bad_question": 4, "skipped": 5}
    origins = {"accepted": 80, "changed": 21, "written": 20}
    causes = dict(zip(ErrorCause, (0, 41, 22, 30, 19), strict=True))
    types = {
        "what": TypeErrors(120, 14, 25),
        "who": TypeErrors(90, 10, 12),
        "when": TypeErrors(60, 6, 9),
        "how_many": TypeErrors(42, 5, 14),
        "where": TypeErrors(30, 6, 11),
    }
    return Report(
        title="korquad-pilot",
        language="ko",
        next_step="review 14 questions at http://127.0.0.1:8080/projects/2/data, then: labeler round",
        settings={
            "Language": "Korean",
            "Metric": "KorQuAD",
            "Split by": "paragraph",
            "Current reader": "round 2, 4f0c2a9d11be",
            "Starting checkpoint": "klue/roberta-base",
            "Passages read per question": "10",
        },
        counts=Counts(
            documents=140,
            passages=9_681,
            questions={"gold": 1000, "calibration": 342, "dev": 500, "test": 1500, "pool": 57_065},
            labels={"gold": 3342, "human": 300, "pseudo": 1320},
            labels_by_role={"gold": 1000, "calibration": 342, "dev": 500, "test": 1500, "pool": 1620},
            tasks={"open": 14, "done": 286, "skipped": 10, "withdrawn": 0, "conflict": 2},
            rounds=4,
            models=3,
        ),
        dataset=DatasetFacts(3642, 5, 14, 71, {"what": 24_000, "who": 15_000, "when": 9_800, "how_many": 6_407}, 412),
        rounds=rounds,
        precision=(a_precision(1), a_precision(2)),
        confidence=Confidence(
            round_number=2,
            note="logistic_regression",
            questions=342,
            accuracy=0.67,
            bins=tuple(ReliabilityBin(0.1 * step, min(0.11 * step, 1.0), 34) for step in range(1, 10)),
            ece=0.031,
            aurc=0.142,
            measures=(
                ConfidenceMeasure("aurc", 0.142, 0.12, 0.165, -0.01, -0.02, 0.003),
                ConfidenceMeasure("coverage_0.85", 0.31, 0.22, 0.4, 0.05, -0.01, 0.1),
            ),
            curve=tuple((0.05 * step, 0.0165 * step) for step in range(1, 21)),
        ),
        reviews=tuple(RoundReviews(number, verdicts, origins, 2310.0, 145) for number in (1, 2)),
        review_statistics=ReviewStatistics(
            reviews=300,
            verdicts={name: 2 * count for name, count in verdicts.items()},
            origins={name: 2 * count for name, count in origins.items()},
            reviewers=(
                Reviewer("anna.kim@example.org", 180, 6, 2700.0, 175),
                Reviewer("lee@example.org", 120, 4, 1920.0, 115),
            ),
            agreement=Agreement(pairs=60, verdict=0.93, verdict_alpha=0.71, exact=0.82, span_f1=0.9),
            missing=14,
            conflicts=("6516884-0-1", "6516884-0-2"),
        ),
        projects=(ProjectSummary("http://127.0.0.1:8080/projects/2/data", blind=False, reviewers=1, tasks=120),),
        outcomes=(
            SplitOutcome("dev", 2, False, exact=340, partial=90, wrong=70, passage_correct=0.81),
            SplitOutcome("test", 2, False, exact=1034, partial=240, wrong=226, passage_correct=0.8),
        ),
        errors=ErrorAnalysis(
            round_number=2,
            recall={1: 0.71, 3: 0.83, 5: 0.86, 10: 0.89},
            correct=230,
            unanswerable=3,
            causes=causes,
            types=types,
            examples=(a_wrong_answer(ErrorCause.OTHER_SPAN), a_wrong_answer(ErrorCause.OVERLAP)),
        ),
        certificates=(a_certificate(),),
        alarms=(
            Alarm(
                2,
                "confidence is 21 points above the accuracy in 150 blind reviews (95% interval +13 to +29): "
                "do not trust the confidence",
                stands=True,
                blocks=True,
            ),
            Alarm(1, "40% of 312 pseudo-labels changed since the last round (95% interval 35 to 46)", stands=False),
        ),
    )
