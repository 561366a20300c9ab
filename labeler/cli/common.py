"""What commands share: options, opening the workspace, printing a result as text or JSON."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import math
import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from labeler.core.console import json_text, log_to_stderr, printable

if TYPE_CHECKING:
    from labeler.core.runtime import Runtime


class Number(click.FloatRange):
    """A number within a range: not one of nan and inf, which every comparison with a range lets through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return found


F = TypeVar("F", bound=Callable[..., Any])

ROWS = 50  # of a list on a terminal
ROLES = ("gold", "calibration", "dev", "test", "pool")  # of questions
PAGE = 5000  # rows of a list that are in memory at a time
LONGEST_NAME = 255  # characters of a reviewer's name

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")
workspace_option = click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    help="Workspace; default: the nearest folder upward that is one.",
)
set_option = click.option(
    "--set", "sets", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting for this run; repeatable."
)


limit_option = click.option(
    "--limit", type=click.IntRange(min=1), show_default=f"{ROWS} on a terminal, else all", help="Rows to list."
)


after_option = click.option("--after", metavar="ID", help="Only questions with a later id: the next page.")


force_option = click.option("--force", is_flag=True, help="Overwrite a file that labeler did not write.")


def names_among(known: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    """The callback of an option that takes some of the known names, separated by commas; each is kept once."""

    def parsed(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return parsed


def refuse_options(*names: str, why: str) -> None:
    """Raise UsageError where one of these options was given."""
    ctx = click.get_current_context()
    for option in ctx.command.params:
        if option.name in names and ctx.get_parameter_source(option.name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{option.opts[0]} {why}.")


def row_limit(limit: int | None, *, as_json: bool) -> int | None:
    """The number of rows to list: as given, else few on a terminal and all in a pipe, a file or JSON."""
    return limit or (ROWS if sys.stdout.isatty() and not as_json else None)


def reviewer_option(*, help: str) -> Callable[[F], F]:
    """The option --reviewer-name, which gives `reviewer`; default: the login."""
    return click.option(
        "--reviewer-name",
        "reviewer",
        metavar="NAME",
        default=_login,
        show_default="your login",
        callback=_reviewer_name,
        help=help,
    )


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _reviewer_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The name as it is stored: one form for names that look the same."""
    name = " ".join(unicodedata.normalize("NFC", value).split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise click.BadParameter(f"a name has 1 to {LONGEST_NAME} printable characters")
    return name


def _reason(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("give a reason: it is all that the history says")
    return value.strip()


reason_option = click.option("--reason", required=True, callback=_reason, help="Reason recorded in the history.")


def check_folder(path: Path) -> None:
    """Raise FileError before any work if the folder of an output file does not exist."""
    from labeler.core.errors import FileError

    if not path.parent.is_dir():
        raise FileError(f"folder {path.parent} does not exist")


def confirm(action: str) -> None:
    """Ask before something is undone. Raises NotConfirmed for a no, and without a terminal."""
    from labeler.core.errors import NotConfirmed

    if not sys.stdin.isatty():
        raise NotConfirmed(f"this would {action}; confirm with --yes")
    if not click.confirm(f"{action[0].upper()}{action[1:]}?", err=True):
        raise NotConfirmed("nothing was changed")


def in_workspace(command: F) -> F:
    """Add the options of a command that works in a workspace: --workspace, --set and --json."""
    return workspace_option(set_option(json_option(command)))


def on_device(command: F) -> F:
    """The options of a command that runs a model: --device and --threads, short for settings of [compute]."""

    @functools.wraps(command)
    def run(*args: Any, device: str | None, threads: int | None, sets: tuple[str, ...] = (), **rest: Any) -> Any:
        given = (("device", device), ("threads", threads))
        sets = (*sets, *(f"compute.{name}={value}" for name, value in given if value is not None))
        return command(*args, sets=sets, **rest)

    options = (
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where the model runs."),
        click.option(
            "--threads", type=click.IntRange(min=1), help="Processor threads; default: compute.threads, all cores."
        ),
    )
    return functools.reduce(lambda found, option: option(found), options, run)  # type: ignore[return-value]


@contextmanager
def runtime(workspace: Path | None, sets: tuple[str, ...] = (), *, write: bool = False) -> Iterator[Runtime]:
    """Open the workspace; with `write`, lock it while the command runs."""
    from labeler.core.runtime import Runtime
    from labeler.core.workspace import open_workspace

    log_to_stderr()
    opened = open_workspace(workspace, overrides=sets)
    with opened.lock() if write else nullcontext() as interrupted:
        database = opened.database()
        try:
            yield Runtime(opened, database, interrupted=interrupted)
        finally:
            database.close()


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text without characters that steer a terminal, and a line end. Commands print in no other way."""
    click.echo(printable(text), err=err, nl=nl)


def show(result: Any, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print a result: its fields as JSON, or its text."""
    say(json_text(plain(result)) if as_json else text())


def show_page(found: Any, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print a page of a list, and for people how to list the next one, on stderr."""
    show(found, as_json=as_json, text=text)
    if found.next is not None and not as_json:
        say(f"the next page: --after {shlex.quote(found.next)}", err=True)


def show_pages(name: str, pages: Callable[[str | None], Any]) -> None:
    """Print a long list as one JSON object, a page at a time: `pages(after)` gives lists with `total` and `next`."""
    found = pages(None)  # an error comes before any output
    say(f"{{{json_text(name)}: [{_json_rows(found, name)}", nl=False)
    while found.next is not None:
        found = pages(found.next)
        rows = _json_rows(found, name)
        say(f", {rows}" if rows else "", nl=False)
    say(f'], "total": {found.total}}}')


def _json_rows(found: Any, name: str) -> str:
    return ", ".join(json_text(plain(row)) for row in getattr(found, name))


def show_written(result: Any, output: Path, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print the result of a command that wrote `output`; on stderr where the output itself went to stdout."""
    if str(output) == "-":
        say(text(), err=True)
    else:
        show(result, as_json=as_json, text=text)


def refuse_json_to_stdout(output: Path, *, as_json: bool) -> None:
    """Raise UsageError where both the output and the JSON result would go to stdout."""
    if str(output) == "-" and as_json:
        raise click.UsageError("-o - writes to standard output, and so does --json; give one of them.")


def plain(value: Any) -> Any:
    """Convert dataclasses, mappings, sequences, paths and dates to plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
