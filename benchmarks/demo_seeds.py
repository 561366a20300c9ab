"""The demo on seeds that were not used while it was designed: the gain of each part of the loop.

python benchmarks/demo_seeds.py [--seeds 100 101 102] [--folder DIR]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import labeler, machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--folder", help="folder that keeps the workspaces")
    options = parser.parse_args()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="labeler-demo-"))
    print(machine())
    print("seed  gold only  gold+human  full loop  gain  over gold+human  seconds  peak MiB   (EM %, test questions)")
    for seed in options.seeds:
        cost = labeler("demo", str(folder / f"seed-{seed}"), "--seed", str(seed))
        result = cost.json()
        scores = [100 * result[name]["exact_match"] for name in ("baseline", "gold_and_human", "full_loop")]
        gains = f"{scores[2] - scores[0]:+5.1f}  {scores[2] - scores[1]:+16.1f}"
        print(f"{seed:4d}  {scores[0]:9.1f}  {scores[1]:10.1f}  {scores[2]:9.1f}  {gains}", end="")
        print(f"  {cost.seconds:7.0f}  {cost.peak_mib:8.0f}", flush=True)


if __name__ == "__main__":
    main()
