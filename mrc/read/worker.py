"""One process of a team that trains a reader: `python -m mrc.read.worker JOB PARENT`, started by `mrc.read.team`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mrc.errors import MrcError
from mrc.read import team
from mrc.read.job import Job
from mrc.read.train import run_job


def main(path: str, parent: str) -> int:
    """The exit status: 1 after an error that a user can mend, which the parent then raises."""
    job = Job.read(Path(path))
    try:
        run_job(job, team.join(job, int(parent)), team.tell)
    except MrcError as error:
        team.leave_word(job, int(os.environ["RANK"]), error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
