"""A workspace: a folder with labeler.toml, a database, indexes and models; found, made, opened, locked."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from labeler.config import FILE_NAME, Config, load_config
from labeler.config_template import template
from labeler.errors import WorkspaceBusy, WorkspaceError
from labeler.files import atomic_write

if TYPE_CHECKING:
    from db.engine import Database

VARIABLE = "LABELER_WORKSPACE"
DEFAULT_DATABASE = "sqlite:///labeler.db"
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
        database.check_schema()
        return database

    @contextlib.contextmanager
    def lock(self, command: str | None = None) -> Iterator[None]:
        """Holds the workspace for this process alone; a killed process lets go of it by itself.

        `command` is what others are told; default: this process's command line.
        Raises WorkspaceBusy, naming the holder.
        """
        import filelock

        lock = filelock.FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise WorkspaceBusy(f"{self.folder} is in use by {self._holder()}; wait for it or stop it") from None
        note = self.folder / ".lock.json"
        try:
            with atomic_write(note) as file:
                json.dump({"pid": os.getpid(), "command": command or _command_line(), "since": _now()}, file)
            yield
        finally:
            note.unlink(missing_ok=True)
            lock.release()

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

    `settings`: values that differ from the defaults, by (section, key); they stand in labeler.toml.

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
    url = database or DEFAULT_DATABASE
    given = {("workspace", "language"): language, ("workspace", "database"): url, **settings}
    overrides = [f"{section}.{key}={value}" for (section, key), value in given.items()]
    workspace = Workspace(folder.absolute(), load_config(environ=environ, overrides=overrides))
    folder.mkdir(parents=True, exist_ok=True)
    opened = Database(workspace.database_url)
    try:
        db.schema.upgrade(opened)
    finally:
        opened.close()
    with atomic_write(file) as out:  # last: a folder with this file is a whole workspace
        out.write(template(given))
    return workspace


def _from_environ(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(VARIABLE)
    return Path(named) if named else None


def _command_line() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
