"""All benchmarks, one after another: `make bench`. Those whose data is missing say so and are skipped.

python benchmarks/run.py [NAME ...]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = (
    "help_time",
    "walks",
    "bulk_predictions",
    "bulk_postgresql",
    "million",
    "round_scale",
    "bm25",
    "kills",
    "ray_kills",
    "studio_push_pull",
    "predict_calls",
    "studio_kills",
    "studio_interleavings",
    "fuzz_server",
    "fuzz_importers",
    "certificates",
    "demo_seeds",
    "korquad",
    "retrieval_quality",
    "languages",
    "hybrid",
    "encoding",
    "dense_training",
    "scale",
    "reading_speed",
    "training_speed",
    "busy_machine",
    "ablation",
    "adaptive",
    "ensembles",
    "korquad_reading",
    "retrieval_weight",
    "golds",
    "new_wiki_rounds",
    "new_wiki_studio",
    "outside_predictions",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    main()
