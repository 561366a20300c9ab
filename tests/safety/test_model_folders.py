"""A model folder runs nothing: no code of it, no prompt; every refusal is one line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from mrc.encoder.loading import load_config, load_tokenizer
from mrc.errors import BadCheckpoint
from mrc.read.model import Reader
from tests.mrc import tiny


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A checkpoint whose configuration names code in its folder; running it leaves a mark."""
    folder = tiny.bert(tmp_path / "evil")
    mark = tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass C: pass\n")
    config = json.loads((folder / "config.json").read_text())
    names = ("AutoConfig", "AutoModel", "AutoModelForQuestionAnswering", "AutoTokenizer")
    config["model_type"] = "made-up"
    config["auto_map"] = dict.fromkeys(names, "code.C")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_code_of_a_folder_is_not_run_and_nobody_is_asked(
    evil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    for load in (load_config, Reader.load):
        with pytest.raises(BadCheckpoint) as refused:
            load(evil)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()
    assert asked == []


def test_a_tokenizer_of_its_own_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda text="": pytest.fail("asked"))
    folder = tiny.bert(tmp_path / "tokenizer")
    mark = tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass C: pass\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["auto_map"] = {"AutoTokenizer": ["code.C", "code.C"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with contextlib.suppress(BadCheckpoint):  # or read by the class that transformers knows, without the code
        load_tokenizer(folder)
    assert not mark.exists()


def test_pickled_weights_that_run_code_are_refused_in_one_line(tmp_path: Path) -> None:
    import pickle

    mark = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(mark)!r}, 'w').close()",))

    folder = tiny.bert(tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"bert.x": Bomb()}, protocol=2))
    with pytest.raises(BadCheckpoint) as refused:
        Reader.load(folder)
    assert "\n" not in str(refused.value)
    assert not mark.exists()
