"""Progress of long work: bars on a terminal's stderr, plain log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger("labeler")


class Bar(Protocol):
    total: float | None  # may be set later, where it is not known at the start

    def update(self, done: int = 1, /) -> object: ...
    def set_postfix_str(self, text: str, /) -> object: ...


class _Log:
    """Stands in for a bar where nobody watches: counts, and logs the end of the work."""

    def __init__(self, total: int) -> None:
        self.total: float | None = total
        self.done = 0
        self.note = ""

    def update(self, done: int = 1, /) -> None:
        self.done += done

    def set_postfix_str(self, text: str, /) -> None:
        self.note = text


@contextmanager
def bar(label: str, *, total: int, unit: str = "it") -> Iterator[Bar]:
    """A progress bar for `total` pieces of work, with the time left; without a terminal a log line at the end, if
    anything was done."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=label, unit=unit, file=sys.stderr, leave=False, dynamic_ncols=True) as shown:
            yield shown
        return
    quiet, began = _Log(total), time.monotonic()
    yield quiet
    if quiet.done:
        log.info("%s: %d %s in %.1f s %s", label, quiet.done, unit, time.monotonic() - began, quiet.note)


@contextmanager
def updates(label: str) -> Iterator[Callable[[int, int, float, float], None]]:
    """What a training tells of its progress: update done, updates in all, its loss, seconds left."""
    done = 0
    with bar(label, total=0, unit="updates") as shown:

        def progress(step: int, total: int, loss: float, seconds_left: float) -> None:
            nonlocal done
            shown.total = total
            shown.update(step - done)  # more than one where the training goes on from a checkpoint
            done = step
            shown.set_postfix_str(f"update {step} of {total}, loss {loss:.3f}, {seconds_left:.0f} s left")

        yield progress
