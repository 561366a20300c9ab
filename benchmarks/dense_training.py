"""What a bi-encoder gains by training on 1,000 labelled questions, and by one round of pseudo-labels after that.

    python benchmarks/dense_training.py [--model FOLDER] [--analyzer NAME] [--labels 1000] [--work DIR] [--seed 0]
                                        [--set key=value ...] [--choose]

SQuADShifts New Wikipedia from LABELER_DATA; passages are retrieved from the whole file, and the halves of the documents
are those of benchmarks/hybrid.py. Labels are drawn from the first half; nothing of the second is seen before the end:
no question, and of its passages none in training. k1, b and title weight of BM25 are chosen on the labels.

On questions that taught an encoder its list looks better than it is. So the labels' documents are halved once more, an
encoder is trained on each side, and settings and the weight of the fusion are chosen by what each finds on the other
(cross-fitting). Then all labels train, from the start again.

Pseudo-labels: the trained hybrid asks the other questions of the first half, whose answers nobody looks at, and takes
its first passage where it leads by the margin that was right on nine of ten of the labels when cross-fitted; such an
example weighs what that share is. The last training begins at the start again, on labels and pseudo-labels, with as
many updates as before.

`--set` changes a setting of `BiEncoderTrainConfig`; `--choose` ends with what the settings are worth when cross-fitted.
`--work` keeps what was trained: run again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.hybrid import Asked, chosen, gold_ranks, halves, read, table, weighed
from benchmarks.measure import data_file, machine, minilm
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.dense.vectors import DenseConfig, Vectors
from mrc.retrieve.index import Index, IndexConfig
from mrc.retrieve.training.mining import Relevance
from mrc.retrieve.training.train_config import BiEncoderExample, BiEncoderTrainConfig
from mrc.retrieve.training.trainer import train
from mrc.types import Passage

WEIGHTS = np.arange(21) / 20  # tried, of the dense list
HARD_DEPTH = 12  # passages of BM25's list that hard negatives are taken from
SURE = 0.9  # share of right first passages from the margin on at which one becomes a pseudo-label
CONFIG = BiEncoderTrainConfig(
    epochs=2.5,
    batch_size=64,
    questions_per_document=16,
    hard_negatives=1,
    chunk_tokens=2048,
    max_seq_length=128,
    dropout=False,
    learning_rate=5e-5,
)


class Once:
    """An encoder that encodes the same questions once."""

    def __init__(self, inner: BiEncoder) -> None:
        self._inner = inner
        self._known: dict[tuple[str, ...], Vectors] = {}

    def questions(self, texts: Sequence[str]) -> Vectors:
        key = tuple(texts)
        if key not in self._known:
            self._known[key] = self._inner.questions(texts)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class World:
    """What is given, and where things are kept."""

    passages: Sequence[Passage]  # all, which is what is searched
    seen: Sequence[Passage]  # those of the first half, which is what trains
    config: IndexConfig
    start: DenseConfig
    work: Path
    seed: int

    def index(self, model: str) -> Index:
        dense = replace(self.start, model=model)
        index = Index.build(self.passages, self.config, dense=dense, vectors=self.work / "vectors")
        once = Once(index.dense.encoder())
        return replace(index, dense=replace(index.dense, encoder=lambda: once))

    def trained(self, examples: Sequence[BiEncoderExample], config: BiEncoderTrainConfig, name: str) -> str:
        began = time.process_time()
        result = train(
            examples,
            self.seen,
            start=self.start,
            config=config,
            seed=self.seed,
            folder=self.work / name,
            progress=_told,
        )
        spent = time.process_time() - began
        print(f"{name}: {result.examples} questions, {result.steps} updates, loss {result.loss:.3f}, "
              f"{spent:.0f} CPU s", flush=True)  # fmt: skip
        return str(result.folder)


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    options = _options()
    passages, asked = read(data_file("new_wiki_v1.0.json"))
    first, test = halves(asked, seed=options.seed)
    rng = np.random.default_rng(options.seed)
    drawn = np.sort(rng.permutation(len(first.texts))[: options.labels])
    labelled = first.rows(drawn.tolist())
    others = first.rows(np.setdiff1d(np.arange(len(first.texts)), drawn).tolist())
    config = IndexConfig(analyzer=options.analyzer, language="en")
    config = replace(config, **asdict(chosen(passages, labelled, analyzer=options.analyzer, seed=options.seed)))
    there = set(first.documents)
    seen = [passage for passage in passages if passage.title in there]
    start = DenseConfig(model=options.model or minilm(), precision=options.precision)
    world = World(passages, seen, config, start, Path(options.work or tempfile.mkdtemp()), options.seed)
    print(machine())
    print(f"{len(passages)} passages, {len(seen)} of them in training; {len(labelled.texts)} labels of "
          f"{len(set(labelled.documents))} documents, measured on {len(test.texts)} questions of "
          f"{len(set(test.documents))} others")  # fmt: skip
    print(config, flush=True)
    _measure(world, labelled, others, test, _config(options.set), choose=options.choose)


@dataclass(frozen=True, slots=True)
class Side:
    """Questions, and the index whose encoder did not learn from them."""

    asked: Asked
    index: Index

    def weighed(self, weight: float) -> Side:
        return replace(self, index=weighed(self.index, weight))


def _measure(
    world: World, labelled: Asked, others: Asked, test: Asked, config: BiEncoderTrainConfig, *, choose: bool
) -> None:
    untrained = world.index(str(world.start.model))
    print(f"training {config}")
    sides = halves(labelled, seed=world.seed)
    crossed = [
        Side(asked, world.index(world.trained(_examples(world, other), config, f"half {number + 1}")))
        for number, (other, asked) in enumerate((sides, sides[::-1]))
    ]
    plain = [Side(asked, untrained) for asked in sides]
    weights = _best("untrained", plain), _best("cross-fitted", crossed)
    if choose:
        return
    examples = _examples(world, labelled)
    trained = world.index(world.trained(examples, config, "trained"))
    encoders = {"untrained": untrained, "trained": trained}
    _tables(encoders, weights, test)
    if not others.texts:
        return
    margin, share = _margin([side.weighed(weights[1]) for side in crossed])
    pseudo = _pseudo(weighed(trained, weights[1]), world, others, margin=margin, weight=share)
    right = np.mean([example.positives[0] == gold for example, gold in pseudo])
    print(f"\npseudo-labels: {len(pseudo)} of {len(others.texts)} questions, margin {margin:.2f}, weight {share:.2f}; "
          f"{100 * right:.1f}% are right", flush=True)  # fmt: skip
    updates = max(1, round(config.epochs * -(-len(examples) // config.batch_size)))
    more = [*examples, *(example for example, _ in pseudo)]
    again = world.index(world.trained(more, replace(config, max_steps=updates), "pseudo"))
    _tables(encoders | {"with pseudo-labels": again}, weights, test)


def _best(name: str, sides: Sequence[Side]) -> float:
    """The weight with the best mean reciprocal rank, of equal ones that nearest .5; what it is worth is printed."""
    ranks = {weight: np.concatenate([_ranks(side.weighed(weight)) for side in sides]) for weight in WEIGHTS.tolist()}
    marks = {weight: _mrr(found) for weight, found in ranks.items()}
    best = max(sorted(marks, key=lambda weight: abs(weight - 0.5)), key=marks.__getitem__)
    shown = []
    for weight in (1.0, best):
        top = [100 * np.mean((ranks[weight] >= 0) & (ranks[weight] < depth)) for depth in (1, 3)]
        shown.append(f"top-1 {top[0]:.1f} top-3 {top[1]:.1f} MRR {100 * marks[weight]:.1f}")
    print(f"{name:14s} on the labels: dense {shown[0]}; hybrid, weight {best:.2f}, {shown[1]}", flush=True)
    return best


def _ranks(side: Side) -> np.ndarray:
    return np.array(gold_ranks(side.index, side.asked))


def _mrr(ranks: np.ndarray) -> float:
    return float(np.mean(np.where(ranks >= 0, 1 / (np.maximum(ranks, 0) + 1), 0)))


def _tables(encoders: dict[str, Index], weights: tuple[float, float], test: Asked) -> None:
    """Prints each encoder alone and in the hybrid; `weights` are those of the untrained one and of the others."""
    print("\ndense alone")
    table({name: weighed(index, 1.0) for name, index in encoders.items()}, test, compared="untrained")
    print(f"\nhybrid; weight of the dense list {weights[0]:.2f} untrained, {weights[1]:.2f} trained")
    by_terms = {"BM25": replace(encoders["untrained"], dense=None)}
    hybrid = {name: weighed(index, weights[name != "untrained"]) for name, index in encoders.items()}
    table(by_terms | hybrid, test, compared="BM25")
    print()
    table(hybrid, test, compared="untrained")


def _examples(world: World, asked: Asked) -> list[BiEncoderExample]:
    """The questions with their gold passage, and BM25's best wrong ones."""
    ids = [f"{number}" for number in range(len(asked.texts))]
    rows = zip(ids, asked.texts, asked.golds, asked.answers, strict=True)
    examples = [BiEncoderExample(key, text, (gold,), answers) for key, text, gold, answers in rows]
    return hard_negatives(examples, world.seen, _lexical(world, asked.texts))


def hard_negatives(
    examples: Sequence[BiEncoderExample],
    passages: Sequence[Passage],
    retrieved: Sequence[Sequence[str]],
    *,
    skip: int = 0,
) -> list[BiEncoderExample]:
    """The examples with the retrieved passages that are not relevant added to their negatives.

    `skip`: top-ranked passages left out, for questions whose answers are uncertain.
    """
    relevance, ids = Relevance(examples, passages), [passage.id for passage in passages]
    found = []
    for number, (example, ranked) in enumerate(zip(examples, retrieved, strict=True)):
        rows = relevance.non_relevant(number, relevance.rows(ranked[skip:]), count=len(ranked))
        negatives = dict.fromkeys((*example.negatives, *(ids[row] for row in rows)))
        found.append(replace(example, negatives=tuple(negatives)))
    return found


def _lexical(world: World, questions: Sequence[str]) -> list[list[str]]:
    index = Index.build(world.seen, world.config)
    return [[hit.passage_id for hit in hits] for hits in index.retrieve(questions, HARD_DEPTH)]


def _margin(sides: Sequence[Side]) -> tuple[float, float]:
    """The least lead of the first passage from which on `SURE` of them are right, and the share that is."""
    found = [(*_leads(side.index, side.asked.texts), side.asked.golds) for side in sides]
    leads = np.concatenate([each for each, _, _ in found])
    right = np.array([first == gold for _, firsts, golds in found for first, gold in zip(firsts, golds, strict=True)])
    order = np.argsort(-leads, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last = int(np.flatnonzero(shares >= SURE)[-1])
    return float(leads[order][last]), float(shares[last])


def _pseudo(
    index: Index, world: World, asked: Asked, *, margin: float, weight: float
) -> list[tuple[BiEncoderExample, str]]:
    """Examples by the index's first passage where it leads, each with the gold passage it is checked against."""
    leads, firsts = _leads(index, asked.texts)
    there = {passage.id for passage in world.seen}
    rows = [row for row in range(len(leads)) if leads[row] >= margin and firsts[row] in there]
    examples = [BiEncoderExample(f"p{row}", asked.texts[row], (firsts[row],), weight=weight) for row in rows]
    retrieved = _lexical(world, [example.question for example in examples])
    golds = [asked.golds[row] for row in rows]
    return list(zip(hard_negatives(examples, world.seen, retrieved, skip=3), golds, strict=True))


def _leads(index: Index, questions: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """By how much the first passage of each question leads, and its id."""
    found = index.retrieve(questions, 2)
    return np.array([hits[0].score - hits[1].score for hits in found]), [hits[0].passage_id for hits in found]


def _config(changes: Sequence[str]) -> BiEncoderTrainConfig:
    pairs = (change.partition("=") for change in changes)
    return replace(CONFIG, **{key: json.loads(value) for key, _, value in pairs})


def _told(step: int, total: int, loss: float, left: float) -> None:
    if step % 10 == 0:
        print(f"  {step}/{total} loss {loss:.3f}, {left:.0f} s left", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="starting checkpoint: folder or hub name")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--analyzer", default="english+4gram")
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--work", help="folder that keeps what is trained")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--choose", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
