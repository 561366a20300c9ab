"""Prefetching: order of results, bound on pending work, errors, and no work after closing."""

import threading
import time
from functools import partial

import pytest
import torch

from mrc.read.data.prefetch import prefetch


def slow_for_the_first(item):
    time.sleep(0.05 if item == 0 else 0.0)
    return item * item


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers):
    results = prefetch(range(7), float, slow_for_the_first, workers=workers, ahead=2)
    assert list(results) == [(item, item * item) for item in range(7)]


def test_no_items_give_no_results():
    assert list(prefetch([], float, float, workers=2, ahead=2)) == []


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (2, 1), (3, 4)])
def test_no_more_items_are_taken_than_workers_and_those_ahead(workers, ahead):
    taken = []

    def source():
        for item in range(20):
            taken.append(item)
            yield item

    for received, _ in enumerate(prefetch(source(), int, int, workers=workers, ahead=ahead)):
        assert len(taken) == min(20, received + workers + ahead)


def fails_at(number, item):
    if item == number:
        raise RuntimeError(f"item {item}")
    return item


@pytest.mark.parametrize(("prepare", "compute"), [(partial(fails_at, 3), int), (int, partial(fails_at, 3))])
def test_an_error_is_raised_in_place_of_its_result(prepare, compute):
    received = []
    with pytest.raises(RuntimeError, match="item 3"):
        received.extend(iter(prefetch(range(9), prepare, compute, workers=2, ahead=2)))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("prepare", "compute"))]


def test_results_before_an_error_are_yielded():
    results = prefetch(range(9), int, partial(fails_at, 3), workers=2, ahead=2)
    assert [next(results)[1] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="item 3"):
        next(results)


def test_no_work_continues_after_closing():
    computed = []
    results = prefetch(range(100), int, computed.append, workers=2, ahead=8)
    next(results)
    results.close()
    count = len(computed)
    assert count <= 10  # 2 + 8 were under way
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("prepare", "compute"))]
    time.sleep(0.02)
    assert len(computed) == count


def test_each_worker_computes_with_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        threads = [
            number for _, number in prefetch(range(3), int, lambda _: torch.get_num_threads(), workers=2, ahead=0)
        ]
    finally:
        torch.set_num_threads(before)
    assert threads == [1, 1, 1]
