"""Reviewing in the terminal: keys, typed answers, time, several reviewers, interruption."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text as sql

from db import queries, store
from db.rows import NewReview, ReviewRow, SpanRow
from labeler.core.errors import NotReady
from labeler.labels.span_search import longest_part, near, occurrences
from labeler.retrieval.indexing import build_index
from labeler.review.terminal.screen import Highlight, Screen, one_line, width, wrap
from labeler.review.terminal.session import PAUSE, ReviewSession, ReviewSummary
from tests.commands import Ran, new_workspace, run
from tests.reviewing import ORDER, TEXTS, round_in_review
from tests.worlds import at

PLAIN = Screen(80, ansi=False)
Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    round_in_review(tmp_path / "ws")
    return tmp_path / "ws"


class Script:
    """A reviewer who presses these keys and types these lines, then leaves; each takes a second."""

    def __init__(self, said: Iterable[str], *, seconds: float = 1.0) -> None:
        self._said = iter(said)
        self._seconds = seconds
        self.now = 0.0
        self.shown: list[str] = []

    def say(self, text: str) -> None:
        self.shown.append(text)

    def key(self) -> str:
        self.now += self._seconds
        for each in self._said:
            return each
        raise EOFError

    def line(self, prompt: str) -> str:
        self.say(prompt)
        return self.key()

    @property
    def text(self) -> str:
        return "\n".join(self.shown)


def review_session(ws: Path, *said: str, reviewer: str = "kim", seconds: float = 1.0) -> tuple[ReviewSummary, Script]:
    """The summary of a session, and the script with what was shown."""
    script = Script(said, seconds=seconds)
    with at(ws) as runtime:
        return ReviewSession(runtime, reviewer, script, PLAIN, clock=lambda: script.now).run(), script


def reviews(ws: Path) -> list[ReviewRow]:
    with at(ws) as runtime, runtime.database.read() as session:
        return queries.reviews(session)


def states(ws: Path) -> dict[str, str]:
    with at(ws) as runtime, runtime.database.read() as session:
        return {task.question_id: task.state for task in queries.tasks(session)}


def piped(ws: Path, typed: str, *arguments: str) -> Ran:
    """`labeler review` with these lines on stdin."""
    with mock.patch.object(sys, "stdin", io.StringIO(typed)):
        return run("review", "--reviewer-name", "kim", "-w", ws, *arguments)


def test_enter_accepts_the_first_candidate_and_a_digit_another(ws: Path) -> None:
    review_session(ws, "", "q")
    review_session(ws, "2", "q", reviewer="lee")  # q1 is done: the next one is q3, blind
    (review,) = reviews(ws)
    assert (review.question_id, review.verdict, review.origin, review.source) == (
        "q1",
        "answerable",
        "accepted",
        "terminal",
    )
    assert review.answer is not None
    assert (review.answer.text, review.answer.passage_id, review.answer.start) == ("1921년", "harbour", 8)


def test_another_candidate_is_a_change(ws: Path) -> None:
    review_session(ws, "2", "q")
    (review,) = reviews(ws)
    assert review.answer is not None
    assert (review.answer.text, review.origin) == ("아르넨", "changed")


@pytest.mark.parametrize(
    ("key", "verdict"), [("n", "no_answer"), ("b", "bad_question"), ("s", "skipped"), ("ㅜ", "no_answer")]
)
def test_a_verdict_needs_no_answer(ws: Path, key: str, verdict: str) -> None:
    review_session(ws, key, "q")
    (review,) = reviews(ws)
    assert (review.verdict, review.answer, review.origin, review.passages) == (verdict, None, None, ORDER)


def test_a_typed_answer_is_found_in_the_passages(ws: Path) -> None:
    review_session(ws, "a", "  등대 ", "q")
    (review,) = reviews(ws)
    assert review.answer is not None
    assert (review.answer.text, review.origin) == ("등대", "written")
    assert TEXTS["harbour"][review.answer.start : review.answer.end] == "등대"


def test_typing_what_was_suggested_accepts_it(ws: Path) -> None:
    review_session(ws, "a", "1921년", "q")
    assert [review.origin for review in reviews(ws)] == ["accepted"]


def test_an_answer_that_occurs_several_times_is_chosen_by_its_context(ws: Path) -> None:
    _, script = review_session(ws, "a", "아르넨", "2", "q")
    (review,) = reviews(ws)
    assert review.answer is not None
    assert review.answer.start == TEXTS["harbour"].rindex("아르넨")
    assert "1  passage 1: 벨모라 항구는 1921년에 [아르넨]이 세웠다. 아르넨은 등대도 세웠다." in script.text


@pytest.mark.parametrize("choice", ["", "0", "3", "x", "²"])
def test_without_a_choice_among_several_occurrences_nothing_is_saved(ws: Path, choice: str) -> None:
    review_session(ws, "a", "아르넨", choice, "q")
    assert reviews(ws) == []


def test_an_answer_typed_in_another_unicode_form_is_saved_as_in_the_passage(ws: Path) -> None:
    review_session(ws, "n", "a", "CAFÉ dunmor", "1", "q")
    answer = reviews(ws)[1].answer
    assert answer is not None
    assert answer.text == "Cafe\u0301 Dunmor"
    assert unicodedata.normalize("NFC", answer.text) == "Café Dunmor"


def test_an_answer_that_is_in_no_passage_is_refused_with_the_closest_text(ws: Path) -> None:
    _, script = review_session(ws, "a", "raised by Dunmore", "q")
    assert reviews(ws) == []
    assert script.shown[-1] == '"raised by Dunmore" is not in these passages; the closest text is "raised by".'


def test_a_blind_task_shows_no_candidates_and_its_passages_in_an_order_without_ranking(ws: Path) -> None:
    from labeler.review.presentation import passage_order

    with at(ws) as runtime, runtime.database.read() as session:
        blind = next(task for task in queries.tasks(session) if task.question_id == "q3")
    summary, script = review_session(ws, "n", "", "1", "q")
    page = script.shown[2]  # the first page, what was stored, the second page
    assert "What stands beside the bridge?" in page
    assert "%" not in page
    assert "[1:" not in page
    places = [page.index(one_line(TEXTS[key])[:12]) for key in passage_order(blind)]
    assert places == sorted(places)
    assert summary.reviews == 1
    assert "no candidates are shown; a types an answer" in script.text
    assert page.endswith("\na type, f search, n no answer, s skip, ? more")


def test_a_digit_beyond_the_candidates_is_refused(ws: Path) -> None:
    _, script = review_session(ws, "9", "q")
    assert script.shown[-1] == "there are 2 candidates"


def test_an_undone_review_is_deleted_and_asked_again_with_the_time_spent_so_far(ws: Path) -> None:
    summary, script = review_session(ws, "", "u", "n", "q", seconds=2.0)
    assert "undone: 1921년" in script.text
    (review,) = reviews(ws)
    assert (review.question_id, review.verdict, review.seconds) == ("q1", "no_answer", 4.0)  # 2 s before, 2 s after
    assert summary.reviews == 1


def test_undo_goes_back_to_the_beginning_of_the_session_and_no_further(ws: Path) -> None:
    review_session(ws, "", "q")
    summary, script = review_session(ws, "n", "n", "u", "u", "u", "q")
    assert [review.question_id for review in reviews(ws)] == ["q1"]
    assert "nothing to undo in this session" in script.text
    assert (summary.reviews, summary.left) == (0, 3)


def test_a_comment_is_saved_with_the_review_and_can_be_removed(ws: Path) -> None:
    review_session(ws, "c", "odd", "n", "c", "x", "c", "", "n", "q")
    assert [review.comment for review in reviews(ws)] == ["odd", None]


def test_the_time_of_a_task_is_saved_and_a_long_pause_is_cut(ws: Path) -> None:
    _, script = review_session(ws, "?", "n", "q", seconds=10.0)
    assert reviews(ws)[0].seconds == 10.0 + 10.0
    _, script = review_session(ws, "n", "q", seconds=7200.0)
    assert reviews(ws)[1].seconds == PAUSE
    assert "(paused for 120 minutes; 3 are counted)" in script.text


def test_an_unknown_key_changes_nothing(ws: Path) -> None:
    _, script = review_session(ws, "x", "\x1b[A", "q")
    assert reviews(ws) == []
    assert "'x' is not a key here; ? lists the keys" in script.text
    assert "\x1b" not in script.text


def test_help_shows_the_keys_and_the_guidelines(ws: Path) -> None:
    _, script = review_session(ws, "?", "q")
    assert "undo the last review" in script.shown[-1]
    assert "가장 짧은 범위" in script.shown[-1]  # in the workspace's language


def test_nobody_gets_a_task_twice_and_two_people_complete_a_doubly_annotated_task(ws: Path) -> None:
    summary, script = review_session(ws, "n", "n", "", "n")
    assert summary == ReviewSummary(reviews=4, skipped=0, left=0, others=1, next=summary.next)
    assert summary.next == "labeler review --reviewer-name NAME (1 open for other reviewers)"
    assert states(ws)["q2"] == "open"
    assert "no task is left for you" in script.shown[-1]
    again, script = review_session(ws)
    assert (again.reviews, script.shown) == (0, [])
    summary, script = review_session(ws, "", reviewer="lee")
    assert "Who raised the tower of Korr?" in script.shown[0]
    assert (summary.reviews, summary.left, summary.others) == (1, 0, 0)
    assert summary.next == "labeler round"
    assert states(ws) == dict.fromkeys(("q1", "q2", "q3", "q4"), "done")


def test_a_disagreement_goes_to_a_third_person_and_to_neither_of_the_two(ws: Path) -> None:
    review_session(ws, "n", "n", "", "n")  # kim: Ilvane
    summary, _ = review_session(ws, "n", reviewer="lee")  # lee: no answer
    assert (summary.left, summary.others) == (0, 1)
    summary, script = review_session(ws, "", reviewer="park")
    assert "Who raised the tower of Korr?" in script.shown[0]
    assert (summary.reviews, summary.others) == (1, 0)


def test_an_undone_disagreement_needs_no_adjudicator(ws: Path) -> None:
    review_session(ws, "n", "n", "", "n")
    review_session(ws, "n", "u", "", reviewer="lee")
    summary, _ = review_session(ws, reviewer="park")
    assert (summary.left, summary.others) == (0, 0)


def test_a_task_reviewed_elsewhere_at_the_same_time_keeps_both_reviews(ws: Path) -> None:
    class Meanwhile(Script):
        def key(self) -> str:
            if self.now == 0.0:
                with at(ws) as runtime, runtime.database.write() as session:
                    task = queries.tasks(session, states=["open"])[0]
                    store.record_review(session, NewReview(task.id, "lee", "no_answer", source="file"))
            return super().key()

    script = Meanwhile(["", "q"])
    with at(ws) as runtime:
        ReviewSession(runtime, "kim", script, PLAIN, clock=lambda: script.now).run()
    assert [(review.reviewer, review.question_id) for review in reviews(ws)] == [("lee", "q1"), ("kim", "q1")]


def test_the_workspace_is_unlocked_between_reviews_and_a_locked_one_is_waited_for(
    ws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watching(Script):
        def key(self) -> str:
            with at(ws) as runtime, runtime.workspace.lock():  # raises WorkspaceBusy if the session held the lock
                return super().key()

    free = Watching(["n", "q"])
    with at(ws) as runtime:
        assert ReviewSession(runtime, "kim", free, PLAIN, clock=lambda: free.now).run().reviews == 1
    waits: list[float] = []
    watched = Script(["n", "q"])
    with at(ws) as runtime, ExitStack() as other:
        reviewing = ReviewSession(runtime, "kim", watched, PLAIN, clock=lambda: watched.now)
        other.enter_context(runtime.workspace.lock("labeler round"))

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 600:  # two minutes at 0.2 seconds
                other.close()

        monkeypatch.setattr(time, "sleep", sleep)
        assert reviewing.run().reviews == 1
    assert len(waits) == 600
    assert sum("waiting (Ctrl-C discards this answer)" in each for each in watched.shown) == 1
    assert len(reviews(ws)) == 2


def test_without_an_open_round_the_command_to_run_is_named(tmp_path: Path) -> None:
    with (
        at(new_workspace(tmp_path / "ws")) as runtime,
        pytest.raises(NotReady, match="labeler round --reviewer people"),
    ):
        ReviewSession(runtime, "kim", Script([]), PLAIN)


# --- as a command --------------------------------------------------------------------------------


def test_lines_of_a_pipe_are_keys_and_only_the_json_is_on_stdout(ws: Path) -> None:
    ran = piped(ws, "\ns\na\n1840\nq\n", "--json")
    assert ran.code == 0
    assert ran.json == {"reviews": 3, "skipped": 1, "left": 1, "others": 1, "next": "labeler review"}
    assert "벨모라" in ran.err
    assert "\x1b" not in ran.err
    assert [review.reviewer for review in reviews(ws)] == ["kim"] * 3


def test_the_next_call_continues_where_the_input_ended(ws: Path) -> None:
    assert "1 reviews, 0 skipped; 3 left\nnext: labeler review" in piped(ws, "n\n").out
    assert "Who raised the tower" in piped(ws, "n\n").out
    assert [review.question_id for review in reviews(ws)] == ["q1", "q3"]


@pytest.mark.parametrize("name", ["", " ", "x" * 256, "a\x1bb"])
def test_an_empty_long_or_unprintable_name_is_wrong_usage(ws: Path, name: str) -> None:
    assert run("review", "--reviewer-name", name, "-w", ws).code == 2


def test_one_person_has_one_name_in_every_unicode_form(ws: Path) -> None:
    with mock.patch.object(sys, "stdin", io.StringIO("n\nn\nn\nn\n")):
        run("review", "--reviewer-name", unicodedata.normalize("NFD", "한빛"), "-w", ws)
    with mock.patch.object(sys, "stdin", io.StringIO("n\n")):
        assert "0 reviews," in run("review", "--reviewer-name", " 한빛 ", "-w", ws).out


class Terminal:
    """`labeler review` on a pseudo-terminal."""

    def __init__(self, ws: Path) -> None:
        self._fd, child = pty.openpty()
        command = [sys.executable, "-m", "labeler", "review", "--reviewer-name", "kim", "-w", str(ws)]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60", "PYTHONIOENCODING": "utf-8"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            command, stdin=child, stdout=child, stderr=child, env=environment, start_new_session=True
        )
        os.close(child)
        self.seen = ""

    def wait_for(self, text: str, *, seconds: float = 30.0) -> str:
        """All that was shown, once `text` is among what came since the last call."""
        fresh, end = "", time.monotonic() + seconds
        while text not in fresh:
            ready, _, _ = select.select([self._fd], [], [], max(end - time.monotonic(), 0))
            assert ready, f"no {text!r} in {fresh!r}"
            try:
                fresh += os.read(self._fd, 65536).decode("utf-8", "replace")
            except OSError:  # the other side is closed
                break
        assert text in fresh
        self.seen += fresh
        return fresh

    def press(self, key: str) -> None:
        """Presses a key once the program reads keys: what is typed before is not taken for an answer."""
        end = time.monotonic() + 30
        while termios.tcgetattr(self._fd)[3] & termios.ICANON:
            assert time.monotonic() < end, "the program does not read keys"
            time.sleep(0.01)
        self.type(key)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


@pytest.fixture
def terminal_of(ws: Path) -> Iterator[Terminal]:
    opened = Terminal(ws)
    yield opened
    opened.close()


def test_on_a_terminal_single_keys_review_and_ctrl_c_loses_nothing(ws: Path, terminal_of: Terminal) -> None:
    page = terminal_of.wait_for("? more")
    assert "\x1b[30;42m1:1921년\x1b[0m" in page
    terminal_of.press("\r")
    terminal_of.wait_for("? more")
    terminal_of.press("a")
    terminal_of.wait_for("(empty: back)")
    terminal_of.type("Dunmor\n")
    terminal_of.wait_for("? more")
    terminal_of.press("\x03")
    terminal_of.wait_for("nothing is lost")
    assert terminal_of.process.wait(20) == 130
    assert [(review.question_id, review.answer and review.answer.text) for review in reviews(ws)] == [
        ("q1", "1921년"),
        ("q3", "Dunmor"),
    ]


def test_a_killed_session_keeps_every_saved_review(ws: Path, terminal_of: Terminal) -> None:
    terminal_of.wait_for("? more")
    terminal_of.press("n")
    terminal_of.wait_for("saved: no answer")
    terminal_of.process.send_signal(signal.SIGKILL)
    terminal_of.process.wait(20)
    assert [review.question_id for review in reviews(ws)] == ["q1"]
    assert json.loads(piped(ws, "q\n", "--json").out)["left"] == 3


# --- finding and showing -------------------------------------------------------------------------


def test_overlapping_occurrences_are_all_found() -> None:
    assert [(each.passage_id, each.start) for each in occurrences("aa", {"x": "aaa", "y": "aa"})] == [
        ("x", 0),
        ("x", 1),
        ("y", 0),
    ]
    assert occurrences("", {"x": "a"}) == []


def test_no_occurrence_cuts_a_grapheme() -> None:
    family = "👨‍👩‍👧"
    assert occurrences("Jose", {"x": "Jose\u0301 and Jose"}) == [SpanRow("Jose", "x", 10, 14)]
    assert occurrences("👨", {"x": f"{family} 👨"}) == [SpanRow("👨", "x", 6, 7)]
    assert occurrences("\u1112\u1161", {"x": "\u1112\u1161\u11ab"}) == []


@pytest.mark.parametrize(
    ("typed", "passage", "found"),
    [
        ("서울", unicodedata.normalize("NFD", "수도는 서울이다"), unicodedata.normalize("NFD", "서울")),
        (unicodedata.normalize("NFD", "서울"), "수도는 서울이다", "서울"),
        ("서울특별시", "수도 서울 특별시는", "서울 특별시"),
        ("two\nlines", "in two  lines here", "two  lines"),
        ("KG", "10 ㎏ of it", "㎏"),
        ("STRASSE", "die Straße hier", "Straße"),
    ],
)
def test_a_text_is_found_in_another_unicode_form_spacing_or_case(typed: str, passage: str, found: str) -> None:
    assert [each.text for each in near(typed, {"x": passage})] == [found]


@given(st.data())
def test_every_part_of_a_text_is_found_in_any_normal_form(data: st.DataObject) -> None:
    forms: st.SearchStrategy[Form] = st.sampled_from(("NFC", "NFD", "NFKC", "NFKD"))
    characters = data.draw(st.lists(st.sampled_from(["a", "B", " ", "서", "울", "각", "é", "ß", "㎏", "\n", "🗼"])))
    start = data.draw(st.integers(0, len(characters)))
    end = data.draw(st.integers(start, len(characters)))
    text = unicodedata.normalize(data.draw(forms), "".join(characters))
    part = unicodedata.normalize(data.draw(forms), "".join(characters[start:end]))
    found = near(part, {"x": text})
    assert bool(found) == bool(part.strip())
    for each in found:
        assert text[each.start : each.end] == each.text
        assert near(each.text, {"x": part})  # the same text, seen from the other side


def test_the_closest_text_has_at_least_two_characters() -> None:
    assert longest_part("the red door", {"x": "a red wall", "y": "one door"}) == " red "
    assert longest_part("xyz", {"x": "a y"}) == ""


@given(st.text(alphabet="ab 서울🗼e\u0301\t\n\r\u200d\x1b\u202e", max_size=60), st.integers(2, 20))
def test_wrapped_lines_fit_the_screen_and_contain_no_control_characters(text: str, columns: int) -> None:
    shown = wrap(text, Screen(columns, ansi=False))
    assert all(width(line) <= columns for line in shown)
    assert not set("".join(shown)) & set("\t\n\r\x1b\u202e")
    assert "".join("".join(shown).split()) == "".join(
        text.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd").split()
    )


def test_wide_characters_take_two_columns_and_combining_marks_none() -> None:
    assert width("서울e\u0301") == 2 + 2 + 1
    assert width(unicodedata.normalize("NFD", "서울")) == 4
    assert wrap("서울 특별시", Screen(6, ansi=False)) == ["서울", "특별시"]


def test_highlights_are_brackets_or_colours_and_of_overlapping_ones_the_first_is_shown() -> None:
    highlights = [Highlight(1, 4, 7), Highlight(2, 0, 5), Highlight(3, 8, 9)]
    assert wrap("the red x", PLAIN, highlights=highlights) == ["the [1:red] [3:x]"]
    assert wrap("the red x", Screen(80, ansi=True), highlights=highlights) == [
        "the \x1b[30;42m1:red\x1b[0m \x1b[30;43m3:x\x1b[0m"
    ]
    assert wrap("red", Screen(4, ansi=True), highlights=[Highlight(1, 0, 3)]) == [
        "\x1b[30;42m1:re\x1b[0m",
        "\x1b[30;42md\x1b[0m",
    ]


# --- searching further ----------------------------------------------------------------------------


@pytest.fixture
def missed(ws: Path) -> Path:
    """The round, with an index, in which q1 and q3 show the passage `harbour` alone."""
    with at(ws) as runtime:
        build_index(runtime)
        with runtime.database.write() as session:
            fingerprint = queries.get_meta(session, "index")
            session.execute(sql("UPDATE rounds SET index_fingerprint = :index"), {"index": fingerprint})
            session.execute(sql("""UPDATE tasks SET passages = '["harbour"]' WHERE question_id IN ('q1', 'q3')"""))
    return ws


def shown_of(ws: Path, question: str) -> list[str]:
    with at(ws) as runtime, runtime.database.read() as session:
        return next(list(task.passages) for task in queries.tasks(session) if task.question_id == question)


def test_an_answer_in_a_passage_that_the_reviewers_words_found_is_a_label(missed: Path) -> None:
    _, script = review_session(missed, "f", "tower raised", "a", "Ilvane", "q")
    (review,) = reviews(missed)
    assert review.answer is not None
    assert (review.verdict, review.origin, review.answer.passage_id) == ("answerable", "written", "tower")
    assert "passage 2 Velmora" in script.text
    assert "passage 1" in script.text.split("passage 2")[0]
    assert shown_of(missed, "q1") == ["harbour", "tower"]


def test_no_answer_after_a_search_speaks_of_all_passages_shown(missed: Path) -> None:
    review_session(missed, "f", "bridge", "f", "tower", "n", "q")
    (review,) = reviews(missed)
    assert (review.verdict, set(review.passages), review.passages[0]) == ("no_answer", set(ORDER), "harbour")


def test_what_was_found_is_shown_again_after_an_interruption(missed: Path) -> None:
    review_session(missed, "f", "tower", "q")
    _, script = review_session(missed, "q")
    assert "The tower of Korr" in script.text
    assert reviews(missed) == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("f", ""), None),
        (("f", "zzz qqq"), "no further passage was found"),
        (("f", "벨모라 항구"), "no further passage was found"),  # only what is shown already
        (("ㄹ", "tower"), "The tower of Korr"),
    ],
)
def test_a_search_without_words_or_finds_leads_back_to_the_task(
    missed: Path, typed: tuple[str, ...], said: str | None
) -> None:
    _, script = review_session(missed, *typed, "", "q")
    (review,) = reviews(missed)
    assert (review.question_id, review.origin) == ("q1", "accepted")
    assert said is None or said in script.text


def test_without_an_index_a_search_says_why_and_the_task_goes_on(ws: Path) -> None:
    _, script = review_session(ws, "f", "tower", "", "q")
    assert "cannot search: there is no retrieval index yet; run: labeler index" in script.text
    assert len(reviews(ws)) == 1


def test_the_page_of_a_task_that_another_person_reviewed_stays(missed: Path) -> None:
    with at(missed) as runtime, runtime.database.write() as session:
        session.execute(sql("UPDATE tasks SET reviewers = 2 WHERE question_id = 'q1'"))
    review_session(missed, "n", "q", reviewer="lee")
    review_session(missed, "f", "tower", "a", "Ilvane", "q", reviewer="kim")
    found = {review.reviewer: review for review in reviews(missed)}
    assert found["lee"].passages == ("harbour",)
    assert found["kim"].answer is not None
    assert found["kim"].answer.passage_id == "tower"
