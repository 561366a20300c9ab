"""The files of a server's folder `.studio`: its secrets, its port and its former addresses."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labeler.core.errors import StudioError
from labeler.core.files import atomic_write
from labeler.review.studio.server import processes

if TYPE_CHECKING:
    import psutil

FOLDER = ".studio"


@dataclass(frozen=True, slots=True)
class OwnServer:
    """The server of one `.studio` folder, whether it runs or not."""

    folder: Path  # absolute
    port: int

    @property
    def url(self) -> str:
        return f"http://{processes.HOST}:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def key_file(self) -> Path:
        return self.folder / "key"

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    def key(self) -> str:
        """The key for our requests. Raises StudioError where its file is gone."""
        return _read_secret(self.key_file)

    def password(self) -> str:
        """The password of the first user. Raises StudioError where its file is gone."""
        return _read_secret(self.password_file)

    def process(self) -> psutil.Process | None:
        """The running server, or None."""
        return processes.find(self.folder)


@dataclass(frozen=True, slots=True)
class SavedState:
    """The contents of `server.json`."""

    port: int
    moved_from: tuple[str, ...]  # addresses that the server had before


def make_folder(folder: Path) -> None:
    """Make the folder, readable by its owner alone and ignored by git."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def make_secrets(folder: Path) -> None:
    """Make key and password of the first user, who is made with them at the first start. Existing files stay."""
    made = {"key": secrets.token_hex(20), "password": secrets.token_urlsafe(12)}
    missing = [name for name in made if not (folder / name).is_file()]
    if missing and (folder / "data" / "label_studio.sqlite3").is_file():
        raise StudioError(
            f"{folder / missing[0]} is gone, but the users in {folder / 'data'} were made with it: put it back, or "
            f"remove {folder} to begin with an empty server"
        )
    for name in missing:
        handle, partial = tempfile.mkstemp(prefix=f".{name}.", dir=folder)  # made with mode 600
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(made[name] + "\n")
        Path(partial).replace(folder / name)


def read_state(folder: Path) -> SavedState | None:
    """The saved state; None where no server was ever started. Raises StudioError for a damaged file."""
    try:
        state = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        return SavedState(int(state["port"]), tuple(map(str, state["moved_from"])))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise StudioError(
            f'{folder / "server.json"} is damaged; write the server\'s port into it: {{"port": 8080, "moved_from": []}}'
        ) from None


def save_state(server: OwnServer, pid: int) -> SavedState:
    """Save the server's port and its former addresses, and return them."""
    before = read_state(server.folder)
    urls = () if before is None else (*before.moved_from, OwnServer(server.folder, before.port).url)
    moved = sorted({url for url in urls if url != server.url})
    with atomic_write(server.folder / "server.json") as file:
        json.dump({"url": server.url, "port": server.port, "pid": pid, "moved_from": moved}, file)
    return SavedState(server.port, tuple(moved))


def _read_secret(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise StudioError(
            f"{file} is gone; put it back, or remove {file.parent} to begin with an empty server"
        ) from None
