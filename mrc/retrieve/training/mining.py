"""Hard negatives: passages that rank high for a question and do not answer it. No torch.

Source: Karpukhin et al. 2020, section 3.2 (BM25's best without the answer); Xiong et al., "Approximate Nearest
Neighbor Negative Contrastive Learning", ICLR 2021 (mined from the retriever that is trained, again as it learns).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain, zip_longest

import numpy as np
import numpy.typing as npt

from mrc.retrieve.misses import holds, normalized
from mrc.retrieve.training.train_config import BiEncoderExample, BiEncoderTrainConfig
from mrc.text import normalize
from mrc.types import Passage

Bools = npt.NDArray[np.bool_]


class Known:
    """Which passages, by row, answer which examples, by number, as far as labels and texts tell.

    A text is normalised when it is first looked at: nearly all passages never are.
    """

    def __init__(self, examples: Sequence[BiEncoderExample], passages: Sequence[Passage]) -> None:
        self._rows = {passage.id: row for row, passage in enumerate(passages)}
        self._text = cache(lambda row: normalize(passages[row].text))
        self._answers = [normalized(example.answers) for example in examples]
        self.positives = [self.rows(example.positives) for example in examples]
        asked = [normalize(example.question) for example in examples]
        same: dict[str, set[int]] = {}
        for question, rows in zip(asked, self.positives, strict=True):
            same.setdefault(question, set()).update(rows)
        self._labelled = [same[question] for question in asked]  # by any label of the same question

    def rows(self, ids: Iterable[str]) -> tuple[int, ...]:
        """The rows of these passages; those that are not there are left out."""
        return tuple(dict.fromkeys(self._rows[key] for key in ids if key in self._rows))

    def answers(self, example: int, row: int) -> bool:
        """Whether the passage is labelled for the question, or one of its answers stands there."""
        return row in self._labelled[example] or holds(self._text(row), self._answers[example])

    def wrong(self, example: int, ranked: Iterable[int], *, count: int) -> tuple[int, ...]:
        """The first `count` of the rows ranked that do not answer the question; rows below 0 are none."""
        found: list[int] = []
        for row in ranked:
            if len(found) == count:
                break
            if row >= 0 and not self.answers(example, row):
                found.append(row)
        return tuple(found)


def hard_negatives(
    examples: Sequence[BiEncoderExample],
    passages: Sequence[Passage],
    retrieved: Sequence[Sequence[str]],
    *,
    skip: int = 0,
) -> list[BiEncoderExample]:
    """The examples with the wrong passages that were retrieved for them behind the negatives they have.

    Args:
        passages: those that may be negatives.
        retrieved: ids of passages for each example, best first.
        skip: first places left out, for questions whose answers are not known for certain.
    """
    known, ids = Known(examples, passages), [passage.id for passage in passages]
    found = []
    for number, (example, ranked) in enumerate(zip(examples, retrieved, strict=True)):
        wrong = known.wrong(number, known.rows(ranked[skip:]), count=len(ranked))
        found.append(
            replace(example, negatives=tuple(dict.fromkeys((*example.negatives, *(ids[row] for row in wrong)))))
        )
    return found


def mixed(named: Sequence[int], mined: Sequence[int]) -> tuple[int, ...]:
    """Negatives of both kinds in turn, the named first, each once."""
    pairs = chain.from_iterable(zip_longest(named, mined))
    return tuple(dict.fromkeys(row for row in pairs if row is not None))


def turn(rows: Sequence[int], epoch: int, count: int) -> tuple[int, ...]:
    """The `count` rows whose turn it is: the next ones every epoch, from the first on again behind the last."""
    return tuple(dict.fromkeys(rows[(epoch * count + place) % len(rows)] for place in range(count))) if rows else ()


def plan_epochs(documents: Sequence[str], config: BiEncoderTrainConfig, *, seed: int) -> list[tuple[int, list[int]]]:
    """The epoch and the example numbers of every update, shuffled anew each epoch; batches of one size, or one less.

    Up to `config.questions_per_document` questions of one document stay side by side, so that similar passages become
    in-batch negatives. Source: Hofstätter et al., "Efficiently Teaching an Effective Dense Retriever with
    Balanced Topic Aware Sampling", SIGIR 2021, section 3.2; documents stand for their clusters.

    Args:
        documents: the document of each example; an empty name is none.
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
    """All numbers in an order of chance, but for runs of one document."""
    runs: list[list[int]] = []
    latest: dict[str, list[int]] = {}
    for number in rng.permutation(len(documents)).tolist():
        document = documents[number]
        if not document or len(latest.get(document, ())) % most == 0:
            latest[document] = []
            runs.append(latest[document])
        latest[document].append(number)
    return np.array([number for place in rng.permutation(len(runs)) for number in runs[place]], dtype=np.int64)


def contrasts(known: Known, batch: Sequence[int], targets: Sequence[int], columns: Sequence[int]) -> Bools:
    """(Q, P) the passages in the softmax of each question: the right one, and all that do not answer it."""
    return np.array(
        [
            [row == target or not known.answers(number, row) for row in columns]
            for number, target in zip(batch, targets, strict=True)
        ],
        dtype=np.bool_,
    ).reshape(len(batch), len(columns))
