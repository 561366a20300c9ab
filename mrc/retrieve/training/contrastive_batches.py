"""What a bi-encoder learns from: examples in tokens, and the texts that meet in an update. No torch."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from mrc.errors import DataError
from mrc.retrieve.training.mining import Known, contrasts, mixed, turn
from mrc.retrieve.training.train_config import BiEncoderExample
from mrc.types import Passage

Rows = Sequence[Sequence[int]]  # token ids of texts
Mined = Mapping[int, Sequence[int]]  # example number -> rows of wrong passages that the retriever itself ranks high


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """The texts of one update: Q questions, then P passages, each once."""

    texts: Rows  # (Q + P,)
    target: npt.NDArray[np.int64]  # (Q,) the passage that is right
    allowed: npt.NDArray[np.bool_]  # (Q, P) the right one and its negatives
    weights: npt.NDArray[np.float32]  # (Q,)


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Examples in tokens. Passages are known by their rows, examples by their numbers.

    A passage is turned into tokens when an update first meets it: nearly all passages never meet one.
    """

    known: Known
    questions: Rows
    passage: Callable[[int], Sequence[int]]  # row -> token ids
    documents: Sequence[str]  # of each example: the title of its first positive
    named: Sequence[Sequence[int]]  # of each example, its negatives, those to be used first first; some may answer it
    weights: Sequence[float]

    @classmethod
    def of(
        cls,
        examples: Sequence[BiEncoderExample],
        passages: Sequence[Passage],
        questions_in_tokens: Callable[[Sequence[str]], Rows],
        passages_in_tokens: Callable[[Sequence[str]], Rows],
    ) -> Lessons:
        """The lessons of usable examples."""
        known = Known(examples, passages)

        @cache
        def passage(row: int) -> Sequence[int]:
            return array("i", passages_in_tokens([passages[row].text])[0])  # a list takes nine times as much

        return cls(
            known,
            questions_in_tokens([example.question for example in examples]),
            passage,
            [passages[rows[0]].title for rows in known.positives],
            [known.rows(example.negatives) for example in examples],
            [example.weight for example in examples],
        )

    def meeting(self, batch: Sequence[int], mined: Mined, *, epoch: int, negatives: int) -> Lesson:
        """The questions of a batch, a positive of each, and so many hard negatives of each whose turn it is."""
        targets = [turn(self.known.positives[number], epoch, 1)[0] for number in batch]
        brought = [self._brought(number, mined.get(number, ()), epoch, negatives) for number in batch]
        columns = list(dict.fromkeys(chain(targets, *brought)))
        place = {row: column for column, row in enumerate(columns)}
        return Lesson(
            [*(self.questions[number] for number in batch), *map(self.passage, columns)],
            np.array([place[row] for row in targets], dtype=np.int64),
            contrasts(self.known, batch, targets, columns),
            np.array([self.weights[number] for number in batch], dtype=np.float32),
        )

    def _brought(self, number: int, mined: Sequence[int], epoch: int, count: int) -> tuple[int, ...]:
        """The `count` hard negatives of an example whose turn it is; no more are looked at than have had theirs."""
        named = self.known.wrong(number, self.named[number], count=(epoch + 1) * count)
        return turn(mixed(named, mined), epoch, count)


def usable(
    examples: Sequence[BiEncoderExample], passages: Sequence[Passage]
) -> tuple[list[BiEncoderExample], tuple[str, ...]]:
    """The examples with a question and a positive, and the ids of the others.

    Raises: DataError where there is none, or one passage alone.
    """
    there = {passage.id for passage in passages}
    fit = [bool(item.question.strip()) and not there.isdisjoint(item.positives) for item in examples]
    if not any(fit) or len(there) < 2:
        raise DataError(f"none of {len(examples)} examples can train: a question, its passage and another are needed")
    kept = [item for item, fits in zip(examples, fit, strict=True) if fits]
    return kept, tuple(item.id for item, fits in zip(examples, fit, strict=True) if not fits)
