"""Work done ahead by threads, its results in order and never more of them waiting than asked for."""

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


def feed(
    items: Iterable[T], prepare: Callable[[T], P], compute: Callable[[P], R], *, workers: int, ahead: int
) -> Iterator[tuple[T, R]]:
    """Each item with `compute(prepare(item))`, in order of the items; at most `workers + ahead` are under way.

    One thread prepares, `workers` compute, each with one thread of torch's; items are taken in the caller's thread. An
    error of any of them is raised here. Nothing runs on once the iterator is exhausted, failed or closed.
    """
    source = iter(items)
    waiting: deque[tuple[T, Future[R]]] = deque()
    preparing = ThreadPoolExecutor(1, "prepare")
    computing = ThreadPoolExecutor(workers, "compute", initializer=torch.set_num_threads, initargs=(1,))

    def start(item: T) -> tuple[T, Future[R]]:
        ready = preparing.submit(prepare, item)
        return item, computing.submit(lambda: compute(ready.result()))

    try:
        waiting.extend(map(start, islice(source, workers + ahead)))
        while waiting:
            item, future = waiting.popleft()
            yield item, future.result()
            waiting.extend(map(start, islice(source, 1)))
    finally:
        computing.shutdown(cancel_futures=True)
        preparing.shutdown(cancel_futures=True)
