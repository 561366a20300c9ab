"""Checks of this machine and of a workspace; each check runs what it checks."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from db.errors import DbError
from labeler.core.errors import LabelerError, NotReady, WorkspaceBusy
from labeler.core.workspace import VARIABLE, find_workspace, open_workspace
from mrc.errors import MrcError

if TYPE_CHECKING:
    from labeler.core.workspace import Workspace

ENOUGH = 2 << 30  # bytes that a round of a base-size reader writes, checkpoints included


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `needed`: the tool does not work without it; else `detail` says what is missing."""

    name: str
    ok: bool
    detail: str
    needed: bool


def examine(folder: Path | None = None) -> tuple[Check, ...]:
    """Run every check of the machine, and of the workspace `folder` or the one found from here."""
    return (*machine(), *_workspace(folder))


def machine() -> Iterator[Check]:
    """Run the checks that need no workspace."""
    yield _tried("python", lambda: f"{platform.python_version()} on {platform.platform(terse=True)}", needed=True)
    yield _tried("torch", _torch, needed=True)
    yield _tried("bf16", _bf16, needed=False)
    yield _tried("threads", _threads, needed=True)
    yield _tried("tokenizers", _tokenizers, needed=True)
    yield _tried("PyStemmer", _english, needed=True)
    yield _tried("kiwipiepy", _korean, needed=False)
    yield _tried("datasets", _datasets, needed=False)
    yield _tried("onnxruntime", _onnx, needed=False)


def _workspace(folder: Path | None) -> Iterator[Check]:
    try:
        found = find_workspace(folder)
    except LabelerError as error:
        yield _tried("disk", lambda: _disk(Path.cwd()), needed=False)
        named = folder is not None or VARIABLE in os.environ
        yield Check("workspace", False, str(error), needed=named)
        return
    yield _tried("disk", lambda: _disk(found), needed=False)
    opened = _tried("workspace", lambda: f"{open_workspace(found).folder}", needed=True)
    yield opened
    if opened.ok:
        workspace = open_workspace(found)
        yield _tried("database", lambda: _database(workspace), needed=True)
        yield _tried("lock", lambda: _lock(workspace), needed=True)
        yield _tried("Label Studio", lambda: _label_studio(workspace), needed=False)


def _tried(name: str, probe: Callable[[], str], *, needed: bool) -> Check:
    """Run a probe; the check fails if it raises one of the errors that mean "does not work here"."""
    try:
        return Check(name, True, probe(), needed)
    except (ImportError, LabelerError, MrcError, DbError, OSError) as error:
        return Check(name, False, " ".join(str(error).split()), needed)


def _torch() -> str:
    from mrc.encoder.compute import pick_device

    return f"{version('torch')}, transformers {version('transformers')}; runs on {pick_device('auto')}"


def _bf16() -> str:
    from mrc.encoder.compute import has_bf16, pick_device

    device = pick_device("auto")
    if not has_bf16(device):
        raise NotReady(f"the {device} has no fast bfloat16; readers use float32")
    return f"the {device} has fast bfloat16"


def _threads() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS")
    return f"{usable} processor cores" + (f", limited by OMP_NUM_THREADS={limit}" if limit else "")


def _tokenizers() -> str:
    from tokenizers.pre_tokenizers import Whitespace

    words = [word for word, _ in Whitespace().pre_tokenize_str("one two")]
    return f"{version('tokenizers')}, split {len(words)} words"


def _english() -> str:
    from mrc.analyzers import get_analyzer

    return f"{version('PyStemmer')}: harbours -> {' '.join(get_analyzer('english')('harbours'))}"


def _korean() -> str:
    from mrc.analyzers import get_analyzer

    return f"{version('kiwipiepy')}: 항구를 -> {get_analyzer('kiwi')('항구를')[0]}"


def _datasets() -> str:
    if find_spec("datasets") is None:
        raise NotReady('not installed; for Hugging Face datasets: pip install "labeler[hf]"')
    return version("datasets")


def _onnx() -> str:
    """Whether ONNX Runtime is installed, and whether it is faster here: it computes in float32."""
    from mrc.encoder.compute import has_bf16, pick_device

    if find_spec("onnxruntime") is None:
        raise NotReady('not installed; faster on machines without bfloat16: pip install "labeler[onnx]"')
    advice = "torch is faster here" if has_bf16(pick_device("auto")) else "--set read.backend=onnx is faster here"
    return f"{version('onnxruntime')}; {advice}"


def _disk(folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free at {folder}"
    if free < ENOUGH:
        raise NotReady(f"{text}; a round may need {ENOUGH >> 30} GiB: free some space or run `labeler prune`")
    return text


def _database(workspace: Workspace) -> str:
    from sqlalchemy.exc import DBAPIError

    try:
        database = workspace.database()
    except DBAPIError as error:
        raise NotReady(f"the database does not answer: {error.orig}") from error
    try:
        return f"{database}, schema {database.revision()}"
    finally:
        database.close()


def _lock(workspace: Workspace) -> str:
    """Free, or which process has it. Fails if the folder cannot be written."""
    try:
        with workspace.lock("labeler doctor"):
            return "free"
    except WorkspaceBusy as error:
        return str(error)


def _label_studio(workspace: Workspace) -> str:
    """The server, if it responds and accepts the key. The errors say how to get one."""
    from labeler.review.studio.server.status import server_status

    found = server_status(workspace)
    if found.problem is not None:
        raise NotReady(found.problem)
    return f"{found.version} at {found.url}, key from {found.key_from}"
