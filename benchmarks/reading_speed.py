"""Speed of `labeler answer`, against the question-answering pipeline of transformers 4.

    python benchmarks/reading_speed.py --peer-python PEER/bin/python [--reader FOLDER] [--threads 1 2] [--turns 5]
                                       [--work DIR] [--device cpu] [--smoke]

PEER is a virtual environment with transformers 4.57.3 (python -m venv PEER; PEER/bin/pip install transformers==4.57.3
torch==2.13.0). 1,500 test questions of SQuADShifts New Wikipedia from LABELER_DATA, each read in its own paragraph by a
MiniLM reader of 1,000 other labels, with a linear head, which both support; it is trained first unless one is given
(for example runs/linear-0/reader of benchmarks/ablation.py). A turn is a part of the questions; within it every program
reads it once, one process after another, in rotating order. A process is bound to as many cores as it has threads.

Seconds exclude loading. CPU seconds also hold on a busy machine; wall time needs an idle one. The share of the matrix
rate is the floating-point operations of the encoder on the true lengths per second of reading, against the rate of
products of the same shapes in the same turn. `--work` keeps the measurements: killed, the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.measure import LABELER, Cost, Kept, machine, run
from benchmarks.parts import parts, squad_file, trained_reader
from labeler.ablation.data import part_examples
from mrc.metrics import score
from mrc.read import ReadConfig
from mrc.types import Example

PEERS = Path(__file__).parent / "peers"
BATCHES = (1, 8, 32)  # of the pipeline
PART = 300  # questions of a turn
OURS, FLOAT32 = "labeler", "labeler, float32"


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of reading, and the answers by question id."""

    seconds: float
    cpu_seconds: float
    texts: Mapping[str, str]


def main() -> None:
    options = _options()
    work = Path(options.work or tempfile.mkdtemp(prefix="labeler-reading-speed-"))
    data = parts(work, smoke=options.smoke)
    reader = Path(options.reader) if options.reader else trained_reader(work, smoke=options.smoke, head="linear")
    examples = [each for each in part_examples(data, "test") if each.answers]
    size = 5 if options.smoke else PART
    turns = [examples[first : first + size] for first in range(0, len(examples), size)][: options.turns]
    files = [squad_file(turn, work / "turns" / f"{number}.json") for number, turn in enumerate(turns)]
    measured = Kept(work / "measured.json")
    programs = _programs(options, reader)
    print(f"{machine()}; measurements are kept in {work}", flush=True)
    for threads in options.threads:
        for number, file in enumerate(files):
            names = list(programs)
            for name in [*names[number % len(names) :], *names[: number % len(names)]]:
                measured(f"{threads} {name} {number}", partial(programs[name], file, threads))
            measured(f"{threads} rate {number}", partial(_rate, threads, options))
        _table(measured, list(programs), threads, turns, _operations(reader, turns))


def _programs(options: argparse.Namespace, reader: Path) -> dict[str, Callable[..., dict[str, Any]]]:
    found: dict[str, Callable[..., dict[str, Any]]] = {
        OURS: partial(_ours, options, reader, "auto"),
        FLOAT32: partial(_ours, options, reader, "fp32"),
    }
    if options.peer_python:
        found |= {f"pipeline, batch {batch}": partial(_pipeline, options, reader, batch) for batch in BATCHES}
    return found


def _ours(options: argparse.Namespace, reader: Path, precision: str, file: Path, threads: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [*LABELER, "answer", str(file), "--model", str(reader), "-o", folder, "--precision", precision]
        command += ["--device", options.device, "--threads", str(threads), "--metric", "squad", "--json"]
        return _report(_bound(command, threads), Path(folder))


def _pipeline(options: argparse.Namespace, reader: Path, batch: int, file: Path, threads: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [options.peer_python, str(PEERS / "pipeline.py"), str(file), str(reader), "--batch", str(batch)]
        command += ["--threads", str(threads), "--device", options.device, "-o", folder]
        return _report(_bound(command, threads), Path(folder))


def _report(cost: Cost, folder: Path) -> dict[str, Any]:
    """What a program reports of its reading, and the answers that it wrote."""
    printed = cost.json()
    names = ("seconds", "cpu_seconds", "transformers", "torch")
    return {name: printed[name] for name in names if name in printed} | {
        "texts": json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    }


def _rate(threads: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, str(PEERS / "matrix.py"), "--workers", str(threads)]
    return _bound([*command, "--seconds", "0.2" if options.smoke else "3"], threads).json()


def _bound(command: Sequence[str], threads: int) -> Cost:
    """The cost of a command that is bound to as many cores as it has threads."""
    cores = ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[:threads])
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    return run(["taskset", "-c", cores, *command], env=dict.fromkeys(names, str(threads)))


def _operations(reader: Path, turns: Sequence[Sequence[Example]]) -> list[float]:
    """Floating-point operations of the encoder on each turn, by the true lengths of its windows."""
    from transformers import AutoConfig, AutoTokenizer

    shape, tokenizer = AutoConfig.from_pretrained(reader), AutoTokenizer.from_pretrained(reader)
    layers, width, inner = shape.num_hidden_layers, shape.hidden_size, shape.intermediate_size
    config = ReadConfig()
    found = []
    for turn in turns:
        windows = tokenizer(
            [example.question for example in turn],
            [example.context for example in turn],
            truncation="only_second",
            max_length=config.max_seq_length,
            stride=config.doc_stride,
            return_overflowing_tokens=True,
        )["input_ids"]
        lengths = np.array([len(window) for window in windows], dtype=np.float64)
        products = lengths * (8 * width * width + 4 * width * inner)  # four of width x width, two of width x inner
        found.append(float(layers * np.sum(products + 4 * width * lengths**2)))
    return found


def _table(
    measured: Kept,
    names: Sequence[str],
    threads: int,
    turns: Sequence[Sequence[Example]],
    operations: Sequence[float],
) -> None:
    """Print the time of each program for all turns, and its scores."""
    spent = {name: _summed(measured, name, threads, len(turns)) for name in names}
    rates = [measured(f"{threads} rate {number}", dict) for number in range(len(turns))]
    peers = [name for name in names if name.startswith("pipeline")]
    best = min(peers, key=lambda name: spent[name].cpu_seconds) if peers else None
    count = sum(map(len, turns))
    exact = _mean_scores(spent[FLOAT32], turns)
    print(f"\n{threads} thread{'s' if threads > 1 else ''}, {count} questions in {len(turns)} turns")
    print(
        f"{'':22s} {'q/s':>7s} {'q/CPU s':>8s} {'times':>7s} {'by CPU':>7s} {'EM':>6s} {'F1':>6s} {'to float32':>14s}"
    )
    for name in names:
        each, scores = spent[name], _mean_scores(spent[name], turns)
        times = [f"{getattr(spent[best], part) / getattr(each, part):.2f}x" if best else "-"
                 for part in ("seconds", "cpu_seconds")]  # fmt: skip
        difference = f"{100 * (scores[0] - exact[0]):+.2f} {100 * (scores[1] - exact[1]):+.2f}"
        print(f"{name:22s} {count / each.seconds:7.1f} {count / each.cpu_seconds:8.1f} {times[0]:>7s} {times[1]:>7s} "
              f"{100 * scores[0]:6.2f} {100 * scores[1]:6.2f} {difference:>14s}", flush=True)  # fmt: skip
    by_wall = sum(operations) / spent[OURS].seconds / float(np.mean([rate["per_second"] for rate in rates]))
    by_cpu = sum(operations) / spent[OURS].cpu_seconds / float(np.mean([rate["per_cpu_second"] for rate in rates]))
    reached = float(np.mean([rate["per_second"] for rate in rates])) / 1e9
    print(f"bfloat16 products of the same shapes: {reached:.0f} GFLOP/s; labeler reaches {100 * by_wall:.0f}% of that, "
          f"{100 * by_cpu:.0f}% by CPU time; {sum(operations) / count / 1e9:.2f} GFLOP a question")  # fmt: skip
    if best:
        peer = measured(f"{threads} {best} 0", dict)
        print(f"times against {best} of transformers {peer['transformers']}, torch {peer['torch']}", flush=True)


def _summed(measured: Kept, name: str, threads: int, turns: int) -> Spent:
    found = [measured(f"{threads} {name} {number}", dict) for number in range(turns)]
    texts = {key: text for each in found for key, text in each["texts"].items()}
    return Spent(sum(each["seconds"] for each in found), sum(each["cpu_seconds"] for each in found), texts)


def _mean_scores(spent: Spent, turns: Sequence[Sequence[Example]]) -> tuple[float, float]:
    """Mean exact match and F1."""
    scores = [
        score(spent.texts[example.id], [answer.text for answer in example.answers], "squad")
        for turn in turns
        for example in turn
    ]
    return float(np.mean([each.exact_match for each in scores])), float(np.mean([each.f1 for each in scores]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer-python", help="python of the environment with transformers 4; without it only labeler runs"
    )
    parser.add_argument("--reader", help="folder of a reader with a linear head that was not trained on the test part")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=5, help="parts of 300 questions that are timed")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--work", help="folder that keeps reader and measurements")
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
