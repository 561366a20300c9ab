"""A dataset folder opens nothing: no file outside it, no address, no column that is not imported."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ok, run

datasets = pytest.importorskip("datasets")

ROW = {"id": "q1", "question": "Who built it?", "context": "Vane built it.", "answers": ["Vane"]}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    ok("init", tmp_path / "ws")
    return tmp_path / "ws"


def saved(folder: Path, **columns: Any) -> Path:
    """A saved dataset of one row with further columns, given as (feature, value)."""
    features = {
        "id": datasets.Value("string"),
        "question": datasets.Value("string"),
        "context": datasets.Value("string"),
        "answers": datasets.List(datasets.Value("string")),
        **{name: feature for name, (feature, _) in columns.items()},
    }
    values = {name: [value] for name, (_, value) in columns.items()}
    plain = {name: [value] for name, value in ROW.items()}
    made = datasets.Dataset.from_dict(plain | values, features=datasets.Features(features))
    made.save_to_disk(str(folder))
    return folder


def refused(workspace: Path, folder: Path) -> str:
    before = (workspace / "labeler.db").read_bytes()
    fault = run("import", folder, "--as", "gold", "-w", workspace).fault
    assert (workspace / "labeler.db").read_bytes() == before
    return fault


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connections that the import tries to open."""
    tried: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: tried.append(address))
    return tried


@pytest.mark.parametrize("kind", ["Image", "Audio", "Video"])
def test_a_media_column_is_not_decoded(kind: str, workspace: Path, tmp_path: Path, listener: list[Any]) -> None:
    """Decoding an Image column opened local files and connected to other hosts."""
    if not hasattr(datasets, kind):
        pytest.skip(f"this version of datasets has no {kind}")
    fifo = tmp_path / "secret"
    fifo.write_text("secret")
    for number, path in enumerate((str(fifo), "http://127.0.0.1:9/x.png", "hf://datasets/x/y")):
        feature = getattr(datasets, kind)()
        storage = saved(tmp_path / f"plain{number}", picture=(datasets.Value("string"), path))
        info = json.loads((storage / "dataset_info.json").read_text())
        info["features"]["picture"] = {"_type": kind}
        (storage / "dataset_info.json").write_text(json.dumps(info))
        assert feature is not None
        fifo.chmod(0)
        ran = run("import", storage, "--as", "gold", "-w", workspace)
        assert ran.code == 0 or len(ran.err.splitlines()) == 1
        assert listener == []


def test_a_wanted_column_of_media_is_refused_by_name(workspace: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "set", title=(datasets.Image(decode=False), None))
    assert "the column title holds Image values" in refused(workspace, folder)


def test_only_the_columns_of_the_format_are_read(workspace: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "set", other=(datasets.Value("string"), "x"), page_content=(datasets.Value("int64"), 1))
    assert ok("import", folder, "--as", "gold", "-w", workspace)["questions"] == 1


@pytest.mark.parametrize("name", ["../outside.arrow", "/etc/passwd", "..", "a/b.arrow", "", None, 7, ["x"]])
def test_a_state_that_names_other_files_is_refused(name: Any, workspace: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "set")
    shutil.copy(next(folder.glob("*.arrow")), tmp_path / "outside.arrow")
    state = json.loads((folder / "state.json").read_text())
    state["_data_files"] = [{"filename": name}]
    (folder / "state.json").write_text(json.dumps(state))
    assert "not a file of this folder" in refused(workspace, folder)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "7", '{"_data_files": 7}', '{"_data_files": [1]}', "[" * 5000, "\xff", '{"a'],
)  # fmt: skip
def test_a_broken_state_is_one_line(text: str, workspace: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "set")
    (folder / "state.json").write_text(text, encoding="latin-1")
    assert str(folder / "state.json") in refused(workspace, folder)


@pytest.mark.parametrize("file", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
@pytest.mark.parametrize("damage", ["gone", "empty", "noise"])
def test_a_damaged_folder_is_one_line(file: str, damage: str, workspace: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "set")
    if damage == "gone":
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(b"" if damage == "empty" else bytes(range(256)) * 20)
    assert str(folder) in refused(workspace, folder)


def test_links_out_of_a_folder_are_refused_and_links_within_are_not(workspace: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("A secret text.")
    corpus = tmp_path / "corpus"
    (corpus / "deep").mkdir(parents=True)
    (corpus / "a.txt").write_text("A text.")
    (corpus / "deep" / "again.txt").symlink_to(corpus / "a.txt")
    assert ok("import", corpus, "--as", "corpus", "-w", workspace)["passages"] == 1
    for place, target in ((corpus / "b.txt", secret), (corpus / "deep" / "up", tmp_path)):
        place.symlink_to(target)
        assert "a link that leads out of" in run("import", corpus, "--as", "corpus", "-w", workspace).fault
        place.unlink()
    folder = saved(tmp_path / "set")
    arrow = next(folder.glob("*.arrow"))
    shutil.move(arrow, tmp_path / "real.arrow")
    arrow.symlink_to(tmp_path / "real.arrow")
    assert "a link that leads out of" in refused(workspace, folder)
