"""Speed and memory of BM25 beside rank_bm25, and retrieval on KorQuAD by analyzer.

    python benchmarks/bm25.py [--passages 100000] [--queries 15] [--json]
    LABELER_DATA=... python benchmarks/bm25.py --korquad

The corpus is synthetic: Zipf-distributed terms, about 104 different ones a passage, as bigrams of Korean paragraphs
have. Both are timed in CPU-seconds of the same run on one core; BM25 searches a hundred times as many queries.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import rank_bm25

from mrc.analyzers import get_analyzer
from mrc.retrieve.bm25 import BM25

K = 10
TERMS = 130  # a passage, duplicates counted
QUERY_TERMS = 8
VOCABULARY = 200_000


@dataclass(frozen=True, slots=True)
class Speed:
    passages: int
    postings_per_passage: float
    rank_bm25_per_second: float
    ours_per_second: float
    ratio: float
    rank_bm25_build_seconds: float
    ours_build_seconds: float
    rank_bm25_mib: float
    ours_mib: float
    largest_score_difference: float


@dataclass(frozen=True, slots=True)
class Quality:
    analyzer: str
    passages: int
    questions: int
    top_1: float
    top_3: float
    top_5: float
    top_10: float
    questions_per_second: float


def corpus(passages: int, rng: np.random.Generator) -> list[str]:
    share = 1 / (np.arange(VOCABULARY) + 2.7)
    drawn = rng.choice(VOCABULARY, size=(passages, TERMS), p=share / share.sum())
    return [" ".join(map(str, row)) for row in drawn.tolist()]


def queries(texts: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    chosen = [texts[number].split() for number in rng.integers(len(texts), size=count)]
    return [" ".join(rng.choice(words, size=QUERY_TERMS, replace=False)) for words in chosen]


def resident_mib() -> float:
    """Memory of this process now (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def speed(passages: int, asked: int, *, seed: int = 0) -> Speed:
    rng = np.random.default_rng(seed)
    texts = corpus(passages, rng)
    empty, before = resident_mib(), time.process_time()
    ours = BM25.build(texts, analyzer="whitespace", method="okapi")
    ours_build, ours_mib = time.process_time() - before, resident_mib() - empty
    many = queries(texts, asked * 100, rng)
    before = time.process_time()
    ours.search(many, K)
    ours_rate = len(many) / (time.process_time() - before)

    terms = [text.split() for text in texts]
    empty, before = resident_mib(), time.process_time()
    theirs = rank_bm25.BM25Okapi(terms)
    theirs_build, theirs_mib = time.process_time() - before, resident_mib() - empty
    few = [query.split() for query in many[:asked]]
    before = time.process_time()
    for query in few:
        theirs.get_top_n(query, texts, n=K)
    theirs_rate = asked / (time.process_time() - before)
    differences = [np.abs(ours.scores(" ".join(query)) - theirs.get_scores(query)).max() for query in few[:3]]

    return Speed(
        passages=passages,
        postings_per_passage=len(ours.documents) / passages,
        rank_bm25_per_second=theirs_rate,
        ours_per_second=ours_rate,
        ratio=ours_rate / theirs_rate,
        rank_bm25_build_seconds=theirs_build,
        ours_build_seconds=ours_build,
        rank_bm25_mib=theirs_mib,
        ours_mib=ours_mib,
        largest_score_difference=float(max(differences)),
    )


def korquad(folder: Path) -> list[Quality]:
    paragraphs = [
        paragraph
        for article in json.loads((folder / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
    ]
    numbers = {text: number for number, text in enumerate(sorted({paragraph["context"] for paragraph in paragraphs}))}
    asked = [(qa["question"], numbers[paragraph["context"]]) for paragraph in paragraphs for qa in paragraph["qas"]]
    names = ("whitespace", "bigram", get_analyzer("auto", "ko").name)
    return [quality(name, list(numbers), asked) for name in dict.fromkeys(names)]


def quality(analyzer: str, texts: Sequence[str], asked: Sequence[tuple[str, int]]) -> Quality:
    index = BM25.build(texts, analyzer=analyzer)
    before = time.perf_counter()
    found, _ = index.search([question for question, _ in asked], K)
    seconds = time.perf_counter() - before
    right = found == np.array([[number] for _, number in asked])
    top_1, top_3, top_5, top_10 = (float(right[:, :k].any(axis=1).mean()) for k in (1, 3, 5, 10))
    return Quality(analyzer, len(texts), len(asked), top_1, top_3, top_5, top_10, len(asked) / seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=15, help="asked of rank_bm25")
    parser.add_argument("--korquad", action="store_true", help="quality by analyzer instead, on LABELER_DATA")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.korquad and "LABELER_DATA" not in os.environ:
        parser.error("set LABELER_DATA to the folder that holds KorQuAD_v1.0_dev.json")
    rows = korquad(Path(os.environ["LABELER_DATA"])) if options.korquad else [speed(options.passages, options.queries)]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        print(
            "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in asdict(row).items()
            )
        )


if __name__ == "__main__":
    main()
