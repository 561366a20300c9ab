"""The scores of one run: each question read in its own passage, and in the passages retrieved for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from labeler.ablation import GIVEN, RETRIEVED, Run
from labeler.ablation.data import document_of, part_examples, passages_of
from labeler.ablation.training import READER
from labeler.evaluation.scoring import QuestionScore, score_prediction
from mrc.text import passage_id
from mrc.types import Example, Prediction, Question

if TYPE_CHECKING:
    from mrc.read.model.reader import Reader


def score_parts(run: Run, parts: Sequence[str]) -> Iterator[tuple[str, dict[str, list[QuestionScore]]]]:
    """Each part with the scores of its questions, by how their passages were chosen."""
    from labeler.reading.answering import read_in_context
    from mrc.read.model.reader import Reader

    compute, read = run.config.compute, run.config.read
    reader = Reader.load(run.folder / READER, device=compute.device, precision=compute.precision, backend=read.backend)
    run = replace(run, config=replace(run.config, read=read.fitted(reader.max_positions)))
    for part in parts:
        examples = part_examples(run.data, part)
        found = read_in_context(examples, reader, config=run.config.read, metric=run.metric)
        scores = {GIVEN: _scores(run, examples, found, may_abstain=run.metric == "squad_v2")}
        if run.top_k:  # an unanswerable question may have an answer elsewhere in the corpus
            answerable = [each for each in examples if each.answers]
            scores[RETRIEVED] = _scores(run, answerable, _end_to_end(run, reader, answerable), may_abstain=False)
        yield part, scores


def _end_to_end(run: Run, reader: Reader, examples: Sequence[Example]) -> Iterator[Prediction]:
    from mrc import pipeline
    from mrc.retrieve.index import Index

    passages = {passage.id: passage for passage in passages_of(run.data)}
    return pipeline.answer(
        [Question(each.id, each.question) for each in examples],
        retriever=Index.build(list(passages.values()), run.config.index),
        reader=reader,
        fetch=passages,
        k=run.top_k,
        config=run.config.read,
        metric=run.metric,
    )


def _scores(
    run: Run, examples: Sequence[Example], predictions: Iterable[Prediction], *, may_abstain: bool
) -> list[QuestionScore]:
    return [
        score_prediction(
            prediction,
            golds=[span.text for span in each.answers],
            gold_passages={passage_id(each.context)},
            cluster=document_of(each),
            metric=run.metric,
            may_abstain=may_abstain,
        )
        for each, prediction in zip(examples, predictions, strict=True)
    ]
