"""Questions of SQuAD-style files as a reader trains on them and is watched by."""

from __future__ import annotations

from collections.abc import Sequence

from mrc.read.train_config import DevExample, TrainingExample
from mrc.types import Example, Span


def training_example(example: Example, *, golds: str = "all") -> TrainingExample:
    """The example with its first gold as the span to train on; an unanswerable one trains "no answer".

    golds: `all` trains the other golds too, `first` not.
    """
    first = example.answers[0] if example.answers else None
    return TrainingExample(
        example.id,
        example.question,
        example.context,
        first.start if first else -1,
        first.end if first else -1,
        golds=tuple(span.text for span in example.answers),
        also=other_spans(example.answers) if golds == "all" else (),
    )


def other_spans(answers: Sequence[Span]) -> tuple[tuple[int, int], ...]:
    """The spans besides the first in the same passage, each once."""
    spans = [(each.start, each.end) for each in answers if each.passage_id == answers[0].passage_id]
    return tuple(span for span in dict.fromkeys(spans) if span != spans[0])


def dev_example(example: Example) -> DevExample:
    """The example as early stopping scores it: read in its own context, against all its golds."""
    return DevExample(example.id, example.question, example.context, tuple(span.text for span in example.answers))
