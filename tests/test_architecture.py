"""Import directions between packages and rooms, no import circles, and what a call of the command line loads."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import click
import pytest

from labeler.cli import COMMANDS, cli

ROOT = Path(__file__).parent.parent
PACKAGES = ("mrc", "db", "labeler")
HEAVY = ("torch", "transformers", "faiss", "pandas", "sklearn", "sqlalchemy", "label_studio_sdk", "matplotlib")

#: package -> its rooms (folders and modules) from the lowest level up. A room imports its own level and below.
LEVELS: dict[str, tuple[set[str], ...]] = {
    "labeler": (
        {"core"},
        {"cluster"},
        {"importing"},
        {"retrieval"},
        {"reading"},
        {"evaluation", "certificates"},
        {"labellers"},
        {"leaks"},
        {"labels"},
        {"review"},
        {"rounds"},
        {"planning", "certify", "serving"},
        {"maintenance"},
        {"report"},
        {"ablation"},
        {"replay"},
        {"demo"},
        {"cli"},
    ),
    "mrc": (
        {"types", "errors", "settings", "removal", "files"},
        {"text", "squad", "metrics", "analyzers", "encoder", "checkpoints"},
        {"decode", "voting", "ranking", "retrieve", "calibration"},
        {"postprocess", "read"},
        {"ensemble"},
        {"pipeline"},
        {"corpus"},
    ),
    "mrc.read": (
        {"config", "train_config"},
        {"passes"},
        {"data"},
        {"predict"},
        {"model"},
        {"train"},
        {"pretrain"},
    ),
    "db": (
        {"errors", "exports", "urls", "vocabulary"},
        {"tables", "rows", "driver_errors", "postgres", "sqlite"},
        {"engine"},
        {"sql", "spans"},
        {"queries"},
        {"store", "hidden_answers", "certificates", "labellers"},
        {"schema", "backup", "backup_postgresql", "migrations"},
    ),
}
LEVELLED = sorted(LEVELS)

LARGEST_FOLDER = 14  # modules, `__init__.py` included: a folder can be read at a glance


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


def module_of(path: str) -> str:
    """`mrc/read/__init__.py` -> `mrc.read`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def graph() -> dict[str, set[str]]:
    """Module -> the modules of the three packages that it imports (a package's `__init__.py` is a module too)."""
    modules = {module_of(path): found for path, found in sources().items()}
    return {
        module: {name for name in found if name in modules and not _only_leads_to(name, found, modules)}
        for module, found in modules.items()
    }


def _only_leads_to(name: str, found: frozenset[str], modules: dict[str, frozenset[str]]) -> bool:
    """Whether `from name import x` is there for the module `name.x` only."""
    below_it = {other for other in found if other.rpartition(".")[0] == name}
    return bool(below_it) and below_it <= modules.keys()


def importers(*names: str) -> set[str]:
    """The paths of the modules that import one of these or anything in it."""
    return {path for path, found in sources().items() if any(_within(name, names) for name in found)}


def _within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def below(folder: str) -> set[str]:
    """The paths of the modules in a folder and its subfolders."""
    found = {path for path in sources() if path.startswith(f"{folder}/")}
    assert found, f"{folder}/ holds no module"
    return found


def paths(*names: str) -> set[str]:
    """The paths of the named modules; each must exist."""
    found = {f"{name.replace('.', '/')}.py" for name in names}
    assert found <= sources().keys(), f"no such module: {sorted(found - sources().keys())}"
    return found


# --- the reading of imports -----------------------------------------------------------------------


def test_imports_are_found_at_every_depth() -> None:
    source = "import a.b\nfrom c import d as e\ndef f():\n    import g\n    from h.i import (j, k)\n"
    assert imported(source) == {"a.b", "c", "c.d", "g", "h.i", "h.i.j", "h.i.k"}


def test_all_three_packages_are_read() -> None:
    assert {path.partition("/")[0] for path in sources()} == set(PACKAGES)
    assert "labeler/cli/__init__.py" in importers("click")


def test_the_graph_holds_modules_and_packages_apart() -> None:
    assert "labeler.core.errors" in graph()["labeler.core.error_messages"]
    assert "db.queries" in graph()["labeler.rounds.machine"]
    assert "db" not in graph()["labeler.rounds.machine"]  # `from db import queries` uses no name of `db` itself


# --- directions between packages and rooms --------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("mrc", ("db", "labeler")), ("db", ("mrc", "labeler"))],
)
def test_the_lower_packages_import_neither_each_other_nor_labeler(package: str, forbidden: tuple[str, ...]) -> None:
    assert below(package) & importers(*forbidden) == set()


def rooms_of(package: str) -> set[str]:
    """The folders and modules directly in a package."""
    depth = package.count(".") + 1
    names = (module.split(".") for module in graph() if module.startswith(f"{package}."))
    return {parts[depth] for parts in names} - {"__main__"}


@pytest.mark.parametrize("package", LEVELLED)
def test_every_room_has_one_level_and_every_level_names_rooms_that_exist(package: str) -> None:
    named = [room for level in LEVELS[package] for room in level]
    assert sorted(named) == sorted(rooms_of(package))


@pytest.mark.parametrize("package", LEVELLED)
def test_a_room_imports_its_own_level_and_below_only(package: str) -> None:
    level = {f"{package}.{room}": number for number, rooms in enumerate(LEVELS[package]) for room in rooms}
    depth = package.count(".") + 2
    wrong = []
    for module, found in graph().items():
        own = ".".join(module.split(".")[:depth])
        for other in sorted(found):
            room = ".".join(other.split(".")[:depth])
            if own in level and room in level and level[room] > level[own]:
                wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_retrieval_and_reading_do_not_import_each_other() -> None:
    assert below("mrc/retrieve") & importers("mrc.read") == set()
    assert below("mrc/read") & importers("mrc.retrieve") == set()


def test_no_circle_of_modules() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_nothing_lies_loose_at_the_top_of_labeler() -> None:
    assert {path.name for path in (ROOT / "labeler").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_a_folder_holds_at_most_fourteen_modules() -> None:
    counts = Counter(str(Path(path).parent) for path in sources())
    assert {folder: count for folder, count in counts.items() if count > LARGEST_FOLDER} == {}


# --- who may use what -----------------------------------------------------------------------------


def test_only_reader_encoder_and_retrieval_models_use_torch() -> None:
    dense = ("mrc.retrieve.dense.encoder", "mrc.retrieve.dense.search", "mrc.retrieve.rerank.cross_encoder")
    encoder = ("mrc.encoder.compute", "mrc.encoder.configuration", "mrc.encoder.loading")
    models = paths("mrc.checkpoints", *encoder, *dense)
    training = below("mrc/retrieve/training")
    assert importers("torch", "transformers") - models - training - below("mrc/read") == set()
    assert models - importers("torch", "transformers") == set()


def test_only_the_client_uses_the_label_studio_sdk() -> None:
    assert importers("label_studio_sdk") == paths("labeler.review.studio.api.transport")


def test_only_the_command_line_uses_click() -> None:
    assert importers("click") <= below("labeler/cli")


def test_only_the_command_line_uses_the_command_line() -> None:
    assert importers("labeler.cli") - below("labeler/cli") == paths("labeler.__main__")


def test_tables_and_sql_stay_inside_db() -> None:
    assert importers("db.tables", "db.sql", "alembic") <= below("db")
    assert importers("sqlalchemy") - below("db") == paths(  # these name what a database refuses
        "labeler.core.error_messages", "labeler.maintenance.doctor"
    )


def test_only_the_simulated_reviewer_and_the_measurement_of_pseudo_labels_read_hidden_answers() -> None:
    readers = paths("labeler.rounds.simulated_reviewer", "labeler.evaluation.pseudo_precision", "labeler.replay.play")
    assert importers("db.hidden_answers") == readers
    tables = ("db.tables.HIDDEN_ANSWERS", "db.tables.HIDDEN_QUESTIONS")
    assert importers(*tables) == paths("db.hidden_answers", "db.store.corpus", "db.store.undo")


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


#: the packages that no command may load which reads the database alone, beyond SQLAlchemy
SLOW = (
    *HEAVY,
    "numpy",
    "scipy",
    "numba",
    "rank_bm25",
    "alembic",
    "tokenizers",
    "psycopg",
    "sqlalchemy.dialects.postgresql",
    "mrc.retrieve.dense.hybrid",  # the index is one of words alone
    "mrc.retrieve.rerank.reranking",
    "db.store.corpus",  # nothing is written
    "labeler.rounds.machine",
    "labeler.certificates.standing",  # there is no certificate
    "labeler.evaluation.alarms",  # nor a round
)


@pytest.fixture(scope="module")
def ten_questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An indexed workspace of ten questions."""
    folder = tmp_path_factory.mktemp("ten")
    rows = [
        {"question": f"When was tower {number} built?", "context": f"Tower {number} dates from 1801."}
        for number in range(10)
    ]
    text = "".join(json.dumps(row | {"id": f"q{number}"}) + "\n" for number, row in enumerate(rows))
    (folder / "ten.jsonl").write_text(text, encoding="utf-8")
    for arguments in (["init", "ws"], ["import", "-w", "ws", "ten.jsonl", "--as", "pool"], ["index", "-w", "ws"]):
        subprocess.run([sys.executable, "-m", "labeler", *arguments], cwd=folder, env=with_sources(), check=True)
    return folder / "ws"


def with_sources() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        (["status"], set()),
        (["history", "q1"], set()),
        (["labels", "list"], set()),
        (["rounds", "list"], {"labeler.certificates.standing", "labeler.evaluation.alarms"}),
        (["questions", "list"], set()),
        (["search", "tower"], {"numpy"}),
    ],
)
def test_a_command_that_reads_a_small_workspace_loads_nothing_slow(
    command: list[str], allowed: set[str], ten_questions: Path
) -> None:
    call = f"from labeler.cli import cli; cli.main({[*command, '-w', str(ten_questions)]!r}, standalone_mode=False)"
    script = f"{call}\nimport json, sys; print(json.dumps([name for name in {SLOW!r} if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=with_sources(), capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout.splitlines()[-1])) - allowed == {"sqlalchemy"}


def test_no_garbage_is_looked_for_when_the_process_ends() -> None:
    script = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > 0)); "
        "from labeler.cli import main; sys.argv = ['labeler', '--version']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


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
