"""What a round passes from step to step: thresholds, weights, audits and reviews, on a workspace that releases."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from db import queries, store
from db.rows import LabelRow, NewReview, PredictionRow, ReviewRow, SpanRow, TaskRow
from labeler.core.runtime import Runtime
from labeler.evaluation import reader_metrics
from labeler.rounds import history, machine
from labeler.rounds.drift import measure_drift
from labeler.rounds.steps import training
from mrc.calibration.selective import release_threshold
from mrc.metrics import exact_match
from tests.scripted import make_releasing, scripted


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Round 1 after its reviews by the simulated reviewer. Not to be changed."""
    folder = make_releasing(tmp_path_factory.mktemp("wiring") / "reviewed")
    with scripted(folder) as runtime:
        machine.train(runtime)
        assert machine.run(runtime, reviewer="simulated", until="reviewed").round.stage == "reviewed"
    return folder


@pytest.fixture(scope="module")
def played(reviewed: Path) -> Iterator[Runtime]:
    """The workspace after round 1, to read from. Not to be changed."""
    with scripted(shutil.copytree(reviewed, reviewed.with_name("played"))) as runtime:
        assert machine.run(runtime).round.stage == "closed"
        yield runtime


@pytest.fixture
def runtime(played: Runtime, tmp_path: Path) -> Iterator[Runtime]:
    """The workspace after round 1, to be changed."""
    with scripted(shutil.copytree(played.workspace.folder, tmp_path / "copy")) as opened:
        yield opened


def predictions(runtime: Runtime, *, role: str) -> dict[str, PredictionRow]:
    """Question id -> round 1's prediction, of the questions of a role."""
    with runtime.database.read() as session:
        asked = {row.id for row in queries.questions(session, roles=[role])}
        return {row.question_id: row for row in queries.iter_predictions(session, 1) if row.question_id in asked}


def threshold_of(runtime: Runtime) -> float:
    with runtime.database.read() as session:
        release = queries.round_(session, 1).release
    assert release is not None
    return float(release["threshold"])


# --- release --------------------------------------------------------------------------------------


def test_the_release_threshold_is_taken_from_out_of_fold_confidences(played: Runtime) -> None:
    with played.database.read() as session:
        row = queries.round_(session, 1)
        state = queries.calibrator(session, row.calibrator_id or 0).state
    settings = played.config.calibrate
    correct = np.array(state["correct"])
    out_of_fold, in_sample = (
        release_threshold(
            np.array(state[name]), correct, target=settings.target_precision, min_items=settings.min_support
        )
        for name in ("out_of_fold", "confidence")
    )
    assert out_of_fold.threshold is not None
    assert out_of_fold.threshold != in_sample.threshold
    found = {name: value for name, value in (row.release or {}).items() if name != "audit"}
    assert found == dataclasses.asdict(out_of_fold)


def test_calibration_questions_keep_their_out_of_fold_confidences(played: Runtime) -> None:
    with played.database.read() as session:
        state = queries.calibrator(session, queries.round_(session, 1).calibrator_id or 0).state
    stored = predictions(played, role="calibration")
    assert len(stored) == 60
    assert [stored[key].confidence for key in sorted(stored)] == state["out_of_fold"]


def test_a_round_releases_nothing_however_confident_its_answers_are(played: Runtime) -> None:
    with played.database.read() as session:
        labels = queries.live_labels(session, kinds=["pseudo"])
    assert len(labels) >= 20
    assert any((label.confidence or 0) >= threshold_of(played) for label in labels)
    assert {(label.released, label.certificate_id, label.threshold) for label in labels} == {(False, None, None)}


# --- training -------------------------------------------------------------------------------------


def test_the_most_confident_half_of_the_pool_trains_with_its_confidence(played: Runtime) -> None:
    """Half of the answers that may train; reviewed ones are among them, but get no pseudo-label."""
    with played.database.read() as session:
        held_out = queries.held_out_passages(session)
        labels = queries.live_labels(session, kinds=["pseudo"])
    usable = {
        key: entry.confidence or 0.0
        for key, entry in predictions(played, role="pool").items()
        if entry.answers[0].passage_id not in held_out
    }
    best = sorted(usable, key=lambda key: (-usable[key], key))[: round(len(usable) / 2)]
    weights = {label.question_id: label.train_weight for label in labels if label.train_weight > 0}
    assert weights == {key: pytest.approx(usable[key]) for key in best if key in weights}
    with played.database.read() as session:
        reviewed = {each.question_id for each in queries.reviews(session, round_number=1)}
    assert set(best) - set(weights) == set(best) & reviewed
    assert len({round(weight, 3) for weight in weights.values()}) > 5


def test_the_student_trains_on_the_weights_of_its_labels(played: Runtime) -> None:
    with played.database.read() as session:
        row, rows = queries.round_(session, 1), queries.training_rows(session, 1)
        weights = {label.question_id: label.train_weight for label in queries.live_labels(session, kinds=["pseudo"])}
        model = queries.model_of_round(session, 1)
    trained = {row.question.id: row.weight for row in rows if row.label.kind == "pseudo"}
    assert trained == {key: weight for key, weight in weights.items() if weight > 0}
    assert {row.weight for row in rows if row.label.kind != "pseudo"} == {1.0}
    examples = training.training_examples(played, row, rows, set())
    assert {each.id: each.weight for each in examples} == {row.question.id: row.weight for row in rows}
    assert {each.id for each in examples if each.human_labelled} == {
        row.question.id for row in rows if row.label.kind != "pseudo"
    }
    assert model is not None
    assert (model.examples, model.training_sha256) == (len(rows), queries.training_sha256(rows))


# --- audit ----------------------------------------------------------------------------------------


def reviews_of(runtime: Runtime, *, blind: bool) -> list[ReviewRow]:
    with runtime.database.read() as session:
        tasks = {task.id for task in queries.tasks(session, round_number=1) if task.blind == blind}
        return [row for row in queries.reviews(session, round_number=1) if row.task_id in tasks]


def test_the_audit_counts_blind_reviews_alone(played: Runtime) -> None:
    pool, threshold = predictions(played, role="pool"), threshold_of(played)
    blind = reviews_of(played, blind=True)
    assert reviews_of(played, blind=False), "the audit leaves something out"
    right = {
        row.question_id: row.answer is not None
        and exact_match(pool[row.question_id].answers[0].text, row.answer.text, "squad") == 1
        for row in blind
    }
    above = [key for key in right if (pool[key].confidence or 0) >= threshold]
    with played.database.read() as session:
        release = queries.round_(session, 1).release or {}
    assert release["audit"] == {
        "items": len(blind),
        "correct": sum(right.values()),
        "mean_confidence": pytest.approx(fmean(pool[key].confidence or 0 for key in right)),
        "confident_items": len(blind),
        "confident_correct": sum(right.values()),
        "released_items": len(above),
        "released_correct": sum(right[key] for key in above),
    }
    assert 0 < sum(right.values()) < len(blind)
    assert 0 < len(above) < len(blind)


def test_overconfidence_is_measured_on_the_audit(played: Runtime) -> None:
    with played.database.read() as session:
        row = queries.round_(session, 1)
        found = measure_drift(played, session, row)
    audit = (row.release or {})["audit"]
    assert found.overconfidence is not None
    assert found.overconfidence.value == audit["mean_confidence"] - audit["correct"] / audit["items"]
    assert found.overconfidence.items == audit["items"]


# --- reverted rounds ------------------------------------------------------------------------------


def human_labels(runtime: Runtime) -> dict[str, LabelRow]:
    with runtime.database.read() as session:
        return {label.question_id: label for label in queries.live_labels(session, kinds=["human"])}


def give(runtime: Runtime, task: TaskRow, verdict: str, answer: SpanRow | None = None) -> None:
    """A review by kim."""
    with runtime.database.write() as session:
        review = NewReview(task.id, "kim", verdict, answer, seconds=1.0, source="terminal")
        store.record_review(session, review)


def test_reviews_of_a_reverted_round_do_not_count_again(runtime: Runtime) -> None:
    """A late review arrives for a question that a reverted round had an answer to: it decides alone."""
    reverted = next(row for row in reviews_of(runtime, blind=False) if row.verdict == "answerable")
    history.revert(runtime, 1, with_reviews=True)
    assert human_labels(runtime) == {}
    with runtime.database.read() as session:
        (task,) = (row for row in queries.tasks(session, round_number=1) if row.id == reverted.task_id)
    give(runtime, task, "no_answer")
    machine.run(runtime, reviewer="none", until="labelled")
    (label,) = human_labels(runtime).values()
    assert (label.question_id, label.no_answer, label.reviewer) == (reverted.question_id, True, "kim")


def test_reviews_that_no_labelling_has_considered_are_set_aside_with_their_round(runtime: Runtime) -> None:
    machine.run(runtime, reviewer="people", until="in_review")
    with runtime.database.read() as session:
        task = queries.tasks(session, round_number=2)[0]
    give(runtime, task, "no_answer")
    before = human_labels(runtime)
    history.revert(runtime, 2, with_reviews=True)
    machine.run(runtime, reviewer="none", until="labelled")
    assert human_labels(runtime) == before


def test_human_labels_outlive_a_revert_without_reviews(runtime: Runtime) -> None:
    before = human_labels(runtime)
    assert before
    history.revert(runtime, 1, with_reviews=False)
    assert human_labels(runtime) == before


# --- gate -----------------------------------------------------------------------------------------


def test_the_gate_resamples_documents(played: Runtime) -> None:
    with played.database.read() as session:
        documents = {entry.question.id: entry.document_id for entry in queries.labelled_questions(session, "dev")}
        index = queries.round_(session, 1).index_fingerprint
    found = reader_metrics.question_scores(played, played.best_model(), "dev", index=index)
    assert {row.question_id: row.cluster for row in found} == documents
    assert len(set(documents.values())) < len(documents)
