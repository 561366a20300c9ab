"""Progress of long work: a bar on a terminal's stderr, elsewhere one log line a minute and one at the end."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger("labeler")

LOG_SECONDS = 60.0  # between two log lines of the same work
LEAST_DONE = 0.02  # share of the work before which its pace says nothing: the first piece waits for a whole batch
_WITHOUT_ESTIMATE = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class Bar(Protocol):
    """What reports progress: pieces of work done, out of a total that may be set later."""

    total: float | None

    def update(self, done: int = 1, /) -> object: ...
    def set_postfix_str(self, text: str, /) -> object: ...


class _Log:
    """A bar that logs instead: done, total and time left once a minute, and the time taken at the end."""

    def __init__(self, label: str, total: int, unit: str, *, estimate: bool) -> None:
        self.total: float | None = total
        self.done = 0
        self._label, self._unit, self._estimate = label, unit, estimate
        self._note = ""
        self._began = self._logged = time.monotonic()
        self.shown = False  # whether a line was logged

    def update(self, done: int = 1, /) -> None:
        self.done += done
        now = time.monotonic()
        if now - self._logged >= LOG_SECONDS:
            self._logged, self.shown = now, True
            of_all = f" of {self.total:.0f}" if self.total else ""
            log.info("%s: %d%s %s%s", self._label, self.done, of_all, self._unit, self._left(now))

    def _left(self, now: float) -> str:
        note = f", {self._note}" if self._note else ""
        if not self._estimate or not self.total or self.done < LEAST_DONE * self.total:
            return note
        left = (now - self._began) / max(self.done, 1) * (self.total - self.done)
        return f", {duration(left)} left{note}"

    def set_postfix_str(self, text: str, /) -> None:
        self._note = text

    def close(self) -> None:
        if self.done:
            seconds = time.monotonic() - self._began
            note = f", {self._note}" if self._note else ""
            log.info("%s: %d %s in %.1f s%s", self._label, self.done, self._unit, seconds, note)


@contextmanager
def bar(
    label: str, *, total: int, unit: str = "it", estimate: bool = True, note: str = "", closing: bool = True
) -> Iterator[Bar]:
    """Show the progress of `total` pieces of work; 0: nobody knows how many.

    Args:
        estimate: with the time left, as far as the pace tells it.
        note: shown behind it.
        closing: log the time that all took, also where it was short.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        style = None if estimate else _WITHOUT_ESTIMATE
        with tqdm(
            total=total, desc=label, unit=unit, file=sys.stderr, leave=False, dynamic_ncols=True, bar_format=style
        ) as shown:
            shown.set_postfix_str(note, refresh=False)
            yield shown
        return
    logged = _Log(label, total, unit, estimate=estimate)
    logged.set_postfix_str(note)
    yield logged
    if closing or logged.shown:
        logged.close()


@contextmanager
def updates(label: str) -> Iterator[Callable[[int, int, float, float], None]]:
    """Show the progress of a training, which reports updates done, updates in all, its loss and the seconds left."""
    done = 0
    with bar(label, total=0, unit="updates", estimate=False) as shown:

        def progress(step: int, total: int, loss: float, seconds_left: float) -> None:
            nonlocal done
            shown.total = total
            left = f", {duration(seconds_left)} left" if step < total else ""
            shown.set_postfix_str(f"loss {loss:.3f}{left}")
            shown.update(step - done)  # more than one if the training resumes from a checkpoint
            done = step

        yield progress


def duration(seconds: float) -> str:
    """Format a duration: `40 s`, `12 min`, `1 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
