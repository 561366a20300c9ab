"""The command line with a death at a chosen moment: `python -m tests.killing MOMENT COUNT ARGUMENTS...`.

The process kills itself right after the COUNT-th time that the moment has come: with SIGKILL, no clean-up, or with the
signal that the variable KILLED_BY names.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from db import store
from labeler.cli import main
from mrc.read import train

MOMENTS: dict[str, tuple[Any, str]] = {
    "predictions stored": (store, "add_predictions"),  # inside the transaction: this chunk is lost
    "review recorded": (store, "record_review"),
    "labels recorded": (store, "record_labels"),
    "checkpoint written": (train, "_checkpoint"),
    "stage written": (store, "advance"),  # inside the transaction: the step is lost as a whole
}


def dying(function: Callable[..., Any], times: int, by: signal.Signals) -> Callable[..., Any]:
    """The function, which does not come back from its `times`-th call."""
    left = times

    def call(*args: Any, **keywords: Any) -> Any:
        nonlocal left
        result = function(*args, **keywords)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), by)
        return result

    return call


if __name__ == "__main__":
    module, name = MOMENTS[sys.argv[1]]
    by = signal.Signals[os.environ.get("KILLED_BY", "SIGKILL")]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born deaf to Ctrl-C
    setattr(module, name, dying(getattr(module, name), int(sys.argv[2]), by))
    sys.argv = ["labeler", *sys.argv[3:]]
    main()
