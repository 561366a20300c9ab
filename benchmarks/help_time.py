"""Time of `labeler --help`, and CPU seconds of short commands on a workspace of ten questions.

    python benchmarks/help_time.py [--runs 15] [--json]

`--help` against starting Python and importing click: wall seconds of whole processes, the three kinds in turn, so that
other load on the machine slows all of them; medians. Target: under 0.3 s.

The commands: CPU seconds of whole processes, user and system together, each the least of its runs, as other load on the
machine makes a run longer and never shorter; beside them `import sqlalchemy`, the largest part of each. Target: 0.4 s
on an idle core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measure import LABELER, run
from benchmarks.million import write

TARGET = 0.3  # seconds
KINDS = {
    "python": (sys.executable, "-c", "pass"),
    "import_click": (sys.executable, "-c", "import click"),
    "labeler_help": (sys.executable, "-c", "from labeler.cli import cli; cli.main(['--help'], standalone_mode=False)"),
}
CPU_TARGET = 0.4  # CPU seconds
QUESTIONS = 10
COMMANDS = {
    "status": ("status",),
    "history": ("history", "q0-4"),
    "labels list": ("labels", "list"),
    "search": ("search", "When did Name0x4 leave?"),
}


def seconds(command: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(runs: int) -> dict[str, float]:
    """Median seconds by kind, after a warm-up of each, and their ratio."""
    taken: dict[str, list[float]] = {name: [] for name in KINDS}
    for turn in range(runs + 1):
        for name, command in KINDS.items():
            once = seconds(command)
            if turn:
                taken[name].append(once)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return medians | {"ratio": medians["labeler_help"] / medians["import_click"]}


def start_up(runs: int) -> dict[str, float]:
    """The least CPU seconds of each command, and of importing SQLAlchemy."""
    with tempfile.TemporaryDirectory(prefix="labeler-start-") as folder:
        place = _workspace(Path(folder))
        calls = {name: (*LABELER, *arguments, "-w", place) for name, arguments in COMMANDS.items()}
        calls = {"import sqlalchemy": (sys.executable, "-c", "import sqlalchemy"), **calls}
        return {name: min(run(call).cpu_seconds for _ in range(runs)) for name, call in calls.items()}


def _workspace(folder: Path) -> str:
    """An indexed workspace of ten questions, some of them labelled."""
    write(folder, QUESTIONS)
    place = str(folder / "ws")
    run([*LABELER, "init", place])
    for file, role in (("pool.jsonl", "pool"), ("gold.json", "gold")):
        run([*LABELER, "import", str(folder / file), "--as", role, "-w", place])
    run([*LABELER, "index", "-w", place])
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found, commands = measure(options.runs), start_up(options.runs)
    if options.json:
        print(json.dumps(found | {"target_seconds": TARGET, "cpu_seconds": commands, "target_cpu_seconds": CPU_TARGET}))
        return
    for name in KINDS:
        print(f"{name:<13} {found[name] * 1000:6.0f} ms")
    print(
        f"ratio         {found['ratio']:6.2f}   (labeler --help / import click; target: under {TARGET * 1000:.0f} ms)"
    )
    for name, least in commands.items():
        print(f"{name:<18} {least:5.2f} CPU s")
    print(f"target of the commands: {CPU_TARGET} CPU s on an idle core")


if __name__ == "__main__":
    main()
