"""A workspace: a folder with labeler.toml, a database, indexes and models; found, made, opened, locked."""

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
from labeler.core.files import alone, atomic_write
from labeler.core.settings_text import template

if TYPE_CHECKING:
    from db.engine import Database

VARIABLE = "LABELER_WORKSPACE"
_SQLITE = "sqlite:///"


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
        """The database's URL; a relative SQLite path is meant from the workspace's folder."""
        url = self.config.workspace.database
        if not url.startswith(_SQLITE):
            return url
        return _SQLITE + str(self.folder / url.removeprefix(_SQLITE))

    def database(self) -> Database:
        """The database, its schema checked. Raises the errors of `Database.check_schema`."""
        from db.engine import Database

        database = Database(self.database_url)
        with contextlib.ExitStack() as unless_it_fits:
            unless_it_fits.callback(database.close)
            database.check_schema()
            unless_it_fits.pop_all()
        return database

    @contextlib.contextmanager
    def lock(self, command: str | None = None) -> Iterator[None]:
        """Holds the workspace for this process alone, and a PostgreSQL database against other machines too; a killed
        process lets go of both by itself.

        `command` is what others are told; default: this process's command line.
        Raises WorkspaceBusy, naming the holder; Unreachable.
        """
        told = without_password(command or _command_line())
        note = self.folder / ".lock.json"
        with alone(self.folder, self._busy):
            try:
                with atomic_write(note) as file:
                    json.dump({"pid": os.getpid(), "command": told, "since": _now()}, file)
                with self._hold_database(told):
                    yield
            finally:
                note.unlink(missing_ok=True)

    def _busy(self) -> WorkspaceBusy:
        return WorkspaceBusy(f"{self.folder} is in use by {self._holder()}; wait for it or stop it")

    def _hold_database(self, command: str) -> contextlib.AbstractContextManager[None]:
        """Holds the database where another machine could use it; an SQLite file has its lock beside it."""
        if self.database_url.startswith("sqlite"):
            return contextlib.nullcontext()
        from db.engine import Database

        return _busy_if_held(Database(self.database_url), f"{platform.node()} process {os.getpid()} ({command})")

    def _holder(self) -> str:
        try:
            holder = json.loads((self.folder / ".lock.json").read_text(encoding="utf-8"))
            return f"process {holder['pid']} ({holder['command']}) since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):  # taken an instant ago, just let go, or spoiled by hand
            return "another process"


def find_workspace(folder: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the workspace: `folder` itself if given, else LABELER_WORKSPACE, else the nearest upward.

    Raises WorkspaceError where there is none.
    """
    named = folder or _from_environ(os.environ if environ is None else environ)
    if named is not None:
        if not (named / FILE_NAME).is_file():
            raise WorkspaceError(
                f"{named} is no workspace (no {FILE_NAME}); make one: labeler init {shlex.quote(str(named))}"
            )
        return named.absolute()
    here = Path.cwd()
    for candidate in (here, *here.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate
    raise WorkspaceError(
        f"no {FILE_NAME} in {here} or above it; make a workspace: labeler init DIR, or name one: -w DIR or {VARIABLE}"
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
    """A new workspace: labeler.toml with every setting explained, and an empty database of the newest schema.

    `settings`: values that differ from the defaults, by (section, key); they stand in labeler.toml. A database named
    by the environment stands there without its password; one given here stands as it is, and none but the owner may
    read the file if that has a password.

    An interrupted creation can simply be run again. Raises WorkspaceError if the folder is a workspace already, or
    is a file.
    """
    import db.schema
    from db.engine import Database

    file = folder / FILE_NAME
    if file.exists():
        raise WorkspaceError(f"{folder} is a workspace already; nothing was changed")
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file; name a folder")
    given = {("workspace", "language"): language, **settings}
    if database is not None:
        given[("workspace", "database")] = database
    overrides = [f"{section}.{key}={_written(value)}" for (section, key), value in given.items()]
    workspace = Workspace(folder.absolute(), load_config(environ=environ, overrides=overrides))
    given.setdefault(("workspace", "database"), without_password(workspace.config.workspace.database))
    folder.mkdir(parents=True, exist_ok=True)
    opened = Database(workspace.database_url)
    try:
        db.schema.upgrade(opened)
    finally:
        opened.close()
    named = given[("workspace", "database")]
    with atomic_write(file, private=named != without_password(named)) as out:  # last: then the workspace is whole
        out.write(template(given))
    return workspace


def _written(value: Any) -> str:
    """A setting as --set takes it: TOML writes a bool in small letters."""
    return str(value).lower() if isinstance(value, bool) else str(value)


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


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
