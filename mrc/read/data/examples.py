"""Questions of SQuAD-style files as a reader trains on them and is watched by."""

from __future__ import annotations

from mrc.read.train_config import DevExample, TrainingExample
from mrc.types import Example


def training_example(example: Example) -> TrainingExample:
    """The example with its first gold as the span to train on; an unanswerable one trains "no answer"."""
    first = example.answers[0] if example.answers else None
    return TrainingExample(
        example.id,
        example.question,
        example.context,
        first.start if first else -1,
        first.end if first else -1,
        golds=tuple(span.text for span in example.answers),
    )


def dev_example(example: Example) -> DevExample:
    """The example as early stopping scores it: read in its own context, against all its golds."""
    return DevExample(example.id, example.question, example.context, tuple(span.text for span in example.answers))
