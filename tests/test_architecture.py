"""Who may import whom, what the command line may load, and that every command explains itself."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from labeler.cli import COMMANDS, cli

ROOT = Path(__file__).parent.parent
PACKAGES = ("mrc", "db", "labeler")
HEAVY = ("torch", "transformers", "faiss", "pandas", "sklearn", "sqlalchemy", "label_studio_sdk", "matplotlib")

# Within mrc, from the ground up. A module imports from its own floor and below only.
FLOORS = (
    {"types", "errors"},
    {"text", "squad", "analyzers", "josa", "checkpoints", "encoder"},
    {"retrieve", "read", "decode", "calibrate", "selective", "certify", "metrics", "question_types"}
    | {"ranking", "trimming", "units", "postprocess", "voting", "ensemble"},
    {"pipeline"},
)


def imported(source: str) -> set[str]:
    """Every module that a source imports, inside functions too; `from a import b` counts as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}: write the whole name"
            assert node.module is not None
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@cache
def sources() -> dict[str, frozenset[str]]:
    """Path from the root -> what it imports, for every module of the three packages."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)): frozenset(imported(path.read_text(encoding="utf-8"))) for path in paths}


def importers(*names: str) -> set[str]:
    """The modules that import one of these or anything in it."""
    return {path for path, found in sources().items() if any(_within(name, names) for name in found)}


def _within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def below(folder: str) -> set[str]:
    return {path for path in sources() if path.startswith(f"{folder}/")}


# --- directions -----------------------------------------------------------------------------------


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a.b\nfrom c import d as e\ndef f():\n    import g\n    from h.i import (j, k)\n"
    assert imported(source) == {"a.b", "c", "c.d", "g", "h.i", "h.i.j", "h.i.k"}


def test_all_three_packages_are_read() -> None:
    assert {path.partition("/")[0] for path in sources()} == set(PACKAGES)
    assert "labeler/cli/__init__.py" in importers("click")


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("mrc", ("db", "labeler")), ("db", ("mrc", "labeler"))],
)
def test_imports_go_down_only(package: str, forbidden: tuple[str, ...]) -> None:
    assert below(package) & importers(*forbidden) == set()


def test_inside_mrc_imports_go_down_only() -> None:
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    wrong = []
    for path in sorted(below("mrc") - {"mrc/__init__.py"}):
        own = part(path.removesuffix(".py").replace("/", "."))
        assert own in floor, f"{path}: say in FLOORS on which floor of mrc it stands"
        for module in sources()[path]:
            other = part(module)
            if other in floor and floor[other] > floor[own]:
                wrong.append(f"{path} imports {module}")
    assert wrong == []


def part(module: str) -> str | None:
    """`mrc.read.model.reader` -> `read`; None for what is not in mrc."""
    names = module.split(".")
    return names[1] if names[0] == "mrc" and len(names) > 1 else None


def test_retrieving_and_reading_do_not_see_each_other() -> None:
    assert below("mrc/retrieve") & importers("mrc.read") == set()
    assert below("mrc/read") & importers("mrc.retrieve") == set()


# --- who may use what -----------------------------------------------------------------------------


def test_only_the_encoder_and_the_reader_use_torch() -> None:
    retrieving = {f"mrc/retrieve/{name}.py" for name in ("contrastive", "crossencoder", "dense", "training")}
    allowed = {"mrc/checkpoints.py", "mrc/encoder.py"} | retrieving | below("mrc/read")
    assert importers("torch", "transformers") - allowed == set()


def test_only_the_client_uses_the_label_studio_sdk() -> None:
    assert importers("label_studio_sdk") == {"labeler/review/studio/client.py"}


def test_only_the_command_line_uses_click() -> None:
    assert importers("click") <= below("labeler/cli")


def test_only_the_command_line_uses_the_command_line() -> None:
    allowed = below("labeler/cli") | {"labeler/__main__.py"}
    assert importers("labeler.cli") - allowed == set()


def test_reading_comprehension_knows_no_database() -> None:
    assert importers("sqlalchemy", "alembic") & below("mrc") == set()
    assert importers("alembic") <= below("db")


def test_hidden_answers_are_seen_by_the_simulated_reviewer_and_by_measuring_alone() -> None:
    assert importers("db.hidden_answers") == {
        "labeler/rounds/simulated_reviewer.py",
        "labeler/evaluation/pseudo_precision.py",
    }
    tables = ("db.models.HiddenAnswer", "db.models.HiddenQuestion")
    assert importers(*tables) == {"db/hidden_answers.py", "db/store/corpus.py", "db/store/undo.py"}


# --- what the command line loads ------------------------------------------------------------------


def loaded_after(code: str) -> list[str]:
    """Which heavy packages a fresh interpreter holds after running the code."""
    report = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    script = f"{code}\n{report}"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_what_is_loaded_is_seen() -> None:
    assert loaded_after("import sqlalchemy") == ["sqlalchemy"]


@pytest.mark.parametrize(
    "code",
    [
        "import labeler",
        "import labeler.cli",
        "from labeler.cli import cli; cli.main(['--help'], standalone_mode=False)",
        "from labeler.cli import cli; cli.main(['--version'], standalone_mode=False)",
    ],
)
def test_help_loads_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == []


def test_the_help_of_no_command_loads_anything_heavy() -> None:
    modules = sorted({module for module, _ in COMMANDS.values()})
    assert loaded_after("\n".join(f"import labeler.cli.{module}" for module in modules)) == []


# --- every command explains itself ----------------------------------------------------------------


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def leaves(name: str) -> Iterator[tuple[str, click.Command]]:
    """The command, or the commands of a group."""
    found = command(name)
    if not isinstance(found, click.Group):
        yield name, found
        return
    for sub in found.list_commands(click.Context(found)):
        below_it = found.get_command(click.Context(found), sub)
        assert below_it is not None
        yield f"{name} {sub}", below_it


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_where_the_table_says(name: str) -> None:
    module = importlib.import_module(f"labeler.cli.{COMMANDS[name][0]}")
    found = getattr(module, f"{name}_command")
    assert isinstance(found, click.Command)
    assert found.name == name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_and_the_command_say_the_same_in_one_line(name: str) -> None:
    text = command(name).help
    assert text is not None
    assert " ".join(text.split("\n\n")[0].split()) == COMMANDS[name][1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_that_is_the_command(name: str) -> None:
    for path, found in [(name, command(name)), *leaves(name)]:
        shown = found.get_help(click.Context(found, info_name=f"labeler {path}"))
        assert "Example:" in shown, path
        assert f"labeler {path}" in shown.partition("Example:")[2].partition("Options:")[0], path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json_on_request(name: str) -> None:
    for path, found in leaves(name):
        assert any("--json" in option.opts for option in found.params), path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    for path, found in leaves(name):
        for option in found.params:
            if isinstance(option, click.Option):
                assert option.help or isinstance(option.type, click.Choice), f"{path} {option.opts[0]}"


def test_the_help_of_the_whole_lists_all_commands_in_their_order() -> None:
    shown = cli.get_help(click.Context(cli, info_name="labeler"))
    listed = [line.split()[0] for line in shown.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == list(COMMANDS)
