"""A workspace whose reader follows a script: right or wrong with a known score, so that a round releases labels."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from labeler.core.runtime import Runtime
from labeler.demo.encyclopaedia import make_encyclopaedia
from mrc.ranking import Ranked
from mrc.read.predict.groups import Group
from mrc.types import Answer, Passage
from tests.worlds import at, make_workspace

#: 60 calibration questions: with 20 or fewer a calibrator is not chosen, below `min_support` nothing is released
DIVISION = "gold=40,calibration=60,dev=30,pool=70"
RELEASING: Mapping[str, Any] = {
    "calibrate__target_precision": 0.7,
    "calibrate__min_support": 20,
    "review__min_train_confidence": 0.2,
}


@dataclass(frozen=True, slots=True)
class ScriptedReader:
    """Answers each question with its gold answer or with the first word of a passage, and with a score that is
    higher where the answer is more often right. Both depend on the question's text alone."""

    golds: Mapping[str, str]  # question text -> answer
    max_seq_length: int = 128

    def read(self, groups: Iterable[Group], **_: Any) -> Iterator[Ranked]:
        for group in groups:
            yield self._ranked(group)

    def _ranked(self, group: Group) -> Ranked:
        rng = np.random.default_rng(zlib.crc32(group.question.encode()))
        score, gold = float(rng.uniform(0.1, 0.95)), self.golds[group.question]
        holders = [passage for passage in group.passages if gold in passage.text]
        if holders and rng.random() < score:
            answer = _span(holders[0], gold, score)
        else:
            answer = _span(group.passages[0], group.passages[0].text.split()[0], score)
        rival = _span(group.passages[0], group.passages[0].text.split()[-1], 0.1 * (1 - score))
        support = (1 + int(rng.integers(2)), 1)
        return Ranked((answer, rival), 0.9 * (1 - score), support, 1.0, 1.0, len(group.passages))


def _span(passage: Passage, text: str, score: float) -> Answer:
    start = passage.text.index(text)
    return Answer(text, passage.id, start, start + len(text), score, 0.9 * score)


def make_releasing(folder: Path, **changes: Any) -> Path:
    """A workspace with 60 calibration questions whose settings let a round release labels; not trained yet."""
    return make_workspace(folder, division=DIVISION, **RELEASING | changes)


@contextmanager
def scripted(folder: Path) -> Iterator[Runtime]:
    """The runtime of a workspace of `make_releasing`; every model of it answers as the script says."""
    reader = ScriptedReader(_golds())
    with at(folder) as runtime, mock.patch.object(Runtime, "answerer", return_value=reader):
        yield runtime


def _golds() -> dict[str, str]:
    squad = make_encyclopaedia("en", seed=5, documents=80).squad()
    questions = [qa for article in squad["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    return {qa["question"]: qa["answers"][0]["text"] for qa in questions}
