"""CPU seconds and peak memory of every command on a made pool, by its size, and how both grow.

    python benchmarks/million.py [--sizes 10 10000 100000] [--only status search] [--folder DIR] [--keep] [--json]

A pool of N questions, each with a passage of its own of 45 words drawn by Zipf's law and a new name; ten passages share
a title, and a quarter of the questions have gold answers. Each command is one process, measured as a whole: start-up
included, CPU seconds of user and system together. A growth exponent of 0 means that the cost does not depend on the
size, 1 that it is proportional to it; it compares a column with the one before.

`import` reads the pool (three quarters, JSON lines) and the labelled quarter (SQuAD JSON), `import ten` ten rows more.
A larger size than 100,000 needs minutes and some GiB of disk. With --keep the workspace of a size stays in
DIR/SIZE with the costs of making it, and later runs measure only what reads it (and ten more rows a run).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.measure import LABELER, Cost, Kept, machine, run

WORDS = 50_000  # different words, beside one name a passage
LENGTH = 45  # words of a passage
LABELLED = 4  # every so manieth question has an answer
PARAGRAPHS = 10  # passages of one title
MADE = ("import", "import labelled", "index")
READER = "models/made"  # of random weights: `ask` is measured, not its answer
NAMES = (*MADE, "import ten", "status", "labels list", "labels list --search", "labels list --role",
         "labels list --json", "questions list", "questions search", "history", "rounds list", "search", "ask",
         "report", "leaks", "db backup")  # fmt: skip


def main() -> None:
    options = parse()
    found: dict[str, dict[str, Any]] = {}
    for size in options.sizes:
        with workplace(options.folder, size, keep=options.keep) as folder:
            found[str(size)] = measure(folder, size, set(options.only or NAMES))
            print(f"{size:,} measured", file=sys.stderr, flush=True)
    print(json.dumps({"machine": machine(), "sizes": found}) if options.json else table(found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 10_000, 100_000])
    parser.add_argument("--only", nargs="+", choices=NAMES, help="commands to measure; imports always run")
    parser.add_argument("--folder", type=Path, help="where the workspaces are made")
    parser.add_argument("--keep", action="store_true", help="keep the workspaces in --folder and use them again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.keep and options.folder is None:
        parser.error("--keep needs --folder")
    return options


@contextmanager
def workplace(folder: Path | None, size: int, *, keep: bool) -> Iterator[Path]:
    """The folder of a size: kept, or removed at the end."""
    if keep and folder is not None:
        (folder / str(size)).mkdir(parents=True, exist_ok=True)
        yield folder / str(size)
        return
    with tempfile.TemporaryDirectory(dir=folder) as made:
        yield Path(made)


# --- the pool


def paragraphs(size: int, *, seed: int = 0) -> Iterator[tuple[str, str, str, str]]:
    """(id, question, context, answer) of each question."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, WORDS + 1)
    words = np.array([f"{'bdfgklmnprst'[number % 12]}{'aeiou'[number % 5]}{number:x}" for number in range(WORDS)])
    for first in range(0, size, 10_000):
        drawn = words[rng.choice(WORDS, size=(10_000, LENGTH), p=share / share.sum())]
        for number, row in enumerate(drawn[: size - first].tolist(), first):
            name = f"Name{seed}x{number}"
            asked = f"When did {name} leave the {row[0]} of {row[1]} for {row[2]} and {row[3]}?"
            text = f"{' '.join(row[:20])} {name} left in {1000 + number % 1000} {' '.join(row[20:])}."
            yield f"q{seed}-{number}", asked, text, str(1000 + number % 1000)


def write(folder: Path, size: int) -> None:
    """Write the three files that are imported."""
    with (folder / "pool.jsonl").open("w", encoding="utf-8") as pool, (folder / "gold.json").open("w") as gold:
        gold.write('{"version": "1.1", "data": [')
        for number, (key, question, context, answer) in enumerate(paragraphs(size)):
            if number % LABELLED:
                record = {"id": key, "question": question, "context": context, "title": f"T{number // PARAGRAPHS}"}
                pool.write(json.dumps(record) + "\n")
            else:
                answers = [{"text": answer, "answer_start": context.index(f" left in {answer}") + len(" left in ")}]
                article = {"title": f"T{number // PARAGRAPHS}", "paragraphs": [
                    {"context": context, "qas": [{"id": key, "question": question, "answers": answers}]}]}  # fmt: skip
                gold.write(("," if number else "") + json.dumps(article))
        gold.write("]}")


def write_ten(file: Path) -> None:
    """Write ten rows more, others at each call."""
    with file.open("w", encoding="utf-8") as ten:
        for key, question, context, _ in islice(paragraphs(10, seed=time.time_ns() % 10**9), 10):
            ten.write(json.dumps({"id": key, "question": question, "context": context}) + "\n")


# --- the commands


def measure(folder: Path, size: int, wanted: set[str]) -> dict[str, Any]:
    place = str(folder / "ws")
    kept = Kept(folder / "made.json")
    found = {name: kept(name, partial(make, folder, size, name)) for name in ("files", *MADE, "reader")}
    ten = folder / f"ten{time.time_ns()}.jsonl"
    write_ten(ten)
    commands = {
        "status": ("status",),
        "labels list": ("labels", "list", "--limit", "50"),
        "labels list --search": ("labels", "list", "--limit", "50", "--search", f"name0x{size // 2}"),
        "labels list --role": ("labels", "list", "--limit", "50", "--role", "gold"),
        "labels list --json": ("labels", "list", "--json"),
        "questions list": ("questions", "list", "--limit", "50", "--role", "pool"),
        "questions search": ("questions", "search", f"name0x{size // 2}", "--limit", "50"),
        "history": ("history", "q0-4"),
        "rounds list": ("rounds", "list"),
        "search": ("search", f"When did Name0x{size // 2} leave?"),
        "ask": ("ask", f"When did Name0x{size // 2} leave?"),
        "report": ("report", "-o", str(folder / "report.html")),
        "leaks": ("leaks",),
        "db backup": ("db", "backup", str(folder / "backup.db")),
        "import ten": ("import", str(ten), "--as", "pool", "--json"),
    }
    for name, arguments in commands.items():
        if name in wanted:
            cost = run([*LABELER, *arguments, "-w", place])
            found[name] = as_json(cost)
            print(name, found[name], file=sys.stderr, flush=True)
            (folder / "backup.db").unlink(missing_ok=True)
            if name == "import ten":  # undone, so that the index still is of these passages
                run([*LABELER, "import", "--undo", str(cost.json()["imports"][0]), "-w", place])
    ten.unlink()
    return {name: found[name] for name in NAMES if name in found}


def make(folder: Path, size: int, name: str) -> dict[str, float]:
    """Make a part of a workspace and return its cost."""
    place = str(folder / "ws")
    if name == "files":
        write(folder, size)
        return as_json(run([*LABELER, "init", place]))
    if name == "reader":
        promote_reader(Path(place))
        return {}
    arguments = {
        "import": ("import", str(folder / "pool.jsonl"), "--as", "pool"),
        "import labelled": ("import", str(folder / "gold.json"), "--as", "gold"),
        "index": ("index",),
    }
    return as_json(run([*LABELER, *arguments[name], "-w", place]))


def promote_reader(place: Path) -> None:
    """Make a tiny reader the current one, as if round 0 had trained it."""
    from sqlalchemy import insert, update

    from db import queries, store
    from db.tables import ROUNDS
    from labeler.core.workspace import open_workspace
    from mrc.read.model.reader import model_hash
    from tests.mrc import tiny

    workspace = open_workspace(place)
    home = tiny.bert(place / READER, max_position_embeddings=512)
    row = {"uid": "0" * 32, "kind": "baseline", "stage": "closed", "is_open": False, "promoted": False, "seed": 0}
    row |= {"config": workspace.config.resolved(), "code_version": "made"}
    trained = {"hash": model_hash(home), "training_sha256": "0" * 64, "path": READER, "start": "builtin"}
    with workspace.database().write() as session:
        number = queries.next_round_number(session)
        session.execute(insert(ROUNDS).values(number=number, **row))
        model = store.add_model(session, number, **trained, config={}, examples=1, seconds=1.0, loss=1.0)
        promoted = update(ROUNDS).where(ROUNDS.c.number == number)
        session.execute(promoted.values(student_id=model, promoted=True))


def as_json(cost: Cost) -> dict[str, float]:
    return {"cpu_seconds": round(cost.cpu_seconds, 3), "peak_mib": round(cost.peak_mib)}


# --- the table


def table(found: dict[str, dict[str, Any]]) -> str:
    sizes = list(found)
    lines = ["| command | " + " | ".join(f"{int(size):,}: CPU s, MiB (growth)" for size in sizes) + " |",
             "|---" * (len(sizes) + 1) + "|"]  # fmt: skip
    for name in NAMES:
        cells = []
        for place, size in enumerate(sizes):
            cost = found[size].get(name)
            before = found[sizes[place - 1]].get(name) if place else None
            cells.append(_cell(cost, before, int(size), int(sizes[place - 1])) if cost else "-")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(cost: dict[str, float], before: dict[str, float] | None, size: int, smaller: int) -> str:
    shown = f"{cost['cpu_seconds']:.2f}, {cost['peak_mib']:.0f}"
    if before is None:
        return shown
    grown = [math.log(cost[name] / before[name]) / math.log(size / smaller) for name in ("cpu_seconds", "peak_mib")]
    return f"{shown} ({grown[0]:.2f}, {grown[1]:.2f})"


if __name__ == "__main__":
    main()
