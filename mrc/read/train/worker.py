"""One process of a distributed training, started by `mrc.read.train.distributed`.

python -m mrc.read.train.worker JOB PARENT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mrc.errors import MrcError
from mrc.read.train import distributed
from mrc.read.train.job import Job
from mrc.read.train.trainer import run_job


def main(path: str, parent: str) -> int:
    """Train in this process; return the exit status, 1 after an error that the parent then raises."""
    job = Job.read(Path(path))
    try:
        run_job(job, distributed.join_group(job, int(parent)), distributed.report_progress)
    except MrcError as error:
        distributed.write_error(job, int(os.environ["RANK"]), error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
