"""The review page in a real browser on a real Label Studio: what a person does comes back as exact offsets.

Screenshots go to the folder that SCREENSHOTS names, else to build/screenshots.
"""

from __future__ import annotations

import json
import os
import re
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from db.rows import AnswerRow, NewReview, PassageRow, PulledAnnotation, SpanRow, TaskRow
from labeler.review.guidelines import instruction
from labeler.review.presentation import passage_order
from labeler.review.studio.annotations import read_annotation, reviewer_name
from labeler.review.studio.api.client import Client
from labeler.review.studio.labeling_config import labeling_config
from labeler.review.studio.page.reasons import reason
from labeler.review.studio.payloads import MODEL_VERSION, task_payload
from tests.labeler.studio.walk import BEFORE, TYPED_WALK, WALK, unsuggested, walk
from tests.services import require

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", "build/screenshots"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT = 20.0  # seconds that the server may take to save
QUESTION = "이순신은 <b>어디</b>에서 & 언제 태어났나?"
KOREAN = "서울에서 태어난 이순신은 조선의 무신이다. 그는 1545년에 건천동에서 태어났다."
FAMILY = "👨‍👩‍👧‍👦"
PASSAGES = {
    "korean": KOREAN,
    "emoji": f"가족 {FAMILY}과 𠮷野家에 갔다. 👍🏽 다음은 é와 ก็ 글자.",
    "lines": "첫 줄은 짧다.\r\n둘째 줄에 답이 있다.\n\n넷째 줄.\r다섯째 줄\u2028여섯째 줄\x85끝  두 칸\t탭.",
    "markup": "태그 <b>굵게</b> &amp; <script>window.hacked = 1</script> <img src=x onerror='hacked=2'> ${question}끝.",
    **{f"long {number}": f"{number}번째 긴 지문. " + 9 * f"{KOREAN} " for number in range(1, 6)},
    "nfd": unicodedata.normalize("NFD", "부산에서 만나 대구로 갔다."),
}
CANDIDATES = (("korean", "서울", 0.623471), ("emoji", "𠮷野家", 0.214365), ("markup", "굵게", 0.091827))
PAGES = 30.0  # seconds that a page may take to load

# The range of text between two pieces of it in a passage, as a mouse would meet it: where it begins and ends on screen.
PLACES_OF = """([place, first, last]) => {
    const box = document.querySelectorAll('.lb-passage .lsf-htx-richtext')[place - 1];
    const find = (piece) => {
        const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const at = walker.currentNode.data.indexOf(piece);
            if (at >= 0) {
                const range = document.createRange();
                range.setStart(walker.currentNode, at);
                range.setEnd(walker.currentNode, at + piece.length);
                return range;
            }
        }
        throw new Error('not on the page: ' + piece);
    };
    find(first).startContainer.parentElement.scrollIntoView({block: 'center'});
    const from = find(first).getClientRects()[0], to = [...find(last).getClientRects()].at(-1);
    return [from.left + 0.5, (from.top + from.bottom) / 2, to.right - 0.5, (to.top + to.bottom) / 2];
}"""


@dataclass(slots=True)
class Studio:
    """A browser that is logged in, and the server's API beside it."""

    url: str
    api: httpx.Client
    page: Any
    email: str

    def put(self, *passages: str, blind: bool = False, candidates: Any = CANDIDATES, note: str = "") -> Work:
        """A project with one task, opened as a reviewer does."""
        (work,) = self.project([passages], blind=blind, candidates=candidates, note=note)
        self.open(work.project_id)
        self.wait_for(work, suggested=not blind and bool(candidates))
        return work

    def project(
        self, shown: Sequence[tuple[str, ...]], *, blind: bool, candidates: Any = CANDIDATES, note: str = ""
    ) -> list[Work]:
        """A project with a task for each of these sets of passages, all of one size. Questions are numbered from 2."""
        slots = len(shown[0])
        project = {
            "title": "Browser questions",
            "label_config": labeling_config(blind=blind, passage_slots=slots, language="both"),
            "expert_instruction": instruction("both", blind=blind),
            "show_collab_predictions": not blind,
            "model_version": "" if blind else MODEL_VERSION,
        }
        number = self.call("POST", "/api/projects/", project)["id"]
        answers = [an_answer(*each) for each in candidates]
        works, payloads = [], []
        for place, passages in enumerate(shown, start=1):
            question = QUESTION if place == 1 else f"{QUESTION} ({place})"
            now = datetime(2024, 5, 1, tzinfo=UTC)
            task = TaskRow(place, 1, f"q{place}", "random", blind, 0, passages, 0, 1, "open", now, None)
            rows = {key: PassageRow(key, "d", 0, PASSAGES[key], f"문서 <i>{key}</i>") for key in passages}
            each = {"question": question, "passages": rows, "passage_slots": slots, "answers": answers, "note": note}
            payloads.append(task_payload(task, round_uid="r" * 32, push_id="f" * 32, **each))
            works.append(Work(self, task, number, question))
        imported = self.call("POST", f"/api/projects/{number}/import?return_task_ids=true", payloads)
        for work, task_id in zip(works, imported["task_ids"], strict=True):
            work.task_id = task_id
        return works

    def open(self, project_id: int) -> None:
        """Opens the first task of a project by its address."""
        self.page.goto(f"{self.url}/projects/{project_id}/data?labeling=1")
        self.wait_until_ready()

    def label_all(self, project_id: int) -> None:
        """Begins with all tasks of a project, one after the other, as a reviewer does."""
        self.page.goto(f"{self.url}/projects/{project_id}/data")
        self.page.click("text=Label All Tasks")

    def wait_for(self, work: Work, *, suggested: bool) -> None:
        """Waits until a task is before the reviewer."""
        self.page.wait_for_function("q => document.querySelector('.lb-top h2')?.textContent === q", arg=work.question)
        self.wait_until_ready()
        if suggested:
            self.page.wait_for_selector(".htx-highlight")
            self.page.wait_for_selector("input[name=answerable]:checked")

    def wait_until_ready(self) -> None:
        """Waits until keys and mouse work on the page."""
        self.page.wait_for_selector(".lb-passage .lsf-richtext__line")
        self.page.wait_for_function("window.Htx?.annotationStore?.selected?.type === 'annotation'")
        self.page.wait_for_selector("button:has-text('Submit'):not([disabled])")
        self.page.wait_for_timeout(500)  # its keys are bound after its first drawing

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """The bodies of all that the server's API sends to the page meanwhile."""
        bodies: list[str] = []

        def keep(route: Any) -> None:
            response = route.fetch()
            bodies.append(response.text())
            route.fulfill(response=response)

        self.page.route("**/api/**", keep)
        yield bodies
        self.page.unroute_all(behavior="wait")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.api.request(method, path, json=body)
        assert answer.is_success, answer.text[:500]
        return answer.json() if answer.content else None

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(150)

    def focus(self, field: str) -> None:
        """Moves to an input field by the Tab key alone."""
        for _ in range(12):
            if self.page.evaluate("document.activeElement.name") == field:
                return
            self.press("Tab")
        raise AssertionError(f"the Tab key does not lead to {field}")

    def double_click(self, place: int, word: str) -> None:
        """Double clicks a word of a passage."""
        left, upper, right, lower = self.page.evaluate(PLACES_OF, [place, word, word])
        self.page.mouse.dblclick((left + right) / 2, (upper + lower) / 2)
        self.page.wait_for_timeout(200)

    def drag(self, place: int, first: str, last: str | None = None) -> None:
        """Selects from the beginning of one piece of text to the end of another, by the mouse."""
        left, upper, right, lower = self.page.evaluate(PLACES_OF, [place, first, last or first])
        mouse = self.page.mouse
        mouse.move(left, upper)
        mouse.down()
        mouse.move((left + right) / 2, (upper + lower) / 2, steps=3)
        mouse.move(right, lower, steps=3)
        mouse.up()
        self.page.wait_for_timeout(200)

    def pull_edge(self, to: str) -> None:
        """Moves the right edge of the selected mark in the first passage to the end of `to`."""
        box = self.page.locator(".htx-highlight area").last.bounding_box()
        _, _, x, y = self.page.evaluate(PLACES_OF, [1, to, to])
        mouse = self.page.mouse
        mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        mouse.down()
        mouse.move(box["x"] - 5, box["y"] + box["height"] / 2, steps=3)
        mouse.move(x, y, steps=5)
        mouse.up()
        self.page.wait_for_timeout(200)

    def shoot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@dataclass(slots=True)
class Work:
    """A task before the reviewer."""

    studio: Studio
    task: TaskRow
    project_id: int
    question: str = QUESTION
    task_id: int = 0

    def on_server(self) -> Any:
        return self.studio.call("GET", f"/api/tasks/{self.task_id}")

    def read(self, *, annotations: int = 1) -> PulledAnnotation:
        """What was submitted, as `labeler` reads it."""
        until = time.monotonic() + WAIT
        while len((found := self.on_server())["annotations"]) < annotations and time.monotonic() < until:
            time.sleep(0.1)
        (annotation,) = found["annotations"]
        reviewer = reviewer_name(annotation["completed_by"], {})
        return read_annotation(
            annotation,
            task=self.task,
            data=found["data"],
            question=self.question,
            passages=PASSAGES,
            reviewer=reviewer,
        )

    def review(self) -> NewReview:
        pulled = self.read()
        assert pulled.problem is None, pulled.problem
        assert pulled.review is not None
        return pulled.review


def an_answer(passage: str, text: str, score: float = 0.5) -> AnswerRow:
    start = PASSAGES[passage].index(text)
    return AnswerRow(text, passage, start, start + len(text), score, score)


def span(passage: str, text: str) -> SpanRow:
    start = PASSAGES[passage].index(text)
    assert PASSAGES[passage].count(text) == 1
    return SpanRow(text, passage, start, start + len(text))


@pytest.fixture(scope="module")
def studio(label_studio: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    from playwright.sync_api import sync_playwright

    chromium = require("Chromium")

    headers = {"Authorization": f"Token {label_studio.token}"}
    with sync_playwright() as playwright, httpx.Client(base_url=label_studio.url, headers=headers, timeout=60) as api:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("chromium")),
            executable_path=chromium,
            headless=True,
            args=FLAGS,
            viewport={"width": 1440, "height": 900},
        )
        tab = context.pages[0]
        tab.set_default_timeout(PAGES * 1000)
        tab.goto(f"{label_studio.url}/user/login/")
        tab.fill("input[name=email]", label_studio.email)
        tab.fill("input[name=password]", label_studio.password)
        tab.click("button[type=submit]")
        tab.wait_for_url(lambda url: "/user/login" not in url)
        yield Studio(label_studio.url, api, tab, label_studio.email)
        context.close()


# --- with a suggestion ---------------------------------------------------------------------------


def test_a_suggestion_is_accepted_with_one_keystroke(studio: Studio) -> None:
    work = studio.put("korean", "emoji", "lines", "markup", "nfd")
    studio.shoot("suggested")
    studio.press("Control+Enter")
    review = work.review()
    assert review.answer == span("korean", "서울")
    assert (review.verdict, review.origin, review.reviewer) == ("answerable", "accepted", studio.email)
    assert review.seconds is not None
    assert 0 < review.seconds < 60


def test_suggestion_and_candidates_are_highlighted_and_listed_with_their_scores(studio: Studio) -> None:
    studio.put("korean", "emoji", "lines", "markup", "nfd")
    marks = studio.page.locator(".htx-highlight")
    assert marks.all_text_contents() == ["서울", "𠮷野家", "굵게"]
    assert [mark.get_attribute("data-label") for mark in marks.all()] == ["1:Answer", "2:Candidate", "3:Candidate"]
    listed = studio.page.locator(".lsf-outliner-item__control_type_score").all_text_contents()
    assert [text for text in listed if text] == ["0.62", "0.21", "0.09"]


def test_a_candidate_is_made_the_answer_with_one_key(studio: Studio) -> None:
    work = studio.put("korean", "emoji")
    studio.press("2")
    studio.shoot("candidate-taken")
    studio.press("Control+Enter")
    review = work.review()
    assert (review.answer, review.origin) == (span("emoji", "𠮷野家"), "changed")


def test_a_relabelled_candidate_replaces_the_suggestion(studio: Studio) -> None:
    work = studio.put("korean", "emoji")
    studio.press("Alt+.", "Alt+.", "a", "Control+Enter")
    review = work.review()
    assert (review.answer, review.origin) == (span("emoji", "𠮷野家"), "changed")


def test_an_answer_marked_without_the_particle_replaces_the_untouched_suggestion(studio: Studio) -> None:
    work = studio.put("korean")
    studio.drag(1, "건천동")  # 건천동에서: the particle stays out
    studio.shoot("marked-again")
    studio.press("Control+Enter")
    review = work.review()
    assert (review.verdict, review.answer, review.origin) == ("answerable", span("korean", "건천동"), "written")


def test_the_particle_is_removed_from_a_suggestion_by_dragging_its_edge(studio: Studio) -> None:
    work = studio.put("korean", candidates=[("korean", "건천동에서", 0.5)])
    studio.press("Alt+.")
    studio.pull_edge("건천동")
    studio.shoot("edge-moved")
    studio.press("Control+Enter")
    review = work.review()
    assert (review.answer, review.origin) == (span("korean", "건천동"), "changed")


def test_no_answer_wins_over_the_untouched_suggestion(studio: Studio) -> None:
    work = studio.put("korean", "emoji")
    studio.press("n", "Control+Enter")
    review = work.review()
    assert (review.verdict, review.answer, review.origin) == ("no_answer", None, None)


def test_no_answer_beside_an_answer_that_the_reviewer_marked_is_a_conflict(studio: Studio) -> None:
    work = studio.put("korean")
    studio.drag(1, "건천동")
    studio.press("n", "Control+Enter")
    assert work.read().problem == "no_answer but an answer is marked"


def test_a_bad_question_is_reported_with_confidence_and_comment_by_the_keyboard(studio: Studio) -> None:
    work = studio.put("korean")
    studio.focus("comment")
    studio.page.keyboard.type("무엇을 묻는지 모름 1 2 a")  # keys are letters here
    studio.press("Enter", "r", "r", "r", "r", "b")
    studio.shoot("bad-question")
    studio.press("Control+Enter")
    pulled = work.read()
    assert pulled.review is not None
    assert (pulled.review.verdict, pulled.review.answer) == ("bad_question", None)
    assert pulled.review.comment == "무엇을 묻는지 모름 1 2 a"
    assert [each["value"] for each in pulled.result if each["from_name"] == "confidence"] == [{"rating": 4}]


def test_a_skip_by_the_keyboard_discards_the_suggestion(studio: Studio) -> None:
    work = studio.put("korean")
    studio.press("Control+Space")
    review = work.review()
    assert (review.verdict, review.answer, review.origin) == ("skipped", None, None)


# --- blind ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passage", "first", "last"),
    [
        ("korean", "서울", None),
        ("korean", "그는", "건천동"),
        ("nfd", unicodedata.normalize("NFD", "대구"), None),
        ("emoji", FAMILY, None),
        ("emoji", "𠮷野家", None),
        ("emoji", "👍🏽", "é와"),
        ("lines", "둘째", "줄에 답"),
        ("lines", "짧다.", "둘째"),
        ("lines", "넷째 줄.", "다섯째"),
        ("lines", "여섯째", "끝"),
        ("lines", "두 칸", "탭"),
        ("markup", "굵게", None),
        ("markup", "<b>굵게</b>", None),
        ("markup", "&amp;", "window.hacked = 1</script>"),
        ("markup", "${question}", "끝."),
    ],
    ids=[
        "without its particle",
        "several words",
        "decomposed Hangul",
        "a family of joined emoji",
        "astral characters",
        "skin tone to combining marks",
        "after CRLF",
        "over CRLF",
        "over CR",
        "over line separators",
        "over spaces and a tab",
        "inside tags",
        "with its tags",
        "entity and script",
        "template marks",
    ],
)
def test_a_mouse_selection_comes_back_with_exact_offsets(
    studio: Studio, passage: str, first: str, last: str | None
) -> None:
    work = studio.put(passage, "korean" if passage != "korean" else "emoji", blind=True)
    studio.drag(passage_order(work.task).index(passage) + 1, first, last)
    studio.press("Control+Enter")
    text = PASSAGES[passage]
    start = text.index(first)
    end = start + len(first) if last is None else text.index(last, start) + len(last)
    review = work.review()
    assert review.answer == SpanRow(text[start:end], passage, start, end)
    assert (review.verdict, review.origin) == ("answerable", "written")


def test_a_blind_page_has_no_trace_of_a_suggestion(studio: Studio) -> None:
    with studio.listening() as bodies:
        work = studio.put("korean", "emoji", "lines", blind=True)
    studio.shoot("blind")
    seen = studio.page.inner_text("body").lower()
    assert "가족" in seen
    for word in ("candidate", "suggest", "predict", "후보", "제안", "0.6", "62", "0.2", "21.4"):
        assert word not in seen
    assert any("가족" in body for body in bodies)  # the task itself was among them
    everything = "\n".join([studio.page.content(), json.dumps(work.on_server()), *bodies]).lower()
    for trace in ("623471", "214365", ">candidate<", '"candidate', "후보", "제안"):
        assert trace not in everything
    assert set(re.findall(r'"(?:total_)?predictions\w*": ?([^,}]*)', "".join(bodies))) <= {"[]", "0", "null", '""'}
    assert studio.page.locator(".htx-highlight").count() == 0
    found = work.on_server()
    assert (found["predictions"], found["meta"]) == ([], {})
    assert set(found["data"]) == {"question", "p1", "p2", "p3", "t1", "t2", "t3", "question_id", "task", "push_id"}


def test_a_double_click_alone_marks_a_word_and_means_answerable(studio: Studio) -> None:
    work = studio.put("korean", blind=True)
    studio.double_click(1, "이순신은")
    studio.press("Control+Enter")
    review = work.review()
    assert (review.verdict, review.answer, review.origin) == ("answerable", span("korean", "이순신은"), "written")


def test_an_answer_is_marked_by_the_keyboard_alone(studio: Studio) -> None:
    work = studio.put("emoji", "korean", blind=True)
    studio.focus("typed")
    studio.page.keyboard.type("건천동")
    studio.press("Enter", "Control+Enter")
    review = work.review()
    assert (review.verdict, review.answer, review.origin) == ("answerable", span("korean", "건천동"), "written")


def test_a_typed_answer_is_undone_and_words_and_a_comment_follow_it_by_the_tab_key(studio: Studio) -> None:
    work = studio.put("korean", blind=True)
    studio.focus("typed")
    studio.page.keyboard.type("건천동")
    studio.press("Enter", "Control+z")
    assert studio.page.locator("[data-testid=textarea-region]").count() == 0
    for field, text in (("typed", ""), ("search_again", "이순신 생가"), ("comment", "지문에 없음")):
        studio.press("Tab")
        assert studio.page.evaluate("document.activeElement.name") == field
        studio.page.keyboard.type(text)
    studio.press("Enter", "n")
    studio.shoot("typed-words")
    studio.press("Control+Enter")
    review = work.review()
    assert (review.verdict, review.search_again, review.comment) == ("no_answer", "이순신 생가", "지문에 없음")


def test_a_question_asked_again_says_why(studio: Studio) -> None:
    assert studio.put("korean", blind=True).on_server()["data"].get("note") is None
    assert not studio.page.locator(".lb-note").is_visible()
    studio.put("korean", blind=True, note=reason("two answers marked", "both"))
    assert studio.page.locator(".lb-note h4").inner_text() == (
        "다시 묻습니다: 정답이 두 곳에 표시되어 있었습니다. · Asked again: two answers were marked."
    )
    studio.shoot("asked-again")


def test_nothing_marked_and_no_verdict_is_a_conflict(studio: Studio) -> None:
    work = studio.put("korean", blind=True)
    studio.press("Control+Enter")
    assert work.read().problem == "no verdict"


# --- the page itself -----------------------------------------------------------------------------


def test_text_that_looks_like_html_is_shown_literally(studio: Studio) -> None:
    studio.put("markup", candidates=())
    shown = studio.page.locator(".lb-passage .lsf-htx-richtext").first
    assert shown.text_content() == PASSAGES["markup"]
    assert shown.locator("b, script, img").count() == 0
    assert studio.page.locator(".lb-top h2").text_content() == QUESTION
    assert studio.page.locator(".lb-head h4").text_content() == "문서 <i>markup</i>"
    assert studio.page.evaluate("window.hacked") is None


def test_question_and_verdict_stay_visible_while_long_passages_scroll(studio: Studio) -> None:
    studio.put(*(f"long {number}" for number in range(1, 6)), candidates=[("long 5", "5번째", 0.5)])
    studio.press("Alt+.")
    studio.shoot("long")
    heights = "element => element.getBoundingClientRect().top"
    question = studio.page.locator(".lb-top h2").evaluate(heights)
    marked = studio.page.locator(".htx-highlight").evaluate(heights)
    below = studio.page.locator(".lb-top").evaluate("element => element.getBoundingClientRect().bottom")
    assert 0 <= question < below < marked < 900


def test_the_guidelines_open_on_the_page_in_both_languages(studio: Studio) -> None:
    studio.put("korean", candidates=())
    studio.page.click("text=작업 지침")
    studio.page.wait_for_selector("text=조사는 빼고 표시합니다")
    studio.page.wait_for_timeout(500)  # it unfolds
    studio.shoot("guidelines")
    studio.page.click("text=Guidelines")
    studio.page.wait_for_selector("text=Leave out a Korean particle")


def test_a_new_projects_task_list_starts_with_the_question_and_no_instruction_opens(
    studio: Studio, label_studio: Any
) -> None:
    xml = labeling_config(blind=True, passage_slots=1, language="ko")
    kinds = {"summary": "", "instruction": instruction("ko", blind=True), "reviewers": 1, "blind": True}
    project = Client(label_studio.connection).make_project("Columns", "u" * 32, xml, **kinds)
    data = {"question": QUESTION, "p1": KOREAN, "t1": "문서", "question_id": "q1", "task": "t", "push_id": "p"}
    studio.call("POST", f"/api/projects/{project}/import", [{"data": data}])
    studio.page.goto(f"{studio.url}/projects/{project}/data")
    head = studio.page.locator("[class*=table-head]").first
    head.wait_for()
    studio.page.wait_for_selector("text=이순신은")
    studio.shoot("task-list")
    assert head.inner_text().split()[0] == "question"
    studio.label_all(project)
    studio.page.wait_for_selector(".lb-passage .lsf-richtext__line")
    assert studio.page.locator("text=Labeling Instructions").count() == 0


# --- how much work it is -------------------------------------------------------------------------


def test_fourteen_questions_take_less_than_half_of_the_keys_and_one_submission_each(studio: Studio) -> None:
    counted = walk(studio, WALK)
    assert counted.totals == (19, 7, 14)
    assert 2 * counted.chords < BEFORE[0]
    assert counted.mouse == len(unsuggested(WALK))  # one for each answer that nothing suggests


def test_the_same_questions_take_no_mouse_and_two_keys_more_for_each_answer_that_is_typed(studio: Studio) -> None:
    counted = walk(studio, TYPED_WALK)
    typed = len(unsuggested(WALK))
    assert counted.totals == (19 + 2 * typed, 0, 14)  # Tab leads into the field, Enter out of it
    assert counted.chords < BEFORE[0]
    assert counted.characters == sum(len(each.text or "") for each in unsuggested(WALK))
