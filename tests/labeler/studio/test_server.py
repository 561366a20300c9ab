"""A server of the workspace's own: started, stopped, killed, moved; and which server a workspace works with."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from db import queries, store
from labeler.core import files
from labeler.core.errors import ConfigError, LabelerError, NotReady, StudioError
from labeler.core.workspace import open_workspace
from labeler.maintenance import doctor
from labeler.review.studio.api.client import Client
from labeler.review.studio.api.connection import Connection, find_connection, normal_url
from labeler.review.studio.server import installer, local, processes
from tests import services, studio
from tests.commands import new_workspace, ok, run


def workspace_with_server(folder: Path, cache: Path) -> Path:
    """A workspace whose server was started before and does not run."""
    made = new_workspace(folder)
    shutil.copytree(studio.template(cache) / local.FOLDER, made / local.FOLDER)
    return made


@pytest.fixture(scope="module")
def own(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, label_studio: studio.TestServer
) -> Iterator[Path]:
    """A workspace for the tests that start and stop its server, one after the other."""
    services.require("Label Studio")
    made = workspace_with_server(tmp_path_factory.mktemp("own") / "ws", request.config.cache.mkdir("label-studio"))
    with studio.stopped_in_the_end(made):
        studio.start(made)
        yield made


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secrets_of(workspace: Path) -> list[str]:
    return [(workspace / local.FOLDER / name).read_text().strip() for name in ("key", "password")]


def listener() -> socket.socket:
    """Another program on a port of this machine."""
    held = socket.socket()
    held.bind((processes.HOST, 0))
    held.listen()
    return held


# --- start, stop, status --------------------------------------------------------------------------


def test_start_leaves_a_running_server_alone(own: Path) -> None:
    first = ok("studio", "start", "-w", own)
    again = ok("studio", "start", "-w", own)
    assert again["already"] is True
    assert (again["url"], again["pid"], again["version"]) == (first["url"], first["pid"], "1.23.2")
    assert psutil.pid_exists(first["pid"])
    assert processes.healthy(first["url"])
    assert "already runs" in run("studio", "start", "-w", own).out


def test_start_names_the_login_and_never_the_password_or_the_key(own: Path) -> None:
    for command in ("start", "status"):
        for form in ((), ("--json",)):
            ran = run("studio", command, "-w", own, *form)
            assert ran.code == 0, ran.err
            assert local.EMAIL in ran.out
            assert str(own / local.FOLDER / "password") in ran.out
            assert not any(secret in ran.out + ran.err for secret in secrets_of(own))


def test_key_password_and_data_are_readable_by_the_user_alone(own: Path) -> None:
    ok("studio", "start", "-w", own)
    folder = own / local.FOLDER
    assert [mode(folder / name) for name in ("key", "password")] == [0o600, 0o600]
    assert [mode(path) for path in (folder, folder / "data")] == [0o700, 0o700]
    assert (folder / ".gitignore").read_text() == "*\n"


def test_status_reports_a_running_server(own: Path) -> None:
    started = ok("studio", "start", "-w", own)
    shown = ok("studio", "status", "-w", own)
    assert (shown["url"], shown["pid"], shown["version"]) == (started["url"], started["pid"], "1.23.2")
    assert (shown["running"], shown["reachable"], shown["problem"]) == (True, True, None)
    assert shown["key_from"] == str(own / local.FOLDER / "key")


def test_a_stopped_server_starts_again_at_its_port_with_its_data(own: Path) -> None:
    started = ok("studio", "start", "-w", own)
    client = Client(find_connection(open_workspace(own), {}))
    kept = client.make_project(
        "kept", "kept-uid", "<View></View>", summary="", instruction="", reviewers=1, blind=False
    )
    assert ok("studio", "stop", "-w", own) == {"stopped": True, "pid": started["pid"]}
    assert ok("studio", "stop", "-w", own) == {"stopped": False, "pid": None}
    shown = ok("studio", "status", "-w", own)
    assert (shown["running"], shown["reachable"], shown["pid"], shown["url"]) == (False, False, None, started["url"])
    assert any(message in shown["problem"] for message in ("does not answer", "closed the connection"))  # dying or dead
    with socket.create_server((processes.HOST, int(started["url"].rpartition(":")[2]))):
        shown = run("studio", "start", "-w", own).fault
    assert f"is taken by process {os.getpid()}" in shown
    assert "labeler studio start --port N" in shown
    again = ok("studio", "start", "-w", own)
    assert (again["url"], again["already"]) == (started["url"], False)
    assert client.find_project("kept-uid") == kept


def test_a_killed_server_is_started_again_by_the_same_command(own: Path) -> None:
    started = ok("studio", "start", "-w", own)
    victim = psutil.Process(started["pid"])
    victim.kill()
    victim.wait(10)
    assert ok("studio", "status", "-w", own)["running"] is False
    again = ok("studio", "start", "-w", own)
    assert (again["url"], again["already"]) == (started["url"], False)


def test_a_start_that_was_killed_before_it_saved_its_state_is_repaired(own: Path) -> None:
    before = ok("studio", "start", "-w", own)
    (own / local.FOLDER / "server.json").unlink()
    after = ok("studio", "start", "-w", own)
    assert after["url"] == before["url"]
    assert [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(own / local.FOLDER)] == [
        psutil.Process(after["pid"])
    ]


def test_a_renamed_workspace_keeps_its_server(own: Path) -> None:
    started = ok("studio", "start", "-w", own)
    moved = own.rename(own.with_name("renamed"))
    try:
        assert ok("studio", "status", "-w", moved)["pid"] == started["pid"]
    finally:
        moved.rename(own)


def test_a_copied_workspace_does_not_use_the_server_of_the_original(own: Path, tmp_path: Path) -> None:
    ok("studio", "start", "-w", own)
    copy = shutil.copytree(own, tmp_path / "copy")
    assert ok("studio", "status", "-w", copy)["running"] is False
    assert ok("studio", "stop", "-w", copy)["stopped"] is False
    shown = run("studio", "start", "-w", copy).fault
    assert "is taken by" in shown
    assert "--port" in shown


def test_moving_a_server_updates_its_projects_in_the_database(own: Path) -> None:
    before = ok("studio", "start", "-w", own)["url"]
    database = open_workspace(own).database()
    with database.write() as session:
        for url in (before, "http://another.test"):
            store.add_project(session, url=url, blind=False, passage_slots=1, reviewers=1, page_sha256="0" * 64)
    with listener() as held:
        free = held.getsockname()[1]
    after = ok("studio", "start", "--port", str(free), "-w", own)
    assert (after["already"], after["url"]) == (False, f"http://127.0.0.1:{free}")
    assert not processes.healthy(before)
    with database.read() as session:
        assert [each.url for each in queries.studio.projects(session)] == [after["url"], "http://another.test"]
    database.close()
    assert ok("studio", "start", "-w", own)["url"] == after["url"]


def test_doctor_reports_the_server(own: Path) -> None:
    ok("studio", "start", "-w", own)
    (check,) = [each for each in doctor._workspace(own) if each.name == "Label Studio"]
    assert check.ok
    assert "1.23.2 at http://127.0.0.1:" in check.detail


def test_doctor_says_how_to_get_a_server(tmp_path: Path) -> None:
    (check,) = [each for each in doctor._workspace(new_workspace(tmp_path / "ws")) if each.name == "Label Studio"]
    assert (check.ok, check.needed) == (False, False)
    assert "labeler studio start" in check.detail


# --- what may go wrong at the start ---------------------------------------------------------------


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    """A workspace whose `label-studio` is this Python code."""
    fake = folder / "label-studio"
    fake.write_text(f"#!{sys.executable}\nimport sys, time, socket\n{body}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(installer, "installed", lambda: fake)
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.5)
    return new_workspace(folder / "ws")


PICKS_ANOTHER = """
port = int(sys.argv[-1])
while True:
    try:
        listening = socket.create_server(("127.0.0.1", port))
        break
    except OSError:
        port += 1
while True:
    connection, _ = listening.accept()
    connection.recv(1000)
    connection.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n{"status": "UP"}')
    connection.close()
"""


def test_a_port_taken_at_the_last_moment_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Label Studio itself then takes the next one without a word: its address would not be the one that we know."""
    workspace = pretend(tmp_path, monkeypatch, PICKS_ANOTHER)
    with listener() as held:
        taken = held.getsockname()[1]
        monkeypatch.setattr(local, "PORTS", range(taken, taken + 100))
        monkeypatch.setattr(processes, "is_free", lambda port: True)
        started = local.start(workspace)
    try:
        assert started.url != f"http://127.0.0.1:{taken}"
        assert [f"http://127.0.0.1:{port}" for port in processes.ports_of(psutil.Process(started.pid)) or ()] == [
            started.url
        ]
    finally:
        assert local.stop(workspace) == started.pid


def test_a_server_that_ends_at_once_is_reported_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = pretend(tmp_path, monkeypatch, "print('first'); sys.exit('the disk is full')")
    with pytest.raises(StudioError, match=r"ended before it was up; .*server\.log: first the disk is full"):
        local.start(workspace)
    assert local.stop(workspace) is None


def test_a_server_that_never_becomes_healthy_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = pretend(tmp_path, monkeypatch, "print('thinking', flush=True); time.sleep(60)")
    with pytest.raises(StudioError, match=r"not up after 0\.7 s; .*thinking"):
        local.start(workspace, patience=0.7)
    assert local.stop(workspace) is None


def test_a_server_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    workspace = pretend(tmp_path, monkeypatch, stubborn)
    with pytest.raises(StudioError, match="not up"):
        local.start(workspace, patience=0.7)
    assert local.stop(workspace) is None


def test_another_program_with_the_saved_process_id_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = new_workspace(tmp_path / "ws")
    (workspace / local.FOLDER).mkdir()
    state = {"port": 8080, "url": "http://127.0.0.1:8080", "pid": os.getpid(), "moved_from": []}
    (workspace / local.FOLDER / "server.json").write_text(json.dumps(state))
    assert local.stop(workspace) is None


def test_a_lost_key_is_not_replaced_while_users_have_the_old_one(tmp_path: Path) -> None:
    folder = new_workspace(tmp_path / "ws") / local.FOLDER
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "label_studio.sqlite3").touch()
    with pytest.raises(StudioError, match="key is gone"):
        local.start(tmp_path / "ws")


def test_a_second_start_at_the_same_time_is_refused(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "ws")
    (workspace / local.FOLDER).mkdir()
    with files.folder_lock(workspace / local.FOLDER, RuntimeError):
        shown = run("studio", "start", "-w", workspace).fault
        assert "another process starts or stops" in shown
        assert "another process starts or stops" in run("studio", "stop", "-w", workspace).fault


def test_a_damaged_state_file_is_reported_with_its_repair(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "ws")
    (workspace / local.FOLDER).mkdir()
    (workspace / local.FOLDER / "server.json").write_text("{")
    assert '{"port": 8080, "moved_from": []}' in run("studio", "start", "-w", workspace).fault


def test_variables_of_another_label_studio_or_python_do_not_reach_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = local.OwnServer(tmp_path, 8080)
    (tmp_path / "key").write_text("k\n")
    (tmp_path / "password").write_text("p\n")
    for name in ("LABEL_STUDIO_API_KEY", "DJANGO_DB", "POSTGRE_HOST", "PYTHONPATH", "LABELER_DATA"):
        monkeypatch.setenv(name, "foreign")
    made = local._environment(own)
    assert "foreign" not in made.values()
    assert (made["LABEL_STUDIO_USER_TOKEN"], made["LABEL_STUDIO_PASSWORD"]) == ("k", "p")
    assert made["PATH"] == os.environ["PATH"]


# --- installing -----------------------------------------------------------------------------------


class Installer:
    """Stands in for `venv` and `pip`: makes the files that they would make."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []
        self.fails = False

    def __call__(self, venv: Path, *command: str) -> None:
        self.commands.append(command)
        (venv / "bin").mkdir(parents=True, exist_ok=True)
        if "pip" in command:
            if self.fails:
                raise KeyboardInterrupt
            (venv / "bin" / "label-studio").touch()
        else:
            assert not (venv / ".ready").exists() or "--clear" in command
            (venv / ".ready").unlink(missing_ok=True)
            (venv / "bin" / "python").touch()


@pytest.fixture
def fake_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Installer()
    monkeypatch.setattr(installer, "_run", made)
    return made


def test_label_studio_is_installed_once_in_one_version(fake_install: Installer, tmp_path: Path) -> None:
    assert installer.found() is None
    expected = tmp_path / "cache" / "labeler" / "label-studio-1.23.2" / "bin" / "label-studio"
    assert [installer.installed(), installer.installed(), installer.found()] == [expected] * 3
    assert [command[2] for command in fake_install.commands] == ["venv", "pip"]
    assert fake_install.commands[1][-1] == "label-studio==1.23.2"


def test_an_interrupted_installation_starts_again(fake_install: Installer) -> None:
    fake_install.fails = True
    with pytest.raises(KeyboardInterrupt):
        installer.installed()
    assert installer.found() is None
    fake_install.fails = False
    assert installer.installed() == installer.found()
    assert [command[2] for command in fake_install.commands] == ["venv", "pip"] * 2


def test_an_installation_whose_python_was_removed_is_repeated(fake_install: Installer) -> None:
    installer.installed()
    (installer.folder() / "bin" / "python").unlink()
    assert installer.found() is None
    installer.installed()
    assert len(fake_install.commands) == 4


def test_a_failed_installation_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    code = "print('many lines'); print('no matching distribution'); raise SystemExit(1)"
    with pytest.raises(StudioError, match=r"no matching distribution.*label-studio.*\.log") as caught:
        installer._run(tmp_path / "label-studio-1.23.2", sys.executable, "-c", code)
    assert "\n" not in str(caught.value)


def test_all_dependencies_of_label_studio_are_pinned() -> None:
    pins = (Path(installer.__file__).parent / "label-studio.txt").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("#") or line.count("==") == 1 for line in pins)
    assert len(pins) > 100


# --- which server a workspace works with ----------------------------------------------------------

URL, KEY = "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"


def test_the_environment_decides_which_server_is_used(tmp_path: Path) -> None:
    workspace = open_workspace(new_workspace(tmp_path / "ws"))
    found = find_connection(workspace, {URL: " https://Studio.test:443/team/ ", KEY: " abc\n"})
    assert found == Connection("https://studio.test/team", "abc", where=f"the variable {KEY}")


@pytest.mark.parametrize(
    "environ", [{URL: "http://studio.test"}, {KEY: "5ec7e7"}, {URL: "http://studio.test", KEY: " "}]
)
def test_an_address_without_a_key_or_a_key_without_an_address_is_an_error(
    tmp_path: Path, environ: Mapping[str, str]
) -> None:
    workspace = open_workspace(new_workspace(tmp_path / "ws"))
    with pytest.raises(ConfigError, match=r"is set and .* is not") as caught:
        find_connection(workspace, environ)
    assert "5ec7e7" not in str(caught.value)


def test_without_a_server_both_ways_to_get_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=f"labeler studio start.*{URL} and {KEY}"):
        find_connection(open_workspace(new_workspace(tmp_path / "ws")), {})


def test_the_workspaces_server_is_used_where_the_environment_names_none(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "ws")
    folder = workspace / local.FOLDER
    folder.mkdir()
    (folder / "server.json").write_text('{"port": 8123, "moved_from": []}')
    (folder / "key").write_text("abc\n")
    expected = Connection("http://127.0.0.1:8123", "abc", where=str(folder / "key"))
    assert find_connection(open_workspace(workspace), {}) == expected
    (folder / "key").unlink()
    with pytest.raises(StudioError, match="key is gone"):
        find_connection(open_workspace(workspace), {})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://h", "http://h"),
        ("http://h/", "http://h"),
        ("HTTP://H:80/", "http://h"),
        ("https://h:443/a/b//", "https://h/a/b"),
        ("http://h:8080", "http://h:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_equal_addresses_are_normalised_to_one(written: str, meant: str) -> None:
    assert normal_url(written) == meant
    assert normal_url(meant) == meant


@pytest.mark.parametrize(
    "written",
    [
        "studio.test",
        "ftp://h",
        "http://",
        "http://h:port",
        "http://h:99999",
        "http://h/?a=1",
        "http://h/#x",
        "http://a b",
        "//h",
    ],
)
def test_an_invalid_address_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match=URL):
        normal_url(written)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="leave out user name and password") as caught:
        normal_url("http://me:5ec7e7@studio.test")
    assert "5ec7e7" not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "schlüssel", "a\nb", "a\x00b"])
def test_an_invalid_key_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    workspace = open_workspace(new_workspace(tmp_path / "ws"))
    with pytest.raises(ConfigError, match=KEY) as caught:
        find_connection(workspace, {URL: "http://h", KEY: key})
    assert key not in str(caught.value)


def test_status_of_another_server_shows_no_login(
    tmp_path: Path, label_studio: studio.TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = new_workspace(tmp_path / "ws")
    monkeypatch.setenv(URL, label_studio.url)
    monkeypatch.setenv(KEY, label_studio.token)
    shown = ok("studio", "status", "-w", workspace)
    assert (shown["url"], shown["reachable"], shown["running"], shown["email"]) == (label_studio.url, True, None, None)
    assert shown["key_from"] == f"the variable {KEY}"
    monkeypatch.setenv(KEY, "f" * 40)
    ran = run("studio", "status", "-w", workspace)
    assert "does not accept the key" in ran.out
    assert "f" * 40 not in ran.out


def test_status_without_a_server_says_how_to_get_one(tmp_path: Path) -> None:
    shown = ok("studio", "status", "-w", new_workspace(tmp_path / "ws"))
    assert (shown["url"], shown["reachable"]) == (None, False)
    assert "labeler studio start" in shown["problem"]


# --- what tests need ------------------------------------------------------------------------------


def test_a_missing_service_skips_a_test_or_fails_it_where_required(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = services.Service("Chromium", lambda: None, lambda: None)
    monkeypatch.setitem(services.SERVICES, "Chromium", absent)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Chromium is not on this machine"):
        services.require("Chromium")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Chromium is not on this machine"):
        services.require("Chromium")


@pytest.mark.parametrize(
    "error", [OSError("no root"), LabelerError("no network"), subprocess.CalledProcessError(1, "x")]
)
def test_a_failed_installation_is_reported_in_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(services, "SERVICES", {"Chromium": services.Service("Chromium", lambda: None, fail)})
    monkeypatch.delenv("CI", raising=False)
    assert services.main() == 0
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "Chromium: cannot be had here" in shown
    monkeypatch.setenv("CI", "true")
    assert services.main() == 1
