"""How passages are indexed: the settings, with k1, b and the title weight as tuned on labelled questions."""

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
from mrc.retrieve.index import IndexConfig
from mrc.retrieve.tuning import Documents, Setting, grid, tune

TUNED_KEY = "index_tuned"  # in meta: what was tuned last, as JSON
TUNED_ON = ("gold", "calibration")  # dev and test judge what is tuned
MOST_QUESTIONS = 2000  # more move the best setting by less than its interval

Bounds = tuple[float, float, float]  # mean, low, high


@dataclass(frozen=True, slots=True)
class TunedIndex:
    """What `labeler index --tune` found. MRR is 0-1 within the first 100; bounds are mean, low, high at 95%."""

    method: str
    analyzer: str
    window_chars: int
    k1: float
    b: float
    title_weight: int
    questions: int
    mrr_before: Bounds  # of the setting so far
    mrr_after: Bounds  # of the chosen one on the questions that chose it
    gain: Bounds  # of MRR, each half of the documents under what the other half chose
    top_3_before: float
    top_3_after: float


def index_config(runtime: Runtime) -> IndexConfig:
    """The settings, the language filled in; k1, b and title weight as tuned where they are left at their defaults.

    What was tuned for another method, analyzer or window does not count. Raises MissingExtra, BadAnalyzer.
    """
    config = runtime.config.index
    config = dataclasses.replace(config, language=runtime.language if config.language == "auto" else config.language)
    tuned = last_tuned(runtime)
    if tuned is None or _setting(config) != _setting(IndexConfig()):
        return config
    tuned_for = (tuned.method, tuned.analyzer, tuned.window_chars)
    if tuned_for != (config.method, _analyzer(config).name, config.window_chars):
        return config
    return dataclasses.replace(config, k1=tuned.k1, b=tuned.b, title_weight=tuned.title_weight)


def last_tuned(runtime: Runtime) -> TunedIndex | None:
    """What was tuned last, if it was not forgotten."""
    with runtime.database.read() as session:
        stored = queries.get_meta(session, TUNED_KEY)
    if not stored:
        return None
    values = json.loads(stored)
    bounds = ("mrr_before", "mrr_after", "gain")
    return TunedIndex(**values | {name: tuple(values[name]) for name in bounds})


def forget_tuning(runtime: Runtime) -> None:
    """Nothing; from the next index on the settings alone count."""
    with runtime.database.write() as session:
        store.set_meta(session, TUNED_KEY, "")


def tune_index(runtime: Runtime) -> TunedIndex:
    """k1, b and title weight chosen on gold and calibration questions, and stored for the indexes that follow.

    Raises: NotReady without labelled questions of at least two documents, or without passages.
    """
    config = index_config(runtime)
    asked = _asked(runtime)
    with runtime.database.read() as session:
        passages = [convert.to_passage(row) for row in queries.iter_passages(session)]
    rows = {passage.id: row for row, passage in enumerate(passages)}
    golds = [[rows[place.passage_id] for place in entry.label.answers if place.passage_id in rows] for entry in asked]
    analyzer = _analyzer(config)
    documents = Documents(passages, analyzer, window_chars=config.window_chars)
    settings = grid(_setting(config), titles=documents.titled)
    with bar("tune", total=len(settings), unit="settings") as shown:
        found = tune(
            documents,
            method=config.method,
            settings=settings,
            questions=[entry.question.text for entry in asked],
            golds=golds,
            clusters=[entry.document_id for entry in asked],
            rng=np.random.default_rng(runtime.config.round.seed),
            progress=shown.update,
        )
    before, after, gain = ((each.mean, each.low, each.high) for each in (found.before, found.after, found.gain))
    chosen = dataclasses.asdict(found.setting)
    about = (config.method, analyzer.name, config.window_chars)
    tuned = TunedIndex(*about, **chosen, questions=found.questions, mrr_before=before, mrr_after=after, gain=gain,
                       top_3_before=found.top_3[0], top_3_after=found.top_3[1])  # fmt: skip
    with runtime.database.write() as session:
        store.set_meta(session, TUNED_KEY, json.dumps(dataclasses.asdict(tuned)))
        store.add_event(session, "index tuned", detail=dataclasses.asdict(tuned))
    return tuned


def teaching(runtime: Runtime, *, roles: Sequence[str] = TUNED_ON) -> list[LabelledQuestion]:
    """At most MOST_QUESTIONS answered questions of the roles that may tune, drawn by the seed."""
    with runtime.database.read() as session:
        entries = [entry for role in roles for entry in queries.labelled_questions(session, role)]
    entries = [entry for entry in entries if entry.label.answers]
    order = np.random.default_rng(runtime.config.round.seed).permutation(len(entries))[:MOST_QUESTIONS]
    return [entries[place] for place in sorted(order.tolist())]


def _asked(runtime: Runtime) -> Sequence[LabelledQuestion]:
    entries = teaching(runtime)
    if len({entry.document_id for entry in entries}) < 2:
        raise NotReady(
            "tuning needs answered gold questions of two documents or more; add some: labeler import FILE --as gold"
        )
    return entries


def _setting(config: IndexConfig) -> Setting:
    return Setting(config.k1, config.b, config.title_weight)


def _analyzer(config: IndexConfig) -> Analyzer:
    assert config.language != "auto"
    return get_analyzer(config.analyzer, config.language)
