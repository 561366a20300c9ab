"""Answers on demand: one question from the corpus, or a SQuAD-format file on its own passages."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db import queries
from db.rows import RoundRow
from labeler.core.config import Config
from labeler.core.errors import NotReady
from labeler.core.files import atomic_write, read_text
from labeler.core.progress import bar
from labeler.core.runtime import LANGUAGE_SAMPLE, Runtime
from labeler.core.settings import ReadSection
from labeler.reading import postprocessing
from labeler.reading.answering import best_text, read_in_context
from labeler.reading.early_exit import known_rule
from labeler.reading.reader_spec import Readers
from mrc.analyzers import detect_language
from mrc.calibration.calibrate import Calibrator
from mrc.calibration.features import feature_rows, known_features
from mrc.errors import DataError, MrcError
from mrc.metrics import Metric, resolve_metric, score
from mrc.postprocess.rules import refiner
from mrc.squad import parse_squad, read_squad
from mrc.types import Example, Prediction, Question

if TYPE_CHECKING:
    from mrc.retrieve.dense.vectors import Encoding
    from mrc.retrieve.index import Index

log = logging.getLogger(__name__)

#: settings of reading on which no score depends; the rules are compared by what they came to
NO_SCORE = ("chunk_size", "batch_tokens", "null_score_diff_threshold", "rules")


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of `labeler ask`. `confidence` is calibrated; None before a round has fitted a calibrator."""

    text: str
    passage_id: str
    start: int
    end: int
    score: float
    confidence: float | None


def ask(runtime: Runtime, question: str, *, k: int | None = None) -> list[Answered]:
    """The reader's ranked answers from the k best passages, default as many as rounds read; only the first carries a
    confidence.

    Raises: NotReady without an index or a reader.
    """
    from mrc import pipeline

    k = k or runtime.config.read.top_k
    best, index = runtime.best_model(), runtime.index()
    reader = runtime.answerer(best)
    asked = [Question("asked", question)]
    prediction = next(
        pipeline.answer(
            asked,
            retriever=index,
            reader=reader,
            fetch=runtime.fetch,
            k=k,
            config=runtime.config.read,
            metric=runtime.metric,
            hybrid=index.dense is not None,
            refine=postprocessing.refine_of(runtime, best),
            stopping=known_rule(runtime, best, index=index.fingerprint) if k == runtime.config.read.top_k else None,
        )
    )
    confidence = _confidence(runtime, prediction, index, k=k)
    return [
        Answered(a.text, a.passage_id, a.start, a.end, a.score, None if rank else confidence)
        for rank, a in enumerate(prediction.answers)
    ]


def _confidence(runtime: Runtime, prediction: Prediction, index: Index, *, k: int) -> float | None:
    """By the calibrator of the newest round whose teacher is the reader that answers, and that read as many passages,
    found in the same ways, by meaning with the same encoder; None where there is none: a score over other passages
    means something else."""
    best = runtime.best_model()
    with runtime.database.read() as session:
        fitted = [
            row
            for row in queries.rounds(session, reverted=False)
            if row.teacher_id == best.id and row.calibrator_id and _reads_alike(runtime, row, k)
        ]
        if not fitted or not prediction.answers:
            return None
        stored = queries.calibrator(session, fitted[-1].calibrator_id or 0)
    calibrator = Calibrator.from_state(stored.state)
    if calibrator.features != known_features([prediction]):
        return None
    if index.dense is not None and _encoding(index) != _encoding(_stored_index(runtime, fitted[-1].index_fingerprint)):
        return None
    return float(calibrator.confidence(feature_rows([prediction], calibrator.features))[0])


def _reads_alike(runtime: Runtime, row: RoundRow, k: int) -> bool:
    """Whether a round read as now: as many passages, with the same rules, settings, ensemble and cascade.

    A round that names a reader which is gone did not.
    """
    then = runtime.with_config(Config.from_resolved(row.config))
    if then.config.compute.precision != runtime.config.compute.precision or _read_rules(runtime, row) != _rules_now(
        runtime
    ):
        return False
    now = runtime.config.read
    of_no_score = {name: getattr(now, name) for name in NO_SCORE}
    if replace(then.config.read, **of_no_score) != replace(now, top_k=k) or _stops(then) != _stops(runtime):
        return False
    try:
        return then.other_readers == runtime.other_readers
    except NotReady:
        return False


def _stops(runtime: Runtime) -> tuple[str, float]:
    """When a reader may stop reading further passages."""
    return runtime.config.experimental.adaptive, runtime.config.experimental.adaptive_risk


def _read_rules(runtime: Runtime, row: RoundRow) -> tuple[str, ...]:
    """The rules that the spans of a round's predictions went through."""
    with runtime.database.read() as session:
        told = [event for event in queries.events(session, round_number=row.number) if event.kind == "predicted"]
    return tuple(told[-1].detail.get("rules", ())) if told else ()


def _rules_now(runtime: Runtime) -> tuple[str, ...]:
    return postprocessing.names_of(runtime, runtime.best_model())


def _encoding(index: Index | None) -> Encoding | None:
    """All that the vectors of an index depend on, but not where the checkpoint lies; None where it has none."""
    return replace(index.dense.encoding, source="") if index and index.dense else None


def _stored_index(runtime: Runtime, fingerprint: str | None) -> Index | None:
    """The index of a round; None where it had none, or it is gone or cannot be read."""
    try:
        return runtime.index(fingerprint) if fingerprint else None
    except (NotReady, MrcError):
        return None


@dataclass(frozen=True, slots=True)
class FileAnswers:
    """What `labeler answer` says. Marks are 0-1, None where the file holds no golds; seconds do not count loading."""

    questions: int
    seconds: float
    cpu_seconds: float  # of all threads
    per_second: float
    exact_match: float | None
    f1: float | None
    predictions: Path
    nbest: Path
    rejected: list[tuple[str, str]]


def answer_file(
    file: Path, *, readers: Readers, folder: Path, config: ReadSection, metric: str, device: str, precision: str
) -> FileAnswers:
    """Reads every question of a SQuAD-format file in its own paragraph; writes predictions and n-best into `folder`.

    The rules on answers are those named in `config.rules`; none has been earned here, so `auto` means none.

    Raises: DataError for an unusable file; BadCheckpoint; MembersDisagree.
    """
    examples, rejected = read_squad(parse_squad(read_text(file)[0], where=str(file)), where=str(file))
    if not examples:
        raise DataError(f"{file}: no question can be read")
    language = detect_language([example.question for example in examples[:LANGUAGE_SAMPLE]])
    impossible = any(example.is_impossible is not None for example in examples)
    chosen = resolve_metric(metric, language=language, impossible=impossible)
    refine = refiner(() if config.rules == postprocessing.AUTO else config.rules, language=language)
    reader = readers.load(device=device, precision=precision, backend=config.backend)
    settings = config.fitted(reader.max_positions)
    if settings != config:
        log.info("the model has %d positions: windows of that length", reader.max_positions)
    began, spent, found = time.perf_counter(), time.process_time(), []
    with bar("answer", total=len(examples), unit="questions") as shown:
        for prediction in read_in_context(examples, reader, config=settings, metric=chosen, refine=refine):
            found.append(prediction)
            shown.update()
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    texts = _texts(examples, found, null_threshold=config.null_score_diff_threshold or 0.0)
    folder.mkdir(parents=True, exist_ok=True)
    predictions = _write(folder / "predictions.json", texts)
    nbest = _write(folder / "nbest_predictions.json", {each.question_id: _nbest(each) for each in found})
    marks = _marks(examples, texts, chosen)
    listed = [(each.where, each.why) for each in rejected]
    return FileAnswers(len(examples), seconds, spent, len(examples) / seconds, *marks, predictions, nbest, listed)


def _texts(examples: list[Example], found: list[Prediction], *, null_threshold: float) -> dict[str, str]:
    """Id -> the answer given, empty where a question may have none and "no answer" wins by more than the threshold."""
    return {
        example.id: best_text(prediction, may_abstain=example.is_impossible is not None, null_threshold=null_threshold)[
            0
        ]
        for example, prediction in zip(examples, found, strict=True)
    }


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
