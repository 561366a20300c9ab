"""Hard negatives: passages that rank high for a question and are not relevant to it. No torch.

Source: Karpukhin et al. 2020, section 3.2 (BM25's best without the answer); Xiong et al., "Approximate Nearest
Neighbor Negative Contrastive Learning", ICLR 2021 (mined with the model in training, again as it learns).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain, zip_longest

import numpy as np
import numpy.typing as npt

from mrc.retrieve.error_analysis import contains_answer, normalized
from mrc.retrieve.training.train_config import BiEncoderExample, BiEncoderTrainConfig
from mrc.text import normalize
from mrc.types import Passage

Bools = npt.NDArray[np.bool_]


class Relevance:
    """Which passages, by row, are relevant to which examples, by number, according to labels and answer texts.

    A passage is normalised when it is first needed: most passages never are.
    """

    def __init__(self, examples: Sequence[BiEncoderExample], passages: Sequence[Passage]) -> None:
        self._rows = {passage.id: row for row, passage in enumerate(passages)}
        self._text = cache(lambda row: normalize(passages[row].text))
        self._answers = [normalized(example.answers) for example in examples]
        self.positives = [self.rows(example.positives) for example in examples]
        questions = [normalize(example.question) for example in examples]
        same: dict[str, set[int]] = {}
        for question, rows in zip(questions, self.positives, strict=True):
            same.setdefault(question, set()).update(rows)
        self._labelled = [same[question] for question in questions]  # by any label of the same question

    def rows(self, ids: Iterable[str]) -> tuple[int, ...]:
        """The rows of these passages, without ids that are unknown."""
        return tuple(dict.fromkeys(self._rows[key] for key in ids if key in self._rows))

    def is_relevant(self, example: int, row: int) -> bool:
        """Whether the passage is labelled for the question, or contains one of its answers."""
        return row in self._labelled[example] or contains_answer(self._text(row), self._answers[example])

    def non_relevant(self, example: int, ranked: Iterable[int], *, count: int) -> tuple[int, ...]:
        """The first `count` ranked rows that are not relevant; rows below 0 are padding."""
        found: list[int] = []
        for row in ranked:
            if len(found) == count:
                break
            if row >= 0 and not self.is_relevant(example, row):
                found.append(row)
        return tuple(found)


def interleave(given: Sequence[int], mined: Sequence[int]) -> tuple[int, ...]:
    """Given and mined negatives in turn, a given one first, each once."""
    pairs = chain.from_iterable(zip_longest(given, mined))
    return tuple(dict.fromkeys(row for row in pairs if row is not None))


def rotate(rows: Sequence[int], epoch: int, count: int) -> tuple[int, ...]:
    """`count` rows for an epoch: the next ones in every epoch, cyclically."""
    return tuple(dict.fromkeys(rows[(epoch * count + place) % len(rows)] for place in range(count))) if rows else ()


def plan_epochs(documents: Sequence[str], config: BiEncoderTrainConfig, *, seed: int) -> list[tuple[int, list[int]]]:
    """The epoch and the example numbers of every update, shuffled in each epoch; batches differ in size by at most 1.

    Up to `config.questions_per_document` questions of one document stay side by side, so that similar passages become
    in-batch negatives. Source: Hofstätter et al., "Efficiently Teaching an Effective Dense Retriever with Balanced
    Topic Aware Sampling", SIGIR 2021, section 3.2; here by document instead of by cluster.

    Args:
        documents: the document of each example; an empty name means none.
    """
    rng = np.random.default_rng(seed)
    count = -(-len(documents) // config.batch_size)
    total = config.max_steps or max(1, round(config.epochs * count))
    plan = []
    for epoch in range(-(-total // count)):
        order = _shuffled(documents, config.questions_per_document, rng)
        plan += [(epoch, part.tolist()) for part in np.array_split(order, count)]
    return plan[:total]


def _shuffled(documents: Sequence[str], most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """All numbers in random order, except that up to `most` of one document are neighbours."""
    runs: list[list[int]] = []
    latest: dict[str, list[int]] = {}
    for number in rng.permutation(len(documents)).tolist():
        document = documents[number]
        if not document or len(latest.get(document, ())) % most == 0:
            latest[document] = []
            runs.append(latest[document])
        latest[document].append(number)
    return np.array([number for place in rng.permutation(len(runs)) for number in runs[place]], dtype=np.int64)


def softmax_mask(relevance: Relevance, numbers: Sequence[int], targets: Sequence[int], columns: Sequence[int]) -> Bools:
    """(Q, P) the passages in the softmax of each question: its positive, and all that are not relevant to it."""
    return np.array(
        [
            [row == target or not relevance.is_relevant(number, row) for row in columns]
            for number, target in zip(numbers, targets, strict=True)
        ],
        dtype=np.bool_,
    ).reshape(len(numbers), len(columns))
