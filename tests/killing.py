"""The command line with a death at a chosen moment: `python -m tests.killing MOMENT COUNT ARGUMENTS...`.

The process kills itself right after the COUNT-th time that the moment has come: with SIGKILL, no clean-up, or with the
signal that the variable KILLED_BY names.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from labeler.cli import main

#: moment -> where the function stands, and its name; only what is needed is imported
MOMENTS: dict[str, tuple[str, str]] = {
    "predictions stored": ("db.store", "add_predictions"),  # inside the transaction: this chunk is lost
    "review recorded": ("db.store", "record_review"),
    "labels recorded": ("db.store", "record_labels"),
    "checkpoint written": ("mrc.read.train.loop", "_checkpoint"),
    "retriever checkpoint written": ("mrc.retrieve.training.trainer", "_checkpoint"),
    "index written": ("mrc.retrieve.index:Index", "save"),
    "stage written": ("db.store", "advance"),  # inside the transaction: the step is lost as a whole
    "project made": ("labeler.review.studio.api.client:Client", "make_project"),  # on the server; we do not know its id
    "push begun": ("db.store", "begin_push"),  # inside the transaction: nothing is sent
    "tasks imported": (
        "labeler.review.studio.api.client:Client",
        "import_tasks",
    ),  # on the server; we do not know their ids
    "tasks placed": ("db.store", "record_studio_tasks"),  # inside the transaction
    "ids read": ("labeler.review.studio.api.client:Client", "ids"),
    "annotations settled": ("db.store", "record_annotations"),  # inside the transaction: this page is lost
    "cursor moved": ("db.store", "set_project_cursor"),
    "round closed": ("labeler.rounds.steps.promotion", "close"),  # after the commit: nothing is printed yet
    "committed": ("db.engine:Database", "write"),  # after a transaction of any kind
    "read": ("db.engine:Database", "read"),  # after reading
    "file written": ("labeler.core.files.outputs", "note_output"),
}


def dying(function: Callable[..., Any], times: int, by: signal.Signals) -> Callable[..., Any]:
    """The function, which does not come back from its `times`-th call."""
    left = times

    def call(*args: Any, **keywords: Any) -> Any:
        result = function(*args, **keywords)
        if hasattr(result, "__exit__"):  # a context: the moment is its end
            return _ended(result, count)
        count()
        return result

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), by)

    return call


@contextmanager
def _ended(inner: AbstractContextManager[Any], count: Callable[[], None]) -> Iterator[Any]:
    with inner as value:
        yield value
    count()


if __name__ == "__main__":
    where, name = MOMENTS[sys.argv[1]]
    module, _, inside = where.partition(":")
    owner = importlib.import_module(module)
    owner = getattr(owner, inside) if inside else owner
    by = signal.Signals[os.environ.get("KILLED_BY", "SIGKILL")]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born deaf to Ctrl-C
    setattr(owner, name, dying(getattr(owner, name), int(sys.argv[2]), by))
    sys.argv = ["labeler", *sys.argv[3:]]
    main()
