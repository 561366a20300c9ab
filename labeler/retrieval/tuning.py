"""The index settings of a workspace, with k1, b and title weight tuned on labelled questions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from db import queries, store
from db.rows import LabelledQuestion
from labeler.core import convert
from labeler.core.errors import NotReady
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from mrc.analyzers import Analyzer, get_analyzer
from mrc.retrieve.config import IndexConfig
from mrc.retrieve.tuning import BM25Setting, CountedPassages, TuningResult, grid, tune

TUNED_KEY = "index_tuned"  # in meta: the last tuning, as JSON
TUNED_ON = ("gold", "calibration")  # dev and test are kept for evaluation
MAX_QUESTIONS = 2000  # more questions change the best setting by less than its interval

Bounds = tuple[float, float, float]  # mean, low, high


@dataclass(frozen=True, slots=True)
class TunedIndex:
    """The result of `labeler index --tune`. MRR is 0-1 within the first 100; bounds are mean, low, high at 95%."""

    method: str
    analyzer: str
    window_chars: int
    k1: float
    b: float
    title_weight: int
    questions: int
    mrr_before: Bounds  # of the current setting
    mrr_after: Bounds  # of the chosen setting, on the questions that chose it
    gain: Bounds  # of MRR, each half of the documents under the setting that the other half chose
    top_3_before: float
    top_3_after: float


def index_config(runtime: Runtime) -> IndexConfig:
    """The settings with the language of the workspace; k1, b and title weight as tuned, if left at their defaults.

    A tuning for another method, analyzer or window size is ignored. Raises MissingExtra, BadAnalyzer.
    """
    config = dataclasses.replace(runtime.config.index, language=runtime.config.workspace.language)
    tuned = last_tuned(runtime)
    if tuned is None or _setting(config) != _setting(IndexConfig()):
        return config
    tuned_for = (tuned.method, tuned.analyzer, tuned.window_chars)
    if tuned_for != (config.method, _analyzer(runtime, config).name, config.window_chars):
        return config
    return dataclasses.replace(config, k1=tuned.k1, b=tuned.b, title_weight=tuned.title_weight)


def last_tuned(runtime: Runtime) -> TunedIndex | None:
    """The last tuning; None where there is none or it was discarded."""
    with runtime.database.read() as session:
        stored = queries.get_meta(session, TUNED_KEY)
    if not stored:
        return None
    values = json.loads(stored)
    bounds = ("mrr_before", "mrr_after", "gain")
    return TunedIndex(**values | {name: tuple(values[name]) for name in bounds})


def forget_tuning(runtime: Runtime) -> None:
    """Discard the last tuning: later indexes use the settings alone."""
    with runtime.database.write() as session:
        store.set_meta(session, TUNED_KEY, "")


def tune_index(runtime: Runtime) -> TunedIndex:
    """Choose k1, b and title weight on gold and calibration questions, and store them for later indexes.

    Raises: NotReady without labelled questions of at least two documents, or without passages.
    """
    config = index_config(runtime)
    asked = _labelled(runtime)
    with runtime.database.read() as session:
        passages = [convert.to_passage(row) for row in queries.iter_passages(session)]
    rows = {passage.id: row for row, passage in enumerate(passages)}
    golds = [[rows[place.passage_id] for place in entry.label.answers if place.passage_id in rows] for entry in asked]
    analyzer = _analyzer(runtime, config)
    counted = CountedPassages(passages, analyzer, window_chars=config.window_chars)
    settings = grid(_setting(config), titles=counted.titled)
    with bar("tune", total=len(settings), unit="settings") as shown:
        found = tune(
            counted,
            method=config.method,
            settings=settings,
            questions=[entry.question.text for entry in asked],
            golds=golds,
            clusters=[entry.document_id for entry in asked],
            rng=np.random.default_rng(runtime.config.round.seed),
            progress=shown.update,
        )
    tuned = _tuned_index(found, config, analyzer)
    with runtime.database.write() as session:
        store.set_meta(session, TUNED_KEY, json.dumps(dataclasses.asdict(tuned)))
        store.add_event(session, "index tuned", detail=dataclasses.asdict(tuned))
    return tuned


def _tuned_index(found: TuningResult, config: IndexConfig, analyzer: Analyzer) -> TunedIndex:
    before, after, gain = ((each.mean, each.low, each.high) for each in (found.before, found.after, found.gain))
    return TunedIndex(
        method=config.method,
        analyzer=analyzer.name,
        window_chars=config.window_chars,
        **dataclasses.asdict(found.setting),
        questions=found.questions,
        mrr_before=before,
        mrr_after=after,
        gain=gain,
        top_3_before=found.top_3[0],
        top_3_after=found.top_3[1],
    )


def tuning_questions(runtime: Runtime, *, roles: Sequence[str] = TUNED_ON) -> list[LabelledQuestion]:
    """At most MAX_QUESTIONS answered questions of these roles, a seeded sample."""
    with runtime.database.read() as session:
        entries = [entry for role in roles for entry in queries.labelled_questions(session, role)]
    entries = [entry for entry in entries if entry.label.answers]
    order = np.random.default_rng(runtime.config.round.seed).permutation(len(entries))[:MAX_QUESTIONS]
    return [entries[place] for place in sorted(order.tolist())]


def _labelled(runtime: Runtime) -> Sequence[LabelledQuestion]:
    entries = tuning_questions(runtime)
    if len({entry.document_id for entry in entries}) < 2:
        raise NotReady(
            "tuning needs answered gold questions of two documents or more; add some: labeler import FILE --as gold"
        )
    return entries


def _setting(config: IndexConfig) -> BM25Setting:
    return BM25Setting(config.k1, config.b, config.title_weight)


def _analyzer(runtime: Runtime, config: IndexConfig) -> Analyzer:
    return get_analyzer(config.analyzer, runtime.text_language)
