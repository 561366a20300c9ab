"""The audit of a certificate in a real browser on a real Label Studio: blind first, the suggestion in a second step."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db import certificates, queries
from db.engine import Session
from db.rows import SpanRow
from labeler.certify import machine
from labeler.certify.request import Request
from labeler.core.runtime import Runtime
from tests import certificates as predicted
from tests.labeler.studio.people import projects
from tests.labeler.studio.test_browser import WAIT, Studio, studio
from tests.studio import TestServer
from tests.worlds import at

__all__ = ["studio"]  # the fixture: a browser that is logged in
SURE = 0.623471  # the confidence of every answer: nothing else on a page looks like it
AUDITS = 3
WORDS = ("audit", "judge", "candidate", "predict", "후보", "제안")  # on no blind page


def _suggested(session: Session, gold: SpanRow) -> SpanRow:
    """What the model answers: a part of the sentence that no person would mark."""
    text = queries.passages(session, [gold.passage_id])[gold.passage_id].text
    lot = text.rindex("Lot", 0, gold.start)
    return SpanRow(text[lot : gold.start - 1], gold.passage_id, lot, gold.start - 1)


@pytest.fixture
def runtime(label_studio: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """An audit of wrong answers that is to be sent to the server."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    monkeypatch.setattr(predicted, "_wrong", _suggested)
    made = predicted.make_predicted(
        tmp_path / "ws",
        passages=4,
        confidence=lambda rng: SURE,
        right=_never,
        review__double_annotation=0.0,
    )
    with at(made) as opened:
        yield opened


def _never(rng: np.random.Generator, confidence: float) -> bool:
    return False


@contextmanager
def overheard(browser: Studio) -> Iterator[list[str]]:
    """All that goes between the page and the server meanwhile: addresses and bodies of requests, bodies of answers."""
    heard: list[str] = []

    def keep(request: Any) -> None:
        heard.extend([request.url, request.post_data or ""])

    browser.page.on("request", keep)
    with browser.listening() as bodies:
        yield heard
    browser.page.remove_listener("request", keep)
    heard += bodies


def price(question: str) -> str:
    """The right answer to a question of `tests.certificates.squad`."""
    lot, place = map(int, re.findall(r"lot (\d+)\.(\d+)", question)[-1])
    return f"{100 * lot + place} florins"


def asked(browser: Studio) -> str:
    return str(browser.page.locator(".lb-top h2").text_content())


def answered(browser: Studio, project: int) -> int:
    return int(browser.call("GET", f"/api/projects/{project}/")["num_tasks_with_annotations"])


def submit(browser: Studio, project: int) -> None:
    """Submit the page, and wait until the server has saved it."""
    before = answered(browser, project)
    browser.press("Control+Enter")
    until = time.monotonic() + WAIT
    while answered(browser, project) == before:
        assert time.monotonic() < until, "nothing was saved"
        time.sleep(0.1)


def without_passages(text: str, runtime: Runtime) -> str:
    """A page's or a server's text without the passages, which hold the suggestion like any other words."""
    with runtime.database.read() as session:
        passages = {key for task in queries.tasks(session, round_number=2) for key in task.passages}
        for passage in queries.passages(session, passages).values():
            text = text.replace(passage.text, "")
    return text


def test_an_audit_is_answered_blind_and_shows_the_suggestion_in_the_second_step_alone(
    studio: Studio, runtime: Runtime
) -> None:
    request = Request(target=0.6, audits=AUDITS, stored=True, seed="a")
    assert machine.run(runtime, request, reviewer="studio").waiting_for is not None
    (blind,) = [each for each in projects(runtime) if browser_tasks(studio, each)]
    with runtime.database.read() as session:
        row = certificates.certificates(session)[-1]
        suggested = [item.answer.text for item in certificates.items(session, row.id, drawn=True)]
        round_ = queries.round_(session, row.round_number)
    traces = [
        *suggested,
        str(SURE),
        "62.3",
        f"{1 - SURE:.6f}",
        row.uid,
        "audit",
        "judgement",
        "candidate",
    ]
    for _ in range(AUDITS):
        with overheard(studio) as heard:
            studio.open(blind)
            page, seen = studio.page.content(), studio.page.inner_text("body").lower()
            marks = studio.page.locator(".htx-highlight").count()
            studio.drag(1, price(asked(studio)))
            submit(studio, blind)
        assert marks == 0
        assert [word for word in (*WORDS, "62.3") if word in seen] == []
        everything = without_passages("\n".join([page, *heard]), runtime).lower()
        assert "what does lot" in everything  # the task itself was among it
        assert [trace for trace in traces if trace.lower() in everything] == []
        assert set(re.findall(r'"predictions": ?(\[[^\]]*\])', everything)) <= {"[]"}

    assert machine.run(runtime, Request()).waiting_for is not None
    (second,) = [each for each in projects(runtime) if each != blind and browser_tasks(studio, each)]
    for number in range(AUDITS):
        studio.open(second)
        studio.page.wait_for_selector(".htx-highlight")
        assert studio.page.locator(".htx-highlight").first.text_content() in suggested
        if number:  # the first is found equivalent; the others are corrected
            studio.drag(1, price(asked(studio)))
        submit(studio, second)
    document = machine.run(runtime, Request()).certificate or {}
    assert document["outcomes"] == {"different": AUDITS - 1, "equivalent": 1}
    assert document["reviewers"] == [studio.email]
    assert (document["reviewer"], document["simulated"], round_.kind) == ("studio", False, "audit")


def browser_tasks(browser: Studio, project: int) -> int:
    """How many tasks a project has on the server."""
    return int(browser.call("GET", f"/api/projects/{project}/")["task_number"])
