"""Batch reading of a SQuAD-format file on its own passages; needs no workspace."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labeler.core.files import atomic_write
from labeler.core.files.outputs import check_output_folder, note_output
from labeler.core.progress import bar
from labeler.core.runtime import LANGUAGE_SAMPLE
from labeler.core.settings import ReadSection
from labeler.reading import postprocessing
from labeler.reading.answering import best_text, read_in_context
from labeler.reading.question_file import FileQuestion, read_questions
from labeler.reading.reader_spec import ReaderSpec
from mrc.analyzers import detect_language
from mrc.metrics import Metric, resolve_metric
from mrc.postprocess.rules import refiner
from mrc.read.predict.reach import GoldSpans, OutOfReach, out_of_reach
from mrc.types import Prediction

log = logging.getLogger(__name__)

HALVES: Final = re.compile("[\ud800-\udfff]")  # of surrogate pairs, which UTF-8 cannot encode and JSON can name


@dataclass(frozen=True, slots=True)
class FileAnswers:
    """The result of `labeler answer`. Scores are 0-1, None for a file without golds; times exclude loading.

    `rejected` lists golds that do not stand in their context, of `unanchored` questions; they are scored by their text.
    `out_of_reach`: questions whose golds are longer than the answers that are considered.
    """

    questions: int
    seconds: float
    cpu_seconds: float  # of all threads
    per_second: float
    exact_match: float | None
    f1: float | None
    predictions: Path
    nbest: Path
    rejected: list[tuple[str, str]]
    unanchored: int = 0
    out_of_reach: OutOfReach | None = None


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
    """Answer every question of a SQuAD-shaped file from its own context; write predictions and n-best into `folder`.

    The post-processing rules are those named in `config.rules`; `auto` means none, since nothing was tuned.

    Raises:
        DataError: the file has no question, a broken structure, or two questions of one id.
        FileError: the folder holds files of others, unless `force` allows to add to them.
        BadCheckpoint, MembersDisagree: the readers cannot be loaded or combined.
    """
    check_output_folder(folder, force=force, inputs=[file])
    asked = read_questions(file)
    language = detect_language([each.question for each in asked[:LANGUAGE_SAMPLE]])
    impossible = any(each.is_impossible is not None for each in asked)
    chosen = resolve_metric(metric, language=language, impossible=impossible)
    refine = refiner(() if config.rules == postprocessing.AUTO else config.rules, language=language)
    reader = readers.load(device=device, precision=precision, backend=config.backend)
    settings = _fitted(config, reader.max_positions)
    began, cpu_began, found = time.perf_counter(), time.process_time(), []
    with bar("answer", total=len(asked), unit="questions") as progress:
        for prediction in read_in_context(asked, reader, config=settings, metric=chosen, refine=refine):
            found.append(prediction)
            progress.update()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    texts = _texts(found, may_abstain=impossible, null_threshold=config.null_score_diff_threshold or 0.0)
    folder.mkdir(parents=True, exist_ok=True)
    predictions = _write(folder / "predictions.json", texts)
    nbest = _write(folder / "nbest_predictions.json", {each.question_id: _nbest(each) for each in found})
    return FileAnswers(
        len(asked),
        seconds,
        cpu_seconds,
        len(asked) / seconds,
        *_scores(asked, texts, chosen),
        predictions,
        nbest,
        rejected=[(fault.where, fault.why) for each in asked for fault in each.faults],
        unanchored=sum(bool(each.faults) for each in asked),
        out_of_reach=out_of_reach(
            (GoldSpans(each.id, each.context, each.spans) for each in asked),
            reader.windower,
            settings,
            positions=reader.max_positions,
        ),
    )


def _fitted(config: ReadSection, positions: int) -> ReadSection:
    """The settings for an encoder of this many positions; what they shorten is logged."""
    settings = config.fitted(positions)
    if settings != config:
        log.info("the model has %d positions: windows of that length", positions)
    if settings.max_answer_length < config.max_answer_length:
        log.warning(
            "the model has %d positions: answers of at most %d tokens instead of %d",
            positions,
            settings.max_answer_length,
            config.max_answer_length,
        )
    return settings


def _texts(found: Sequence[Prediction], *, may_abstain: bool, null_threshold: float) -> dict[str, str]:
    """Id -> answer; empty where the reader may abstain and "no answer" wins by more than the threshold."""
    return {
        each.question_id: best_text(each, may_abstain=may_abstain, null_threshold=null_threshold)[0] for each in found
    }


def _scores(
    asked: Sequence[FileQuestion], texts: Mapping[str, str], metric: Metric
) -> tuple[float | None, float | None]:
    """EM and F1 over all questions; None for a file without any gold.

    A question that the file repeats counts each time, but by SQuAD 2.0 once, as in the official scripts.
    """
    if not any(each.golds or each.is_impossible for each in asked):
        return None, None
    counted = {each.id: each for each in asked}.values() if metric == "squad_v2" else asked
    scores = [each.score(texts[each.id], metric) for each in counted]
    return sum(each.exact_match for each in scores) / len(scores), sum(each.f1 for each in scores) / len(scores)


def _nbest(prediction: Prediction) -> list[dict[str, Any]]:
    return [
        {"text": a.text, "start": a.start, "end": a.end, "score": a.score, "probability": a.probability}
        for a in prediction.answers
    ]


def _write(path: Path, content: Any) -> Path:
    text = json.dumps(content, ensure_ascii=False, indent=1)
    with atomic_write(path) as file:
        file.write(HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", text))
    note_output(path)
    return path
