"""Packages of `db` that load a module when one of its names is used: the table of names is that of the imports."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("db.queries", "db.rows", "db.store")


def source(package: str) -> ast.If:
    """The block of a package that imports for type checkers, and for the program names the same."""
    text = (ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")
    (block,) = (node for node in ast.parse(text).body if isinstance(node, ast.If))
    return block


def checked(package: str) -> dict[str, list[str]]:
    """Module -> its names, as type checkers see them."""
    imports = [node for node in source(package).body if isinstance(node, ast.ImportFrom)]
    return {str(node.module).removeprefix(f"{package}."): [each.name for each in node.names] for node in imports}


def loaded(package: str) -> dict[str, list[str]]:
    """Module -> its names, as they are found when the program runs."""
    (table,) = (node for node in ast.walk(source(package).orelse[0]) if isinstance(node, ast.Dict))
    return {module: names.split() for module, names in ast.literal_eval(table).items()}


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_and_the_program_find_the_same_names(package: str) -> None:
    assert checked(package) == loaded(package)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_that_of_its_module(package: str) -> None:
    gathered = importlib.import_module(package)
    for module, names in loaded(package).items():
        home = importlib.import_module(f"{package}.{module}")
        assert [getattr(gathered, name) for name in names] == [getattr(home, name) for name in names]


@pytest.mark.parametrize("package", PACKAGES)
def test_another_name_is_an_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        importlib.import_module(package).nothing  # noqa: B018


def test_only_the_module_of_a_used_name_is_loaded() -> None:
    script = (
        "import sys; from db.rows import Counts; print(*sorted(name for name in sys.modules if 'db.rows.' in name))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["db.rows.status", "db.rows.values"]
