"""What people do wrong with certificates, and what goes wrong for them: each ends in a correct statement."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db import certificates, queries, store
from db.rows import NewReview, NewTask
from labeler.certificates.document import sha256_of, statement
from labeler.certificates.standing import in_force, released_labels, standings
from labeler.certificates.verify import verify_file
from labeler.certify import machine
from labeler.certify.change import restore, withdraw
from labeler.certify.request import Request
from labeler.core.console import at_least, at_most, exact_percent
from labeler.core.errors import CertificateRefused, ConfigError, NotReady
from labeler.core.files import outputs
from labeler.core.runtime import Runtime
from labeler.labels.edit import Correction, set_label
from mrc.calibration.looks import planned_looks
from tests.certificates import make_predicted
from tests.commands import ok, run
from tests.worlds import at


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """232 questions with predictions. Not to be changed."""
    return make_predicted(tmp_path_factory.mktemp("faults") / "predicted", passages=30)


@pytest.fixture(scope="module")
def made(predicted: Path) -> Path:
    """The same with a certificate of half of them. Not to be changed."""
    folder = shutil.copytree(predicted, predicted.with_name("made"))
    with at(folder) as runtime:
        asked = Request(target=0.7, audits=60, stored=True, seed="a")
        assert machine.run(runtime, asked, reviewer="simulated").standing.state == "in_force"
    return folder


@pytest.fixture
def begun_once(predicted: Path) -> Path:
    """For commands that change nothing."""
    return predicted


@pytest.fixture
def begun(predicted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(predicted, tmp_path / "ws")


@pytest.fixture
def certified(made: Path, tmp_path: Path) -> Iterator[Runtime]:
    with at(shutil.copytree(made, tmp_path / "ws")) as opened:
        yield opened


def document_of(runtime: Runtime) -> dict[str, Any]:
    with runtime.database.read() as session:
        return dict(certificates.certificates(session)[-1].document or {})


def attempts(workspace: Path) -> int:
    return len(ok("certify", "list", "-w", workspace)["certificates"])


# --- what a certificate says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "exact"), [(0.85, "85%"), (0.855, "85.5%"), (0.999, "99.9%"), (0.07, "7%"), (1.0, "100%"), (0.1, "10%")]
)
def test_a_target_is_written_as_it_was_given(rate: float, exact: str) -> None:
    assert exact_percent(rate) == exact


def test_bounds_are_rounded_to_the_safe_side() -> None:
    assert [at_least(each) for each in (0.6996, 0.7, 1.0, 0.0)] == ["69.9%", "70.0%", "100.0%", "0.0%"]
    assert [at_most(each) for each in (0.1, 0.1 + 0.1 + 0.1, 0.1 / 3, 0.1 / 300)] == ["10.0%", "30.0%", "3.4%", "0.04%"]


def test_a_statement_promises_no_more_than_was_tested(certified: Runtime) -> None:
    document = document_of(certified)
    result = document["certified"] | {"unseen_precision_at_least": 0.9996}
    said = statement(document | {"target": 0.996, "delta": 0.0004, "certified": result})
    assert "100%" not in said
    assert all(part in said for part in ("At least 99.6% of", "misses 99.6%", "at most 0.04% of cases", "least 99.9%"))
    nothing = statement(document | {"target": 0.996, "certified": None})
    assert "precision of 99.6%" in nothing


def test_a_seed_that_was_given_is_a_reservation(made: Path) -> None:
    uid = ok("certify", "list", "-w", made)["certificates"][0]["certificate"]
    said = run("certify", "show", uid, "-w", made).out
    assert "The seed of the draw was given and not drawn" in said
    assert "no person vouches" in said


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", ["", "x" * 65, "a\nb", "\udcff", "\x00"])
def test_a_seed_is_short_and_printable(seed: str) -> None:
    with pytest.raises(ConfigError, match="--seed"):
        Request(seed=seed)


@pytest.mark.parametrize("attempts", [0, -1, 1001, 10**400])
def test_attempts_are_some(attempts: int) -> None:
    with pytest.raises(ConfigError, match="--attempts"):
        Request(attempts=attempts)


def test_the_smallest_delta_has_looks_too() -> None:
    assert [look.level for look in planned_looks(300, delta=5e-324, count=4)] == [0.0, 0.0, 0.0, 5e-324]


@pytest.mark.parametrize("target", ["0", "1"])
def test_a_target_of_the_settings_is_a_share_too(begun: Path, target: str) -> None:
    ran = run("certify", "--dry-run", "--stored", "-w", begun, "--set", f"calibrate.target_precision={target}")
    assert "calibrate.target_precision" in ran.fault


@pytest.mark.parametrize("before", [("-w", "nowhere"), ("--json",), ("--target", "0.9"), ("--set", "round.seed=1")])
def test_options_before_a_command_of_certify_are_refused(begun: Path, before: tuple[str, ...]) -> None:
    ran = run("certify", *before, "list", "-w", begun)
    assert ran.code == 2
    assert f"{before[0]} has no effect there" in ran.err


@pytest.mark.parametrize("given", [("--target", "0.9"), ("-o", "x.json"), ("--dry-run",), ("--accept-partial",)])
def test_verification_takes_no_option_of_making(begun: Path, given: tuple[str, ...]) -> None:
    ran = run("certify", "--verify", "c.json", *given, "-w", begun)
    assert (ran.code, "does not apply to --verify" in ran.err) == (2, True)


def test_a_dry_run_writes_no_file(begun: Path, tmp_path: Path) -> None:
    ran = run("certify", "--dry-run", "--stored", "-o", tmp_path / "c.json", "-w", begun)
    assert (ran.code, "does not apply to --dry-run" in ran.err) == (2, True)


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_withdrawal_has_a_reason(made: Path, reason: str) -> None:
    for command in (("certify", "withdraw", "a"), ("certify", "restore", "a"), ("labels", "withdraw", "lot-000-0")):
        assert run(*command, "--reason", reason, "-w", made).code == 2


@pytest.mark.parametrize(
    "given", [{"seed": "b"}, {"looks": True}, {"labeller": "gpt"}, {"audits": 61}, {"delta": 0.2}, {"attempts": 2}]
)
def test_an_open_audit_stays_what_it_was_begun_for(begun: Path, given: dict[str, Any]) -> None:
    asked = Request(target=0.7, audits=60, stored=True, seed="a")
    with at(begun) as runtime:
        machine.run(runtime, asked, reviewer="people")
        assert machine.run(runtime, asked).waiting_for is not None
        with pytest.raises(NotReady, match=f"--{next(iter(given))}.*labeler rounds revert 2"):
            machine.run(runtime, Request(**given))


def test_a_label_set_by_hand_while_the_audit_is_open_does_not_stop_it(begun: Path) -> None:
    """The review of the audit replaces it, as that of a round does; what nobody drew keeps it, and is not released."""
    with at(begun) as runtime:
        machine.run(runtime, Request(target=0.6, audits=60, stored=True, seed="a"), reviewer="people")
        with runtime.database.read() as session:
            row = certificates.certificates(session)[-1]
            items = certificates.items(session, row.id)
        drawn = next(item.question_id for item in items if item.drawn is not None)
        other = next(item.question_id for item in items if item.drawn is None)
        for question_id in (drawn, other):
            set_label(runtime.database, question_id, Correction(), reviewer="ann")
        found = machine.run(runtime, Request(), reviewer="simulated")
        with runtime.database.read() as session:
            live = {label.question_id: label for label in queries.live_labels(session, question_ids=[drawn, other])}
            released = {label.question_id for label in released_labels(session, row)}
            history = queries.labels(session, question_id=drawn)
    assert found.standing.state == "in_force"
    assert (live[drawn].reviewer, live[other].reviewer) == ("simulated", "ann")
    assert [label.id for label in history if label.reviewer == "ann"] == [live[drawn].parent_id]
    assert other not in released
    assert (found.certificate or {})["released"] == len(released)


NUMBERS = (
    ("plan", "--target-em"),
    ("plan", "--precision"),
    ("plan", "--hourly-rate"),
    ("suspects", "--min-confidence"),
    ("reviewers", "--hourly-rate"),
    ("round", "--dry-run", "--budget-minutes"),
    ("round", "--until-converged", "--max-minutes"),
    ("train", "--epochs"),
    ("annotate", "--price-in"),
)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("command", NUMBERS, ids=" ".join)
def test_no_command_takes_what_is_no_number(begun_once: Path, command: tuple[str, ...], number: str) -> None:
    ran = run(*command, number, "-w", begun_once)
    assert (ran.code, ran.out) == (2, "")
    assert f"Invalid value for '{command[-1]}'" in ran.err


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_file_of_somebody_else_stops_the_audit_before_it_begins(begun: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("mine", encoding="utf-8")
    given = ("certify", "--target", "0.7", "--stored", "--reviewer", "simulated", "-w", begun)
    for output in (tmp_path / "mine.json", begun / "labeler.toml", begun / "labeler.db", tmp_path / "no" / "c.json"):
        assert run(*given, "-o", output).code == 1
    assert attempts(begun) == 0
    assert (tmp_path / "mine.json").read_text(encoding="utf-8") == "mine"


def test_a_certificate_whose_file_cannot_be_written_is_kept_and_written_later(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "인증서.json"
    given = ("certify", "--target", "0.7", "--stored", "--reviewer", "simulated", "-w", begun, "-o", file)
    with monkeypatch.context() as patched:
        patched.setattr(outputs, "atomic_write", full)
        ran = run(*given)
    (listed,) = ok("certify", "list", "-w", begun)["certificates"]
    short = listed["certificate"][:12]
    assert f"labeler certify show {short} -o FILE" in ran.err.splitlines()[-1]
    assert not file.exists()
    shown = ok("certify", "show", short, "-o", file, "-w", begun)
    assert shown["certificate"] == json.loads(file.read_text(encoding="utf-8"))
    assert ok("certify", "--verify", file, "-w", begun)["valid"] is True
    assert attempts(begun) == 1


def test_standard_output_holds_the_certificate_alone(made: Path) -> None:
    uid = ok("certify", "list", "-w", made)["certificates"][0]["certificate"]
    ran = run("certify", "show", uid, "-o", "-", "-w", made)
    assert ran.json["id"] == uid
    assert "in force" in ran.err
    assert run("certify", "show", uid, "-o", "-", "--json", "-w", made).code == 2
    assert run("certify", "-o", "-", "--json", "--stored", "--reviewer", "simulated", "-w", made).code == 2


def test_an_audit_that_is_not_finished_is_shown_as_such(begun: Path) -> None:
    ok("certify", "--target", "0.7", "--stored", "--reviewer", "people", "-w", begun)
    uid = ok("certify", "list", "-w", begun)["certificates"][0]["certificate"]
    assert "its audit is not finished" in run("certify", "show", uid, "-w", begun).fault
    assert "no certificate with an id" in run("certify", "show", "xyz", "-w", begun).fault


def test_a_name_that_stands_twice_in_a_file_is_refused(certified: Runtime, tmp_path: Path) -> None:
    content = json.dumps(document_of(certified))
    for name, edited in (
        ("first", content.replace("{", '{"target": 0.99, ', 1)),
        ("inner", content.replace('"certified": {', '"certified": {"size": 99999, ')),
    ):
        (tmp_path / name).write_text(edited, encoding="utf-8")
        with certified.database.read() as session, pytest.raises(CertificateRefused, match="stands in it twice"):
            verify_file(session, tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        '{"format": "labeler-certificate/1", "id": "\\ud800"}',
        '{"format": "labeler-certificate/1", "id": "\\u0000"}',
        '{"format": "labeler-certificate/1", "id": ""}',
        '{"format": "labeler-certificate/1", "id": 5}',
        "[" * 100_000,
        '{"format": "labeler-certificate/1", "audits": 1' + "0" * 5000 + "}",
        "\ufeff{}",
        "null",
        "NaN",
    ],
)
def test_what_is_no_certificate_is_refused_in_one_line(made: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "c.json").write_bytes(content.encode())
    assert "c.json" in run("certify", "--verify", tmp_path / "c.json", "-w", made).fault


OF_THE_AUDIT = {
    "round": 7,
    "correct_means": "Whatever.",
    "metric": "korquad",
    "reviewer": "people",
    "simulated": False,
    "seed_was_drawn": True,
    "outcomes": {"equal": 60},
    "delta_sum": 0.01,
    "looks": [1],
    "audits": "many",
    "tests": [],
    "certified": None,
    "items": None,
    "sizes": None,
}


@pytest.mark.parametrize("name", OF_THE_AUDIT)
def test_a_certificate_that_was_changed_with_its_hashes_says_what_is_not_so(
    certified: Runtime, tmp_path: Path, name: str
) -> None:
    """Whoever can write to the database can hash again what they changed."""
    changed = document_of(certified) | {name: OF_THE_AUDIT[name]}
    changed |= {"sha256": sha256_of(changed)}
    with certified.database.write() as session:
        values = {"document": json.dumps(changed), "sha256": changed["sha256"]}
        session.execute(text("UPDATE certificates SET document = :document, sha256 = :sha256"), values)
    (tmp_path / "c.json").write_text(json.dumps(changed), encoding="utf-8")
    with certified.database.read() as session:
        assert not verify_file(session, tmp_path / "c.json").valid
        assert standings(session)[-1].state == "void"


# --- withdrawn and restored ------------------------------------------------------------------------------------------


def review_blind(runtime: Runtime, question_ids: list[str], *, agree: bool) -> None:
    """A later round in which these questions were drawn at random and reviewed blind."""
    with runtime.database.write() as session:
        number = store.open_round(session, "loop", config={}, seed=0, code_version="1").number
        labels = queries.live_labels(session, question_ids=question_ids)
        places = [(label.answers[0].passage_id,) for label in labels]
        tasks = [NewTask(label.question_id, "random", True, row, places[row]) for row, label in enumerate(labels)]
        store.add_tasks(session, number, tasks)
        answers = {label.question_id: label.answers[0] for label in labels}
        for task in queries.tasks(session, round_number=number):
            given = NewReview(task.id, "ben", "answerable", answers[task.question_id])
            store.record_review(session, given if agree else NewReview(task.id, "ben", "no_answer"))
        store.advance(session, number, "open", "closed", promoted=False)


def test_reviews_that_agree_do_not_withdraw_again_what_was_restored(certified: Runtime) -> None:
    with certified.database.read() as session:
        row, _ = in_force(session) or pytest.fail("no certificate is in force")
        ids = [label.question_id for label in released_labels(session, row)]
    review_blind(certified, ids[:20], agree=False)
    assert restore(certified, row.uid, reason="ben misread").state == "in_force"
    review_blind(certified, ids[20:22], agree=True)
    with certified.database.read() as session:
        assert standings(session)[-1].state == "in_force"
    review_blind(certified, ids[22:23], agree=False)
    with certified.database.read() as session:
        assert standings(session)[-1].state == "contradicted"
    assert restore(certified, row.uid, reason="ben again").state == "in_force"
    assert withdraw(certified, row.uid, reason="enough").state == "withdrawn"
    assert restore(certified, row.uid, reason="not enough").state == "in_force"
