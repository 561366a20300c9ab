"""The batches that train a bi-encoder: questions, their positives and hard negatives, as token ids. No torch."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from mrc.errors import DataError
from mrc.retrieve.training.mining import Relevance, interleave, rotate, softmax_mask
from mrc.retrieve.training.train_config import BiEncoderExample
from mrc.types import Passage

Rows = Sequence[Sequence[int]]  # token ids of texts
Mined = Mapping[int, Sequence[int]]  # example number -> rows of hard negatives that the bi-encoder itself ranks high


@dataclass(frozen=True, slots=True, eq=False)
class ContrastiveBatch:
    """The texts of one update: Q questions, then P passages, each once."""

    texts: Rows  # (Q + P,)
    target: npt.NDArray[np.int64]  # (Q,) column of the positive passage
    allowed: npt.NDArray[np.bool_]  # (Q, P) the positive and its negatives
    weights: npt.NDArray[np.float32]  # (Q,)


@dataclass(frozen=True, slots=True, eq=False)
class ContrastiveExamples:
    """Tokenised examples, from which batches are made. Passages are identified by row, examples by number.

    A passage is tokenised when a batch first needs it: most passages are never needed.
    """

    relevance: Relevance
    questions: Rows
    passage: Callable[[int], Sequence[int]]  # row -> token ids
    documents: Sequence[str]  # of each example: the title of its first positive
    negatives: Sequence[Sequence[int]]  # of each example, the hardest first; some may turn out to be relevant
    weights: Sequence[float]

    @classmethod
    def of(
        cls,
        examples: Sequence[BiEncoderExample],
        passages: Sequence[Passage],
        tokenize_questions: Callable[[Sequence[str]], Rows],
        tokenize_passages: Callable[[Sequence[str]], Rows],
    ) -> ContrastiveExamples:
        """The tokenised form of usable examples."""
        relevance = Relevance(examples, passages)

        @cache
        def passage(row: int) -> Sequence[int]:
            return array("i", tokenize_passages([passages[row].text])[0])  # a list takes nine times the memory

        return cls(
            relevance,
            tokenize_questions([example.question for example in examples]),
            passage,
            [passages[rows[0]].title for rows in relevance.positives],
            [relevance.rows(example.negatives) for example in examples],
            [example.weight for example in examples],
        )

    def batch(self, numbers: Sequence[int], mined: Mined, *, epoch: int, hard_negatives: int) -> ContrastiveBatch:
        """The questions of these examples, one positive of each, and `hard_negatives` hard negatives of each.

        Positives and hard negatives rotate by epoch.
        """
        targets = [rotate(self.relevance.positives[number], epoch, 1)[0] for number in numbers]
        hard = [self._hard_negatives(number, mined.get(number, ()), epoch, hard_negatives) for number in numbers]
        columns = list(dict.fromkeys(chain(targets, *hard)))
        place = {row: column for column, row in enumerate(columns)}
        return ContrastiveBatch(
            [*(self.questions[number] for number in numbers), *map(self.passage, columns)],
            np.array([place[row] for row in targets], dtype=np.int64),
            softmax_mask(self.relevance, numbers, targets, columns),
            np.array([self.weights[number] for number in numbers], dtype=np.float32),
        )

    def _hard_negatives(self, number: int, mined: Sequence[int], epoch: int, count: int) -> tuple[int, ...]:
        """The `count` hard negatives of an example for this epoch; checks no more of them than epochs have used."""
        given = self.relevance.non_relevant(number, self.negatives[number], count=(epoch + 1) * count)
        return rotate(interleave(given, mined), epoch, count)


def usable(
    examples: Sequence[BiEncoderExample], passages: Sequence[Passage]
) -> tuple[list[BiEncoderExample], tuple[str, ...]]:
    """The examples with a question text and a positive among the passages, and the ids of the others.

    Raises: DataError where there is none, or one passage alone.
    """
    known = {passage.id for passage in passages}
    fit = [bool(item.question.strip()) and not known.isdisjoint(item.positives) for item in examples]
    if not any(fit) or len(known) < 2:
        raise DataError(
            f"none of {len(examples)} examples can train: each needs a question, its passage and another passage"
        )
    kept = [item for item, fits in zip(examples, fit, strict=True) if fits]
    return kept, tuple(item.id for item, fits in zip(examples, fit, strict=True) if not fits)
