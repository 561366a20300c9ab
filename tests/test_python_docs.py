"""Every example of docs/python.md runs on a small corpus, with the output that the page shows."""

from __future__ import annotations

import doctest
import shutil
from pathlib import Path

import pytest

from labeler.rounds import machine
from mrc.read.config import BuiltinConfig, WindowConfig
from mrc.read.model.builtin import build_builtin
from mrc.read.train.trainer import train
from mrc.read.train_config import TrainConfig, TrainingExample
from tests.mrc import tiny
from tests.worlds import at

PAGE = Path(__file__).parent.parent / "docs" / "python.md"
MILL = "Mira Oland founded the mill of Tarn in 1893."
HARBOUR = "The harbour of Velmora was built in 1921 by Ilan Soro."
ASKED = {
    "Who founded the mill of Tarn?": (MILL, "Mira Oland"),
    "Who built the harbour of Velmora?": (HARBOUR, "Ilan Soro"),
    "Who built the harbour?": (HARBOUR, "Ilan Soro"),
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small reader that has learned the questions of the page by heart."""
    folder = tmp_path_factory.mktemp("reader")
    start = build_builtin(
        [MILL, HARBOUR, *ASKED],
        folder / "start",
        seed=0,
        config=BuiltinConfig(vocab_size=200, layers=1, hidden_size=64),
    )
    examples = [
        TrainingExample(str(number), question, text, text.index(answer), text.index(answer) + len(answer))
        for number, (question, (text, answer)) in enumerate(ASKED.items())
    ]
    config = TrainConfig(max_steps=80, batch_size=3, learning_rate=3e-3, windows=WindowConfig(96, 16))
    train(examples, start=start, config=config, seed=0, folder=folder / "trained", device="cpu")
    return folder / "trained"


def test_every_example_of_the_python_page_gives_the_output_shown(
    baseline: Path, reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(baseline, tmp_path / "ws")
    with at(tmp_path / "ws") as runtime:
        machine.run(runtime, reviewer="none", until="predicted")
    tiny.bert(tmp_path / "models" / "bi-encoder")
    shutil.copytree(reader, tmp_path / "models" / "reader")
    monkeypatch.chdir(tmp_path)
    parser, page = doctest.DocTestParser(), PAGE.read_text(encoding="utf-8")
    runner, wrong = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS), []
    examples = parser.get_doctest(page, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 25
    runner.run(examples, out=wrong.append)
    if wrong:
        pytest.fail("".join(wrong))
