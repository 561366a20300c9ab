"""Push and pull against a server with random answers: no traceback, no hang over 10 s, no process over 1 GiB.

python benchmarks/fuzz_server.py --minutes 30
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from labeler.review.studio import reconcile
from tests.labeler.studio.runtimes import Shape, make_runtime
from tests.safety.server_fuzz import spoiled_session

MAX_KIB = 1 << 20  # 1 GiB


def main() -> None:
    """Run seeds until the time is over; print the number of sessions and the highest memory use."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=30.0)
    options.add_argument("--seed", type=int, default=0, help="the first seed; a failure names its own")
    given = options.parse_args()
    reconcile.LOST_SECONDS = 0.05
    until, seed = time.monotonic() + 60 * given.minutes, given.seed
    with tempfile.TemporaryDirectory() as folder:
        template = make_runtime(Path(folder) / "template", Shape(tasks=4, characters=60))
        while time.monotonic() < until:
            workspace = Path(shutil.copytree(template, Path(folder) / "ws"))
            try:
                spoiled_session(workspace, seed)
            except BaseException:
                print(f"seed {seed}", file=sys.stderr)
                raise
            shutil.rmtree(workspace)
            seed += 1
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{seed - given.seed} sessions, at most {used / 1024:.0f} MiB")
    assert used < MAX_KIB, f"{used} KiB"


if __name__ == "__main__":
    main()
