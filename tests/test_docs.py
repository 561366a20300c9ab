"""The documentation says what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from labeler.cli import COMMANDS

ROOT = Path(__file__).parent.parent


def test_the_command_line_page_is_what_help_says() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    # In a process of its own: click keeps the help option of whoever asked a command first.
    command = [sys.executable, "-m", "labeler.cli.reference"]
    made = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", cwd=ROOT).stdout
    assert written == made, "make it again: python -m labeler.cli.reference > docs/cli.md"


def test_every_command_that_the_readme_shows_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"labeler ([a-z]+)", readme))
    assert shown - set(COMMANDS) == set()
    assert len(shown) > 8


def test_every_benchmark_that_the_readme_names_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"benchmarks/(\w+)\.py", readme):
        assert (ROOT / "benchmarks" / f"{name}.py").is_file()
