"""Imports of files of every format with random changes: no traceback, no hang over 10 s, no process over 1 GiB.

python benchmarks/fuzz_importers.py --minutes 15
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.safety.import_fuzz import Session, explode, peak_mib
from tests.safety.review_fuzz import ReviewSession

MAX_MIB = 1024
BOMB = 70  # MiB that the large files have, or unpack to


def main() -> None:
    """Import the large files, then run seeds until the time is over; print counts and the highest memory use."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=15.0)
    options.add_argument("--seed", type=int, default=0, help="the first seed; a failure names its own")
    given = options.parse_args()
    until, seed = time.monotonic() + 60 * given.minutes, given.seed
    with tempfile.TemporaryDirectory() as folder:
        bombs = Path(folder) / "bombs"
        bombs.mkdir()
        explode(bombs, BOMB << 20, say=print)
        print(f"large files of {BOMB} MiB: at most {peak_mib():.0f} MiB", flush=True)
        changed, reviews = Session(Path(folder)), ReviewSession(Path(folder) / "reviews")
        while time.monotonic() < until:
            try:
                (reviews if random.Random(seed).random() < 0.2 else changed).one(seed)
            except BaseException:
                print(f"seed {seed}", file=sys.stderr)
                raise
            seed += 1
    print(f"{seed - given.seed} changed files, at most {peak_mib():.0f} MiB")
    assert peak_mib() < MAX_MIB, f"{peak_mib():.0f} MiB"


if __name__ == "__main__":
    main()
