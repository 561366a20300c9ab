"""The runtime: where models run, and which settings an open workspace computes with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from labeler.core.config import load_config
from labeler.core.runtime import use_compute, with_settings
from tests.commands import run


@pytest.fixture
def threads() -> Iterator[int]:
    """The number of threads that torch had, which it has again afterwards."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_models_run_with_the_number_of_threads_that_the_settings_give(threads: int) -> None:
    assert use_compute(load_config(environ={}, overrides=[f"compute.threads={threads + 1}"]).compute) == "cpu"
    assert torch.get_num_threads() == threads + 1


def test_without_a_number_of_threads_torch_keeps_its_own(threads: int) -> None:
    use_compute(load_config(environ={}).compute)
    assert torch.get_num_threads() == threads


def test_the_options_device_and_threads_are_settings_of_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    (tmp_path / "squad.json").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("LABELER_COMPUTE__THREADS", str(threads + 2))
    devices = []
    monkeypatch.setattr("labeler.reading.answer_file.answer_file", lambda *_, **given: devices.append(given["device"]))
    words = ("answer", tmp_path / "squad.json", "--model", "m", "-o", tmp_path / "out")
    with pytest.raises(AttributeError):  # there is no result to show
        run(*words, "--threads", str(threads + 1), "--device", "cpu")
    assert devices == ["cpu"]
    assert torch.get_num_threads() == threads + 1


def test_replaced_settings_are_checked_like_given_ones() -> None:
    config = load_config(environ={})
    assert with_settings(config, read={"top_k": 7}).read.top_k == 7
    with pytest.raises(ValueError, match="top_k must be in 1-100, not 0"):
        with_settings(config, read={"top_k": 0})
