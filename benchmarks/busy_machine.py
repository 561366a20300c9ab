"""Training and reading with several threads beside busy processes, against one thread beside them.

    python benchmarks/busy_machine.py [--model FOLDER] [--seconds 10] [--turns 2] [--idle] [--json]

Two processes that compute without pause run beside each measurement; `--idle` leaves them out. The questions are those
of the demonstration's encyclopaedia, the encoder is the one built from them, or `--model`. A measurement is a process
that trains, or reads, for `--seconds`; the variants take turns, so that other load on the machine slows all alike.
Rates are updates and questions per second by wall clock, each also as a share of one thread's. Variants: one thread;
two threads as labeler starts them; two threads that spin while they wait, as torch starts them by itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measure import machine, run
from labeler.demo.encyclopaedia import make_encyclopaedia
from mrc.read import TrainConfig
from mrc.read.data.examples import training_example
from mrc.squad import parse_squad, read_squad
from mrc.types import Example

Progress = Callable[[int, int, float, float], None]

BUSY = "while True: pass"
THREADS = 2
SPINNING = 300_000  # turns: what libgomp does where nothing is set
VARIANTS: dict[str, tuple[int, dict[str, str]]] = {
    "1 thread": (1, {}),
    f"{THREADS} threads": (THREADS, {}),
    f"{THREADS} threads, spinning": (THREADS, {"GOMP_SPINCOUNT": str(SPINNING)}),
}
WORK = ("train", "read")


class EnoughMeasured(Exception):
    """The time of a measurement is over."""


class Clock:
    """The rate of work since the first piece of it, and the end of the measurement."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.began, self.done = seconds, 0.0, 0
        self.last = 0.0

    def count(self, pieces: int) -> None:
        self.last = time.perf_counter()
        if not self.began:
            self.began = self.last
            return
        self.done += pieces
        if self.last - self.began >= self.seconds:
            raise EnoughMeasured

    @property
    def rate(self) -> float:
        return self.done / (self.last - self.began)


def main() -> None:
    options = _options()
    if options.measure:
        print(json.dumps({"rate": measure(options)}))
        return
    with tempfile.TemporaryDirectory(prefix="labeler-busy-") as work:
        model = options.model or _builtin(Path(work))
        rates = _rates(options, model)
    if options.json:
        print(json.dumps(rates))
        return
    print(f"{machine()}; {'no' if options.idle else THREADS} busy processes beside each measurement")
    for kind, found in rates.items():
        one = found["1 thread"]
        for name, rate in found.items():
            print(
                f"{kind:6s} {name:22s} {rate:8.2f} {'updates' if kind == 'train' else 'questions'}/s  {rate / one:.2f}x"
            )


def _rates(options: argparse.Namespace, model: str) -> dict[str, dict[str, float]]:
    """The rate of each variant, by the kind of work; of several turns the mean."""
    found: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in VARIANTS} for kind in WORK}
    for _ in range(options.turns):
        for kind in WORK:
            for name, (threads, env) in VARIANTS.items():
                found[kind][name].append(_measured(options, kind, model, threads, env))
    return {kind: {name: sum(each) / len(each) for name, each in rows.items()} for kind, rows in found.items()}


def _measured(options: argparse.Namespace, kind: str, model: str, threads: int, env: dict[str, str]) -> float:
    command = [sys.executable, __file__, "--measure", kind, "--model", model, "--seconds", str(options.seconds)]
    with _busy(0 if options.idle else THREADS):
        return float(run(command, env={"OMP_NUM_THREADS": str(threads), **env}).lines()[-1]["rate"])


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """A context beside which `count` processes compute."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _questions() -> tuple[Example, ...]:
    """The questions of a small encyclopaedia, each with its passage."""
    made = make_encyclopaedia("en", documents=60, seed=0).squad()
    return read_squad(parse_squad(json.dumps(made), where="encyclopaedia"), where="encyclopaedia")[0]


def _builtin(work: Path) -> str:
    from mrc.read.model.builtin import build_builtin

    texts = dict.fromkeys(text for each in _questions() for text in (each.question, each.context))
    return str(build_builtin(list(texts), work / "builtin", seed=0))


def measure(options: argparse.Namespace) -> float:
    """Updates or questions per second, in this process."""
    work: dict[str, Callable[[str, Clock], None]] = {"train": _train, "read": _read}
    clock = Clock(options.seconds)
    try:
        work[options.measure](options.model, clock)
    except EnoughMeasured:
        return clock.rate
    raise AssertionError("the work ended before its time")


def _train(model: str, clock: Clock) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _trained(model, Path(folder), steps=1_000_000, progress=lambda *_: clock.count(1))


def _read(model: str, clock: Clock) -> None:
    from mrc.read.model import Reader

    pairs = [(each.question, each.context) for each in _questions()]
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader.load(_trained(model, Path(folder), steps=1), device="cpu")
        while True:
            reader.answer(pairs)
            clock.count(len(pairs))


def _trained(model: str, folder: Path, *, steps: int, progress: Progress | None = None) -> Path:
    """The folder of a reader trained on the encyclopaedia."""
    from mrc.read.train.trainer import train

    examples = [training_example(each) for each in _questions()]
    config = TrainConfig(max_steps=steps)
    return train(
        examples, start=model, config=config, seed=0, folder=folder / "reader", progress=progress, device="cpu"
    ).folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="starting checkpoint; default: the built-in encoder")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--idle", action="store_true", help="without the busy processes")
    parser.add_argument("--measure", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
