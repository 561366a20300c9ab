"""What is recorded is on the disk first, what was torn is noticed, and a killed training makes no further round."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from db import store
from labeler.core.workspace import open_workspace
from labeler.rounds import history, machine
from mrc.checkpoints import checkpoint_record, newest_checkpoint
from mrc.errors import BadCheckpoint
from tests.commands import ok, run
from tests.state import state
from tests.worlds import at, make_workspace

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The places that were flushed to the disk, in order; for a rename its new name, with an arrow."""
    seen: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_flush(descriptor: int) -> None:
        seen.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def note_rename(source: str | Path, target: str | Path, **more: int) -> None:
        rename(source, target, **more)
        seen.append(f"-> {target}")

    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(os, "rename", note_rename)
    monkeypatch.setattr(Path, "rename", lambda self, target: (note_rename(self, target), Path(target))[1])
    return seen


def check_order(seen: list[str], ready: str, final: Path) -> None:
    """The files were flushed, then their folder, then it was renamed, then the folder above was flushed."""
    renamed = seen.index(f"-> {final}")
    before, after = seen[:renamed], seen[renamed:]
    files = {f"{ready}/{path.relative_to(final)}" for path in final.rglob("*") if path.is_file()}
    assert files <= set(before)
    assert before.index(ready) > max(before.index(file) for file in files)
    assert str(final.parent) in after


def test_a_model_folder_is_on_the_disk_before_the_row_that_names_it(
    tmp_path: Path, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = make_workspace(tmp_path / "ws")
    add_model = store.add_model
    monkeypatch.setattr(store, "add_model", lambda *a, **k: (flushed.append("row"), add_model(*a, **k))[1])
    with at(ws) as runtime:
        machine.train(runtime)
    (folder,) = ws.glob("models/round-0-*")
    (start,) = ws.glob("models/builtin-*")
    row = flushed.index("row")
    check_order(flushed[:row], f"{folder}.partial/finished", folder)
    check_order(flushed[:row], f"{start}.partial", start)


def test_an_index_folder_is_on_the_disk_before_the_row_that_names_it(
    tmp_path: Path, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_meta = store.set_meta
    monkeypatch.setattr(store, "set_meta", lambda *a, **k: (flushed.append("row"), set_meta(*a, **k))[1])
    ws = make_workspace(tmp_path / "ws")
    (meta,) = ws.glob("index/*/meta.json")
    data = meta.parent / json.loads(meta.read_text())["data"]
    before = flushed[: max(place for place, name in enumerate(flushed) if name == "row")]
    assert {str(path) for path in data.iterdir()} <= set(before)
    wanted = [str(data), f"{meta}.partial", str(meta.parent), str(meta.parent.parent)]
    assert [place for place in before if place in wanted] == wanted


def test_outputs_are_on_the_disk_when_a_command_ends(tmp_path: Path, flushed: list[str]) -> None:
    ws = make_workspace(tmp_path / "ws")
    ok("export", "--format", "csv", "-o", tmp_path / "out.csv", "-w", ws)
    ok("db", "backup", tmp_path / "copy.db", "-w", ws)
    assert flushed.count(str(tmp_path)) >= 2


# A checkpoint that a power failure tore.


def killed(folder: Path, moment: str, times: int, *command: str) -> None:
    """Run a command of the workspace until the moment has come so often, and kill it there."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.killing", moment, str(times), *command, "-w", str(folder), "--threads", "1"],
        check=False, cwd=ROOT, capture_output=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture(scope="module")
def interrupted(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose training was killed after its second checkpoint."""
    folder = shutil.copytree(baseline, tmp_path_factory.mktemp("interrupted") / "ws")
    killed(folder, "checkpoint written", 2, "train")
    return folder


@pytest.fixture(scope="module")
def trained(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state after the same training that nothing went wrong in."""
    folder = shutil.copytree(baseline, tmp_path_factory.mktemp("trained") / "ws")
    ok("train", "-w", folder, "--threads", "1")
    return state_of(folder)


def state_of(folder: Path) -> dict[str, Any]:
    with at(folder) as runtime, runtime.database.read() as session:
        return state(session)


def edited(name: str, value: object) -> Callable[[Path], None]:
    def edit(file: Path) -> None:
        file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))

    return edit


TORN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "empty": ("state.json", lambda file: file.write_bytes(b"")),
    "cut": ("state.json", lambda file: file.write_bytes(file.read_bytes()[:-9])),
    "zeros": ("state.json", lambda file: file.write_bytes(b"\0" * 99)),
    "no object": ("state.json", lambda file: file.write_text("[]")),
    "null": ("state.json", lambda file: file.write_text("null")),
    "another object": ("state.json", lambda file: file.write_text("{}")),
    "nested": ("state.json", lambda file: file.write_text("[" * 100_000)),
    "5000 digits": ("state.json", lambda file: file.write_text('{"step": ' + "1" * 5000 + "}")),
    "not UTF-8": ("state.json", lambda file: file.write_bytes(b'{"step": "\xff"}')),
    "a number of text": ("state.json", edited("step", "4")),
    "a large step": ("state.json", edited("step", 2**62)),
    "a negative step": ("state.json", edited("step", -1)),
    "no losses": ("state.json", edited("losses", None)),
    "gone": ("state.json", Path.unlink),
    "weights of zeros": ("model.safetensors", lambda file: file.write_bytes(b"\0" * file.stat().st_size)),
    "no weights": ("model.safetensors", Path.unlink),
    "half the moments": ("optimizer.safetensors", lambda file: os.truncate(file, file.stat().st_size // 2)),
}


@pytest.mark.parametrize(("name", "tear"), TORN.values(), ids=TORN)
def test_a_torn_checkpoint_is_noticed(
    name: str, tear: Callable[[Path], object], interrupted: Path, tmp_path: Path
) -> None:
    (partial,) = interrupted.glob("models/*.partial")
    copy = shutil.copytree(partial, tmp_path / "round.partial")
    newest = newest_checkpoint(copy)
    assert newest is not None
    assert checkpoint_record(newest)["step"] == 4
    tear(newest / name)
    with pytest.raises(BadCheckpoint, match="step-00000004"):
        checkpoint_record(newest)


@pytest.mark.parametrize("how", ["empty", "weights of zeros"])
def test_a_training_with_a_torn_checkpoint_starts_again_and_ends_the_same(
    how: str, interrupted: Path, trained: dict[str, object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(interrupted, tmp_path / "ws")
    (checkpoint,) = folder.glob("models/*.partial/step-*")
    name, tear = TORN[how]
    tear(checkpoint / name)
    ok("train", "-w", folder, "--threads", "1")
    assert "starting again" in caplog.text
    assert state_of(folder) == trained


# A training that was killed after its commit.


@pytest.fixture(scope="module")
def closed(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which `labeler train` was killed after it had committed all it does, and had printed nothing."""
    folder = shutil.copytree(baseline, tmp_path_factory.mktemp("closed") / "ws")
    killed(folder, "round closed", 1, "train")
    assert (folder / ".lock.json").is_file()
    return folder


def test_a_training_killed_after_its_commit_is_reported_and_not_made_again(
    closed: Path, trained: dict[str, object], tmp_path: Path
) -> None:
    folder = shutil.copytree(closed, tmp_path / "ws")
    assert state_of(folder) == trained
    assert ok("train", "-w", folder, "--threads", "1")["round"] == 1
    assert state_of(folder) == trained
    assert not (folder / ".lock.json").exists()


@pytest.mark.parametrize(
    "between",
    [
        ("label", "withdraw", "QUESTION", "--reason", "wrong"),  # a person went on with something else
        ("rounds", "revert", "1", "--yes"),
        None,  # another command than the killed one
    ],
)
def test_a_training_is_made_anew_where_other_work_came_between(
    between: tuple[str, ...] | None, closed: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(closed, tmp_path / "ws")
    question = ok("labels", "list", "--role", "gold", "-w", folder)["labels"][0]["question_id"]
    if between is not None:
        ok(*(question if each == "QUESTION" else each for each in between), "-w", folder)
        assert ok("train", "-w", folder, "--threads", "1")["round"] == 2
    else:
        assert ok("round", "--reviewer", "simulated", "-w", folder, "--threads", "1")["round"] == 2


def test_rounds_interrupted_twice_are_as_many_as_were_asked_for(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    folder = shutil.copytree(baseline, tmp_path / "ws")
    rounds = ("round", "--rounds", "3", "--reviewer", "simulated", "-w", folder, "--threads", "1", "--json")
    for number in (1, 2):
        with monkeypatch.context() as patch:
            summaries = iter([history.summary] * (number - 1))
            patch.setattr(history, "summary", lambda *a, left=summaries: next(left, interrupt)(*a))
            assert run(*rounds).code == 130
    assert [each["round"] for each in run(*rounds).json["rounds"]] == [1, 2, 3]
    assert [row[2] for row in state_of(folder)["rounds"]] == ["closed"] * 4


@pytest.mark.parametrize(
    "note", ["", "[]", "{}", '{"command": 5, "began": "x"}', '{"command": "labeler train", "began":']
)
def test_a_note_that_cannot_be_read_is_no_note(note: str, closed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(closed, tmp_path / "ws")
    (folder / ".lock.json").write_text(note)
    with open_workspace(folder, environ={}).lock("labeler train") as left:
        assert left is None


@pytest.mark.parametrize("began", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9" * 5000])
def test_a_note_of_the_year_1_or_9999_is_no_note(began: str, closed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(closed, tmp_path / "ws")
    (folder / ".lock.json").write_text(json.dumps({"command": "labeler train", "began": began}))
    with open_workspace(folder, environ={}).lock("labeler train") as left:
        assert left is None
