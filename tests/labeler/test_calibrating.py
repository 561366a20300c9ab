"""Calibration of a round: which questions calibrate, and what their predictions count as."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from db.rows import AnswerRow, LabelledQuestion, LabelRow, PredictionRow, QuestionRow, SpanRow
from labeler.core.round_settings import CalibrateConfig
from labeler.rounds.steps import calibrating
from labeler.rounds.steps.calibrating import Calibration, calibrate, confidences, is_correct
from mrc.calibration.features import FEATURES
from mrc.calibration.selective import release_threshold

CONFIG = CalibrateConfig(target_precision=0.6, min_support=10)


def row(kind: type[Any], **fields: Any) -> Any:
    """A row whose other fields nobody reads."""
    return kind(**{field.name: None for field in dataclasses.fields(kind)} | fields)


def predicted(number: int, score: float | None, text: str = "1921") -> PredictionRow:
    rival = AnswerRow("rival", "p", 0, 5, 0.01, 0.01)
    answers = () if score is None else (AnswerRow(text, "p", 0, len(text), score, score), rival)
    features = dict.fromkeys(FEATURES, 0.5) | {"mass": score, "max_probability": score}
    found: PredictionRow = row(PredictionRow, question_id=f"q{number:02}", answers=answers, features=features)
    return found


def gold(number: int, *texts: str, impossible: bool | None = None) -> LabelledQuestion:
    answers = tuple(SpanRow(text, "p", 0, len(text)) for text in texts)
    question: QuestionRow = row(
        QuestionRow, id=f"q{number:02}", split_group=f"g{number // 2}", is_impossible=impossible
    )
    label: LabelRow = row(LabelRow, answers=answers)
    found: LabelledQuestion = row(LabelledQuestion, question=question, label=label)
    return found


@pytest.fixture(scope="module")
def questions() -> tuple[list[PredictionRow], list[LabelledQuestion]]:
    """Forty questions; an answer is right where its score is high, with exceptions."""
    rng = np.random.default_rng(3)
    scores = rng.uniform(0.05, 0.95, 40)
    right = rng.uniform(size=40) < scores
    predictions = [predicted(number, float(score)) for number, score in enumerate(scores)]
    return predictions, [gold(number, "1921" if ok else "1922") for number, ok in enumerate(right)]


#: 90: no answer was predicted; 91: no answer in the passages shown; 92: impossible; 93: without a label
OTHERS = [predicted(90, None), predicted(91, 0.5), predicted(92, 0.5), predicted(93, 0.5)]
LABELS = [gold(90, "1921"), gold(91), gold(92, impossible=True)]


@pytest.fixture(scope="module")
def fitted(questions: tuple[list[PredictionRow], list[LabelledQuestion]]) -> Calibration:
    """The calibration by all of them; each fit takes seconds."""
    predictions, golds = questions
    found = calibrate([*predictions, *OTHERS], [*golds, *LABELS], CONFIG, metric="squad", seed=0)
    assert found is not None
    return found


def test_the_threshold_comes_from_out_of_fold_confidences(
    questions: tuple[list[PredictionRow], list[LabelledQuestion]], fitted: Calibration
) -> None:
    predictions, golds = questions
    correct = np.array([*(entry.label.answers[0].text == "1921" for entry in golds), False])
    assert fitted.calibrator.metrics.correct == correct.sum(), "the answer to the impossible question is wrong"
    assert fitted.rule == release_threshold(fitted.calibrator.out_of_fold, correct, target=0.6, min_items=10)
    assert fitted.rule.threshold is not None
    assert list(fitted.out_of_fold.values()) == fitted.calibrator.out_of_fold.tolist()
    assert list(fitted.out_of_fold) == [*(row.question_id for row in predictions), "q92"]


def test_without_calibration_questions_there_is_no_calibration() -> None:
    assert calibrate([predicted(1, 0.5)], [], CONFIG, metric="squad", seed=0) is None
    assert calibrate([predicted(1, None)], [gold(1, "1921")], CONFIG, metric="squad", seed=0) is None


def test_an_answer_is_right_if_it_equals_any_gold_after_normalisation() -> None:
    prediction = predicted(1, 0.5, "The Tower")
    assert is_correct(prediction, gold(1, "bridge", "tower"), "squad")
    assert not is_correct(prediction, gold(1, "bridge"), "squad")
    assert not is_correct(prediction, gold(1), "squad"), "without golds none is right"
    assert not is_correct(predicted(1, 0.5, "the"), gold(1), "squad"), "not even one that normalises to nothing"


@pytest.mark.parametrize("batch", [1, 3, 5000])
def test_confidences_are_computed_in_batches_for_every_answer(
    questions: tuple[list[PredictionRow], list[LabelledQuestion]],
    fitted: Calibration,
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictions, _ = questions
    monkeypatch.setattr(calibrating, "BATCH", batch)
    sizes: list[int] = []

    class Counting:
        features = fitted.calibrator.features

        def confidence(self, rows: Any) -> Any:
            sizes.append(len(rows))
            return fitted.calibrator.confidence(rows)

    def stream() -> Iterator[PredictionRow]:
        yield from (*predictions[:3], predicted(90, None), *predictions[3:7])

    values = dict(confidences(stream(), Counting()))  # type: ignore[arg-type]
    assert list(values) == [entry.question_id for entry in predictions[:7]]
    assert sizes == {1: [1] * 7, 3: [3, 3, 1], 5000: [7]}[batch]
    by_score = sorted(predictions[:7], key=lambda entry: entry.features["mass"])
    assert [values[entry.question_id] for entry in by_score] == sorted(values.values())
