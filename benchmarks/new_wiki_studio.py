"""One round on real English questions, reviewed in a real Label Studio.

    python benchmarks/new_wiki_studio.py [--reviews 60] [--updates 200] [--top-k 3] [--folder DIR]

The corpus, the baseline and the settings of new_wiki_rounds.py. The tool starts a local Label Studio and pushes the
round's tasks; a reviewer who knows the file's answers gives one review in a browser, by keyboard, and the others
through the server's API as the page sends them; then the round is run to its end. Needs Chromium. Run again with the
same folder, it resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import data_file, labeler, machine
from benchmarks.new_wiki_rounds import _prepare, _print_cost, _results, _stages
from labeler.review.studio.labeling_config import ANSWER_LABEL, MAX_PASSAGES, VERDICT, labels_name, text_name

SECONDS = {"accepted": 15.0, "changed": 35.0, "written": 60.0, "no_answer": 35.0}  # assumed lead times


def main() -> None:
    options = _options()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="labeler-new-wiki-studio-"))
    workspace = folder / "workspace"
    if not (workspace / "labeler.toml").exists():
        _prepare(workspace, options)
    where = ("-w", str(workspace))
    labeler("db", "upgrade", *where)
    _stages(workspace, 0, reviewer="none")
    started = labeler("studio", "start", *where).json()
    try:
        waiting = labeler("round", "--reviewer", "studio", "--review-budget", str(options.reviews), *where)
        print(f"round 1  pushed: {waiting.json().get('waiting_for')}", flush=True)
        if waiting.json()["stage"] == "in_review":
            _review(workspace, started["url"])
            closed = labeler("round", *where)
            _print_cost(1, closed.json()["stage"], closed)
    finally:
        labeler("studio", "stop", *where)
    _print_cost(1, "evaluate test", labeler("evaluate", "--split", "test", *where))
    print(json.dumps(labeler("status", *where).json(), indent=1))
    print(machine())
    print(json.dumps(_results(workspace), indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=60)
    parser.add_argument(
        "--updates", type=int, default=200, help="updates of every training: four epochs of the gold labels"
    )
    parser.add_argument("--top-k", type=int, default=3, help="passages read for a question")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="folder that keeps the workspace; an interrupted run resumes")
    return parser.parse_args()


def _review(workspace: Path, url: str) -> None:
    """Review every open task: one with a suggestion in the browser, the others through the API."""
    from labeler.review.studio.server.local import EMAIL, own_server

    server = own_server(workspace)
    assert server is not None
    golds = _golds()
    given = {"answerable": 0, "no_answer": 0}
    with httpx.Client(base_url=url, headers={"Authorization": f"Token {server.key()}"}, timeout=60) as api:
        open_tasks = [task for task in _tasks(api) if not task["annotations"]]
        first = next(task for task in open_tasks if task["predictions"])
        _accept_in_browser(url, EMAIL, server.password_file.read_text().strip(), first)
        for task in open_tasks:
            if task is not first:
                body = _annotation(task, golds[task["data"]["question_id"]])
                given["answerable" if len(body["result"]) > 1 else "no_answer"] += 1
                api.post(f"/api/tasks/{task['id']}/annotations/", json=body).raise_for_status()
        done = sum(bool(task["annotations"]) for task in _tasks(api))
    print(f"round 1  {done} tasks reviewed: 1 in the browser, through the API {given}", flush=True)


def _tasks(api: httpx.Client) -> list[dict[str, Any]]:
    """All tasks of all projects, with predictions and annotations."""
    projects = api.get("/api/projects/", params={"page_size": 100}).json()["results"]
    found: list[dict[str, Any]] = []
    for project in projects:
        asked = {"project": project["id"], "fields": "all", "page_size": 1000}
        found += [task | {"project": project["id"]} for task in api.get("/api/tasks/", params=asked).json()["tasks"]]
    return found


def _golds() -> dict[str, list[tuple[str, str, int]]]:
    """Question id -> (context, answer, its offset) of the file."""
    data = json.loads(data_file("new_wiki_v1.0.json").read_text(encoding="utf-8"))["data"]
    return {
        qa["id"]: [(paragraph["context"], each["text"], each["answer_start"]) for each in qa["answers"]]
        for article in data
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    }


def _annotation(task: dict[str, Any], golds: list[tuple[str, str, int]]) -> dict[str, Any]:
    """The annotation of a reviewer who marks a gold answer that is on the page, else answers no_answer."""
    marked = next(_on_page(task["data"], golds), None)
    if marked is None:
        return {"result": [_verdict("no_answer")], "lead_time": SECONDS["no_answer"]}
    place, text, start = marked
    suggested = _suggested(task)
    same = suggested is not None and suggested["from_name"] == labels_name(place) and _span(suggested) == (start, text)
    origin = "accepted" if same else "changed" if suggested else "written"
    region = {
        "id": f"gold{place}",
        "type": "labels",
        "from_name": labels_name(place),
        "to_name": text_name(place),
        "origin": "prediction" if same else "manual",
        "value": {"start": start, "end": start + len(text), "text": text, "labels": [ANSWER_LABEL]},
    }
    parent = {"parent_prediction": task["predictions"][0]["id"]} if suggested else {}
    return {"result": [region, _verdict("answerable")], "lead_time": SECONDS[origin], **parent}


def _on_page(data: dict[str, Any], golds: list[tuple[str, str, int]]) -> Iterator[tuple[int, str, int]]:
    """(place on the page, answer, its offset) of every gold answer whose passage is shown."""
    for place in range(1, MAX_PASSAGES + 1):
        for context, text, start in golds:
            if data.get(text_name(place)) == context:
                yield place, text, start


def _suggested(task: dict[str, Any]) -> dict[str, Any] | None:
    """The region of the suggested answer."""
    results = [each for prediction in task["predictions"] for each in prediction["result"]]
    marked = (each for each in results if ANSWER_LABEL in each.get("value", {}).get("labels", ()))
    return next(marked, None)


def _span(region: dict[str, Any]) -> tuple[int, str]:
    return region["value"]["start"], region["value"]["text"]


def _verdict(value: str) -> dict[str, Any]:
    return {
        "id": VERDICT,
        "type": "choices",
        "from_name": VERDICT,
        "to_name": text_name(1),
        "value": {"choices": [value]},
    }


def _accept_in_browser(url: str, email: str, password: str, task: dict[str, Any]) -> None:
    """Log in, open the task, take a screenshot and accept the suggestion with Ctrl+Enter."""
    from playwright.sync_api import sync_playwright

    from tests.labeler.studio.test_browser import FLAGS, SCREENSHOTS
    from tests.services import require

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(require("Chromium")), args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.goto(f"{url}/user/login/")
        page.fill("input[name=email]", email)
        page.fill("input[name=password]", password)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda address: "/user/login" not in address)
        page.goto(f"{url}/projects/{task['project']}/data?task={task['id']}")
        page.wait_for_selector(".lb-passage .lsf-richtext__line")
        page.wait_for_selector("button:has-text('Submit'):not([disabled])")
        page.wait_for_timeout(1000)
        page.screenshot(path=SCREENSHOTS / "new-wiki-review.png")
        with page.expect_response(lambda answer: "/annotations" in answer.url and answer.request.method == "POST"):
            page.keyboard.press("Control+Enter")
        time.sleep(1)
        browser.close()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
