"""A run of the tests: `python -m tests.labeler.cluster.a_run RUN.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from labeler.ablation.runs import ENDS_WITH_PARENT, end_with_parent

if __name__ == "__main__":
    path = Path(sys.argv[1])
    if ENDS_WITH_PARENT in sys.argv:
        end_with_parent()
    if json.loads(path.read_text())["fails"]:
        sys.exit("it failed")
    (path.parent / "done").touch()
