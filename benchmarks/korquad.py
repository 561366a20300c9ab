"""KorQuAD through the command line: import, index, and the top-k accuracy of retrieval.

    python benchmarks/korquad.py

KorQuAD 1.0 dev from LABELER_DATA, split by paragraph; passages are retrieved from the whole file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import data_file, labeler, machine

SPLIT = "gold=1000,dev=500,test=1000,pool=rest"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    data = str(data_file("KorQuAD_v1.0_dev.json"))
    workspace = str(Path(tempfile.mkdtemp(prefix="labeler-korquad-")) / "workspace")
    labeler("init", workspace, "--language", "ko")
    imported = labeler("import", data, "--split", SPLIT, "-w", workspace)
    indexed = labeler("index", "-w", workspace)
    evaluated = labeler("evaluate", "--split", "test", "-w", workspace)
    print(machine())
    counts = imported.json()
    print(f"import    {counts['questions']} questions, {counts['passages']} passages, {counts['splits']}", end="")
    print(f"  {imported.seconds:.1f} s {imported.peak_mib:.0f} MiB")
    built = indexed.json()
    print(f"index     {built['method']}, {built['analyzer']}  {indexed.seconds:.1f} s {indexed.peak_mib:.0f} MiB")
    found = evaluated.json()
    for name, value in found["retrieval"].items():
        bounds = found["intervals"].get(f"retrieval.{name}")
        interval = f"  [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]" if bounds else ""
        print(f"{name:8s}  {100 * value:.1f}{interval}")


if __name__ == "__main__":
    main()
