"""Conversion between the rows of the database and the types of `mrc`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from db.rows import SpanRow
from mrc.types import Example, Passage, Prediction, Span

if TYPE_CHECKING:
    from db.rows import LabelRow, NewPrediction, PassageRow, TrainingRow
    from mrc.read import TrainingExample


def to_passage(row: PassageRow) -> Passage:
    """A stored passage, with the title of its document."""
    return Passage(row.id, row.text, row.title)


def to_span(row: SpanRow) -> Span:
    """A stored span."""
    return Span(row.passage_id, row.start, row.end, row.text)


def span_row(span: Span) -> SpanRow:
    """A span to store."""
    return SpanRow(span.text, span.passage_id, span.start, span.end)


def training_examples(rows: Iterable[TrainingRow], *, golds: str = "all") -> list[TrainingExample]:
    """The training examples of these labels, in order; labels whose passages are all left out give none."""
    return [training_example(row, golds=golds) for row in rows if row.passages]


def training_example(row: TrainingRow, *, golds: str = "all") -> TrainingExample:
    """One label as a training example.

    Of several golds the first gives the passage: imports store the most frequent first, ties by the earliest offset.
    The others in this passage are right too, unless `golds` is `first`. Of the passages that were shown for a no_answer
    the first is the context, the others are its negatives.
    """
    from mrc.read import TrainingExample
    from mrc.read.data.examples import other_spans

    label = row.label
    first = label.answers[0] if label.answers else None
    shown = [first.passage_id] if first else [key for key in shown_passages(label) if key in row.passages]
    context, *negatives = (row.passages[key].text for key in shown)
    return TrainingExample(
        row.question.id,
        row.question.text,
        context,
        first.start if first else -1,
        first.end if first else -1,
        negatives=tuple(negatives),
        weight=row.weight,
        human_labelled=label.kind != "pseudo",
        golds=tuple(answer.text for answer in label.answers),
        also=other_spans([to_span(answer) for answer in label.answers]) if golds == "all" else (),
    )


def shown_passages(label: LabelRow) -> list[str]:
    """The passages of a label's answers in order; for a no_answer the passages that were shown."""
    return list(dict.fromkeys(span.passage_id for span in label.answers)) or list(label.passages or ())


def to_example(row: TrainingRow) -> Example:
    """A label as an example of a SQuAD-style file: its golds in the passage of the first gold.

    A no_answer is an impossible question in the first passage that was shown.
    """
    label = row.label
    passage = next(row.passages[key] for key in shown_passages(label) if key in row.passages)
    spans, given = (
        tuple(to_span(span) for span in some if span.passage_id == passage.id)
        for some in (label.answers, label.all_answers)
    )
    return Example(row.question.id, row.question.text, passage.text, spans, passage.title, label.no_answer, given)


def new_prediction(prediction: Prediction) -> NewPrediction:
    """A prediction to store; a calibrator adds its confidence later."""
    from db.rows import AnswerRow, NewPrediction

    answers = tuple(
        AnswerRow(answer.text, answer.passage_id, answer.start, answer.end, answer.score, answer.probability)
        for answer in prediction.answers
    )
    return NewPrediction(
        question_id=prediction.question_id,
        answers=answers,
        score=answers[0].score if answers else None,
        null_score=prediction.null_score,
        hits=tuple((hit.passage_id, hit.score) for hit in prediction.hits),
        features=dict(prediction.features),
    )
