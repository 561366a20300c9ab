"""Batch reading of a SQuAD-format file on its own passages; needs no workspace."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeler.core.files import atomic_write, read_text
from labeler.core.files.outputs import check_output_folder, note_output
from labeler.core.progress import bar
from labeler.core.runtime import LANGUAGE_SAMPLE
from labeler.core.settings import ReadSection
from labeler.reading import postprocessing
from labeler.reading.answering import best_text, read_in_context
from labeler.reading.reader_spec import ReaderSpec
from mrc.analyzers import detect_language
from mrc.errors import DataError
from mrc.metrics import Metric, resolve_metric, score
from mrc.postprocess.rules import refiner
from mrc.squad import parse_squad, read_squad
from mrc.types import Example, Prediction

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileAnswers:
    """The result of `labeler answer`. Scores are 0-1, None for a file without golds; times exclude loading."""

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
    file: Path,
    *,
    readers: ReaderSpec,
    folder: Path,
    config: ReadSection,
    metric: str,
    device: str,
    precision: str,
    force: bool = False,
) -> FileAnswers:
    """Answer every question of a SQuAD-format file from its own context; write predictions and n-best into `folder`.

    The post-processing rules are those named in `config.rules`; `auto` means none, since nothing was tuned.

    Raises:
        DataError: the file has no usable question.
        FileError: the folder holds files of others, unless `force` allows to add to them.
        BadCheckpoint, MembersDisagree: the readers cannot be loaded or combined.
    """
    check_output_folder(folder, force=force, inputs=[file])
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
    began, cpu_began, found = time.perf_counter(), time.process_time(), []
    with bar("answer", total=len(examples), unit="questions") as progress:
        for prediction in read_in_context(examples, reader, config=settings, metric=chosen, refine=refine):
            found.append(prediction)
            progress.update()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    texts = _texts(examples, found, null_threshold=config.null_score_diff_threshold or 0.0)
    folder.mkdir(parents=True, exist_ok=True)
    predictions = _write(folder / "predictions.json", texts)
    nbest = _write(folder / "nbest_predictions.json", {each.question_id: _nbest(each) for each in found})
    scores = _scores(examples, texts, chosen)
    listed = [(each.where, each.why) for each in rejected]
    speed = len(examples) / seconds
    return FileAnswers(len(examples), seconds, cpu_seconds, speed, *scores, predictions, nbest, listed)


def _texts(examples: Sequence[Example], found: Sequence[Prediction], *, null_threshold: float) -> dict[str, str]:
    """Id -> answer; empty where a question may have none and "no answer" wins by more than the threshold."""
    return {
        example.id: best_text(prediction, may_abstain=example.is_impossible is not None, null_threshold=null_threshold)[
            0
        ]
        for example, prediction in zip(examples, found, strict=True)
    }


def _scores(examples: Sequence[Example], texts: Mapping[str, str], metric: Metric) -> tuple[float | None, float | None]:
    """EM and F1 over the questions that have golds or are known to be impossible."""
    judged = [example for example in examples if example.answers or example.is_impossible]
    if not judged:
        return None, None
    scores = [score(texts[example.id], [span.text for span in example.answers], metric) for example in judged]
    return sum(each.exact_match for each in scores) / len(scores), sum(each.f1 for each in scores) / len(scores)


def _nbest(prediction: Prediction) -> list[dict[str, Any]]:
    return [
        {"text": a.text, "start": a.start, "end": a.end, "score": a.score, "probability": a.probability}
        for a in prediction.answers
    ]


def _write(path: Path, content: Any) -> Path:
    with atomic_write(path) as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
    note_output(path)
    return path
