"""A worker that tells of one update and is gone: the team's parent must not wait for it, nor keep still about it."""

import os
import sys

if os.environ["RANK"] == "0":
    sys.stdout.write("update done: [1, 6, 0.5, 1.0]\n")
    sys.stdout.flush()
os._exit(9)
