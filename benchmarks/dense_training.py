"""The gain of a bi-encoder from training on 1,000 labelled questions, and from one round of pseudo-labels after that.

    python benchmarks/dense_training.py [--model FOLDER] [--analyzer NAME] [--labels 1000] [--work DIR] [--seed 0]
                                        [--set key=value ...] [--choose]

SQuADShifts New Wikipedia from LABELER_DATA; passages are retrieved from the whole file, and the halves of the documents
are those of benchmarks/hybrid.py. Labels are drawn from the first half; the second half is held out: none of its
questions is used before the end, and none of its passages in training. k1, b and title weight of BM25 are chosen on the
labels.

An encoder looks too good on the questions that it was trained on. So the labels' documents are halved once more, an
encoder is trained on each side, and settings and the weight of the fusion are chosen on the other side (cross-fitting).
Then an encoder is trained on all labels, from the starting checkpoint again.

Pseudo-labels: the trained hybrid retrieves for the other questions of the first half, without their answers, and
takes its first passage where it leads by the margin that was correct for nine of ten labels when cross-fitted; that
share is the weight of the example. The last training starts from the starting checkpoint again, on labels and
pseudo-labels, with as many updates as before.

`--set` changes a setting of `BiEncoderTrainConfig`; `--choose` stops after the cross-fitted scores. `--work` keeps the
trained encoders: run again, it resumes.
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

from benchmarks.hybrid import Questions, chosen, gold_ranks, halves, read, table, with_weight
from benchmarks.measure import data_file, machine, minilm
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.dense.vectors import Vectors
from mrc.retrieve.index import Index, IndexConfig
from mrc.retrieve.training.mining import Relevance
from mrc.retrieve.training.train_config import BiEncoderExample, BiEncoderTrainConfig
from mrc.retrieve.training.trainer import train
from mrc.types import Passage

WEIGHTS = np.arange(21) / 20  # tried, of the dense list
HARD_DEPTH = 12  # passages of BM25's list that hard negatives are taken from
SURE = 0.9  # share of correct first passages from the margin on at which one becomes a pseudo-label
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
class Experiment:
    """The passages and settings of the experiment, and the folder that keeps its files."""

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
            progress=_progress,
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
    experiment = Experiment(passages, seen, config, start, Path(options.work or tempfile.mkdtemp()), options.seed)
    print(machine())
    print(f"{len(passages)} passages, {len(seen)} of them in training; {len(labelled.texts)} labels of "
          f"{len(set(labelled.documents))} documents, measured on {len(test.texts)} questions of "
          f"{len(set(test.documents))} others")  # fmt: skip
    print(config, flush=True)
    _measure(experiment, labelled, others, test, _config(options.set), choose=options.choose)


@dataclass(frozen=True, slots=True)
class Side:
    """Questions, and the index whose encoder did not train on them."""

    asked: Questions
    index: Index

    def weighted(self, weight: float) -> Side:
        return replace(self, index=with_weight(self.index, weight))


def _measure(
    experiment: Experiment,
    labelled: Questions,
    others: Questions,
    test: Questions,
    config: BiEncoderTrainConfig,
    *,
    choose: bool,
) -> None:
    untrained = experiment.index(str(experiment.start.model))
    print(f"training {config}")
    sides = halves(labelled, seed=experiment.seed)
    crossed = [
        Side(asked, experiment.index(experiment.trained(_examples(experiment, other), config, f"half {number + 1}")))
        for number, (other, asked) in enumerate((sides, sides[::-1]))
    ]
    plain = [Side(asked, untrained) for asked in sides]
    weights = _best("untrained", plain), _best("cross-fitted", crossed)
    if choose:
        return
    examples = _examples(experiment, labelled)
    trained = experiment.index(experiment.trained(examples, config, "trained"))
    encoders = {"untrained": untrained, "trained": trained}
    _tables(encoders, weights, test)
    if not others.texts:
        return
    margin, share = _margin([side.weighted(weights[1]) for side in crossed])
    pseudo = _pseudo(with_weight(trained, weights[1]), experiment, others, margin=margin, weight=share)
    right = np.mean([example.positives[0] == gold for example, gold in pseudo])
    print(f"\npseudo-labels: {len(pseudo)} of {len(others.texts)} questions, margin {margin:.2f}, weight {share:.2f}; "
          f"{100 * right:.1f}% correct", flush=True)  # fmt: skip
    updates = max(1, round(config.epochs * -(-len(examples) // config.batch_size)))
    more = [*examples, *(example for example, _ in pseudo)]
    again = experiment.index(experiment.trained(more, replace(config, max_steps=updates), "pseudo"))
    _tables(encoders | {"with pseudo-labels": again}, weights, test)


def _best(name: str, sides: Sequence[Side]) -> float:
    """The weight with the best mean reciprocal rank, ties to that nearest .5; its scores are printed."""
    ranks = {weight: np.concatenate([_ranks(side.weighted(weight)) for side in sides]) for weight in WEIGHTS.tolist()}
    scores = {weight: _mrr(found) for weight, found in ranks.items()}
    best = max(sorted(scores, key=lambda weight: abs(weight - 0.5)), key=scores.__getitem__)
    shown = []
    for weight in (1.0, best):
        top = [100 * np.mean((ranks[weight] >= 0) & (ranks[weight] < depth)) for depth in (1, 3)]
        shown.append(f"top-1 {top[0]:.1f} top-3 {top[1]:.1f} MRR {100 * scores[weight]:.1f}")
    print(f"{name:14s} on the labels: dense {shown[0]}; hybrid, weight {best:.2f}, {shown[1]}", flush=True)
    return best


def _ranks(side: Side) -> np.ndarray:
    return np.array(gold_ranks(side.index, side.asked))


def _mrr(ranks: np.ndarray) -> float:
    return float(np.mean(np.where(ranks >= 0, 1 / (np.maximum(ranks, 0) + 1), 0)))


def _tables(encoders: dict[str, Index], weights: tuple[float, float], test: Questions) -> None:
    """Print each encoder alone and in the hybrid; `weights` are those of the untrained encoder and of the others."""
    print("\ndense alone")
    table({name: with_weight(index, 1.0) for name, index in encoders.items()}, test, compared="untrained")
    print(f"\nhybrid; weight of the dense list {weights[0]:.2f} untrained, {weights[1]:.2f} trained")
    lexical = {"BM25": replace(encoders["untrained"], dense=None)}
    hybrid = {name: with_weight(index, weights[name != "untrained"]) for name, index in encoders.items()}
    table(lexical | hybrid, test, compared="BM25")
    print()
    table(hybrid, test, compared="untrained")


def _examples(experiment: Experiment, asked: Questions) -> list[BiEncoderExample]:
    """The questions with their gold passage, and hard negatives by BM25."""
    ids = [f"{number}" for number in range(len(asked.texts))]
    rows = zip(ids, asked.texts, asked.golds, asked.answers, strict=True)
    examples = [BiEncoderExample(key, text, (gold,), answers) for key, text, gold, answers in rows]
    return hard_negatives(examples, experiment.seen, _lexical(experiment, asked.texts))


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


def _lexical(experiment: Experiment, questions: Sequence[str]) -> list[list[str]]:
    index = Index.build(experiment.seen, experiment.config)
    return [[hit.passage_id for hit in hits] for hits in index.retrieve(questions, HARD_DEPTH)]


def _margin(sides: Sequence[Side]) -> tuple[float, float]:
    """The least lead of the first passage from which on `SURE` of them are correct, and that share."""
    found = [(*_leads(side.index, side.asked.texts), side.asked.golds) for side in sides]
    leads = np.concatenate([each for each, _, _ in found])
    right = np.array([first == gold for _, firsts, golds in found for first, gold in zip(firsts, golds, strict=True)])
    order = np.argsort(-leads, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last = int(np.flatnonzero(shares >= SURE)[-1])
    return float(leads[order][last]), float(shares[last])


def _pseudo(
    index: Index, experiment: Experiment, asked: Questions, *, margin: float, weight: float
) -> list[tuple[BiEncoderExample, str]]:
    """Examples from the index's first passage where it leads, each with its gold passage for checking."""
    leads, firsts = _leads(index, asked.texts)
    there = {passage.id for passage in experiment.seen}
    rows = [row for row in range(len(leads)) if leads[row] >= margin and firsts[row] in there]
    examples = [BiEncoderExample(f"p{row}", asked.texts[row], (firsts[row],), weight=weight) for row in rows]
    retrieved = _lexical(experiment, [example.question for example in examples])
    golds = [asked.golds[row] for row in rows]
    return list(zip(hard_negatives(examples, experiment.seen, retrieved, skip=3), golds, strict=True))


def _leads(index: Index, questions: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The lead of the first passage of each question over the second, and its id."""
    found = index.retrieve(questions, 2)
    return np.array([hits[0].score - hits[1].score for hits in found]), [hits[0].passage_id for hits in found]


def _config(changes: Sequence[str]) -> BiEncoderTrainConfig:
    pairs = (change.partition("=") for change in changes)
    return replace(CONFIG, **{key: json.loads(value) for key, _, value in pairs})


def _progress(step: int, total: int, loss: float, left: float) -> None:
    if step % 10 == 0:
        print(f"  {step}/{total} loss {loss:.3f}, {left:.0f} s left", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="starting checkpoint: folder or hub name")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--analyzer", default="english+4gram")
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--work", help="folder that keeps the trained encoders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--choose", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
