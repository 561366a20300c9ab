"""Random changes of the answers of a server, and what a push and a pull must do with them."""

from __future__ import annotations

import copy
import random
import time
from pathlib import Path
from typing import Any

from db import queries
from labeler.core.errors import LabelerError
from labeler.review.studio.pull import pull
from labeler.review.studio.push import push
from tests.labeler.studio.people import says
from tests.labeler.studio.runtimes import at
from tests.safety.hostile import Hostile, hostile_server

HANG = 10.0  # seconds that a push or a pull may take
LEAVES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1 << 31, 1 << 63, 1 << 70, 10**12, 1.5, float("nan"), float("inf")),
    *("", "x", "\0", "\ud800", "\x1b]0;x\x07", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9" * 5000),
    *([], {}, [[]], {"id": 1}, ["x"] * 2000),
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def changed(value: Any, chance: random.Random) -> Any:
    """The value with one part replaced, removed or repeated."""
    if not isinstance(value, (dict, list)) or not value or chance.random() < 0.1:
        return nested(chance.choice((99, 101, 700))) if chance.random() < 0.1 else copy.deepcopy(chance.choice(LEAVES))
    place = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
    new = copy.copy(value)
    if chance.random() < 0.1:
        del new[place]
    elif isinstance(new, list) and chance.random() < 0.1:
        new.append(new[place])
    else:
        new[place] = changed(value[place], chance)
    return new


def spoiled_session(workspace: Path, seed: int) -> None:
    """A push and two pulls against a server that changes about a third of its answers.

    Raises anything else than LabelerError, and AssertionError where one of them takes longer than `HANG`.
    """
    chance = random.Random(seed)
    with hostile_server() as server, at(workspace, batch=3) as runtime:
        server.spoil = lambda path, answer: changed(answer, chance) if chance.random() < 0.3 else answer
        with runtime.database.read() as session:
            row = queries.current_round(session)
        assert row is not None
        client = server.client(timeout=5)
        _bounded(lambda: push(runtime, client, row))
        _answer(server)
        for _ in range(2):
            _bounded(lambda: pull(runtime, client, everything=True))


def _answer(server: Hostile) -> None:
    for number in list(server.tasks):
        server.annotate(number, says("answerable", (1, 4, 9)))


def _bounded(step: Any) -> None:
    began, message = time.monotonic(), ""
    try:
        step()
    except LabelerError as error:
        message = str(error)
    assert "\n" not in message, message
    assert time.monotonic() - began < HANG
