"""Running the command line within the test's own process, through the same `main` as the installed command."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from labeler.cli import main


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object that `--json` prints. Raises ValueError if there is anything else on stdout."""
        return json.loads(self.out)

    @property
    def fault(self) -> str:
        """The one line that a refused command says; with --json it is on stdout as well."""
        assert self.code == 1, f"ended with {self.code}: {self.out}{self.err}"
        lines = self.err.splitlines()
        assert len(lines) == 1, f"not one line: {self.err}"
        assert lines[0].startswith("labeler: ")
        return lines[0].removeprefix("labeler: ")


def run(*arguments: str | Path) -> Ran:
    """Runs `labeler ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["labeler", *map(str, arguments)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Ran(code, out.getvalue(), err.getvalue())


def ok(*arguments: str | Path) -> Any:
    """The JSON of `labeler ARGUMENTS --json`, which must succeed."""
    ran = run(*arguments, "--json")
    assert ran.code == 0, ran.err
    return ran.json


@functools.cache
def _made() -> dict[str, bytes]:
    """The files of a new workspace: `labeler init` runs the migrations, once is enough."""
    with tempfile.TemporaryDirectory() as folder:
        ok("init", Path(folder) / "ws")
        return {name: (Path(folder) / "ws" / name).read_bytes() for name in ("labeler.toml", "labeler.db")}


def new_workspace(folder: Path) -> Path:
    """An empty workspace in `folder`, as `labeler init` makes it."""
    folder.mkdir()
    for name, content in _made().items():
        (folder / name).write_bytes(content)
    return folder


HARBOUR = "벨모라 항구는 1921년에 아르넨이 세웠다. 항구에는 등대가 세 개 있다."
TOWER = "The tower of Korr was raised by Ilvane in 1840."
BRIDGE = "Ilvane also planned the bridge at Dunmor."


def squad(path: Path, paragraphs: dict[str, list[tuple[str, str, str]]], *, title: str = "Velmora") -> Path:
    """A SQuAD 1.1 file: context -> [(id, question, answer)], each answer at its first place in the context."""

    def qa(context: str, key: str, question: str, answer: str) -> dict[str, Any]:
        return {"id": key, "question": question, "answers": [{"text": answer, "answer_start": context.find(answer)}]}

    listed = [{"context": text, "qas": [qa(text, *each) for each in asked]} for text, asked in paragraphs.items()]
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": title, "paragraphs": listed}]}), encoding="utf-8")
    return path


def gold_file(folder: Path) -> Path:
    """Three paragraphs with four questions."""
    return squad(
        folder / "gold.json",
        {
            HARBOUR: [
                ("q1", "벨모라 항구는 누가 세웠는가?", "아르넨"),
                ("q2", "벨모라 항구는 언제 세워졌는가?", "1921년"),
            ],
            TOWER: [("q3", "Who raised the tower of Korr?", "Ilvane")],
            BRIDGE: [("q4", "Where is the bridge that Ilvane planned?", "Dunmor")],
        },
    )
