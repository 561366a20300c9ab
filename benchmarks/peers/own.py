"""Training a reader with `mrc.read.train.trainer`, timed as benchmarks/peers/trainer.py times transformers' Trainer.

python benchmarks/peers/own.py FILE START -o FOLDER [--threads 2] [--processes 1] [--device cpu] [--set KEY=VALUE ...]
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

from mrc.read import ExperimentalTrainConfig, TrainConfig
from mrc.read.data.examples import training_example
from mrc.read.train.trainer import train
from mrc.squad import parse_squad, read_squad


class Clock:
    """Wall and CPU seconds of the updates, from the end of the first to the end of the last."""

    def __init__(self) -> None:
        self.first = self.last = (0, 0.0, 0.0)  # update, wall, CPU

    def step(self, step: int, *_: object) -> None:
        self.last = (step, time.perf_counter(), time.process_time())
        if not self.first[0]:
            self.first = self.last

    def seconds(self) -> tuple[float, float]:
        """Wall and CPU seconds of all updates, the first counted as the average of the others."""
        share = self.last[0] / max(1, self.last[0] - self.first[0])
        wall, cpu = (share * (self.last[part] - self.first[part]) for part in (1, 2))
        return wall, cpu


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    path = Path(options.file)
    asked, _ = read_squad(parse_squad(path.read_text(encoding="utf-8"), where=options.file), where=options.file)
    examples = [training_example(each) for each in asked]
    changes = dict(change.split("=", 1) for change in options.set)
    config = TrainConfig(experimental=ExperimentalTrainConfig(processes=options.processes))
    config = replace(config, **{name: json.loads(value) for name, value in changes.items()})
    clock = Clock()
    done = train(
        examples,
        start=options.start,
        config=config,
        seed=0,
        folder=Path(options.output),
        progress=clock.step,
        device=options.device,
    )
    seconds, cpu_seconds = clock.seconds()
    cost = {"seconds": seconds, "cpu_seconds": cpu_seconds, "updates": done.steps, "loss": done.loss}
    if options.processes > 1:  # with their loading; memory as if all were as large as the largest
        children, own = (resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
        cost["cpu_seconds"] = children.ru_utime + children.ru_stime
        cost["peak_mib"] = (own.ru_maxrss + options.processes * children.ru_maxrss) / 1024
    print(json.dumps(cost))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("start")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="field of TrainConfig, value as JSON"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
