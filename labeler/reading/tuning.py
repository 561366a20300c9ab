"""Tuning of a reader on held-out questions; see `labeler.reading.postprocessing` for what is tuned."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Final, TypeAlias

from db import queries, store
from db.rows import LabelledQuestion, ModelRow
from labeler.cluster.connection import note as cluster_note
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from labeler.reading import answering, folds
from labeler.reading.answering import ReadingPlan
from labeler.reading.postprocessing import (
    AUTO,
    Tuned,
    described,
    in_gold_passage,
    key_of,
    rules_of,
    weight_of,
)
from labeler.reading.remote import RemoteReader
from mrc.calibration.retrieval_weight import ReadQuestion, fit_retrieval_weight, right_by_passages
from mrc.metrics import normalize_answer
from mrc.postprocess.rules import (
    AnsweredQuestion,
    abstention,
    chosen_rules,
    null_threshold,
    refined,
    refiner,
    rule_effects,
)
from mrc.ranking import Candidate, rank_candidates
from mrc.types import Answer, Hit, Question

if TYPE_CHECKING:
    from mrc.read.predict.groups import Answerer

log = logging.getLogger(__name__)

MIN_QUESTIONS: Final = 100  # held out, below which all retrieved passages are read
Answered: TypeAlias = Mapping[str, tuple[Answer, ...]]  # by question id


def tune(runtime: Runtime, model: ModelRow, *, index: str | None) -> Tuned:
    """Tune a reader on held-out questions, once for the same questions and settings, and store the outcome.

    With an index, the weight of retrieval, the number of passages and the rules are tuned on answers from the passages
    that it retrieves; without one, the rules on answers from each question's own passage. The threshold is always
    tuned on the latter, where alone a reader may abstain. What the settings name is not tuned, and nothing is without
    held-out questions.
    """
    held_out = _held_out(runtime, index, model)
    known = rules_of(runtime, model)
    tuned_on = _fingerprint(runtime, held_out, index)
    if not held_out.any or known.tuned_on == tuned_on:
        return known
    found = replace(_tuned(runtime, answering.answerer(runtime, model), known, held_out, index), tuned_on=tuned_on)
    with runtime.database.write() as session:
        store.set_meta(session, key_of(runtime, model), json.dumps(asdict(found), ensure_ascii=False))
    return found


def tuning_of(runtime: Runtime, reader: Answerer, *, index: str | None) -> Tuned:
    """The tuning of a reader that no round trained, on the same questions as `tune`; nothing is stored."""
    return _tuned(runtime, reader, Tuned(), _held_out(runtime, index), index)


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """The questions that tuning needs: of dev for rules and threshold, of dev and calibration for the rest.

    With fold readers gold labels calibrate, so each of them reads, for the rest, questions that it has not seen.
    """

    answered: Sequence[LabelledQuestion]
    uncertain: Sequence[LabelledQuestion]
    retrieved: Sequence[LabelledQuestion]
    out_of_fold: Sequence[tuple[ModelRow, Sequence[LabelledQuestion]]] = ()

    @property
    def any(self) -> bool:
        return bool(self.answered or self.uncertain or self.all_retrieved)

    @property
    def all_retrieved(self) -> Sequence[LabelledQuestion]:
        return [*self.retrieved, *(entry for _, entries in self.out_of_fold for entry in entries)]


def _held_out(runtime: Runtime, index: str | None, model: ModelRow | None = None) -> _HeldOut:
    """`model`: the reader to tune, where a round trained it."""
    read = runtime.config.read
    with runtime.database.read() as session:
        dev, calibration = (queries.labelled_questions(session, role) for role in ("dev", "calibration"))
        fold_readers = folds.readers_of(session, model) if model and index else None
        out_of_fold = folds.out_of_fold(session, fold_readers) if fold_readers else []
    answered = [entry for entry in dev if entry.label.gold_texts]
    flagged = [entry for entry in dev if entry.question.is_impossible is not None]
    return _HeldOut(
        answered if read.rules == AUTO else (),
        [entry for entry in flagged if entry.label.gold_texts or entry.question.is_impossible]
        if read.null_score_diff_threshold is None
        else (),
        [*answered, *(entry for entry in calibration if entry.label.gold_texts)] if index else (),
        out_of_fold,
    )


def _tuned(
    runtime: Runtime, reader: Answerer | RemoteReader, known: Tuned, held_out: _HeldOut, index: str | None
) -> Tuned:
    """The known tuning, with all that the held-out questions tell."""
    found = known
    answers: Answered = {}
    if held_out.all_retrieved and index:
        found, answers = _tuned_reading(runtime, reader, found, held_out, index)
    if held_out.answered:
        judged = [each for each, _ in _judged(runtime, reader, held_out.answered, index, found, answers)]
        effects = rule_effects(judged, metric=runtime.metric, language=runtime.language)
        found = replace(found, rules=chosen_rules(effects), table=tuple(effects), questions=len(judged))
    if held_out.uncertain:
        names = found.rules if runtime.config.read.rules == AUTO else runtime.config.read.rules
        refine = refiner(names, language=runtime.language)
        threshold = null_threshold(
            [
                abstention(refined(each, refine, runtime.metric), null, each.golds, runtime.metric)
                for each, null in _judged(runtime, reader, held_out.uncertain, None, found, {})
            ]
        )
        found = replace(found, null_threshold=threshold)
    return found


def _tuned_reading(
    runtime: Runtime, reader: Answerer | RemoteReader, known: Tuned, held_out: _HeldOut, index: str
) -> tuple[Tuned, Answered]:
    """The tuning with the weight of retrieval and the passages read, and the answers under them, by question id."""
    normalize = cache(partial(normalize_answer, metric=runtime.metric))
    note = cluster_note(runtime.config.compute)
    entries = held_out.all_retrieved
    with bar("tune reading", total=len(entries), unit="questions", note=note) as progress:
        read = []
        for entry, (spans, hits) in zip(entries, _all_candidates(runtime, reader, held_out, index), strict=True):
            golds = frozenset(normalize(text) for text in entry.label.gold_texts)
            read.append(ReadQuestion(spans, tuple(hit.standardized for hit in hits), golds, entry.document_id))
            progress.update()
    if not any(each.candidates for each in read):  # a hard vote gives answers without spans
        return known, {}
    weight = fit_retrieval_weight(read, normalize=normalize)
    named = runtime.config.read.retrieval_weight
    value = weight.value if named is None else named
    shares = right_by_passages(read, value, normalize=normalize) if len(read) >= MIN_QUESTIONS else ()
    found = replace(known, retrieval=weight, right_by_passages=shares)
    log.info("%s", described(found))
    size = runtime.config.read.n_best_size
    return found, {
        entry.question.id: rank_candidates(
            each.candidates,
            priors=[value * z for z in each.standardized[: found.passages]],
            normalize=normalize,
            n_best_size=size,
        )
        for entry, each in zip(entries, read, strict=True)
    }


def _all_candidates(
    runtime: Runtime, reader: Answerer | RemoteReader, held_out: _HeldOut, index: str
) -> Iterator[tuple[tuple[Candidate, ...], tuple[Hit, ...]]]:
    """The candidates of `all_retrieved`, each question read by the reader that has not seen it."""
    yield from _candidates(runtime, reader, held_out.retrieved, index)
    for model, entries in held_out.out_of_fold:
        if entries:
            yield from _candidates(runtime, answering.answerer(runtime, model), entries, index)


def _candidates(
    runtime: Runtime, reader: Answerer | RemoteReader, entries: Sequence[LabelledQuestion], index: str
) -> Iterator[tuple[tuple[Candidate, ...], tuple[Hit, ...]]]:
    from mrc import pipeline

    if isinstance(reader, RemoteReader):
        return answering.candidates_on_cluster(runtime, [entry.question for entry in entries], reader, index)
    return pipeline.read_candidates(
        [Question(entry.question.id, entry.question.text) for entry in entries],
        retriever=runtime.index(index),
        reader=reader,
        fetch=runtime.fetch,
        k=runtime.config.read.top_k,
        config=runtime.config.read,
        metric=runtime.metric,
    )


def _judged(
    runtime: Runtime,
    reader: Answerer | RemoteReader,
    entries: Sequence[LabelledQuestion],
    index: str | None,
    tuned: Tuned,
    answers: Answered,
) -> list[tuple[AnsweredQuestion, float]]:
    """Each question with its answers without rules, and the mass of "no answer"; known `answers` are not read again."""
    if all(entry.question.id in answers for entry in entries):
        read = [(answers[entry.question.id], 0.0) for entry in entries]
    else:
        questions = [entry.question if index else in_gold_passage(entry) for entry in entries]
        plan = ReadingPlan(None, weight_of(runtime, tuned), tuned.passages)
        found = answering.answers(runtime, questions, reader, index, plan=plan)
        read = [(prediction.answers, prediction.null_score) for prediction in found]
    passages = runtime.fetch(sorted({answer.passage_id for own, _ in read for answer in own}))
    golds = [entry.label.gold_texts for entry in entries]
    return [
        (AnsweredQuestion(entry.question.text, own, passages, texts), null)
        for entry, (own, null), texts in zip(entries, read, golds, strict=True)
    ]


def _fingerprint(runtime: Runtime, held_out: _HeldOut, index: str | None) -> str:
    """Hash of everything that the tuning depends on, apart from the reader."""
    asked = [
        [[entry.question.id, entry.question.is_impossible, list(entry.label.gold_texts)] for entry in entries]
        for entries in (held_out.answered, held_out.uncertain, held_out.all_retrieved)
    ]
    parts = [index, asdict(runtime.config.read), runtime.metric, runtime.language, asked, *runtime.other_readers]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
