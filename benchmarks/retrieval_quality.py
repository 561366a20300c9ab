"""Top-k accuracy of BM25 for each analyzer.

    python benchmarks/retrieval_quality.py [--analyzers NAME,...] [--korquad | --new-wiki]

KorQuAD 1.0 dev and new_wiki from LABELER_DATA; passages are retrieved from the whole file. `default` is k1 1.5, b .75
without titles. `tuned`: k1, b (and the title weight) are chosen on one half of the documents and measured on the other,
and the other way round; intervals are 95% by a bootstrap over documents. Two-sentence windows of KorQuAD are retrieved
like passages: a window of the gold passage that contains the answer is correct.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import numpy.typing as npt

from benchmarks.measure import data_file, machine, minilm
from mrc.analyzers import Analyzer, get_analyzer
from mrc.errors import MissingExtra
from mrc.metrics import bootstrap_interval
from mrc.retrieve.bm25 import BM25
from mrc.retrieve.tuning import BM25Setting, CountedPassages, gold_ranks, tune
from mrc.retrieve.windows import Span, sentences
from mrc.types import Passage

DEFAULT = BM25Setting(1.5, 0.75)
K1 = (0.3, 0.5, 0.9, 1.5)
B = (0.6, 0.75, 0.9)
DEPTHS = (1, 3, 5, 10)
SAMPLE = 1500  # questions of a half that settings are chosen on
KOREAN = ("whitespace", "bigram", "wordpiece:builtin", "kiwi+bigram", "mecab-ko+bigram")
ENGLISH = ("whitespace", "english", "english+4gram", "wordpiece:minilm")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Task:
    """Questions with the rows of the indexed texts that answer them."""

    passages: Sequence[Passage]  # or windows of them
    questions: Sequence[str]
    golds: Sequence[frozenset[int]]
    documents: Sequence[str]

    def part(self, rows: Sequence[int]) -> Task:
        chosen = [[values[row] for row in rows] for values in (self.questions, self.golds, self.documents)]
        return replace(self, questions=chosen[0], golds=chosen[1], documents=chosen[2])


def sentence_windows(text: str, size: int) -> list[Span]:
    """Every `size` neighbouring sentences as `[start, end)`; the whole text where it has no more than that."""
    found = sentences(text)
    if len(found) <= size:
        return [(0, len(text))]
    return [(found[first][0], found[first + size - 1][1]) for first in range(len(found) - size + 1)]


def read(path: Path, *, window: int = 0) -> Task:
    """The answerable questions of a SQuAD-style file; with `window`, passages are windows of so many sentences."""
    articles = json.loads(path.read_text(encoding="utf-8"))
    paragraphs = [(article["title"], part) for article in articles["data"] for part in article["paragraphs"]]
    titles = {part["context"]: title for title, part in paragraphs}
    spans = {text: sentence_windows(text, window) if window else [(0, len(text))] for text in sorted(titles)}
    places = [(text, span) for text, found in spans.items() for span in found]
    rows = {place: row for row, place in enumerate(places)}
    passages = [Passage(str(row), text[start:end], titles[text]) for row, (text, (start, end)) in enumerate(places)]
    asked = []
    for title, part in paragraphs:
        text = part["context"]
        for qa in part["qas"]:
            answers = [(each["answer_start"], each["answer_start"] + len(each["text"])) for each in qa["answers"]]
            gold = frozenset(
                rows[text, (low, high)]
                for low, high in spans[text]
                if any(low <= start and end <= high for start, end in answers)
            )
            if answers:
                asked.append((qa["question"], gold, title))
    questions, golds, documents = zip(*asked, strict=True)
    return Task(passages, questions, golds, documents)


@dataclass(frozen=True, slots=True)
class Crossed:
    """(Q,) ranks of the gold texts, and for each half its setting and (Q,) which questions are in it."""

    ranks: Ints
    chosen: Sequence[BM25Setting]
    halves: Sequence[npt.NDArray[np.bool_]]


class Bench:
    """One analyzer on one task; texts are analysed once."""

    def __init__(self, task: Task, analyzer: Analyzer) -> None:
        began = time.perf_counter()
        self.task, self.analyzer = task, analyzer
        self.documents = CountedPassages(task.passages, analyzer)
        self.seconds = time.perf_counter() - began

    def ranks(self, task: Task, setting: BM25Setting) -> Ints:
        counts = self.documents.counts(title_weight=setting.title_weight)
        bm25 = BM25.from_counts(counts, self.analyzer, method="atire", k1=setting.k1, b=setting.b)
        found, _ = bm25.search(task.questions, max(DEPTHS))
        return gold_ranks(found, task.golds)

    def crossed(self, *, titles: bool, rng: np.random.Generator) -> Crossed:
        """Every question under the setting chosen on the other half of the documents."""
        names = sorted(set(self.task.documents))
        first = {names[place] for place in rng.permutation(len(names))[: len(names) // 2]}
        half = np.array([name in first for name in self.task.documents])
        ranks = np.empty(len(half), dtype=np.int64)
        chosen = []
        for side in (half, ~half):
            chooses = rng.permutation(np.flatnonzero(side))[:SAMPLE].tolist()
            chosen.append(self._tuned(self.task.part(chooses), titles=titles, rng=rng))
            ranks[~side] = self.ranks(self.task.part(np.flatnonzero(~side).tolist()), chosen[-1])
        return Crossed(ranks, chosen, [~half, half])

    def _tuned(self, task: Task, *, titles: bool, rng: np.random.Generator) -> BM25Setting:
        weights = (0, 1, 2) if titles else (0,)
        tried = [BM25Setting(k1, b, weight) for weight in weights for k1 in K1 for b in B]
        found = tune(
            self.documents,
            method="atire",
            settings=[DEFAULT, *(setting for setting in tried if setting != DEFAULT)],
            questions=task.questions,
            golds=task.golds,
            clusters=task.documents,
            rng=rng,
        )
        return found.setting


def line(name: str, ranks: Ints, documents: Sequence[str], note: str = "") -> str:
    tops = "  ".join(f"{100 * np.mean((ranks >= 0) & (ranks < k)):5.1f}" for k in DEPTHS)
    right = ((ranks >= 0) & (ranks < 3)).astype(float)
    bounds = bootstrap_interval(right, documents, rng=np.random.default_rng(0))
    return f"  {name:22s} {tops}   top-3 [{100 * bounds.low:.1f}, {100 * bounds.high:.1f}]  {note}"


def measure(task: Task, name: str, analyzer: Analyzer) -> None:
    bench = Bench(task, analyzer)
    print(f"{name}  ({len(task.passages)} texts analysed in {bench.seconds:.1f} s)", flush=True)
    print(line("default", bench.ranks(task, DEFAULT), task.documents), flush=True)
    for titles in (False, True):
        crossed = bench.crossed(titles=titles, rng=np.random.default_rng(0))
        ranks = crossed.ranks
        each = [100 * np.mean((ranks[half] >= 0) & (ranks[half] < 3)) for half in crossed.halves]
        settings = "; ".join(f"k1 {each.k1:g} b {each.b:g} title {each.title_weight}" for each in crossed.chosen)
        note = f"halves {each[0]:.1f} {each[1]:.1f} ({settings})"
        print(line("tuned, with titles" if titles else "tuned", ranks, task.documents, note), flush=True)


def analyzer_of(name: str, task: Task, folder: str) -> Analyzer:
    """The analyzer; `wordpiece:builtin` is the tokenizer of a built-in reader of these passages."""
    if name == "wordpiece:minilm":
        return get_analyzer(f"wordpiece:{minilm()}")
    if name == "wordpiece:builtin":
        from mrc.read.model.builtin import build_builtin

        made = build_builtin([each.text for each in task.passages], Path(folder) / "reader", seed=0)
        return get_analyzer(f"wordpiece:{made}")
    return get_analyzer(name)


def run(title: str, task: Task, names: Sequence[str]) -> None:
    print(f"\n{title}: {len(task.passages)} texts, {len(task.questions)} questions; top-1 top-3 top-5 top-10")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                analyzer = analyzer_of(name, task, folder)
            except MissingExtra as error:
                print(f"{name}: skipped, {error}")
                continue
            measure(task, name, analyzer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--analyzers", help="names, separated by commas; default: all that are installed")
    parser.add_argument("--korquad", action="store_true", help="KorQuAD alone")
    parser.add_argument("--new-wiki", action="store_true", help="new_wiki alone")
    options = parser.parse_args()
    print(machine())
    korean, english = (options.analyzers.split(","),) * 2 if options.analyzers else (KOREAN, ENGLISH)
    if not options.new_wiki:
        path = data_file("KorQuAD_v1.0_dev.json")
        run("KorQuAD, passages", read(path), korean)
        named = [name for name in korean if "kiwi" in name] or korean
        run("KorQuAD, two-sentence windows", read(path, window=2), named)
    if not options.korquad:
        run("new_wiki, passages", read(data_file("new_wiki_v1.0.json")), english)


if __name__ == "__main__":
    main()
