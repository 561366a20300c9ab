"""200 random interleavings of push, pull, kill, edit, delete, skip on a real Label Studio.

    python benchmarks/studio_interleavings.py [--count 200] [--first 1000] [--steps 15]

After each, the database must equal the server's state of every task. The tests run 30 others.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import machine
from benchmarks.studio_push_pull import CACHE
from labeler.review.studio import reconcile
from tests.labeler.studio.interleavings import tell
from tests.studio import running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=1000, help="the first seed")
    parser.add_argument("--steps", type=int, default=15)
    options = parser.parse_args()
    logging.getLogger("labeler").setLevel(logging.ERROR)  # the faults are injected
    reconcile.LOST_SECONDS = 0.5  # no fault leaves an import running
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="labeler-studio-stories-"))
    (folder / "server").mkdir()
    events: Counter[str] = Counter()
    wrong = []
    with running(folder / "server", CACHE) as server:
        for seed in range(options.first, options.first + options.count):
            try:
                events.update(
                    each.partition(" (")[0] for each in tell(server, folder / str(seed), seed, steps=options.steps)
                )
            except AssertionError as error:
                wrong.append(seed)
                print(f"seed {seed}: the database differs from the server: {str(error)[:1000]}", flush=True)
    summary = ", ".join(f"{count} {name}" for name, count in events.most_common())
    print(f"{machine()}: {options.count - len(wrong)} of {options.count} equal to the server's state ({summary})")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
