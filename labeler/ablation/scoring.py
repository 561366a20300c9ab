"""The readings of one run: each question in its own passage, and in the passages found for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from labeler.ablation import GIVEN, RETRIEVED, Run
from labeler.ablation.data import document_of, part_examples, passages_of
from labeler.ablation.training import READER
from mrc.metrics import score
from mrc.text import passage_id
from mrc.types import Example, Passage, Prediction, Question


def read_parts(run: Run, parts: Sequence[str]) -> Iterator[tuple[str, dict[str, list[list[Any]]]]]:
    """Each part with the run's marks on it: how passages were chosen -> the fields of `Mark`, question by question."""
    from mrc.read.model.reader import Reader

    compute, backend = run.config.compute, run.config.read.backend
    reader = Reader.load(run.folder / READER, device=compute.device, precision=compute.precision, backend=backend)
    settings = run.config.read.fitted(reader.max_positions)
    run = replace(run, config=replace(run.config, read=settings))
    for part in parts:
        examples = part_examples(run.data, part)
        marks = {GIVEN: _marked(run, examples, _in_own_passage(run, reader, examples), may_abstain=True)}
        if run.top_k:
            answerable = [each for each in examples if each.answers]  # elsewhere in the corpus there may be an answer
            marks[RETRIEVED] = _marked(run, answerable, _end_to_end(run, reader, answerable), may_abstain=False)
        yield part, marks


def _in_own_passage(run: Run, reader: Any, examples: Sequence[Example]) -> Iterator[Prediction]:
    from mrc import pipeline

    asked = [Question(each.id, each.question) for each in examples]
    given = [[Passage(passage_id(each.context), each.context)] for each in examples]
    return pipeline.read(asked, given, reader=reader, config=run.config.read, metric=run.metric)


def _end_to_end(run: Run, reader: Any, examples: Sequence[Example]) -> Iterator[Prediction]:
    from mrc import pipeline
    from mrc.retrieve.index import Index

    passages = {passage.id: passage for passage in passages_of(run.data)}
    return pipeline.answer(
        [Question(each.id, each.question) for each in examples],
        retriever=Index.build(list(passages.values()), run.config.index),
        reader=reader,
        fetch=lambda ids: {key: passages[key] for key in ids},
        k=run.top_k,
        config=run.config.read,
        metric=run.metric,
    )


def _marked(
    run: Run, examples: Sequence[Example], predictions: Iterator[Prediction], *, may_abstain: bool
) -> list[list[Any]]:
    from labeler.reading.answering import best_text

    rows = []
    for each, prediction in zip(examples, predictions, strict=True):
        text, _ = best_text(prediction, may_abstain=may_abstain and run.metric == "squad_v2")
        found = score(text, [span.text for span in each.answers], run.metric)
        rows.append([each.id, document_of(each), found.exact_match, found.f1, text])
    return rows
