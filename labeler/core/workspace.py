"""A workspace: a folder with labeler.toml, a database, indexes and models. Find, create, open and lock one."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from db.errors import Busy
from db.urls import without_password
from labeler.core.config import FILE_NAME, Config, load_config
from labeler.core.errors import WorkspaceBusy, WorkspaceError
from labeler.core.files import atomic_write, folder_lock
from labeler.core.settings_text import template, toml
from mrc.files import read_object

if TYPE_CHECKING:
    from db.engine import Database

VARIABLE = "LABELER_WORKSPACE"
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A command that was killed, or interrupted, while it held the workspace."""

    name: str  # of the subcommand, such as `train`
    since: datetime  # when it was run first, if it was killed several times


@dataclass(frozen=True, slots=True)
class Workspace:
    """An opened workspace: its folder (absolute) and its settings."""

    folder: Path
    config: Config

    @property
    def index_folder(self) -> Path:
        return self.folder / "index"

    @property
    def models_folder(self) -> Path:
        return self.folder / "models"

    @property
    def database_url(self) -> str:
        """The database's URL; a relative SQLite path starts at the workspace's folder."""
        url = self.config.workspace.database
        if not url.startswith(_SQLITE):
            return url
        return _SQLITE + str(self.folder / url.removeprefix(_SQLITE))

    def database(self) -> Database:
        """Open the database and check its schema. Raises the errors of `Database.check_schema`."""
        from db.engine import Database

        database = Database(self.database_url)
        try:
            database.check_schema()
        except BaseException:
            database.close()
            raise
        return database

    @contextlib.contextmanager
    def lock(self, command: str | None = None) -> Iterator[Interrupted | None]:
        """Hold the workspace for this process, and a PostgreSQL database against other machines, until the block ends.

        Yields the last command that held it, if that one did not come to its end.

        Args:
            command: what other processes are told is running; default: this process's command line.

        Raises: WorkspaceBusy, naming the holder; Unreachable.
        """
        shown = without_password(command or _command_line())
        note = self.folder / ".lock.json"
        with folder_lock(self.folder, self._busy):
            left, now = _left(note), datetime.now(UTC)
            began = left.since if left and left.name == _subcommand(shown) else now
            with atomic_write(note) as file:
                held = {"pid": os.getpid(), "command": shown, "since": f"{now:%Y-%m-%d %H:%M:%S UTC}"}
                json.dump(held | {"began": began.isoformat()}, file)
            try:
                with self._hold_database(shown):
                    yield left
            except Exception:
                note.unlink(missing_ok=True)
                raise
            note.unlink(missing_ok=True)  # it stays when the process is interrupted or killed

    def _busy(self) -> WorkspaceBusy:
        return WorkspaceBusy(f"{self.folder} is in use by {self._holder()}; wait for it or stop it")

    def _hold_database(self, command: str) -> contextlib.AbstractContextManager[None]:
        """Hold a database server against other machines; an SQLite file is protected by the lock of the folder."""
        if self.database_url.startswith("sqlite"):
            return contextlib.nullcontext()
        from db.engine import Database

        return _busy_if_held(Database(self.database_url), f"{platform.node()} process {os.getpid()} ({command})")

    def _holder(self) -> str:
        try:
            holder = read_object(self.folder / ".lock.json")
            return f"process {holder['pid']} ({holder['command']}) since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):  # just taken, just released, or edited
            return "another process"


def find_workspace(folder: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the workspace: `folder` if given, else LABELER_WORKSPACE, else the nearest upward.

    Raises: WorkspaceError where there is none.
    """
    named = folder or _from_environ(os.environ if environ is None else environ)
    if named is not None:
        if not (named / FILE_NAME).is_file():
            raise WorkspaceError(
                f"{named} is not a workspace (no {FILE_NAME}); create one: labeler init {shlex.quote(str(named))}"
            )
        return named.absolute()
    here = Path.cwd()
    for candidate in (here, *here.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate
    raise WorkspaceError(
        f"no {FILE_NAME} in {here} or above it; create a workspace: labeler init DIR, or name one: -w DIR or {VARIABLE}"
    )


def open_workspace(
    folder: Path | None = None, *, overrides: Iterable[str] = (), environ: Mapping[str, str] | None = None
) -> Workspace:
    """The workspace that `find_workspace` finds, with its settings. Raises WorkspaceError, ConfigError."""
    found = find_workspace(folder, environ=environ)
    return Workspace(found, load_config(found / FILE_NAME, environ=environ, overrides=overrides))


def create_workspace(
    folder: Path,
    *,
    language: str = "auto",
    database: str | None = None,
    settings: Mapping[tuple[str, str], Any] = MappingProxyType({}),
    environ: Mapping[str, str] | None = None,
) -> Workspace:
    """Create a workspace: an empty database of the newest schema and a labeler.toml that explains its main settings.

    An interrupted creation can be run again. The database's URL is written as it is given here, and only the owner may
    read the file if the URL has a password; a URL from the environment is written without its password.

    Args:
        settings: values that differ from the defaults, by (section, key), for labeler.toml.

    Raises: WorkspaceError where the folder is a workspace already or a file; ConfigError.
    """
    file = folder / FILE_NAME
    if file.exists():
        raise WorkspaceError(f"{folder} is a workspace already; nothing was changed")
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file; name a folder")
    given = {("workspace", "language"): language, **settings}
    if database is not None:
        given["workspace", "database"] = database
    overrides = [f"{section}.{key}={_written(value)}" for (section, key), value in given.items()]
    workspace = Workspace(folder.absolute(), load_config(environ=environ, overrides=overrides))
    named = given.setdefault(("workspace", "database"), without_password(workspace.config.workspace.database))
    folder.mkdir(parents=True, exist_ok=True)
    _create_database(workspace.database_url)
    with atomic_write(file, private=named != without_password(named)) as out:  # last: now the workspace is complete
        out.write(template(given))
    return workspace


def _create_database(url: str) -> None:
    import db.schema
    from db.engine import Database

    database = Database(url)
    try:
        db.schema.upgrade(database)
    finally:
        database.close()


def _written(value: Any) -> str:
    """A setting as --set takes it: text without quotes, anything else as TOML."""
    return value if isinstance(value, str) else toml(value)


@contextlib.contextmanager
def _busy_if_held(database: Database, note: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.callback(database.close)
        try:
            stack.enter_context(database.lock(note))
        except Busy as error:
            raise WorkspaceBusy(str(error)) from None
        yield


def _from_environ(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(VARIABLE)
    return Path(named) if named else None


def _command_line() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _subcommand(command: str) -> str:
    """`train` of `labeler train --seed 3`. Raises ValueError."""
    return [*shlex.split(command), "", ""][1]


def _left(note: Path) -> Interrupted | None:
    """The command of which a note is left over; None where there is none that can be read."""
    try:
        if not note.is_file() or note.is_symlink():
            return None
        found = read_object(note)
        began = datetime.fromisoformat(found["began"]).astimezone(UTC)
        return Interrupted(_subcommand(found["command"]), began)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
