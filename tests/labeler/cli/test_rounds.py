"""The commands train, round and rounds: scores with intervals, comparisons with examples, confirmation."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from db import queries, store
from db.rows import NewLabel, SpanRow
from labeler.cli.describe.rounds import forecast_text, gate_lines, power_text, scores_table, stage_text
from labeler.core.round_settings import GateConfig
from labeler.core.workspace import open_workspace
from labeler.evaluation.scoring import QuestionScore
from labeler.rounds.forecast import Disk, Forecast
from labeler.rounds.gate import compare
from labeler.rounds.machine import STEPS
from mrc.text import passage_id
from tests.commands import new_workspace, ok, run, squad

MILL = "Oren keeps the mill of Tarn."
COUNT = 13  # questions whose pseudo-label changes: more than a comparison shows


@pytest.fixture
def trained(baseline: Path, tmp_path: Path) -> Path:
    """A workspace after its baseline, to change."""
    return shutil.copytree(baseline, tmp_path / "ws")


@pytest.fixture
def two_rounds(tmp_path: Path) -> Path:
    """Rounds 0 and 1, of which the second changes the pseudo-labels of 13 questions and adds one."""
    folder = new_workspace(tmp_path / "ws")
    asked = [(f"p{number:02}", f"Question {number}?", "Oren") for number in range(COUNT + 1)]
    ok("import", squad(tmp_path / "pool.json", {MILL: asked}), "--as", "pool", "-w", folder)
    database = open_workspace(folder).database()
    with database.write() as session:
        for number, word in enumerate(("Oren", "Tarn")):
            store.open_round(session, "loop", config={"round": {"seed": number}}, seed=0, code_version="1")
            model = store.add_model(
                session,
                number,
                hash="m" * 64,
                training_sha256="t",
                path=f"models/round-{number}",
                start="builtin",
                config={},
                examples=1,
                seconds=1.0,
                loss=0.5,
            )
            start = MILL.index(word)
            span = SpanRow(word, passage_id(MILL), start, start + len(word))
            pseudo = [
                NewLabel(f"p{key:02}", (span,), train_weight=0.6, model_id=model) for key in range(COUNT + number)
            ]
            store.record_labels(session, number, human=[], pseudo=pseudo, reason=f"round {number}")
            for step in (("open", "predicted"), ("predicted", "labelled"), ("labelled", "trained")):
                store.advance(session, number, *step)
            store.advance(session, number, "trained", "closed", promoted=True, student_id=model)
    database.close()
    return folder


# --- scores ---------------------------------------------------------------------------------------


def test_train_and_round_end_with_em_and_f1_and_intervals_against_the_reader_before(trained: Path) -> None:
    for command in (("train",), ("round", "--reviewer", "none")):
        said = run(*command, "-w", trained).out
        header, new, before = said.splitlines()[-3:]
        assert header.split() == ["dev", "EM", "%", "95%", "interval", "F1", "%", "95%", "interval"]
        assert new.startswith("new reader")
        assert before.startswith("reader before")
        assert new.count(" to ") == before.count(" to ") == 2
        assert re.search(r"power: on 30 dev questions a fall of EM by \d+\.\d points or more is seen in 80%", said)
    told = ok("train", "-w", trained)
    assert 0 < told["gate"]["minimum_detectable_change"] <= 1
    assert told["gate"]["questions"] == 30
    assert told["scores"]["student"]["intervals"].keys() == {"exact_match", "f1"}
    scores = ok("rounds", "show", "1", "-w", trained)["scores"]
    for reader in ("student", "before"):
        low, high = scores[reader]["intervals"]["f1"]
        assert 0 <= low <= scores[reader]["f1"] <= high <= 1


def test_the_first_training_has_no_reader_before(trained: Path) -> None:
    scores = ok("rounds", "show", "0", "-w", trained)["scores"]
    assert scores["before"] is None
    said = run("rounds", "show", "0", "-w", trained).out
    assert "no comparison, because there was no reader before" in said
    assert not [line for line in said.splitlines() if line.startswith("reader before")]


def test_without_dev_questions_the_scores_are_said_to_be_unknown() -> None:
    verdict = asdict(compare((), (), GateConfig(), seed=0))
    assert list(gate_lines(verdict)) == [
        "no dev questions: promoted without a test",
        "power: no comparison, because there are no dev questions",
    ]
    assert "EM and F1 are not known" in scores_table(None)


def test_one_dev_question_cannot_show_a_fall() -> None:
    one = [QuestionScore("q", None, 1.0, 1.0)]
    assert "1 dev question cannot show any fall" in power_text(asdict(compare(one, one, GateConfig(), seed=0)))


# --- show and diff --------------------------------------------------------------------------------


def test_rounds_show_lists_the_settings_that_differ_from_the_defaults_and_rates_in_percent(trained: Path) -> None:
    text = run("rounds", "show", "0", "-w", trained).out
    assert "train.max_steps" in text
    assert "train.weight_decay" not in text  # as by default
    changed = ok("rounds", "show", "0", "-w", trained)["changed_settings"]
    default, value = changed["train.batch_size"]
    assert re.search(rf"^train.batch_size +{value} +{default}$", text, re.MULTILINE)
    assert re.search(r"^new reader +\d+\.\d  \d", text, re.MULTILINE)


def test_rounds_diff_is_a_table_with_ten_examples_and_ids_in_json_only(two_rounds: Path) -> None:
    text = run("rounds", "diff", "0", "1", "-w", two_rounds).out
    assert "pseudo-labels: 13 changed, 1 added, 0 removed" in text
    assert text.count("changed  Question ") == 10
    assert "changed  Question 0?  'Oren'   'Tarn'" in text
    assert "10 of 14 changes; --json lists all ids" in text
    assert "p00" not in text
    assert re.search(r"^round.seed +0 +1$", text, re.MULTILINE)
    found = ok("rounds", "diff", "0", "1", "-w", two_rounds)
    assert found["pseudo"] == {"changed": [f"p{n:02}" for n in range(13)], "added": ["p13"], "removed": []}
    assert found["examples"][0] == {
        "question_id": "p00",
        "question": "Question 0?",
        "change": "changed",
        "before": "Oren",
        "after": "Tarn",
    }


# --- revert ---------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """Input from a terminal."""

    def isatty(self) -> bool:
        return True


def reverted(folder: Path) -> list[int]:
    database = open_workspace(folder).database()
    with database.read() as session:
        found = [row.number for row in queries.rounds(session) if row.reverted_at is not None]
    database.close()
    return found


def test_revert_without_a_terminal_needs_yes(two_rounds: Path) -> None:
    fault = run("rounds", "revert", "1", "-w", two_rounds).fault
    assert fault == "this would revert round 1 and withdraw the pseudo-labels written there; confirm with --yes"
    assert reverted(two_rounds) == []
    assert "reverted round 1: " in run("rounds", "revert", "1", "--yes", "-w", two_rounds).out
    assert reverted(two_rounds) == [1]


@pytest.mark.parametrize(("answer", "gone"), [("n\n", []), ("y\n", [1])])
def test_revert_on_a_terminal_asks(
    two_rounds: Path, monkeypatch: pytest.MonkeyPatch, answer: str, gone: list[int]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    ran = run("rounds", "revert", "1", "-w", two_rounds)
    assert "Revert round 1 and withdraw the pseudo-labels written there? [y/N]" in ran.err
    assert ran.code == (0 if gone else 1)
    assert reverted(two_rounds) == gone


# --- stages and forecasts -------------------------------------------------------------------------


def test_every_stage_of_every_kind_of_round_says_what_comes_next() -> None:
    texts = {(kind, stage): stage_text(kind, stage) for kind, steps in STEPS.items() for stage in (*steps, "closed")}
    assert texts["loop", "open"] == "next: predict"
    assert texts["baseline", "open"] == "next: train"
    assert texts["loop", "in_review"] == "waiting for reviewers"
    assert texts["loop", "labelled"] == "next: train"
    assert texts["loop", "closed"] == "closed"


def test_a_forecast_before_the_first_training_says_what_is_not_known() -> None:
    found = Forecast(
        round=0,
        kind="baseline",
        stage=None,
        reviewer="none",
        questions=0,
        sequences=0,
        reading_minutes=0.0,
        training_minutes=None,
        closing_minutes=None,
        minutes=None,
        timed=False,
        pool_subset=None,
        tasks=0,
        reviews=0,
        disk=Disk(None, None, 1 << 30),
    )
    text = forecast_text(found)
    assert text.splitlines()[-1] == "disk: not known before the first training"
    assert "training   not known before the first round" in text
