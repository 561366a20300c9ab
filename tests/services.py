"""What some tests need besides Python: Label Studio, a headless Chromium, PostgreSQL, Ray.

`python -m tests.services` finds each, installs what is missing and can be had, and says in one line what cannot.
A test names what it needs by `require(name)`: it is skipped on a machine without, and fails where CI=true.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from labeler.core.errors import LabelerError
from labeler.review.studio.server import installer
from tests import postgres

SET_UP = "python -m tests.services"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True)
class Service:
    """One thing that tests need: how it is found, and how it is had where it is missing."""

    name: str
    find: Callable[[], Path | None]
    install: Callable[[], None]


def require(name: str) -> Path:
    """Where the service is. Without it the test is skipped; where CI=true it fails."""
    found = SERVICES[name].find()
    if found is not None:
        return found
    missing = f"{name} is not on this machine; `{SET_UP}` installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def browser() -> Path | None:
    """A Chromium that can be run headless."""
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    return None if found is None else Path(found)


def label_studio() -> Path | None:
    """The installed Label Studio of the version that we work with."""
    return installer.found()


def ray() -> Path | None:
    """The installed Ray, which the extra `ray` brings."""
    found = importlib.util.find_spec("ray")
    return Path(found.origin).parent if found and found.origin else None


def main() -> int:
    """Finds and installs; 1 where something is missing in the end and CI=true."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    missing = []
    for service in SERVICES.values():
        found = service.find() or _installed(service)
        if found is None:
            missing.append(service.name)
        else:
            print(f"{service.name}: {found}")
    return 1 if missing and os.environ.get("CI") == "true" else 0


def _installed(service: Service) -> Path | None:
    """Where the service is after installing it; None, with the reason told, where it cannot be had."""
    try:
        service.install()
    except (OSError, LabelerError, subprocess.CalledProcessError) as error:
        reason = " ".join(str(getattr(error, "stderr", None) or error).split())[-300:]
        print(f"{service.name}: cannot be had here ({reason}); its tests are skipped", file=sys.stderr)
    return service.find()


def _apt(package: str) -> None:
    """Installs a system package. Raises OSError where that is not ours to do."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise OSError(f"install the package {package} by hand: this needs apt-get and root")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update",), ("install", "--yes", "--no-install-recommends", package)):
        subprocess.run(["apt-get", "-qq", *arguments], env=quiet, check=True, capture_output=True, text=True)


def _install_ray() -> None:
    """Raises CalledProcessError where there is no wheel for this Python."""
    constraints = str(Path(__file__).parent.parent / "constraints.txt")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", constraints, "ray"]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _install_label_studio() -> None:
    installer.installed()


SERVICES = {
    each.name: each
    for each in (
        Service("Chromium", browser, lambda: _apt("chromium")),
        Service("PostgreSQL", postgres.find_binaries, lambda: _apt("postgresql")),
        Service("Label Studio", label_studio, _install_label_studio),
        Service("Ray", ray, _install_ray),
    )
}


if __name__ == "__main__":
    sys.exit(main())
