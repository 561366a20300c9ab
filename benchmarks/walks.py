"""Random walks over imports, labels, pseudo-labels, rounds, refusals, reverts and undos: every
question's label as a small model says.

python benchmarks/walks.py --walks 5000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.safety.walks import Walks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walks", type=int, default=5000, help="number of walks, each with its own seed")
    parser.add_argument("--length", type=int, default=20, help="steps of a walk")
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        walks = Walks(Path(folder))
        for seed in range(given.walks):
            try:
                walks.walk(seed).run(given.length)
            except AssertionError as error:
                failed += 1
                print(f"seed {seed}: {error}")
        walks.close()
    ended = f"{given.walks - failed} of {given.walks} walks of {given.length} steps end as the model says"
    print(f"{ended} ({time.process_time():.0f} CPU s)")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
