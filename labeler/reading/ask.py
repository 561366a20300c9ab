"""Answers to questions from the corpus, with a calibrated confidence where a round has calibrated the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from db import queries
from db.rows import RoundRow
from labeler.core.config import Config
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.reading import postprocessing
from labeler.reading.early_exit import stored_rule
from mrc.calibration.calibrate import Calibrator
from mrc.calibration.features import feature_rows, known_features
from mrc.errors import MrcError
from mrc.types import Prediction, Question

if TYPE_CHECKING:
    from mrc.retrieve.dense.vectors import Encoding
    from mrc.retrieve.index import Index

#: settings of reading that change no score; post-processing rules are compared as they were resolved
NO_SCORE = ("chunk_size", "batch_tokens", "null_score_diff_threshold", "rules")


@dataclass(frozen=True, slots=True)
class AskedAnswer:
    """One answer of `labeler ask`. `confidence` is calibrated; None where no calibrator applies."""

    text: str
    passage_id: str
    start: int  # code points into the passage, end exclusive
    end: int
    score: float
    confidence: float | None


def ask(runtime: Runtime, question: str, *, k: int | None = None) -> list[AskedAnswer]:
    """The reader's ranked answers to one question; see `ask_many`."""
    return ask_many(runtime, [question], k=k)[0]


def ask_many(runtime: Runtime, questions: Sequence[str], *, k: int | None = None) -> list[list[AskedAnswer]]:
    """The reader's ranked answers to each question from its k best passages; only the first has a confidence.

    Args:
        runtime: with an index and a reader.
        questions: their texts.
        k: number of passages; default `read.top_k`.

    Raises:
        NotReady: there is no index or no reader.
    """
    from mrc import pipeline

    default = runtime.config.read.top_k
    best, index = runtime.best_model(), runtime.index()
    plan = postprocessing.plan_of(runtime, best)
    predictions = pipeline.answer(
        [Question(str(number), question) for number, question in enumerate(questions)],
        retriever=index,
        reader=runtime.answerer(best),
        fetch=runtime.fetch,
        k=k or default,
        config=runtime.config.read,
        metric=runtime.metric,
        hybrid=index.dense is not None,
        refine=plan.refine,
        stopping=stored_rule(runtime, best, index=index.fingerprint) if k in (None, default) else None,
        retrieval_weight=plan.retrieval_weight,
        read=plan.passages if k in (None, default) else None,
    )
    calibrator = _calibrator(runtime, index, k=k or default)
    return [_asked_answers(prediction, calibrator) for prediction in predictions]


def _asked_answers(prediction: Prediction, calibrator: Calibrator | None) -> list[AskedAnswer]:
    confidence = None
    if calibrator and prediction.answers and calibrator.features == known_features([prediction]):
        confidence = float(calibrator.confidence(feature_rows([prediction], calibrator.features))[0])
    return [
        AskedAnswer(a.text, a.passage_id, a.start, a.end, a.score, None if rank else confidence)
        for rank, a in enumerate(prediction.answers)
    ]


def _calibrator(runtime: Runtime, index: Index, *, k: int) -> Calibrator | None:
    """The newest calibrator that applies; None where none does.

    It must come from a round whose teacher is this reader, that read as many passages with the same settings, and
    whose index has the same encoder: other passages give other scores.
    """
    best = runtime.best_model()
    with runtime.database.read() as session:
        fitted = [
            row
            for row in queries.rounds(session, reverted=False)
            if row.teacher_id == best.id and row.calibrator_id and _reads_alike(runtime, row, k)
        ]
        if not fitted:
            return None
        stored = queries.calibrator(session, fitted[-1].calibrator_id or 0)
    if index.dense is not None and _encoding(index) != _encoding(_stored_index(runtime, fitted[-1].index_fingerprint)):
        return None
    return Calibrator.from_state(stored.state)


def _reads_alike(runtime: Runtime, row: RoundRow, k: int) -> bool:
    """Whether a round read k passages with the current rules, settings, ensemble and cascade.

    False where the round names a reader that is gone.
    """
    then = runtime.with_config(Config.from_resolved(row.config))
    if then.config.compute.precision != runtime.config.compute.precision:
        return False
    if _tuning_of_round(runtime, row) != postprocessing.identity_of(runtime, runtime.best_model()):
        return False
    now = runtime.config.read
    ignored = {name: getattr(now, name) for name in NO_SCORE}
    if replace(then.config.read, **ignored) != replace(now, top_k=k) or _adaptive(then) != _adaptive(runtime):
        return False
    try:
        return then.other_readers == runtime.other_readers
    except NotReady:
        return False


def _adaptive(runtime: Runtime) -> tuple[str, float]:
    """The settings of adaptive reading."""
    return runtime.config.experimental.adaptive, runtime.config.experimental.adaptive_risk


def _tuning_of_round(runtime: Runtime, row: RoundRow) -> list[Any]:
    """What was tuned for the reader of a round's predictions, see `postprocessing.identity_of`."""
    with runtime.database.read() as session:
        events = [event for event in queries.events(session, round_number=row.number) if event.kind == "predicted"]
    return list(events[-1].detail.get("tuned", ())) if events else []


def _encoding(index: Index | None) -> Encoding | None:
    """All that the vectors of an index depend on, apart from the checkpoint's location; None for a lexical index."""
    return replace(index.dense.encoding, source="") if index and index.dense else None


def _stored_index(runtime: Runtime, fingerprint: str | None) -> Index | None:
    """The index of a round; None where it had none, or its files are missing or damaged."""
    try:
        return runtime.index(fingerprint) if fingerprint else None
    except (NotReady, MrcError):
        return None
