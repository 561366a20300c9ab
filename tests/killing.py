"""The command line with a death at a chosen moment: `python tests/killing.py MOMENT COUNT ARGUMENTS...`.

The process kills itself (SIGKILL, no clean-up) right after the COUNT-th time that the moment has come.
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


def dying(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """The function, which does not come back from its `times`-th call."""
    left = times

    def call(*args: Any, **keywords: Any) -> Any:
        nonlocal left
        result = function(*args, **keywords)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


if __name__ == "__main__":
    module, name = MOMENTS[sys.argv[1]]
    setattr(module, name, dying(getattr(module, name), int(sys.argv[2])))
    sys.argv = ["labeler", *sys.argv[3:]]
    main()
