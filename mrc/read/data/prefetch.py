"""Results computed ahead by threads, in order, with a bound on the number pending."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")


def prefetch(
    items: Iterable[T], prepare: Callable[[T], P], compute: Callable[[P], R], *, workers: int, ahead: int
) -> Iterator[tuple[T, R]]:
    """Each item with `compute(prepare(item))`, in order of the items; at most `workers + ahead` are pending.

    One thread prepares, `workers` threads compute, each with one torch thread; items are taken in the caller's thread.
    An error in any of them is raised here. No work continues once the iterator is exhausted, failed or closed.
    """
    source = iter(items)
    pending: deque[tuple[T, Future[R]]] = deque()
    preparing = ThreadPoolExecutor(1, "prepare")
    computing = ThreadPoolExecutor(workers, "compute", initializer=torch.set_num_threads, initargs=(1,))

    def start(item: T) -> tuple[T, Future[R]]:
        ready = preparing.submit(prepare, item)
        return item, computing.submit(lambda: compute(ready.result()))

    try:
        pending.extend(map(start, islice(source, workers + ahead)))
        while pending:
            item, future = pending.popleft()
            yield item, future.result()
            pending.extend(map(start, islice(source, 1)))
    finally:
        computing.shutdown(cancel_futures=True)
        preparing.shutdown(cancel_futures=True)
