"""What commands share: options, opening the workspace, printing a result as text or JSON."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from labeler.core.console import log_to_stderr

if TYPE_CHECKING:
    from labeler.core.runtime import Runtime

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout and nothing else.")
workspace_option = click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    help="The workspace; default: the nearest upward.",
)
set_option = click.option(
    "--set", "sets", multiple=True, metavar="SECTION.KEY=VALUE", help="Change one setting for this run; repeatable."
)


def in_workspace(command: F) -> F:
    """The options of a command that works in a workspace: --workspace, --set and --json."""
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
    """The opened workspace; with `write`, held for this process alone while the command runs."""
    from labeler.core.runtime import Runtime
    from labeler.core.workspace import open_workspace

    log_to_stderr()
    opened = open_workspace(workspace, overrides=sets)
    if not write:
        yield from _opened(Runtime, opened)
        return
    with opened.lock():
        yield from _opened(Runtime, opened)


def _opened(make: Callable[..., Runtime], opened: Any) -> Iterator[Runtime]:
    database = opened.database()
    try:
        yield make(opened, database)
    finally:
        database.close()


def show(result: Any, *, as_json: bool, text: Callable[[], str]) -> None:
    """Prints a result: its fields as JSON, or the text made from it."""
    click.echo(json.dumps(plain(result), ensure_ascii=False) if as_json else text())


def plain(value: Any) -> Any:
    """Dataclasses, mappings, sequences, paths and moments as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
