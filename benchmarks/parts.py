"""Shared by the benchmarks of reading: parts of SQuADShifts New Wikipedia, and a reader of 1,000 of its labels.

The parts are those of `labeler ablate` (benchmarks/ablation.py), so a reader of that study can be given instead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import data_file, minilm
from labeler.ablation import Sizes
from labeler.ablation.data import part_examples, split_file
from mrc.read import TrainConfig, TrainingExample
from mrc.read.data.examples import training_example
from mrc.squad import write_squad
from mrc.types import Example

SIZES = Sizes(train=1000, screen=500, dev=1000, test=1500)
SMALL = Sizes(train=24, screen=12, dev=20, test=20)
CONFIG = TrainConfig(epochs=6.0, learning_rate=1e-4, head_learning_rate=5e-4, checkpoint_every=25)


def parts(work: Path, *, smoke: bool) -> Path:
    """The folder of the parts: train, screen, dev and test."""
    work.mkdir(parents=True, exist_ok=True)
    folder = work / "data"
    sizes = SMALL if smoke else SIZES
    split_file(data_file("new_wiki_v1.0.json"), folder, sizes=sizes, split_by="paragraph")
    return folder


def squad_file(examples: Sequence[Example], path: Path) -> Path:
    """Write answered questions as a SQuAD 1.1 file; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(write_squad(examples, version="squad"), ensure_ascii=False), encoding="utf-8")
    return path


def training_examples(data: Path) -> list[TrainingExample]:
    """The answered questions of the training part."""
    return [training_example(each) for each in part_examples(data, "train") if each.answers]


def trained_reader(work: Path, *, smoke: bool, head: str = "auto") -> Path:
    """The folder of a reader of the training part, trained unless it exists. Killed, the same call resumes."""
    from mrc.read.train.trainer import train

    examples = training_examples(parts(work, smoke=smoke))
    began = time.process_time()
    config = replace(CONFIG, head=head, epochs=1.0 if smoke else CONFIG.epochs)
    train(examples, start=minilm(), config=config, seed=0, folder=work / "reader")
    print(f"reader of {len(examples)} labels: {time.process_time() - began:.0f} CPU s", flush=True)
    return work / "reader"
