"""kill -9 at a random step of every command that writes: run again, it must end as an undisturbed run.

    python benchmarks/kills.py [--kills 100] [--seed 0]

Import, undo, label, withdraw, index, tune, export, report, backup, restore, upgrade, prune, revert, reviews by file,
predict, evaluate, train and rounds take turns. See `tests/safety/kills.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import machine
from tests.safety.kills import COMMANDS, kill


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    equal = kill(given.kills, seed=given.seed, quick=False, say=lambda line: print(line, flush=True))
    ended = f"{equal} of {given.kills} kills over {len(COMMANDS)} commands end as an undisturbed run"
    print(f"{machine()}: {ended} ({time.monotonic() - began:.0f} s)")
    sys.exit(equal != given.kills)


if __name__ == "__main__":
    main()
