"""Threads that work ahead: order, bounds, errors, and an end that is one."""

import threading
import time
from functools import partial

import pytest
import torch

from mrc.read.data.prefetch import feed


def slow_for_the_first(item):
    time.sleep(0.05 if item == 0 else 0.0)
    return item * item


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_their_items(workers):
    fed = feed(range(7), float, slow_for_the_first, workers=workers, ahead=2)
    assert list(fed) == [(item, item * item) for item in range(7)]


def test_nothing_to_do_gives_nothing():
    assert list(feed([], float, float, workers=2, ahead=2)) == []


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (2, 1), (3, 4)])
def test_no_more_items_are_taken_than_workers_and_those_ahead(workers, ahead):
    taken = []

    def source():
        for item in range(20):
            taken.append(item)
            yield item

    for received, _ in enumerate(feed(source(), int, int, workers=workers, ahead=ahead)):
        assert len(taken) == min(20, received + workers + ahead)


def fails_at(number, item):
    if item == number:
        raise RuntimeError(f"item {item}")
    return item


@pytest.mark.parametrize(("prepare", "compute"), [(partial(fails_at, 3), int), (int, partial(fails_at, 3))])
def test_an_error_is_raised_where_its_item_stands(prepare, compute):
    received = []
    with pytest.raises(RuntimeError, match="item 3"):
        received.extend(iter(feed(range(9), prepare, compute, workers=2, ahead=2)))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("prepare", "compute"))]


def test_results_before_an_error_are_given():
    fed = feed(range(9), int, partial(fails_at, 3), workers=2, ahead=2)
    assert [next(fed)[1] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="item 3"):
        next(fed)


def test_nothing_runs_on_after_closing():
    computed = []
    fed = feed(range(100), int, computed.append, workers=2, ahead=8)
    next(fed)
    fed.close()
    count = len(computed)
    assert count <= 10  # 2 + 8 were under way
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("prepare", "compute"))]
    time.sleep(0.02)
    assert len(computed) == count


def test_each_worker_computes_with_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        threads = [number for _, number in feed(range(3), int, lambda _: torch.get_num_threads(), workers=2, ahead=0)]
    finally:
        torch.set_num_threads(before)
    assert threads == [1, 1, 1]
