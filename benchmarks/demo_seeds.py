"""The demonstration on seeds that were not used while it was designed: what does each part of the loop bring?

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
    parser.add_argument("--folder", help="keeps the workspaces there")
    options = parser.parse_args()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="labeler-demo-"))
    print(machine())
    print("seed  gold only  gold+human  full loop  gain  over gold+human  seconds  peak MiB   (EM %, test questions)")
    for seed in options.seeds:
        cost = labeler("demo", str(folder / f"seed-{seed}"), "--seed", str(seed))
        played = cost.json()
        marks = [100 * played[name]["exact_match"] for name in ("baseline", "gold_and_human", "full_loop")]
        gains = f"{marks[2] - marks[0]:+5.1f}  {marks[2] - marks[1]:+16.1f}"
        print(f"{seed:4d}  {marks[0]:9.1f}  {marks[1]:10.1f}  {marks[2]:9.1f}  {gains}", end="")
        print(f"  {cost.seconds:7.0f}  {cost.peak_mib:8.0f}", flush=True)


if __name__ == "__main__":
    main()
