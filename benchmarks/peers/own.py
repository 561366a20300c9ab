"""Training a reader with `mrc.read.train.trainer`, timed as benchmarks/peers/trainer.py times transformers' Trainer.

python benchmarks/peers/own.py FILE START -o FOLDER [--threads 2] [--set KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import torch

from mrc.read import TrainConfig, TrainingExample
from mrc.read.train.trainer import train
from mrc.squad import parse_squad, read_squad


class Clock:
    """Wall and CPU seconds of the updates, from the end of the first to the end of the last."""

    def __init__(self) -> None:
        self.first = self.last = (0, 0.0, 0.0)  # update, wall, CPU

    def told(self, step: int, *_: object) -> None:
        self.last = (step, time.perf_counter(), time.process_time())
        if not self.first[0]:
            self.first = self.last

    def seconds(self) -> tuple[float, float]:
        """Of all updates, the first taken to be as long as the others are on average."""
        share = self.last[0] / max(1, self.last[0] - self.first[0])
        wall, cpu = (share * (self.last[part] - self.first[part]) for part in (1, 2))
        return wall, cpu


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    path = Path(options.file)
    asked, _ = read_squad(parse_squad(path.read_text(encoding="utf-8"), where=options.file), where=options.file)
    examples = [
        TrainingExample(each.id, each.question, each.context, each.answers[0].start, each.answers[0].end)
        for each in asked
    ]
    changes = dict(change.split("=", 1) for change in options.set)
    config = replace(TrainConfig(), **{name: json.loads(value) for name, value in changes.items()})
    clock = Clock()
    done = train(examples, start=options.start, config=config, seed=0, folder=Path(options.output), progress=clock.told)
    seconds, cpu_seconds = clock.seconds()
    told = {"seconds": seconds, "cpu_seconds": cpu_seconds, "updates": done.steps, "loss": done.loss}
    if config.processes > 1:  # what they took with their loading; memory if all were as large as the largest
        children, own = (resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
        told["cpu_seconds"] = children.ru_utime + children.ru_stime
        told["peak_mib"] = (own.ru_maxrss + config.processes * children.ru_maxrss) / 1024
    print(json.dumps(told))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("start")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of TrainConfig, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
