"""Training examples as tokens, and the positions of their spans in windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mrc.read.data.tokens import Tokens, answer_span
from mrc.read.data.windows import Window, Windower
from mrc.read.train_config import SoftTarget, TrainConfig, TrainingExample

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """An example as tokens. The first of `passages` is the context; `spans` are the right spans in it as first and last
    token, none where there is no answer. `texts` are the passages' texts, `golds` the answers that count as right."""

    question: Tokens
    passages: tuple[Tokens, ...]
    spans: tuple[tuple[int, int], ...]
    weight: float
    human_labelled: bool
    texts: tuple[str, ...]
    golds: tuple[str, ...]
    soft_target: SoftTarget | None = None
    priors: tuple[float, ...] = ()


def tokenize_examples(
    examples: Sequence[TrainingExample], windower: Windower, config: TrainConfig
) -> tuple[list[TokenizedExample], list[int], tuple[str, ...]]:
    """The usable examples as tokens, their numbers, and the ids of those without a token or window for the answer."""
    questions = windower.questions([item.question for item in examples], max_seq_length=config.windows.max_seq_length)
    tokenized, numbers, unusable = [], [], []
    for number, (example, question) in enumerate(zip(examples, questions, strict=True)):
        item = _tokenized(example, question, windower)
        if example.start >= 0:
            item = replace(item, spans=_shown_spans(item, windower, config))
        if item.spans or example.start < 0:
            tokenized.append(item)
            numbers.append(number)
        else:
            unusable.append(example.id)
    return tokenized, numbers, tuple(unusable)


def _tokenized(example: TrainingExample, question: Tokens, windower: Windower) -> TokenizedExample:
    texts = (example.context, *example.negatives)
    passages = tuple(windower.passages(texts))
    asked = [(example.start, example.end), *example.also] if example.start >= 0 else []
    spans = [answer_span(example.context, passages[0], start, end) for start, end in asked]
    golds = example.golds or tuple(example.context[start:end] for start, end in asked)
    found = tuple(dict.fromkeys(span for span in spans if span))
    return TokenizedExample(
        question, passages, found, example.weight, example.human_labelled, texts, golds, priors=example.priors
    )


def _shown_spans(item: TokenizedExample, windower: Windower, config: TrainConfig) -> tuple[tuple[int, int], ...]:
    """The right spans that some window shows whole."""
    spans = np.array(item.spans, dtype=np.int64).reshape(-1, 2)
    _, numbers, _ = placements(spans, windows_of(item, 0, windower, config))
    return tuple(item.spans[number] for number in np.unique(numbers))


def windows_of(item: TokenizedExample, rank: int, windower: Windower, config: TrainConfig) -> list[Window]:
    """The windows of a passage of an example, in order."""
    size = config.windows
    return windower.windows(
        item.question, item.passages[rank], max_seq_length=size.max_seq_length, doc_stride=size.doc_stride
    )


def placements(spans: Ints, windows: Sequence[Window]) -> tuple[Ints, Ints, Bools]:
    """Positions of the spans (M, 2) of a passage in the windows that show them whole: window, first position,
    length - 1 (K, 3); the span's number (K,); whether the window owns its start (K,)."""
    columns = []
    for row, window in enumerate(windows):
        first = spans[:, 0] + window.first - window.token
        whole = (spans[:, 0] >= window.token) & (spans[:, 1] < window.token + window.count)
        owned = (first >= window.own_start) & (first < window.own_end)
        number = np.flatnonzero(whole)
        length = spans[number, 1] - spans[number, 0]
        columns.append(np.stack([np.full(len(number), row), first[number], length, number, owned[number]], axis=1))
    found = np.concatenate(columns).astype(np.int64)
    return found[:, :3], found[:, 3], found[:, 4].astype(np.bool_)
