"""Nothing is deleted that the tool did not make: real folders of known names, never through a link."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from db import store
from labeler.core.runtime import Runtime
from mrc.removal import TRASH, NotRemovable, empty_trash, is_real_folder, remove_folder
from tests.commands import ok, run
from tests.worlds import at, make_workspace


def tree(folder: Path) -> dict[str, str | None]:
    """Every file below a folder with its content; None for folders and links."""
    return {
        str(path.relative_to(folder)): path.read_text(errors="replace") if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if ".lock" not in path.name and not path.name.endswith(("-wal", "-shm"))
    }


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody else, with names that the tool could have written."""
    folder = tmp_path / "outside"
    for name in ("0123456789abcdef", "0" * 32, "round-1-0123abcd", "pretrain-0123456789ab", "builtin-0123abcd"):
        (folder / name).mkdir(parents=True)
        (folder / name / "precious").write_text(name)
    return folder


# --- the primitive --------------------------------------------------------------------------------


def test_a_real_folder_is_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "root" / "models" / "round-1" / "deep").mkdir(parents=True)
    assert remove_folder(tmp_path / "root" / "models" / "round-1", root=tmp_path / "root")
    assert sorted(path.name for path in (tmp_path / "root").rglob("*")) == ["models"]
    assert not remove_folder(tmp_path / "root" / "models" / "round-1", root=tmp_path / "root")
    assert not remove_folder(tmp_path / "none" / "round-1", root=tmp_path / "none")


@pytest.mark.parametrize("level", ["models", "models/round-1", "models/a/b"])
def test_a_link_at_any_level_is_refused_and_followed_nowhere(level: str, tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "root"
    link = root / level
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    before = tree(outside)
    for folder in (link, link / "round-1-0123abcd"):
        with pytest.raises(NotRemovable, match=r"is a link|link or no folder"):
            remove_folder(folder, root=root)
    assert tree(outside) == before
    assert link.is_symlink()


@pytest.mark.parametrize("path", ["..", ".", "../outside", "models/../../outside", "/"])
def test_a_path_that_leaves_the_root_is_refused(path: str, tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "root"
    (root / "models").mkdir(parents=True)
    before = tree(tmp_path)
    with pytest.raises(NotRemovable, match="is not below"):
        remove_folder(root / path, root=root)
    assert tree(tmp_path) == before


def test_a_link_inside_a_removed_folder_is_removed_and_its_target_stays(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "root" / "made").mkdir(parents=True)
    (tmp_path / "root" / "made" / "link").symlink_to(outside)
    os.link(outside / ("0" * 32) / "precious", tmp_path / "root" / "made" / "hard-link")
    before = tree(outside)
    assert remove_folder(tmp_path / "root" / "made", root=tmp_path / "root")
    assert tree(outside) == before


def test_a_link_made_between_check_and_deletion_is_not_followed(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    (root / "made").mkdir(parents=True)
    before, rename = tree(outside), os.rename

    def swapped(src: str, dst: str, **where: int) -> None:
        (root / "made").rmdir()
        (root / "made").symlink_to(outside)
        rename(src, dst, **where)

    monkeypatch.setattr(os, "rename", swapped)
    with pytest.raises(NotRemovable, match="is a link"):
        remove_folder(root / "made", root=root)
    monkeypatch.undo()
    assert tree(outside) == before
    empty_trash(root)
    assert tree(outside) == before
    assert not (root / TRASH).exists()


def test_a_trash_that_is_a_link_is_refused(tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "root"
    (root / "made").mkdir(parents=True)
    (root / TRASH).symlink_to(outside)
    before = tree(outside)
    with pytest.raises(NotRemovable):
        remove_folder(root / "made", root=root)
    empty_trash(root)
    assert tree(outside) == before
    assert (root / "made").is_dir()


def test_a_root_that_is_a_link_is_its_owners_choice(tmp_path: Path) -> None:
    (tmp_path / "real" / "made").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert is_real_folder(tmp_path / "link" / "made", root=tmp_path / "link")
    assert remove_folder(tmp_path / "link" / "made", root=tmp_path / "link")
    assert not (tmp_path / "real" / "made").exists()


# --- labeler prune --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an index and no round."""
    return make_workspace(tmp_path_factory.mktemp("prune") / "workspace")


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "home" / "ws")


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("index/vectors", "../.."),
        ("models", ".."),
        ("index", ".."),
        ("models", "outside"),
        ("index/vectors", "outside"),
        ("index/0123456789abcdef", "outside"),
        ("models/round-1-0123abcd", "outside"),
        ("models/pretrain-0123456789ab", "outside"),
    ],
)
def test_prune_deletes_nothing_through_a_link(link: str, target: str, workspace: Path, outside: Path) -> None:
    """The reported hole: such links made prune delete beside the workspace, and the workspace with its database."""
    neighbours = workspace.parent
    for name in ("0" * 32, "0123456789abcdef", "round-1-0123abcd"):
        (neighbours / name).mkdir()
        (neighbours / name / "precious").write_text(name)
        (workspace / name).mkdir()
        (workspace / name / "precious").write_text(name)
    place = workspace / link
    if place.is_dir():
        shutil.rmtree(place)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(outside if target == "outside" else target)
    before = {home: tree(home) for home in (neighbours, outside)}
    run("prune", "-w", workspace)
    run("prune", "-w", workspace, "--dry-run")
    assert {home: tree(home) for home in before} == before


def test_a_workspace_inside_another_is_not_touched_by_pruning_the_outer_one(workspace: Path) -> None:
    inner = shutil.copytree(workspace, workspace / "models" / "inner")
    (inner / "index" / "0123456789abcdef").mkdir()
    before = tree(inner)
    ok("prune", "-w", workspace)
    assert tree(inner) == before


@pytest.mark.parametrize("path", ["../outside", "models/../../outside", "models", ".", "/tmp", "index"])
def test_a_model_path_of_a_strange_database_leads_nowhere(path: str, workspace: Path, outside: Path) -> None:
    with at(workspace) as runtime:
        _add_pruned_model(runtime, path)
    before = {home: tree(home) for home in (workspace / "index", outside)}
    ok("prune", "-w", workspace)
    assert {home: tree(home) for home in before} == before


def _add_pruned_model(runtime: Runtime, path: str) -> None:
    from labeler.rounds.steps import opening

    row = opening.open_baseline(runtime)
    with runtime.database.write() as session:
        store.add_model(
            session, round_number=row.number, name="m", hash="0" * 64, training_sha256="0" * 64, path=path,
            start="builtin", config={}, examples=1, seconds=1.0, loss=1.0,
        )  # fmt: skip
        session.exec_driver_sql("UPDATE models SET pruned_at = '2026-01-01 00:00:00.000000'")


def test_what_a_restored_backup_does_not_know_is_pruned_and_listed_first(workspace: Path) -> None:
    made = ["models/round-7-0123abcd", "models/retriever-7-0123abcd.partial", "models/builtin-0123abcd"]
    for name in made:
        (workspace / name).mkdir(parents=True)
        (workspace / name / "weights").write_bytes(b"x" * 1000)
    (workspace / "models" / "my-own-model").mkdir()
    plan = ok("prune", "-w", workspace, "--dry-run")
    assert (sorted(plan["paths"]), plan["would_free"]) == (sorted(made), 3000)
    assert all((workspace / name).is_dir() for name in made)
    done = ok("prune", "-w", workspace)
    assert (sorted(done["models"]), done["freed"]) == (sorted(made), 3000)
    assert sorted(path.name for path in (workspace / "models").iterdir()) == ["my-own-model"]
    assert not (workspace / TRASH).exists()


# --- other removals -------------------------------------------------------------------------------


def test_a_backup_replaces_no_file_named_partial(workspace: Path, tmp_path: Path) -> None:
    mine = tmp_path / "copy.db.partial"
    mine.write_text("mine")
    assert run("db", "backup", tmp_path / "copy.db", "-w", workspace).code == 0
    assert mine.read_text() == "mine"
    (workspace / "labeler.db.partial").write_text("mine too")
    assert run("db", "restore", tmp_path / "copy.db", "-w", workspace).code == 0
    assert (workspace / "labeler.db.partial").read_text() == "mine too"
    assert list(tmp_path.glob(".*partial")) == []


def test_label_studio_is_not_installed_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from labeler.core.errors import StudioError
    from labeler.review.studio.server import installer

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installer.folder().parent.mkdir(parents=True)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "precious").write_text("x")
    installer.folder().symlink_to(tmp_path / "target")
    with pytest.raises(StudioError, match="is a link"):
        installer.installed()
    assert (tmp_path / "target" / "precious").read_text() == "x"
