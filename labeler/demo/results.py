"""The results of the demo: scores of every round, and of readers without human or pseudo-labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from db import queries
from db.engine import Session
from db.rows import ModelRow, RoundRow
from labeler.core.config import Config
from labeler.core.runtime import Runtime
from labeler.demo.certificate import DemoCertificate
from labeler.evaluation import reader_metrics
from labeler.evaluation.evaluate import labelled
from labeler.evaluation.pseudo_precision import pseudo_precision
from labeler.maintenance.status import status
from labeler.reading import postprocessing, tuning
from labeler.report import write_report
from labeler.rounds.steps import training

TEST = "test"  # the split that every score is measured on


@dataclass(frozen=True, slots=True)
class Scores:
    """End-to-end EM and F1 on the test questions, 0-1."""

    exact_match: float
    f1: float


@dataclass(frozen=True, slots=True)
class DemoRound:
    """One round of the full loop. `pseudo_precision`: of the pseudo-labels trained on, by the hidden answers, 0-1."""

    round: int
    labels: dict[str, int]
    exact_match: float
    f1: float
    pseudo_precision: float | None
    promoted: bool


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The result of `labeler demo`. The three readers were trained with the same number of updates."""

    rounds: list[DemoRound]
    baseline: Scores  # gold labels only
    gold_and_human: Scores  # the last round's labels without its pseudo-labels
    full_loop: Scores  # the current reader after the last round
    certificate: DemoCertificate | None  # None where people reviewed
    test_questions: int
    report: str
    workspace: str


def evaluate_demo(
    runtime: Runtime, folder: Path, *, rounds: int, certificate: DemoCertificate | None, say: Callable[[str], None]
) -> DemoResult:
    """Evaluate the closed rounds and the reader without pseudo-labels; write the report."""
    scores = [_round_scores(runtime, number) for number in range(1, rounds + 1)]
    with runtime.database.read() as session:
        first, best = queries.model_of_round(session, 0), queries.best_model(session)
    assert first is not None
    assert best is not None
    say("training on gold + human labels without pseudo-labels, with the same number of updates")
    without = _without_pseudo(runtime, folder, rounds)
    baseline, full_loop = _scores(runtime, first), _scores(runtime, best)
    report_file = folder / "report.html"
    report = write_report(
        runtime.database, report_file, title="labeler demo", next_step=status(runtime).next, force=True
    )
    return DemoResult(
        rounds=scores,
        baseline=baseline,
        gold_and_human=without,
        full_loop=full_loop,
        certificate=certificate,
        test_questions=len(labelled(runtime, TEST)),
        report=str(report),
        workspace=str(runtime.workspace.folder),
    )


def _round_scores(runtime: Runtime, number: int) -> DemoRound:
    """The scores of a closed round, by the reader in use after it."""
    with runtime.database.read() as session:
        row = queries.round_(session, number)
        model = queries.model(session, (row.student_id if row.promoted else row.teacher_id) or 0)
        precision = pseudo_precision(session, number, metric=runtime.metric)
        labels = training_labels(session, row)
    scores = _scores(runtime, model)
    return DemoRound(
        round=number,
        labels=labels,
        exact_match=scores.exact_match,
        f1=scores.f1,
        pseudo_precision=precision.trained.rate if precision else None,
        promoted=bool(row.promoted),
    )


def training_labels(session: Session, row: RoundRow) -> dict[str, int]:
    """The number of labels trained on in a round, by kind."""
    counts: Counter[str] = Counter()
    for (kind, _, _), count in queries.training_counts(session, row.number).items():
        counts[kind] += count
    return {kind: counts[kind] for kind in ("gold", "human", "pseudo")}


def _scores(runtime: Runtime, model: ModelRow) -> Scores:
    reading = reader_metrics.reader_scores(runtime, model, TEST, index=runtime.current_index())
    return Scores(reading.exact_match, reading.f1)


def _without_pseudo(runtime: Runtime, folder: Path, last: int) -> Scores:
    """The scores of a reader trained and tuned like that of the last round, but without its pseudo-labels."""
    with runtime.database.read() as session:
        row = queries.round_(session, last)
        rows = [each for each in queries.training_rows(session, row.number) if each.label.kind != "pseudo"]
    runtime = runtime.with_config(Config.from_resolved(row.config))
    model = training.train_reader(runtime, row, rows, folder=folder / "without-pseudo-labels")
    index, reader = runtime.current_index(), runtime.load(model.folder)
    entries = reader_metrics.scorable(runtime, TEST, index=index)
    plan = postprocessing.plan_under(runtime, tuning.tuning_of(runtime, reader, index=index))
    scores = reader_metrics.compute_scores(runtime, reader, entries, index=index, plan=plan)
    summary = reader_metrics.summarize(scores, index=index)
    return Scores(summary["exact_match"], summary["f1"])
