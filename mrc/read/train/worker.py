"""One process of a team that trains a reader: `python -m mrc.read.train.worker JOB PARENT`, started by `mrc.read.train.distributed`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mrc.errors import MrcError
from mrc.read.train import distributed
from mrc.read.train.job import Job
from mrc.read.train.trainer import run_job


def main(path: str, parent: str) -> int:
    """The exit status: 1 after an error that a user can mend, which the parent then raises."""
    job = Job.read(Path(path))
    try:
        run_job(job, distributed.join(job, int(parent)), distributed.tell)
    except MrcError as error:
        distributed.leave_word(job, int(os.environ["RANK"]), error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
