"""Install one version of Label Studio, once per user, into a separate virtual environment."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from importlib.resources import as_file, files
from pathlib import Path

from labeler.core.errors import StudioError
from labeler.core.files.locks import file_lock

VERSION = "1.23.2"

log = logging.getLogger("labeler.review.studio")


def installed() -> Path:
    """The `label-studio` program, which is installed first if it is missing (1 GB; one to three minutes).

    An interrupted installation starts again, without downloading twice. Raises StudioError.
    """
    known = found()
    if known is not None:
        return known
    venv = folder()
    venv.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(venv.with_name(f"{venv.name}.lock"), waiting=_say_waiting):
        if not _ready(venv):
            _install(venv)
    return _program(venv)


def _say_waiting() -> None:
    log.info("waiting: another process installs Label Studio %s", VERSION)


def found() -> Path | None:
    """The `label-studio` program if it is installed."""
    venv = folder()
    return _program(venv) if _ready(venv) else None


def folder() -> Path:
    """Where this version is installed, or will be."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache).absolute() / "labeler" / f"label-studio-{VERSION}"


def _ready(venv: Path) -> bool:
    """Whether the installation was finished, and its Python was not removed since."""
    return (venv / ".ready").is_file() and (venv / "bin" / "python").exists() and _program(venv).is_file()


def _program(venv: Path) -> Path:
    return venv / "bin" / "label-studio"


def _install(venv: Path) -> None:
    """Install into the folder, and mark it as ready at the very end."""
    if venv.is_symlink():  # venv --clear would empty what the link points to
        raise StudioError(f"{venv} is a link; remove it, or set XDG_CACHE_HOME to another folder")
    began = time.monotonic()
    log.info("installing Label Studio %s into %s (1 GB; one to three minutes, once)", VERSION, venv)
    _run(
        venv, sys.executable, "-m", "venv", "--clear", str(venv)
    )  # --clear also removes the mark of an older installation
    with as_file(files("labeler.review.studio") / "label-studio.txt") as constraints:
        wanted = f"label-studio=={VERSION}"
        _run(venv, str(venv / "bin" / "python"), "-m", "pip", "install", "--constraint", str(constraints), wanted)
    (venv / ".ready").touch()
    log.info("installed in %.0f s", time.monotonic() - began)


def _run(venv: Path, *command: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    record = venv.with_name(f"{venv.name}.log")
    with record.open("wb") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=clean, check=False
        )
    if done.returncode != 0:
        lines = [line.strip() for line in record.read_text(encoding="utf-8", errors="replace").splitlines()]
        reason = " ".join([line for line in lines if line][-3:])[-400:]
        raise StudioError(f"Label Studio could not be installed ({reason}); the whole log is {record}")
