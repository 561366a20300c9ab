"""The commands status, prune, db and doctor."""

from __future__ import annotations

import shutil
import sqlite3
from importlib.metadata import version
from pathlib import Path

import pytest

from db import queries, store
from db.engine import Session
from db.rows import Counts, NewPrediction, NewReview, NewTask, RoundRow
from labeler.core.errors import NotReady
from labeler.core.workspace import open_workspace
from labeler.maintenance import doctor
from labeler.maintenance.status import next_step
from labeler.rounds import machine
from tests.commands import gold_file, new_workspace, ok, run, squad
from tests.reviewing import round_in_review


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return new_workspace(tmp_path / "ws")


@pytest.fixture
def filled(workspace: Path, tmp_path: Path) -> Path:
    ok("import", gold_file(tmp_path), "--split", "gold=1,dev=1,pool=rest", "-w", workspace)
    return workspace


# --- status ---------------------------------------------------------------------------------------


def test_the_status_of_an_empty_workspace_counts_nothing(workspace: Path) -> None:
    told = ok("status", "-w", workspace)
    assert told["questions"] == {"gold": 0, "calibration": 0, "dev": 0, "test": 0, "pool": 0}
    assert told["labels"] == {"gold": 0, "human": 0, "pseudo": 0}
    assert (told["round"], told["stage"], told["reader"], told["index"]) == (None, None, None, "missing")
    assert {told["tasks"][state] for state in ("open", "done", "skipped")} == {0}
    assert told["next"].startswith("labeler import")


def test_status_counts_questions_by_split_and_labels_by_kind(filled: Path) -> None:
    told = ok("status", "-w", filled)
    assert told["questions"] == {"gold": 1, "calibration": 0, "dev": 1, "test": 0, "pool": 2}
    assert told["labels"] == {"gold": 2, "human": 0, "pseudo": 0}
    assert told["labelled"] == {"gold": 1, "calibration": 0, "dev": 1, "test": 0, "pool": 0}
    assert (told["passages"], told["documents"]) == (3, 1)


def test_status_shows_whether_the_index_fits_the_passages(filled: Path, tmp_path: Path) -> None:
    assert ok("status", "-w", filled)["next"] == "labeler index"
    ok("index", "--analyzer", "bigram", "-w", filled)
    assert (ok("status", "-w", filled)["index"], ok("status", "-w", filled)["next"]) == ("current", "labeler round")
    ok("import", squad(tmp_path / "b.json", {"Ann sings.": [("x", "Who?", "Ann")]}), "--as", "gold", "-w", filled)
    assert ok("status", "-w", filled)["index"] == "stale"


def test_status_shows_the_stage_of_the_open_round(filled: Path) -> None:
    a_round(filled, "loop", is_open=True)
    told = ok("status", "-w", filled)
    assert (told["round"], told["kind"], told["stage"], told["next"]) == (0, "loop", "open", "labeler round")


def test_status_says_how_many_questions_to_review_and_where(tmp_path: Path) -> None:
    round_in_review(tmp_path / "ws")
    assert ok("status", "-w", tmp_path / "ws")["next"] == "review 4 questions with labeler review, then labeler round"
    text = run("status", "-w", tmp_path / "ws").out
    assert "waiting for reviewers" in text
    assert text.splitlines()[-1] == "next: review 4 questions with labeler review, then labeler round"


@pytest.mark.parametrize(
    ("sent", "step"),
    [
        (False, "labeler push, then review 4 questions in Label Studio"),
        (True, "review 4 questions at http://studio.test/projects/7/data, then labeler round"),
    ],
)
def test_status_says_in_which_project_to_review(tmp_path: Path, sent: bool, step: str) -> None:
    row = round_in_review(tmp_path / "ws")
    database = open_workspace(tmp_path / "ws").database()
    with database.write() as session:
        store.advance(session, row.number, "in_review", "in_review", reviewer="studio")
        if sent:
            project = store.add_project(
                session, url="http://studio.test", blind=False, passage_slots=3, reviewers=1, page_sha256="p"
            )
            store.set_project_remote_id(session, project.id, remote_id=7)
            tasks = [task.id for task in queries.tasks(session)]
            push = store.begin_push(session, project.id, row.number, tasks)
            store.record_studio_tasks(session, push, [(task, 100 + task) for task in tasks])
            store.finish_push(session, push)
    database.close()
    assert ok("status", "-w", tmp_path / "ws")["next"] == step


@pytest.mark.parametrize("how", ["a third reviewer", "by hand"])
def test_status_counts_no_conflict_that_is_resolved(tmp_path: Path, how: str) -> None:
    row = round_in_review(tmp_path / "ws")
    database = open_workspace(tmp_path / "ws").database()
    with database.write() as session:
        (disputed,) = [task for task in queries.tasks(session) if task.question_id == "q2"]
        store.set_task_states(session, [disputed.id], "conflict")
    assert ok("status", "-w", tmp_path / "ws")["tasks"]["conflict"] == 1
    assert "1 questions, e.g. q2" in run("status", "-w", tmp_path / "ws").out
    with database.write() as session:
        if how == "by hand":
            store.set_label(session, "q2", (), reviewer="kim", passages=["tower"])
        else:
            third = NewTask("q2", "adjudication", False, 2, ("tower",), attempt=1)
            store.add_tasks(session, row.number, [third])
            (task,) = [task for task in queries.tasks(session) if task.attempt]
            store.record_review(session, NewReview(task.id, "park", "no_answer"))
    database.close()
    assert ok("status", "-w", tmp_path / "ws")["tasks"]["conflict"] == 0
    lines = run("status", "-w", tmp_path / "ws").out.splitlines()
    assert not [line for line in lines if line.startswith(("tasks", "conflicts")) and "conflict" in line]


def test_status_fits_one_screen(filled: Path) -> None:
    lines = run("status", "-w", filled).out.splitlines()
    assert len(lines) <= 24
    assert any(line.split() == ["pool", "2", "0"] for line in lines)


def counts(passages: int = 3, **questions: int) -> Counts:
    none = dict.fromkeys(("gold", "calibration", "dev", "test", "pool"), 0)
    return Counts(1, passages, none | questions, {}, {}, {}, rounds=0, models=0)


@pytest.mark.parametrize(
    ("stored", "index", "given", "open_pool", "step"),
    [
        (counts(passages=0), "missing", False, False, "labeler import FILE --split gold=1000,pool=rest"),
        (counts(passages=3), "missing", False, False, "labeler import FILE --as gold"),
        (counts(gold=1), "missing", False, False, "labeler index"),
        (counts(gold=1), "stale", False, False, "labeler index"),
        (counts(gold=1), "missing", True, False, "labeler round"),  # questions are read in their own context
        (counts(gold=1), "current", False, False, "labeler round"),
    ],
)
def test_the_next_command_is_the_first_thing_that_is_missing(
    stored: Counts, index: str, given: bool, open_pool: bool, step: str
) -> None:
    assert next_step(stored, None, index=index, given=given, open_pool=open_pool) == step


def test_with_no_question_left_to_review_the_next_command_is_the_report(filled: Path) -> None:
    closed = a_round(filled, "baseline")
    for open_pool, step in ((True, "labeler round"), (False, "labeler report")):
        assert next_step(counts(gold=1, pool=2), closed, index="current", given=False, open_pool=open_pool) == step


def test_rounds_that_ran_are_printed_when_the_pool_is_used_up_before_the_last(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter([machine.RoundStatus(a_round(filled, "baseline"), None)])

    def one(*args: object, **options: object) -> machine.RoundStatus:
        for status in steps:
            return status
        raise NotReady("every question of the pool is labelled")

    monkeypatch.setattr(machine, "run", one)
    assert [each["round"] for each in ok("round", "--rounds", "3", "-w", filled)["rounds"]] == [0]
    assert run("round", "-w", filled).code == 1


# --- prune ----------------------------------------------------------------------------------------


def a_round(
    workspace: Path, kind: str, *, is_open: bool = False, promoted: bool = True, predicts: str | None = None
) -> RoundRow:
    """A round by hand, with a model folder of 100 bytes; closed unless `is_open`."""
    database = open_workspace(workspace).database()
    with database.write() as session:
        row = store.open_round(session, kind, config={}, seed=0, code_version="1")
        if not is_open:
            path = f"models/round-{row.number}"
            (workspace / path).mkdir(parents=True)
            (workspace / path / "model.safetensors").write_bytes(b"x" * 60)
            (workspace / path / "config.json").write_bytes(b"x" * 40)
            model_id = add_model(session, row.number, path)
            if predicts:
                made = NewPrediction(predicts, (), score=None, null_score=1.0, hits=())
                store.add_predictions(session, row.number, model_id=model_id, index_fingerprint=None, rows=[made])
            row = store.advance(session, row.number, "open", "closed", promoted=promoted, student_id=model_id)
    database.close()
    return row


def add_model(session: Session, number: int, path: str) -> int:
    return store.add_model(
        session,
        number,
        hash=f"{number}" * 64,
        training_sha256="t" * 64,
        path=path,
        start="builtin",
        config={},
        examples=1,
        seconds=1.0,
        loss=None,
    )


def pool_question(workspace: Path) -> str:
    database = open_workspace(workspace).database()
    with database.read() as session:
        found = queries.pool_to_predict(session)[0].id
    database.close()
    return found


def test_prune_deletes_predictions_and_models_of_a_refused_round_and_counts_the_bytes(filled: Path) -> None:
    question = pool_question(filled)
    a_round(filled, "baseline")
    a_round(filled, "loop", promoted=False, predicts=question)  # refused: nothing refers to it
    a_round(filled, "loop", predicts=question)
    told = ok("prune", "-w", filled)
    nothing = {"freed": 0, "predictions": 0, "models": [], "indexes": [], "retrievers": [], "vectors": [], "kept": []}
    assert told == nothing | {"freed": 60 + 40, "predictions": 1, "models": ["models/round-1"]}
    assert sorted(path.name for path in (filled / "models").iterdir()) == ["round-0", "round-2"]
    assert ok("prune", "-w", filled) == nothing


def test_history_still_knows_the_model_that_was_pruned(filled: Path) -> None:
    a_round(filled, "baseline")
    a_round(filled, "loop", promoted=False)
    ok("prune", "-w", filled)
    assert {each["round"] for each in ok("rounds", "list", "-w", filled)["rounds"]} == {0, 1}


def test_the_next_prune_completes_one_that_was_killed(filled: Path) -> None:
    a_round(filled, "baseline")
    a_round(filled, "loop", promoted=False)
    shutil.copytree(filled / "models" / "round-1", filled / "kept")
    ok("prune", "-w", filled)
    shutil.move(filled / "kept", filled / "models" / "round-1")
    assert ok("prune", "-w", filled)["freed"] == 100


def test_prune_never_deletes_outside_of_the_models_folder(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (filled / "models").mkdir()
    a_round(filled, "baseline")
    database = open_workspace(filled).database()
    with database.write() as session:
        row = store.open_round(session, "loop", config={}, seed=0, code_version="1")
        model_id = add_model(session, row.number, "../mine")
        store.advance(session, row.number, "open", "closed", promoted=False, student_id=model_id)
    database.close()
    assert ok("prune", "-w", filled)["models"] == []
    assert (tmp_path / "mine").is_dir()


def test_prune_keeps_the_current_index_and_drops_the_older_ones(filled: Path) -> None:
    ok("index", "--analyzer", "bigram", "-w", filled)
    (before,) = (filled / "index").iterdir()
    ok("index", "--analyzer", "whitespace", "-w", filled)
    (filled / "index" / "notes").mkdir()  # somebody's own
    told = ok("prune", "-w", filled)
    assert told["indexes"] == [f"index/{before.name}"]
    assert told["freed"] > 0
    assert ok("status", "-w", filled)["index"] == "current"
    assert (filled / "index" / "notes").is_dir()


# --- db -------------------------------------------------------------------------------------------


def test_db_status_names_both_revisions(workspace: Path) -> None:
    told = ok("db", "status", "-w", workspace)
    assert told == {"revision": told["head"], "head": told["head"]}


def test_a_database_without_tables_is_refused_until_it_is_upgraded(workspace: Path) -> None:
    (workspace / "labeler.db").unlink()
    sqlite3.connect(workspace / "labeler.db").close()
    (workspace / "labeler.db").touch()
    assert "labeler db upgrade" in run("status", "-w", workspace).fault
    assert ok("db", "status", "-w", workspace)["revision"] is None
    upgraded = ok("db", "upgrade", "-w", workspace)
    assert upgraded["revision"] == upgraded["head"]
    assert run("status", "-w", workspace).code == 0


def test_a_backup_restores_everything_and_keeps_the_database_it_replaces(filled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert ok("db", "backup", copy, "-w", filled)["path"] == str(copy)
    ok("import", "--undo", "1", "-w", filled)
    restored = ok("db", "restore", copy, "-w", filled)
    assert ok("status", "-w", filled)["questions"]["pool"] == 2
    assert Path(restored["put_aside"]).is_file()
    assert restored["revision"] == restored["head"]


def test_a_backup_overwrites_nothing(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    assert "exists" in run("db", "backup", tmp_path / "copy.db", "-w", filled).fault
    assert (tmp_path / "copy.db").read_text() == "mine"


def test_a_file_that_is_not_a_backup_is_not_restored(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("not a database at all, only some words" * 50)
    assert "not a database" in run("db", "restore", tmp_path / "no.db", "-w", filled).fault
    assert ok("status", "-w", filled)["questions"]["pool"] == 2


@pytest.mark.parametrize("command", [("prune",), ("db", "restore", "copy.db"), ("db", "upgrade")])
def test_nothing_is_replaced_while_another_process_works_here(workspace: Path, command: tuple[str, ...]) -> None:
    with open_workspace(workspace).lock("labeler round"):
        assert "labeler round" in run(*command, "-w", workspace).fault


# --- doctor ---------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without the probes that load torch and kiwi."""
    for name in ("_torch", "_bf16", "_korean", "_onnx"):  # seconds each
        monkeypatch.setattr(doctor, name, lambda: "works")
    return monkeypatch


def by_name(checks: list[dict[str, object]]) -> dict[object, dict[str, object]]:
    return {check["name"]: check for check in checks}


@pytest.mark.usefixtures("quick")
def test_doctor_checks_the_machine_and_the_workspace(workspace: Path) -> None:
    ran = run("doctor", "-w", workspace, "--json")
    found = by_name(ran.json["checks"])
    machine = ["python", "torch", "bf16", "threads", "tokenizers", "PyStemmer", "kiwipiepy", "datasets", "onnxruntime"]
    assert list(found) == [*machine, "disk", "workspace", "database", "lock", "Label Studio"]
    assert all(isinstance(check["ok"], bool) and check["detail"] for check in found.values())
    assert "harbours -> harbour" in str(found["PyStemmer"]["detail"])
    assert ran.code == 0


def test_doctor_shows_the_device_of_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_korean", lambda: "works")  # takes seconds to load
    told = {check.name: check for check in doctor.machine() if check.name in ("torch", "bf16")}
    assert told["torch"].ok
    assert version("torch") in told["torch"].detail
    assert "bfloat16" in told["bf16"].detail


@pytest.mark.parametrize(("bf16", "words"), [(True, "torch is faster here"), (False, "read.backend=onnx")])
def test_doctor_shows_which_backend_is_faster(monkeypatch: pytest.MonkeyPatch, bf16: bool, words: str) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("mrc.encoder.compute.has_bf16", lambda _: bf16)
    assert words in doctor._onnx()


def test_doctor_fails_if_something_needed_does_not_work(workspace: Path, quick: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ImportError("libstemmer is missing")

    quick.setattr(doctor, "_english", broken)
    ran = run("doctor", "-w", workspace, "--json")
    assert by_name(ran.json["checks"])["PyStemmer"] == {
        "name": "PyStemmer",
        "ok": False,
        "detail": "libstemmer is missing",
        "needed": True,
    }
    assert "PyStemmer" in ran.fault


def test_doctor_passes_without_optional_packages(workspace: Path, quick: pytest.MonkeyPatch) -> None:
    def absent() -> str:
        raise NotReady("not installed")

    quick.setattr(doctor, "_korean", absent)
    ran = run("doctor", "-w", workspace, "--json")
    assert by_name(ran.json["checks"])["kiwipiepy"]["ok"] is False
    assert ran.code == 0


@pytest.mark.usefixtures("quick")
def test_doctor_needs_no_workspace_unless_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LABELER_WORKSPACE", raising=False)
    assert run("doctor").code == 0
    assert "workspace" in run("doctor", "-w", tmp_path / "none").fault


@pytest.mark.usefixtures("quick")
def test_doctor_shows_which_process_has_locked_the_workspace(workspace: Path) -> None:
    with open_workspace(workspace).lock("labeler round"):
        lock = by_name(ok("doctor", "-w", workspace)["checks"])["lock"]
    assert "labeler round" in str(lock["detail"])
    assert by_name(ok("doctor", "-w", workspace)["checks"])["lock"]["detail"] == "free"


@pytest.mark.usefixtures("quick")
def test_doctor_names_the_remedy_for_a_schema_that_does_not_fit(workspace: Path) -> None:
    with sqlite3.connect(workspace / "labeler.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    ran = run("doctor", "-w", workspace, "--json")
    assert "unknown to this version" in str(by_name(ran.json["checks"])["database"]["detail"])
    assert "database" in ran.fault


@pytest.mark.usefixtures("quick")
def test_doctor_warns_of_a_disk_that_is_nearly_full(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(workspace)._replace(free=doctor.ENOUGH - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    disk = by_name(ok("doctor", "-w", workspace)["checks"])["disk"]
    assert disk["ok"] is False
    assert "labeler prune" in str(disk["detail"])
