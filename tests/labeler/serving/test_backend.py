"""The ML backend's answers: the current reader's, for our tasks with suggestions alone."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from db import labellers, queries, store
from db.rows import NewTask
from db.tables import ROUNDS
from labeler.core import convert
from labeler.core.runtime import Runtime
from labeler.reading import answering, postprocessing
from labeler.review.presentation import candidates_of
from labeler.review.studio.payloads import MODEL_VERSION
from labeler.rounds.resolved_settings import of_round
from labeler.serving import backend as backend_module
from labeler.serving import suggestions
from labeler.serving.suggestions import Suggester
from tests.labeler.serving.world import answer_of, backend, on_server, predict_body, promote, results, tasks_of
from tests.worlds import at

EMPTY = {"model_version": MODEL_VERSION, "score": 0.0, "result": []}


def suggested(runtime: Runtime) -> list[Any]:
    return [task for task in tasks_of(runtime) if not task.blind]


def test_a_task_gets_the_suggestion_that_was_sent_with_it(runtime: Runtime) -> None:
    sent = on_server(runtime, suggested(runtime))
    with backend(runtime) as asked:
        found = results(asked, [{**task, "predictions": []} for task in sent])
    assert sent
    assert found == [task["predictions"][0] for task in sent]


def test_blind_tasks_and_tasks_of_others_get_empty_results_in_their_places(runtime: Runtime) -> None:
    blind = on_server(runtime, [task for task in tasks_of(runtime) if task.blind])
    ours = on_server(runtime, suggested(runtime)[:1])
    forged = [
        {"id": 1, "data": {"question": "Who?", "p1": "Oda built it."}},
        {"id": 2, "data": {"task": "0" * 24, "question_id": ours[0]["data"]["question_id"]}},
        {"id": 3, "data": {"task": ours[0]["data"]["task"], "question_id": "another"}},
        {"id": 4, "data": {"task": ours[0]["data"]["task"], "question_id": "a\0b"}},
        {"id": 5, "data": {"task": ["x"], "question_id": 7}},
        {"id": 6, "data": "text"},
        "no task",
        None,
    ]
    with backend(runtime) as asked:
        found = results(asked, [*forged, *ours, *blind])
    assert blind
    assert found == [*[EMPTY] * len(forged), ours[0]["predictions"][0], *[EMPTY] * len(blind)]


def test_texts_of_a_request_are_not_read(runtime: Runtime) -> None:
    (task,) = on_server(runtime, suggested(runtime)[:1])
    told = {**task, "data": {**task["data"], "p1": "nonsense", "p2": "", "question": "Another?"}}
    with backend(runtime) as asked:
        assert results(asked, [told]) == results(asked, [task])


def test_a_promoted_reader_answers_the_next_call(runtime: Runtime) -> None:
    tasks = suggested(runtime)
    sent = on_server(runtime, tasks)
    with backend(runtime) as asked:
        before = results(asked, sent)
        model = promote(runtime)
        after = results(asked, sent)
    assert [answer_of(each) for each in after] != [answer_of(each) for each in before]
    expected = read_again(runtime, model, tasks)
    assert [marks(each) for each in after] == expected


def read_again(runtime: Runtime, model: Any, tasks: list[Any]) -> list[list[tuple[int, int, str]]]:
    """What the reader suggests for the tasks, computed as a round reads."""
    with runtime.database.read() as session:
        row = queries.round_(session, 1)
        questions = queries.questions(session, ids=[task.question_id for task in tasks])
    rounds = of_round(runtime, row)
    plan = postprocessing.plan_of(rounds, model)
    found = answering.answers(rounds, questions, rounds.answerer(model), row.index_fingerprint, plan=plan)
    answers = {each.question_id: convert.new_prediction(each).answers for each in found}
    return [[(a.start, a.end, a.text) for a in candidates_of(task, answers[task.question_id])] for task in tasks]


def marks(found: Any) -> list[tuple[int, int, str]]:
    values = [each["value"] for each in found["result"] if each["type"] == "labels"]
    return [(value["start"], value["end"], value["text"]) for value in values]


def test_a_judgement_keeps_the_answer_that_is_audited(runtime: Runtime) -> None:
    first = suggested(runtime)[0]
    with runtime.database.write() as session:
        judgement = NewTask(first.question_id, "judgement", False, 0, first.passages, attempt=1)
        store.add_tasks(session, 1, [judgement])
    (task,) = [each for each in tasks_of(runtime) if each.kind == "judgement"]
    (sent,) = on_server(runtime, [task])
    promote(runtime)
    with backend(runtime) as asked:
        assert results(asked, [sent]) == sent["predictions"]


def test_a_round_that_a_labeller_predicted_keeps_its_answers(runtime: Runtime) -> None:
    sent = on_server(runtime, suggested(runtime))
    with runtime.database.write() as session:
        labeller = labellers.ensure(session, "roberta", "file", config={})
        predicted = {"teacher_id": None, "labeller_id": labeller.id}
        session.execute(update(ROUNDS).where(ROUNDS.c.number == 1).values(**predicted))
        assert queries.outdated_suggestions(session, url="http://any.test", reader_id=1) == []
    promote(runtime)
    with backend(runtime) as asked:
        assert results(asked, sent) == [task["predictions"][0] for task in sent]


def test_an_interactive_call_answers_in_the_passage_that_was_marked(runtime: Runtime) -> None:
    sent = on_server(runtime, suggested(runtime))
    with backend(runtime) as asked:
        for place in (1, 2):
            context = {"result": [{"to_name": f"p{place}", "type": "labels", "value": {"start": 0, "end": 3}}]}
            found = [results(asked, [task], context)[0] for task in sent]
            places = {each["to_name"] for result in found for each in result["result"] if each["type"] == "labels"}
            assert places == {f"p{place}"}
        odd = [{"result": [{"to_name": "p9"}, 3]}, {"result": {"to_name": "p1"}}, {"result": [{}]}, [], "x", {}]
        for context in odd:
            assert results(asked, sent[:1], context) == results(asked, sent[:1])


def test_tasks_that_are_not_read_in_time_are_left_for_the_next_call(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(runtime)
    sent = on_server(runtime, suggested(runtime))
    monkeypatch.setattr(suggestions, "CHUNK", 1)
    monkeypatch.setattr(backend_module, "PREDICT_SECONDS", 0.0)
    with backend(runtime) as asked:
        assert results(asked, sent) == [[]] * len(sent)
        monkeypatch.setattr(backend_module, "PREDICT_SECONDS", 60.0)
        assert all(each["result"] for each in results(asked, sent))


def test_a_slow_reader_is_not_waited_for_longer_than_the_server_waits(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(runtime)
    sent = on_server(runtime, suggested(runtime)[:2])
    release = threading.Event()
    reading = suggestions._answers

    def slow(*given: Any) -> Any:
        release.wait(30)
        return reading(*given)

    monkeypatch.setattr(suggestions, "_answers", slow)
    monkeypatch.setattr(backend_module, "PREDICT_SECONDS", 0.3)
    with backend(runtime) as asked:
        began = time.monotonic()
        assert results(asked, sent) == [[], []]
        assert time.monotonic() - began < 10
        release.set()
        monkeypatch.setattr(backend_module, "PREDICT_SECONDS", 60.0)
        assert all(each["result"] for each in results(asked, sent))


def test_two_calls_at_once_get_equal_answers_and_read_each_task_once(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(runtime)
    sent, read = on_server(runtime, suggested(runtime)), []
    reading = suggestions._answers

    def counted(*given: Any) -> Any:
        read.extend(question.id for question in given[2])
        return reading(*given)

    monkeypatch.setattr(suggestions, "_answers", counted)
    monkeypatch.setattr(suggestions, "CHUNK", 2)
    found: list[Any] = []
    with backend(runtime) as asked:
        calls = [threading.Thread(target=lambda: found.append(results(asked, sent))) for _ in range(2)]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
    assert found[0] == found[1]
    assert sorted(read) == sorted(task["data"]["question_id"] for task in sent)


def test_five_hundred_tasks_are_answered_in_one_call(runtime: Runtime) -> None:
    promote(runtime)
    first = suggested(runtime)
    with runtime.database.write() as session:
        for attempt in range(1, 500 // len(first) + 2):
            more = [NewTask(task.question_id, "random", False, 0, task.passages, attempt) for task in first]
            store.add_tasks(session, 1, more)
    tasks = suggested(runtime)[:500]
    sent = on_server(runtime, tasks)
    with backend(runtime) as asked:
        began = time.monotonic()
        found = results(asked, sent)
        assert time.monotonic() - began < 100
    assert len(found) == 500
    assert all(each["result"] for each in found)


def test_calls_are_answered_while_another_command_holds_the_workspace(runtime: Runtime) -> None:
    promote(runtime)
    sent = on_server(runtime, suggested(runtime))
    with runtime.workspace.lock("labeler train"), at(runtime.workspace.folder) as reading, backend(reading) as asked:
        assert all(each["result"] for each in results(asked, sent))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"tasks": {}}', b'{"tasks": null}', b"NaN"])
def test_a_body_that_is_no_request_is_refused_in_one_line(runtime: Runtime, body: bytes) -> None:
    with backend(runtime) as asked:
        reply = asked.answer("POST", "/predict", body)
    assert reply.status == 400
    assert "\n" not in reply.body["error"]


def test_deeply_nested_bodies_and_no_tasks_are_answered(runtime: Runtime) -> None:
    with backend(runtime) as asked:
        assert results(asked, []) == []
        deep = b'{"tasks": [' + b"[" * 5000 + b"]" * 5000 + b"]}"
        assert asked.answer("POST", "/predict", deep).body["results"] == [EMPTY]


def test_the_other_calls_of_the_protocol_are_answered_and_say_no_secret(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    hints = []
    suggester = Suggester(runtime)
    asked = backend_module.Backend(runtime, suggester, lambda: hints.append(1))
    model = runtime.best_model()
    health = asked.answer("GET", "/health", b"")
    assert (health.status, health.body["status"], health.body["reader"]) == (200, "UP", model.hash)
    setup = json.dumps({"project": "1.1", "schema": "<View/>", "access_token": "topsecret", "hostname": "h"}).encode()
    assert asked.answer("POST", "/setup", setup).body == {"model_version": MODEL_VERSION}
    assert asked.answer("GET", "/versions", b"").body == {"versions": [MODEL_VERSION]}
    for body in (b"", b"{", b'{"action": "ANNOTATION_CREATED"}', b"\xff"):
        assert asked.answer("POST", "/webhook", body).status == 200
    assert len(hints) == 4
    assert asked.answer("POST", "/train", setup).status == 404
    assert asked.answer("GET", "/predict", b"").status == 405
    assert "topsecret" not in caplog.text
    suggester.close()


def test_without_a_reader_health_answers_and_predict_says_what_to_do(runtime: Runtime) -> None:
    sent = on_server(runtime, suggested(runtime)[:1])
    with backend(runtime) as asked:
        monkey = replace(runtime.best_model())
        assert monkey.round_number == 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(runtime), "best_model", _no_reader)
            assert asked.answer("GET", "/", b"").body["reader"] is None
            reply = asked.answer("POST", "/predict", predict_body(sent))
    assert reply.status == 503
    assert "labeler train" in reply.body["error"]


def _no_reader(runtime: Runtime) -> Any:
    from labeler.core.errors import NotReady

    raise NotReady("there is no reader yet; run: labeler train")
