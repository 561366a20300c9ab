"""Time of `labeler --help`, against starting Python and importing click.

    python benchmarks/help_time.py [--runs 15] [--json]

Wall seconds of whole processes, the three kinds in turn, so that other load on the machine slows all of them; medians.
Target: under 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

TARGET = 0.3  # seconds
KINDS = {
    "python": (sys.executable, "-c", "pass"),
    "import_click": (sys.executable, "-c", "import click"),
    "labeler_help": (sys.executable, "-c", "from labeler.cli import cli; cli.main(['--help'], standalone_mode=False)"),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.runs)
    if options.json:
        print(json.dumps(found | {"target_seconds": TARGET}))
        return
    for name in KINDS:
        print(f"{name:<13} {found[name] * 1000:6.0f} ms")
    print(
        f"ratio         {found['ratio']:6.2f}   (labeler --help / import click; target: under {TARGET * 1000:.0f} ms)"
    )


if __name__ == "__main__":
    main()
