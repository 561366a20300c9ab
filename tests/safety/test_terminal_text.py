"""A terminal shows text: nothing that comes from files, servers and models steers it, in results, errors and logs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import labeler.cli
from labeler.core import console
from labeler.core.console import emphasis, json_text, printable, table
from tests.commands import ok, run, squad

CONTROLS = "".join(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))
BIDI = "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
LINES = "\u2028\u2029"
EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\x1bP1$r\x9c\x7f\r\u202eevil"
STEERING = re.compile(f"[{re.escape(CONTROLS + BIDI + LINES)}\ud800-\udfff]")


def test_every_character_that_steers_a_terminal_is_replaced() -> None:
    for character in CONTROLS + BIDI + LINES + "\ud800\udfff":
        assert printable(f"a{character}b") == "a\ufffdb"
        assert json_text(character) == f'"{json.dumps(character)[1:-1]}"'


@given(st.text())
def test_printed_text_steers_nothing_and_keeps_all_other_characters(text: str) -> None:
    shown = printable(text)
    assert not STEERING.search(shown)
    assert printable(shown) == shown
    if not STEERING.search(text) and not set(text) & set("\ufdd0\ufdd1"):
        assert shown == text


@given(st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)))
def test_json_is_escaped_and_means_the_same(value: object) -> None:
    text = json_text(value)
    assert not STEERING.search(text)
    assert json.loads(text) == value


def test_lines_and_their_ends_stay() -> None:
    assert printable("a\tb\r\nc\n") == "a\tb\nc\n"


def test_a_cell_of_a_table_stays_in_its_line() -> None:
    assert len(table(("id",), [("a\nfake  row",), (EVIL,)]).splitlines()) == 3


def test_emphasis_is_bold_on_a_terminal_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_is_plain", lambda: False)
    before, after = emphasis()
    assert printable(f"a {before}b{after} \x1b[31m") == "a \x1b[1mb\x1b[0m \ufffd[31m\x1b[0m"


def test_marks_of_emphasis_in_a_text_do_nothing_in_a_pipe() -> None:
    assert printable("\ufdd0a\ufdd1") == "\ufffda\ufffd"


def test_a_log_line_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    command = (
        "import logging; from labeler.core.console import log_to_stderr; log_to_stderr(); "
        f"log = logging.getLogger('labeler'); log.warning('from %s', {EVIL!r})\n"
        f"try: raise ValueError({EVIL!r})\n"
        "except ValueError: log.exception('a bug')"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)
    assert "evil" in done.stderr.decode()
    assert not STEERING.search(done.stderr.decode().replace(os.linesep, "\n"))


# --- commands -------------------------------------------------------------------------------------


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """A workspace whose passages, questions, answers, ids and titles are full of control characters."""
    folder = tmp_path / "ws"
    ok("init", folder)
    text = f"The tower {EVIL} was raised by {EVIL} Ilvane in 1840."
    title = f"Tower {EVIL}"
    file = squad(tmp_path / "e.json", {text: [(f"q{EVIL}", f"Who {EVIL}?", f"{EVIL} Ilvane")]}, title=title)
    ok("import", file, "--as", "gold", "-w", folder)
    return folder


COMMANDS = (
    ("questions", "list"),
    ("questions", "search", "Who"),
    ("labels", "list"),
    ("history", f"q{EVIL}"),
    ("status",),
    ("search", "Who raised the tower?"),
    ("rounds", "list"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_prints_text_and_escaped_json(command: tuple[str, ...], ws: Path) -> None:
    if command[0] == "search":
        ok("index", "-w", ws)
    for more in ((), ("--json",)):
        ran = run(*command, "-w", ws, *more)
        assert ran.code == 0, ran.err
        assert not STEERING.search(ran.out), repr(ran.out)
        assert not STEERING.search(ran.err)
    assert json.loads(ran.out) is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ("history", f"no{EVIL}"),
        ("import", f"/no/such/{EVIL}.json"),
        ("import", f"{EVIL}.json", "--as", EVIL),
        (EVIL,),
        ("--" + EVIL,),
        ("status", "--set", f"{EVIL}=1"),
        ("db", "restore", f"/no/{EVIL}"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_that_quotes_a_text_steers_nothing(arguments: tuple[str, ...], as_json: bool, ws: Path) -> None:
    os.chdir(ws)
    ran = run(*arguments, *(["--json"] if as_json else []))
    assert ran.code in (1, 2)
    assert not STEERING.search(ran.err), repr(ran.err)
    assert not STEERING.search(ran.out), repr(ran.out)
    if ran.code == 1:
        assert len(ran.err.splitlines()) == 1


def test_a_bug_that_quotes_a_text_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(EVIL)
    except ValueError as error:
        labeler.cli._print_traceback(ValueError, error, error.__traceback__)
    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert not STEERING.search(shown)


def test_commands_print_in_one_place_only() -> None:
    """A neighbour of every case above: a new command that prints by itself would print raw text."""
    package = Path(labeler.cli.__file__).parents[1]
    allowed = {"cli/common.py", "cli/review.py", "core/settings_text.py", "cli/reference.py"}
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo", "click.secho", "echo")
    }
    assert found <= allowed


def test_a_passage_is_shown_without_its_control_characters(ws: Path) -> None:
    ok("index", "-w", ws)
    (hit,) = ok("search", "tower", "-w", ws)["hits"]
    ran = run("passages", "show", hit["passage_id"], "-w", ws)
    assert "evil" in ran.out
    assert not STEERING.search(ran.out), repr(ran.out)
