"""A language model as reviewer of a round: it answers the middle band first, and people get the rest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from db import queries
from db.rows import LabelRow, RoundRow, TaskRow
from labeler.core.errors import ConfigError, EndpointError
from labeler.core.runtime import Runtime, with_settings
from labeler.demo.encyclopaedia import make_encyclopaedia
from labeler.labellers.importing import import_predictions
from labeler.rounds import history, machine
from tests.commands import ok
from tests.labeler.labellers.scripted_server import (
    JSON,
    OK,
    Script,
    Seen,
    answers,
    completion,
    question_of,
    reply,
    serving,
)
from tests.labeler.labellers.test_labeller_rounds import DIVISION, predictions
from tests.state import state
from tests.worlds import at, make_workspace

GOLDS = {
    qa["question"]: qa["answers"][0]["text"]
    for article in make_encyclopaedia("en", seed=5, documents=80).squad()["data"]
    for paragraph in article["paragraphs"]
    for qa in paragraph["qas"]
}
ABSTAINS, INVENTS = 3, 5  # every third question by length has no answer, of the others every fifth an invented quote


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose next round has confidences of every size: those of an imported labeller."""
    folder = tmp_path_factory.mktemp("reviewing")
    review = {"review_budget": 30, "random_share": 0.2, "uncertain_share": 0.7, "first_random_share": 0.0}
    given = {f"review__{name}": value for name, value in (review | {"uncertain_low": 0.1}).items()}
    made = make_workspace(folder / "ws", division=DIVISION, **given)
    with at(made) as runtime:
        machine.train(runtime)
        import_predictions(runtime, [str(predictions(folder / "p.jsonl"))], labeller="roberta")
        machine.run(_settings(runtime), until="predicted", reviewer="people")
    return made


@pytest.fixture
def workspace(predicted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(predicted, tmp_path / "ws"))


def _settings(runtime: Runtime, **llm: Any) -> Runtime:
    config = with_settings(runtime.config, round={"labeller": "roberta"}, llm=llm)
    return runtime.with_config(_named(config, llm))


def _named(config: Any, llm: Mapping[str, Any]) -> Any:
    from dataclasses import replace

    return replace(config, given={f"llm.{name}": "command line" for name in llm})


def _script(request: Mapping[str, Any], seen: Seen) -> tuple[int, Mapping[str, str], Any]:
    """Right answers, abstentions and invented quotes."""
    question = question_of(request)
    if len(question) % ABSTAINS == 0:
        return OK, JSON, completion(reply(0, "", ""))
    if len(question) % INVENTS == 0:
        return OK, JSON, completion(reply(1, "an invented quote", "quote"))
    return answers(GOLDS)(request, seen)


def _run(workspace: Path, url: str, *, reviewer: str = "llm", until: str = "labelled", **llm: Any) -> RoundRow:
    with at(workspace) as runtime:
        given = _settings(runtime, **({"endpoint": url, "model": "m"} | llm))
        return machine.run(given, until=until, reviewer=reviewer).round


def _tasks(workspace: Path) -> list[TaskRow]:
    with at(workspace) as runtime, runtime.database.read() as session:
        return queries.tasks(session, round_number=1)


def _labels(workspace: Path) -> dict[str, LabelRow]:
    with at(workspace) as runtime, runtime.database.read() as session:
        return {row.question_id: row for row in queries.labels(session, round_number=1) if row.live}


def _texts(workspace: Path) -> dict[str, str]:
    with at(workspace) as runtime, runtime.database.read() as session:
        return {row.id: row.text for row in queries.questions(session, active=False)}


def test_the_model_answers_the_middle_band_and_people_get_what_is_left_and_the_audits(workspace: Path) -> None:
    with serving(_script) as (url, seen):
        waits = _run(workspace, url)
        asked = len(seen.requests)
        again = _run(workspace, url)
        assert len(seen.requests) == asked
    assert (waits.stage, waits.reviewer, again) == ("in_review", "people", waits)
    texts, tasks = _texts(workspace), _tasks(workspace)
    withdrawn = {task.question_id for task in tasks if task.state == "withdrawn"}
    left = [task for task in tasks if task.state == "open"]
    assert {task.kind for task in tasks if task.question_id in withdrawn} == {"uncertain"}
    assert {len(texts[key]) % ABSTAINS and len(texts[key]) % INVENTS for key in withdrawn}.isdisjoint({0})
    assert {"random", "control", "uncertain"} <= {task.kind for task in left}
    blind = {texts[task.question_id] for task in left if task.blind}
    assert blind.isdisjoint(seen.questions)
    assert {texts[key] for key in withdrawn} <= set(seen.questions)
    with at(workspace) as runtime:
        found = history.one_round(runtime, 1)["model_review"]
        assert (found["answered"], found["left"]) == (len(withdrawn), found["tasks"] - len(withdrawn))
        assert found["left"] > 0
        assert found["confidence"] == (found["right"] + 1) / (found["checked"] + 2)
        assert found["checked"] > found["right"] * 0.9 > 0
    done = _run(workspace, url, reviewer="simulated")
    labels = _labels(workspace)
    assert done.stage == "labelled"
    assert {labels[key].kind for key in withdrawn} == {"pseudo"}
    assert {labels[key].answers[0].text == GOLDS[texts[key]] for key in withdrawn} == {True}
    assert {labels[key].confidence for key in withdrawn} == {found["confidence"]}
    with at(workspace) as runtime, runtime.database.read() as session:
        names = {queries.labeller_by_id(session, labels[key].labeller_id or 0).name for key in withdrawn}
        taught = {row.label.id for row in queries.training_rows(session, 1)}
    assert names == {"m"}
    assert {labels[key].id for key in withdrawn} <= taught
    human = {key for key, row in labels.items() if row.kind == "human"}
    assert human
    assert human <= {task.question_id for task in left}
    others = [row for key, row in labels.items() if row.kind == "pseudo" and key not in withdrawn]
    assert others
    assert {row.labeller_id for row in others}.isdisjoint({labels[key].labeller_id for key in withdrawn})


def test_a_killed_review_goes_on_and_ends_as_an_undisturbed_one(workspace: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(workspace, tmp_path / "whole"))
    with serving(_slow(0.3)) as (url, seen):
        call = ["round", "--reviewer", "llm", "--endpoint", url, "--model", "m", "-w", str(workspace), "--json"]
        environ = os.environ | {"PYTHONPATH": str(Path.cwd())}
        process = subprocess.Popen([sys.executable, "-m", "labeler", *call], env=environ, stdout=subprocess.DEVNULL)
        while len(seen.requests) < 6 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        with at(workspace) as runtime, runtime.database.read() as session:
            before = len(queries.answered(session, queries.labeller(session, "m").id))
            assert queries.current_round(session).reviewer == "llm"  # type: ignore[union-attr]
        assert 0 < before <= 6
        sent = len(seen.requests)
        found = ok(*call)
        asked = set(seen.questions)
        assert len(seen.requests) <= len(asked) + sent - before  # those under way were lost, no other was asked again
    assert found["waiting_for"].endswith("by file or terminal (labeler review)")
    assert found["model_review"]["labeller"] == "m"
    with serving(_script) as (url, _):
        ok("round", "--reviewer", "llm", "--endpoint", url, "--model", "m", "-w", whole)
    states = []
    for place in (workspace, whole):
        with at(place) as runtime, runtime.database.read() as session:
            states.append(state(session))
    assert states[0] == states[1]


def _slow(seconds: float) -> Script:
    def script(request: Mapping[str, Any], seen: Seen) -> tuple[int, Mapping[str, str], Any]:
        time.sleep(seconds)
        return _script(request, seen)

    return script


def test_a_server_that_fails_leaves_the_round_where_it_is_and_people_can_take_over(workspace: Path) -> None:
    def script(request: Mapping[str, Any], seen: Seen) -> tuple[int, Mapping[str, str], Any]:
        return _script(request, seen) if len(seen.requests) <= 8 else (403, JSON, {})

    with serving(script) as (url, _):
        with pytest.raises(EndpointError, match=r"does not accept the key.*labeler round --reviewer people"):
            _run(workspace, url)
        assert {task.state for task in _tasks(workspace)} == {"open"}
        waits = _run(workspace, url, reviewer="people")
    assert (waits.stage, waits.reviewer) == ("in_review", "people")
    assert {task.state for task in _tasks(workspace)} == {"open"}


def test_a_budget_is_that_of_the_round_and_people_get_what_it_does_not_pay(workspace: Path) -> None:
    prices = {"price_in": 100.0, "price_out": 10_000.0}
    with serving(_script) as (url, seen):
        with pytest.raises(ConfigError, match="needs a server and a model"):
            _run(workspace, url, endpoint=None)
        waits = _run(workspace, url, **prices, budget=5.0)
        assert 0 < len(seen.requests) * 0.11 <= 5.0
    with at(workspace) as runtime:
        found = history.one_round(runtime, 1)["model_review"]
    assert (waits.reviewer, found["stopped"]) == ("people", "budget")
    assert found["cost"] == pytest.approx(len(seen.requests) * 0.11)
    assert found["left"] == found["tasks"] - found["answered"] > 0


def test_answers_from_before_are_taken_without_a_request_and_certificates_are_audited_by_people(
    workspace: Path,
) -> None:
    with serving(_script) as (url, seen):
        ok("annotate", "--endpoint", url, "--model", "m", "--role", "pool", "--examples", "0", "-w", workspace)
        before = set(seen.questions)
        seen.requests.clear()
        _run(workspace, url, then="simulated")
    assert before.isdisjoint(seen.questions)  # calibration questions alone
    with at(workspace) as runtime:
        found = history.one_round(runtime, 1)["model_review"]
        with runtime.database.read() as session:
            taken = [each for each in queries.predictions(session, 1) if each.reviewed_by is not None]
    assert found["from_before"] > 0
    assert len(taken) == found["answered"] + found["from_before"]
    assert all(0.1 <= (each.confidence or 0) <= 0.7 for each in taken)
