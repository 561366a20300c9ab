"""Speed, memory and exactness of BM25, against bm25s (numba) and rank_bm25.

    python benchmarks/bm25.py [--passages 10000 100000 1000000] [--json]

The corpora are synthetic: Zipf-distributed terms, about 104 distinct ones a passage, like the bigrams of Korean
paragraphs. Each size runs in a separate process. Rates are questions per CPU second, the best of several turns that the
programs take in rotation; those of two threads are by wall clock. bm25s gets our weights, as float32, and term numbers,
as our kernel does; `from text` is `BM25.search`, which includes analysing the question. The bound is the rate of one
thread that only reads 8 bytes (document and float32 weight) of each posting of a question's terms.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import rank_bm25

from mrc.analyzers import get_analyzer
from mrc.retrieve.bm25 import BM25
from mrc.retrieve.term_counts import TermCounts

K = (10, 100)
TERMS = 130  # a passage, duplicates counted
QUERY_TERMS = 8
VOCABULARY = 200_000
TURNS = 5
RANK_BM25_MOST = 100_000  # passages; beyond, its dicts need gigabytes
SIZES = (10_000, 100_000, 1_000_000)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rates:
    """Questions per second for one k."""

    k: int
    ours: float
    ours_from_text: float
    ours_two_threads: float  # by wall clock
    bm25s: float | None
    bm25s_two_threads: float | None  # by wall clock
    rank_bm25: float | None
    bound: float
    to_bm25s: float | None
    to_bm25s_two_threads: float | None
    to_rank_bm25: float | None
    settled: float  # share of questions decided by the bounds, without the full search
    equal_to_reference: int  # questions whose documents and scores are the float64 reference's, of `checked`
    checked: int


@dataclass(frozen=True, slots=True)
class Size:
    passages: int
    postings_per_passage: float
    build_seconds: float  # from counted terms, CPU
    bounds_seconds: float  # what the first search adds, CPU, compiled before
    index_mib: float
    bounds_mib: float
    build_peak_mib: float  # beyond the counted terms
    search_peak_mib: float  # beyond the index: bounds, candidates and results of 4,000 questions, k = 100, two threads
    rank_bm25_build_seconds: float | None
    rank_bm25_mib: float | None
    largest_score_difference: float | None  # from rank_bm25, method okapi
    rates: list[Rates]


def corpus(passages: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """(passages, TERMS) numbers of terms."""
    share = 1 / (np.arange(VOCABULARY) + 2.7)
    limits = np.cumsum(share / share.sum())
    drawn = np.empty((passages, TERMS), dtype=np.int32)
    for rows in np.array_split(drawn, -(-passages // 50_000)):
        rows[:] = np.minimum(np.searchsorted(limits, rng.random(rows.shape)), VOCABULARY - 1)
    return drawn


def counted(drawn: npt.NDArray[np.int32]) -> TermCounts:
    ordered = np.sort(drawn, axis=1)
    first = np.ones(ordered.shape, dtype=np.bool_)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    places = np.flatnonzero(first)
    frequencies = np.diff(np.append(places, ordered.size)).astype(np.int32)
    starts = np.concatenate(([0], np.cumsum(first.sum(axis=1))))
    seen = np.full(VOCABULARY, drawn.size)
    np.minimum.at(seen, drawn.ravel(), np.arange(drawn.size))
    terms = np.argsort(seen)[: int((seen < drawn.size).sum())]  # by first occurrence, as rank_bm25 has them
    column_of = np.zeros(VOCABULARY, dtype=np.int32)
    column_of[terms] = np.arange(len(terms))
    vocabulary = {str(term): column for column, term in enumerate(terms.tolist())}
    return TermCounts(vocabulary, starts, column_of[ordered.ravel()[places]], frequencies)


def queries(drawn: npt.NDArray[np.int32], count: int, rng: np.random.Generator) -> list[str]:
    rows = drawn[rng.integers(len(drawn), size=count)]
    return [" ".join(map(str, rng.choice(row, size=QUERY_TERMS, replace=False).tolist())) for row in rows]


def resident_mib() -> float:
    """Memory of this process now (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def from_here() -> float:
    """Memory of this process now; resets the peak that `peak_mib` reads (Linux)."""
    now = resident_mib()
    Path("/proc/self/clear_refs").write_text("5")
    return now


def peak_mib(start: float) -> float:
    """The peak memory of the process since `from_here`, beyond `start`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024 - start


def measure(passages: int, *, seed: int = 0) -> Size:
    rng = np.random.default_rng(seed)
    drawn = corpus(passages, rng)
    counts = counted(drawn)
    start, before = from_here(), time.process_time()
    index = BM25.from_counts(counts, get_analyzer("whitespace"), method="okapi", k1=1.5, b=0.75)
    build_seconds, build_peak = time.process_time() - before, peak_mib(start)
    asked = queries(drawn, 4000, rng)
    small = BM25.build(["a b", "b"], analyzer="whitespace")
    small.search(["a"], 1)  # compiles, or loads what was compiled
    start, before = from_here(), time.process_time()
    bounds = index._bounds
    assert bounds is not None
    bounds_seconds = time.process_time() - before
    index.search(asked, max(K), threads=2)
    search_peak = peak_mib(start)
    ranker = Ranker.of(drawn, index, asked) if passages <= RANK_BM25_MOST else None
    arrays = (index.starts, index.documents, index.weights, index.base)
    return Size(
        passages=passages,
        postings_per_passage=len(index.documents) / passages,
        build_seconds=build_seconds,
        bounds_seconds=bounds_seconds,
        index_mib=sum(values.nbytes for values in arrays) / 2**20,
        bounds_mib=sum(values.nbytes for values in bounds.quantized[1:]) / 2**20,
        build_peak_mib=build_peak,
        search_peak_mib=search_peak,
        rank_bm25_build_seconds=ranker.build_seconds if ranker else None,
        rank_bm25_mib=ranker.mib if ranker else None,
        largest_score_difference=ranker.difference if ranker else None,
        rates=[rates(index, asked, k, ranker.rate if ranker else None) for k in K],
    )


@dataclass(frozen=True, slots=True)
class Ranker:
    """rank_bm25 on the same passages."""

    build_seconds: float
    mib: float
    rate: float  # questions per CPU-second
    difference: float

    @classmethod
    def of(cls, drawn: npt.NDArray[np.int32], index: BM25, asked: Sequence[str], *, few: int = 10) -> Ranker:
        terms = [list(map(str, row)) for row in drawn.tolist()]
        empty, before = resident_mib(), time.process_time()
        theirs = rank_bm25.BM25Okapi(terms)
        build_seconds, mib = time.process_time() - before, resident_mib() - empty
        documents = range(len(terms))
        seconds = []
        for query in asked[:few]:
            before = time.process_time()
            theirs.get_top_n(query.split(), documents, n=K[0])
            seconds.append(time.process_time() - before)
        differences = [np.abs(index.scores(query) - theirs.get_scores(query.split())).max() for query in asked[:3]]
        return cls(build_seconds, mib, few / sum(seconds), float(max(differences)))


def rates(index: BM25, asked: list[str], k: int, ranker: float | None) -> Rates:
    bounds = index._bounds
    assert bounds is not None
    columns = index._query_terms(asked, k)
    runs: dict[str, tuple[Callable[[], object], Callable[[], float]]] = {
        "ours": (lambda: bounds.search(columns, index.base, k, threads=1), time.process_time),
        "text": (lambda: index.search(asked, k, threads=1), time.process_time),
        "two": (lambda: bounds.search(columns, index.base, k, threads=2), time.perf_counter),
    }
    peer = bm25s_of(index)
    part = columns[: max(200, min(len(columns), 100_000_000 // index.size))]
    if peer:
        runs["bm25s"] = (lambda: peer(part, k, 1), time.process_time)
        runs["bm25s two"] = (lambda: peer(part, k, 2), time.perf_counter)
    seconds = best_seconds(runs)
    rate = {name: (len(part) if "bm25s" in name else len(columns)) / value for name, value in seconds.items()}
    postings = np.diff(index.starts)
    read = float(np.mean([postings[query].sum() for query in columns])) * 8
    settled = bounds.search(columns, index.base, k, threads=1)[2]
    equal, checked = compared(index, asked, k)
    return Rates(
        k=k,
        ours=rate["ours"],
        ours_from_text=rate["text"],
        ours_two_threads=rate["two"],
        bm25s=rate.get("bm25s"),
        bm25s_two_threads=rate.get("bm25s two"),
        rank_bm25=ranker,
        bound=bytes_per_second() / read,
        to_bm25s=rate["ours"] / rate["bm25s"] if peer else None,
        to_bm25s_two_threads=rate["two"] / rate["bm25s two"] if peer else None,
        to_rank_bm25=rate["ours"] / ranker if ranker else None,
        settled=float(settled.mean()),
        equal_to_reference=equal,
        checked=checked,
    )


def best_seconds(runs: dict[str, tuple[Callable[[], object], Callable[[], float]]]) -> dict[str, float]:
    """The best time of several turns of each run, after a warm-up."""
    best = dict.fromkeys(runs, np.inf)
    for turn in range(TURNS + 1):
        for name, (run, clock) in runs.items():
            before = clock()
            run()
            if turn:
                best[name] = min(best[name], clock() - before)
    return best


def bm25s_of(index: BM25) -> Callable[[list[list[int]], int, int], Any] | None:
    if importlib.util.find_spec("bm25s") is None:
        return None
    from bm25s.numba.retrieve_utils import _retrieve_numba_functional as retrieve

    single = index.weights.astype(np.float32)
    scores = {"data": single, "indices": index.documents, "indptr": index.starts, "num_docs": index.size}
    return lambda columns, k, threads: retrieve(columns, scores, k=k, n_threads=threads)


def compared(index: BM25, asked: list[str], k: int) -> tuple[int, int]:
    part = asked[: max(50, min(1000, 20_000_000 // index.size))]
    found, scores = index.search(part, k)
    expected, expected_scores = index.search_exhaustive(part, k)
    same = (found == expected).all(axis=1) & (scores == expected_scores).all(axis=1)
    return int(same.sum()), len(part)


def bytes_per_second() -> float:
    """The memory bandwidth of one thread, best of several turns."""
    values = np.ones(1 << 25)
    best = np.inf
    for _ in range(TURNS):
        before = time.process_time()
        values.sum()
        best = min(best, time.process_time() - before)
    return values.nbytes / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if len(options.passages) == 1:
        rows = [asdict(measure(options.passages[0]))]
    else:
        rows = [in_own_process(passages) for passages in options.passages]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        for line in (row, *row.pop("rates", [])):
            print("  ".join(f"{name} {formatted(value)}" for name, value in line.items()))


def in_own_process(passages: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--passages", str(passages), "--json"]
    rows: list[dict[str, Any]] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return rows[0]


def formatted(value: object) -> str:
    return (
        f"{value:.4g}"
        if isinstance(value, float) and value < 1000
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )


if __name__ == "__main__":
    main()
