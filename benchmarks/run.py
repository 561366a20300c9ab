"""Every benchmark, one after another: `make bench`. Those that need development data say so and are passed over.

python benchmarks/run.py [NAME...]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "help_time": (),
    "bulk_predictions": (),
    "bm25": (),
    "kills": (),
    "studio_push_pull": (),
    "studio_kills": (),
    "studio_interleavings": (),
    "demo_seeds": (),
    "korquad": (),
    "retrieval_quality": (),
    "hybrid": (),
    "encoding": (),
    "dense_training": (),
    "scale": (),
    "reading_speed": (),
    "training_speed": (),
    "ablation": (),
    "adaptive": (),
    "ensembles": (),
    "korquad_reading": (),
    "new_wiki_rounds": (),
    "new_wiki_studio": (),
}


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, str(HERE / f"{name}.py"), *BENCHMARKS[name]], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    main()
