"""Two readers with different tokenizers: votes, a cascade, and a student distilled from both.

    python benchmarks/ensembles.py [--reader FOLDER] [--pieces 12000] [--work DIR] [--threads 1] [--smoke]

SQuADShifts New Wikipedia from LABELER_DATA, questions read in their own paragraphs. The first reader is MiniLM
trained on 1,000 labels, unless one is given. The second starts from MiniLM with another tokenizer, a Unigram
vocabulary of the passages whose piece vectors start as the mean of their old ones, is pretrained on the passages for
one epoch of masked language modelling, and is trained on the same labels. The student starts from MiniLM and trains
on the labels and on the probabilities of both teachers for up to 2,000 further questions. The better member is the
one with the higher dev EM; intervals are 95%, paired, by documents.

`--work` keeps readers and scores: killed, the same command resumes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.measure import Kept, data_file, machine, minilm
from benchmarks.parts import CONFIG, parts, trained_reader, training_examples
from benchmarks.vocab_transfer import transfer_vocabulary
from labeler.ablation import PARTS
from labeler.ablation.compare import two_sided
from labeler.ablation.data import document_of, part_examples, passages_of
from labeler.reading.answering import read_in_context
from mrc.ensemble import Cascade, Ensemble
from mrc.metrics import Interval, bootstrap_interval, paired_interval, score
from mrc.read import PretrainConfig, ReadConfig, TrainingExample
from mrc.read.model.reader import Reader
from mrc.read.predict.groups import Answerer, Group
from mrc.read.pretrain.pretraining import pretrain
from mrc.read.train.trainer import train
from mrc.squad import parse_squad, read_squad
from mrc.types import Example, Prediction

POOL = 2000  # questions that the student trains on without their labels
PHASES = {"epochs": 2.0, "gold_epochs": 4.0, "distill_weight": 0.5}  # the labels six times, the others twice
BAND = (0.2, 0.7)  # of the score of the cascade's small reader


def main() -> None:
    options = _options()
    work = Path(options.work or tempfile.mkdtemp(prefix="labeler-ensembles-"))
    data = parts(work, smoke=options.smoke)
    from mrc.encoder.compute import use_threads

    use_threads(options.threads)
    print(f"{machine()}; readers and scores are kept in {work}", flush=True)
    first = Path(options.reader) if options.reader else trained_reader(work, smoke=options.smoke)
    second = _second(work, data, options)
    measured = Kept(work / "measured.json")
    members = {"MiniLM": Reader.load(first), "other tokenizer": Reader.load(second)}
    for name, reader in members.items():
        measured(f"{name} dev", partial(_scores, reader, [*part_examples(data, "screen"), *part_examples(data, "dev")]))
    order = sorted(members, key=lambda name: -float(np.mean(measured(f"{name} dev", dict)["exact_match"])))
    team = [members[name] for name in order]
    vote = Ensemble(team, names=order)
    large = Counted(vote)
    rows: dict[str, Answerer] = {
        **{name: members[name] for name in order},
        "vote on characters": vote,
        "hard vote": Ensemble(team, vote="hard", names=order),
        f"cascade {BAND[0]}-{BAND[1]}": Cascade(team[1], large, low=BAND[0], high=BAND[1]),
        "student": Reader.load(_student(work, data, vote, team, options)),
    }
    test = part_examples(data, "test")
    for name, answerer in rows.items():
        measured(f"{name} test", partial(_scores, answerer, test, large))
    _table({name: measured(f"{name} test", dict) for name in rows}, order[0], [document_of(each) for each in test])


class Counted:
    """An answerer that counts the questions it is given."""

    def __init__(self, inner: Answerer) -> None:
        self._inner = inner
        self.questions = 0

    @property
    def max_positions(self) -> int:
        return self._inner.max_positions

    @property
    def default_config(self) -> ReadConfig:
        return self._inner.default_config

    def read(self, groups: Iterable[Group], **options: Any) -> Iterator[Any]:
        return self._inner.read(self._counting(groups), **options)

    def _counting(self, groups: Iterable[Group]) -> Iterator[Group]:
        for group in groups:
            self.questions += 1
            yield group


def _second(work: Path, data: Path, options: argparse.Namespace) -> Path:
    """The folder of the reader with the other tokenizer."""
    texts = [passage.text for passage in passages_of(data)]
    if options.smoke:
        texts = texts[:20]
    began = time.process_time()
    other = transfer_vocabulary(minilm(), texts, work / "other", pieces=1000 if options.smoke else options.pieces)
    started = pretrain(other, texts, work / "other-start", config=PretrainConfig(mlm_epochs=1.0), seed=0)
    config = replace(CONFIG, epochs=1.0) if options.smoke else CONFIG
    train(training_examples(data), start=started, config=config, seed=0, folder=work / "other-reader")
    print(f"reader with the other tokenizer: {time.process_time() - began:.0f} CPU s", flush=True)
    return work / "other-reader"


def _student(work: Path, data: Path, vote: Ensemble, teachers: Sequence[Reader], options: argparse.Namespace) -> Path:
    """The folder of a reader trained on the labels and on the teachers' probabilities for further questions."""
    asked = _pool(data, 30 if options.smoke else POOL)
    examples = [*training_examples(data), *_pseudo(vote, asked)]
    config = replace(CONFIG, **(PHASES | ({"epochs": 1.0, "gold_epochs": 1.0} if options.smoke else {})))
    began = time.process_time()
    options_of_teachers = {"teachers": teachers, "distill_human_labelled": False}
    train(examples, start=minilm(), config=config, seed=0, folder=work / "student", **options_of_teachers)
    print(f"student of {len(examples)} questions: {time.process_time() - began:.0f} CPU s", flush=True)
    return work / "student"


def _pool(data: Path, count: int) -> list[Example]:
    """Questions of the file that are in no part, in a fixed random order; their answers are not used."""
    file = data_file("new_wiki_v1.0.json")
    found, _ = read_squad(parse_squad(file.read_text(encoding="utf-8"), where=str(file)), where=str(file))
    used = {each.id for part in PARTS for each in part_examples(data, part)}
    free = [each for each in found if each.id not in used]
    order = np.random.default_rng(0).permutation(len(free))
    return [free[place] for place in order[:count]]


def _pseudo(vote: Ensemble, asked: Sequence[Example]) -> list[TrainingExample]:
    """The questions with the answers of the vote, each weighted by its score."""
    return [
        TrainingExample(
            example.id,
            example.question,
            example.context,
            prediction.answers[0].start,
            prediction.answers[0].end,
            weight=prediction.answers[0].score,
            human_labelled=False,
        )
        for example, prediction in zip(asked, _predictions(vote, asked), strict=True)
        if prediction.answers
    ]


def _predictions(answerer: Answerer, examples: Sequence[Example]) -> Iterator[Prediction]:
    config = ReadConfig(max_seq_length=min(384, answerer.max_positions))
    return read_in_context(examples, answerer, config=config, metric="squad")


def _scores(answerer: Answerer, examples: Sequence[Example], large: Counted | None = None) -> dict[str, Any]:
    before, cpu = large.questions if large else 0, time.process_time()
    texts = [found.answers[0].text if found.answers else "" for found in _predictions(answerer, examples)]
    scores = [
        score(text, [span.text for span in each.answers], "squad") for text, each in zip(texts, examples, strict=True)
    ]
    return {
        "cpu_seconds": time.process_time() - cpu,
        "large": (large.questions if large else 0) - before,
        "exact_match": [each.exact_match for each in scores],
        "f1": [each.f1 for each in scores],
    }


def _table(rows: Mapping[str, Mapping[str, Any]], best: str, documents: Sequence[str]) -> None:
    """Print each row's test scores and its change of exact match against the better member."""
    base = rows[best]["exact_match"]
    print(f"{'':22s}{'CPU s':>7s}{'EM':>22s}{'F1':>7s}   EM against {best}, McNemar's p")
    for name, found in rows.items():
        exact = bootstrap_interval(found["exact_match"], documents, rng=np.random.default_rng(0))
        change = paired_interval(found["exact_match"], base, documents, rng=np.random.default_rng(0))
        p = two_sided(np.array(found["exact_match"]), np.array(base))
        cells = (_percent(exact), _percent(change, sign="+"))
        asked = f"   large reader: {found['large']} of {len(base)}" if found["large"] else ""
        f1 = 100 * float(np.mean(found["f1"]))
        print(f"{name:22s}{found['cpu_seconds']:7.1f}{cells[0]:>22s}{f1:7.2f}   {cells[1]} p {p:.3f}{asked}")


def _percent(found: Interval, *, sign: str = "") -> str:
    return f"{100 * found.mean:{sign}.2f} [{100 * found.low:{sign}.2f}, {100 * found.high:{sign}.2f}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", help="folder of a reader of the training part")
    parser.add_argument("--pieces", type=int, default=12_000, help="size of the other vocabulary")
    parser.add_argument("--work", help="folder that keeps readers and scores")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
