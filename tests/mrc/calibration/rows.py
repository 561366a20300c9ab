"""Rows of features for the tests of calibration."""

from __future__ import annotations

import numpy as np

from mrc.calibration.features import ALL_FEATURES, COLUMN, FEATURES
from mrc.calibration.selective import Bools, Floats


def rows_of(count: int, *, seed: int = 0, hybrid: bool = False, **columns: Floats) -> Floats:
    """Rows of noise in every feature except those given; with the hybrid features if `hybrid`."""
    rows = np.random.default_rng(seed).random((count, len(ALL_FEATURES if hybrid else FEATURES)))
    for name, values in columns.items():
        rows[:, COLUMN[name]] = values
    return rows


def groups_of(count: int, *, size: int = 4) -> list[str]:
    return [f"p{number // size}" for number in range(count)]


def right_with(probability: Floats, *, seed: int = 1) -> Bools:
    return np.asarray(np.random.default_rng(seed).random(len(probability)) < probability)


def conf(*values: float) -> Floats:
    return np.array(values)


def right(pattern: str) -> Bools:
    return np.array([mark == "+" for mark in pattern])
