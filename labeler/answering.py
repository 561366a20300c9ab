"""Answers on demand: one question from the corpus, or a SQuAD-format file on its own passages."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db import queries
from labeler.config import ReadSection
from labeler.desk import Desk
from labeler.errors import NotReady
from labeler.evaluation import best_text
from labeler.files import atomic_write, read_text
from labeler.progress import bar
from mrc.calibrate import Calibrator, feature_rows, known_features
from mrc.errors import DataError, MrcError
from mrc.metrics import Metric, resolve_metric, score
from mrc.squad import parse_squad, read_squad
from mrc.text import passage_id
from mrc.types import Example, Passage, Prediction, Question

if TYPE_CHECKING:
    from mrc.retrieve.index import Index
    from mrc.retrieve.vectors import Encoding

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of `labeler ask`. `confidence` is calibrated; None before a round has fitted a calibrator."""

    text: str
    passage_id: str
    start: int
    end: int
    score: float
    confidence: float | None


def ask(desk: Desk, question: str, *, k: int | None = None) -> list[Answered]:
    """The reader's ranked answers from the k best passages, default as many as rounds read; only the first carries a
    confidence.

    Raises: NotReady without an index or a reader.
    """
    from mrc import pipeline

    k = k or desk.config.read.top_k
    reader, index = desk.reader(desk.best_model()), desk.index()
    asked = [Question("asked", question)]
    prediction = next(
        pipeline.answer(
            asked,
            retriever=index,
            reader=reader,
            fetch=desk.fetch,
            k=k,
            config=desk.config.read,
            metric=desk.metric,
            by_meaning=index.dense is not None,
        )
    )
    confidence = _confidence(desk, prediction, index, k=k)
    return [
        Answered(a.text, a.passage_id, a.start, a.end, a.score, None if rank else confidence)
        for rank, a in enumerate(prediction.answers)
    ]


def _confidence(desk: Desk, prediction: Prediction, index: Index, *, k: int) -> float | None:
    """By the calibrator of the newest round whose teacher is the reader that answers, and that read as many passages,
    found in the same ways, by meaning with the same encoder; None where there is none: a score over other passages
    means something else."""
    best = desk.best_model()
    with desk.database.read() as session:
        fitted = [
            row
            for row in queries.rounds(session, reverted=False)
            if row.teacher_id == best.id and row.calibrator_id and row.config["read"]["top_k"] == k
        ]
        if not fitted or not prediction.answers:
            return None
        stored = queries.calibrator(session, fitted[-1].calibrator_id or 0)
    calibrator = Calibrator.from_state(stored.state)
    if calibrator.features != known_features([prediction]):
        return None
    if index.dense is not None and _encoding(index) != _encoding(_stored_index(desk, fitted[-1].index_fingerprint)):
        return None
    return float(calibrator.confidence(feature_rows([prediction], calibrator.features))[0])


def _encoding(index: Index | None) -> Encoding | None:
    """All that the vectors of an index depend on, but not where the checkpoint lies; None where it has none."""
    return replace(index.dense.encoding, source="") if index and index.dense else None


def _stored_index(desk: Desk, fingerprint: str | None) -> Index | None:
    """The index of a round; None where it had none, or it is gone or cannot be read."""
    try:
        return desk.index(fingerprint) if fingerprint else None
    except (NotReady, MrcError):
        return None


@dataclass(frozen=True, slots=True)
class FileAnswers:
    """What `labeler answer` says. Marks are 0-1, None where the file holds no golds; seconds do not count loading."""

    questions: int
    seconds: float
    per_second: float
    exact_match: float | None
    f1: float | None
    predictions: Path
    nbest: Path
    rejected: list[tuple[str, str]]


def answer_file(
    file: Path, *, model: str, folder: Path, config: ReadSection, metric: str, device: str, precision: str
) -> FileAnswers:
    """Reads every question of a SQuAD-format file in its own paragraph; writes predictions and n-best into `folder`.

    Raises: DataError for an unusable file; BadCheckpoint.
    """
    from mrc import pipeline
    from mrc.read.model import Reader

    examples, rejected = read_squad(parse_squad(read_text(file)[0], where=str(file)), where=str(file))
    if not examples:
        raise DataError(f"{file}: no question can be read")
    chosen = _metric(metric, examples)
    reader = Reader.load(model, device=device, precision=precision)
    settings = fitting(config, positions=reader.max_seq_length)
    asked = [Question(example.id, example.question) for example in examples]
    given = [[Passage(passage_id(example.context), example.context)] for example in examples]
    began, found = time.perf_counter(), []
    with bar("answer", total=len(asked), unit="questions") as shown:
        for prediction in pipeline.read(asked, given, reader=reader, config=settings, metric=chosen):
            found.append(prediction)
            shown.update()
    seconds = time.perf_counter() - began
    texts = {
        example.id: best_text(prediction, may_abstain=example.is_impossible is not None)[0]
        for example, prediction in zip(examples, found, strict=True)
    }
    folder.mkdir(parents=True, exist_ok=True)
    predictions = _write(folder / "predictions.json", texts)
    nbest = _write(
        folder / "nbest_predictions.json", {prediction.question_id: _nbest(prediction) for prediction in found}
    )
    marks = _marks(examples, texts, chosen)
    listed = [(each.where, each.why) for each in rejected]
    return FileAnswers(len(asked), seconds, len(asked) / seconds, *marks, predictions, nbest, listed)


def fitting(config: ReadSection, *, positions: int) -> ReadSection:
    """The settings, with windows cut to the positions that a model has: a small reader need not be told its size."""
    if config.max_seq_length <= positions:
        return config
    shared = min(config.doc_stride, positions // 3)
    longest = min(config.max_answer_length, shared // 2)
    log.info("the model has %d positions: windows of %d tokens, answers of up to %d", positions, positions, longest)
    return replace(config, max_seq_length=positions, doc_stride=shared, max_answer_length=longest)


def _metric(name: str, examples: list[Example]) -> Metric:
    from mrc.analyzers import detect_language

    language = detect_language([example.question for example in examples[:200]])
    return resolve_metric(
        name, language=language, impossible=any(example.is_impossible is not None for example in examples)
    )


def _marks(examples: list[Example], texts: dict[str, str], metric: Metric) -> tuple[float | None, float | None]:
    """EM and F1 over the questions that have golds or are known to be impossible."""
    judged = [example for example in examples if example.answers or example.is_impossible]
    if not judged:
        return None, None
    marks = [score(texts[example.id], [span.text for span in example.answers], metric) for example in judged]
    return sum(mark.exact_match for mark in marks) / len(marks), sum(mark.f1 for mark in marks) / len(marks)


def _nbest(prediction: Prediction) -> list[dict[str, Any]]:
    return [
        {"text": a.text, "start": a.start, "end": a.end, "score": a.score, "probability": a.probability}
        for a in prediction.answers
    ]


def _write(path: Path, content: Any) -> Path:
    with atomic_write(path) as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
    return path
