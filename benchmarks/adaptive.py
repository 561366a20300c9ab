"""Early exit: the passages that it saves, and the answers that it changes.

    python benchmarks/adaptive.py [--reader FOLDER] [--questions 2000] [--top-k 5] [--risk 0.01] [--work DIR]
                                  [--device cpu] [--threads 1] [--smoke]

SQuADShifts New Wikipedia from LABELER_DATA, each question answered from the passages that BM25 finds for it in the
whole file. A MiniLM reader of 1,000 labels is trained first unless one is given. The stopping rule is fitted on the dev
questions, read in full, with the questions of a paragraph as one group; then other questions are read in parts, each
once in full and once under the rule, in alternating order. Where there are too few questions they repeat.

The parts are whole paragraphs drawn at random, so the risk is defined over paragraphs: in the mean over draws of the
parts, at most that share of the answers of a paragraph changes. One run is one draw; a paragraph counts once in the
risk but each of its questions in the table, so the share of equal answers may be on either side of 1 - risk.

CPU seconds also hold on a busy machine; wall time needs an idle one. `--work` keeps the measurements: killed, the same
command resumes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.measure import Busy, Kept, data_file, machine
from benchmarks.parts import parts, trained_reader
from labeler.ablation import PARTS
from labeler.ablation.data import part_examples, passages_of
from mrc import pipeline
from mrc.metrics import normalize_answer, score
from mrc.read import ReadConfig
from mrc.read.model.reader import Reader
from mrc.read.predict.adaptive import StoppingRule
from mrc.retrieve.index import Index, IndexConfig
from mrc.squad import parse_squad, read_squad
from mrc.text import passage_id
from mrc.types import Example, Passage, Question

PART = 500  # questions of a turn
FULL, ADAPTIVE = "all passages", "adaptive"


@dataclass(frozen=True, slots=True)
class Corpus:
    """The passages that questions are answered from, and how many are read."""

    passages: Mapping[str, Passage]
    index: Index
    k: int

    def fetch(self, ids: Sequence[str]) -> dict[str, Passage]:
        return {key: self.passages[key] for key in ids}


def main() -> None:
    options = _options()
    work = Path(options.work or tempfile.mkdtemp(prefix="labeler-adaptive-"))
    data = parts(work, smoke=options.smoke)
    folder = Path(options.reader) if options.reader else trained_reader(work, smoke=options.smoke)
    from mrc.encoder.compute import use_threads

    use_threads(options.threads)
    reader = Reader.load(folder, device=options.device)
    passages = passages_of(data)
    index = Index.build(passages, IndexConfig(language="en"))
    corpus = Corpus({passage.id: passage for passage in passages}, index, options.top_k)
    risk = 0.2 if options.smoke else options.risk  # a handful of questions allows no small one
    config = ReadConfig(max_seq_length=min(384, reader.max_positions))
    measured = Kept(work / "measured.json")
    print(f"{machine()}; measurements are kept in {work}", flush=True)
    rule = _rule(measured, reader, corpus, config, data, risk)
    asked = _asked(data, 60 if options.smoke else options.questions)
    size = 30 if options.smoke else PART
    turns = [asked[first : first + size] for first in range(0, len(asked), size)]
    for number, turn in enumerate(turns):
        ways: list[tuple[str, StoppingRule | None]] = [(FULL, None), (ADAPTIVE, rule)]
        for name, stopping in ways[:: -1 if number % 2 else 1]:
            measured(f"{name} {number}", partial(_read, reader, corpus, config, turn, stopping))
    _table(measured, len(turns))


def _rule(measured: Kept, reader: Reader, corpus: Corpus, config: ReadConfig, data: Path, risk: float) -> StoppingRule:
    held_out = [each for part in ("screen", "dev") for each in part_examples(data, part) if each.answers]

    def fit() -> dict[str, Any]:
        found = pipeline.held_out_rule(
            [_question(each) for each in held_out],
            retriever=corpus.index,
            reader=reader,
            fetch=corpus.fetch,
            k=corpus.k,
            split_group_of={each.id: passage_id(each.context) for each in held_out},
            risk=risk,
            config=config,
        )
        return asdict(found)

    found = measured("rule of paragraphs", fit)
    rule = StoppingRule(**found | {"thresholds": tuple(found["thresholds"])})
    paragraphs = len({each.context for each in held_out})
    print(f"{len(held_out)} held-out questions of {paragraphs} paragraphs: {rule}", flush=True)
    return rule


def _asked(data: Path, count: int) -> list[Example]:
    """Questions of the file outside the other parts, in a fixed random order, repeated if they are few."""
    file = data_file("new_wiki_v1.0.json")
    found, _ = read_squad(parse_squad(file.read_text(encoding="utf-8"), where=str(file)), where=str(file))
    used = {each.id for part in PARTS if part != "test" for each in part_examples(data, part)}
    free = [each for each in found if each.id not in used and each.answers]
    order = np.random.default_rng(0).permutation(len(free))
    return list(islice(cycle(free[place] for place in order), count))


def _question(example: Example) -> Question:
    return Question(example.id, example.question)


def _read(
    reader: Reader, corpus: Corpus, config: ReadConfig, turn: Sequence[Example], stopping: StoppingRule | None
) -> dict[str, Any]:
    began, cpu = time.perf_counter(), time.process_time()
    with Busy() as gpu:
        found = list(
            pipeline.answer(
                [_question(each) for each in turn],
                retriever=corpus.index,
                reader=reader,
                fetch=corpus.fetch,
                k=corpus.k,
                config=config,
                stopping=stopping,
            )
        )
    texts = [prediction.answers[0].text if prediction.answers else "" for prediction in found]
    golds = [[span.text for span in each.answers] for each in turn]
    scores = [score(text, gold, "squad") for text, gold in zip(texts, golds, strict=True)]
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "gpu_busy": gpu.share,
        "passages": sum(prediction.features.get("passages_read", 0) for prediction in found),
        "texts": [normalize_answer(text, "squad") for text in texts],
        "exact_match": [each.exact_match for each in scores],
        "f1": [each.f1 for each in scores],
    }


def _table(measured: Kept, turns: int) -> None:
    every = {name: [measured(f"{name} {number}", dict) for number in range(turns)] for name in (FULL, ADAPTIVE)}
    print(f"{'':14s}{'questions':>10s}{'passages':>10s}{'q/CPU-s':>9s}{'q/s':>9s}{'EM':>7s}{'F1':>7s}")
    for name, parts_ in every.items():
        scores = {key: [value for part in parts_ for value in part[key]] for key in ("exact_match", "f1")}
        count, total = len(scores["f1"]), {key: sum(part[key] for part in parts_) for key in ("cpu_seconds", "seconds")}
        rates = f"{count / total['cpu_seconds']:9.1f}{count / total['seconds']:9.1f}"
        means = "".join(f"{100 * float(np.mean(values)):7.2f}" for values in scores.values())
        busy = [part["gpu_busy"] for part in parts_ if part["gpu_busy"] is not None]
        gpu = f"  GPU busy {100 * float(np.mean(busy)):.0f}%" if busy else ""
        print(f"{name:14s}{count:10d}{sum(part['passages'] for part in parts_) / count:10.2f}{rates}{means}{gpu}")
    pairs = [
        one == other
        for full, adaptive in zip(every[FULL], every[ADAPTIVE], strict=True)
        for one, other in zip(full["texts"], adaptive["texts"], strict=True)
    ]
    print(f"equal answers: {sum(pairs)} of {len(pairs)} = {100 * float(np.mean(pairs)):.2f}%")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", help="folder of a reader of the training part")
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--risk", type=float, default=0.01, help="share of the answers that may change")
    parser.add_argument("--work", help="folder that keeps the parts, the reader and the measurements")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
