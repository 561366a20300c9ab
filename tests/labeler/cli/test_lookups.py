"""The commands search, ask, passages, questions and labels list: marked text, limits and filters."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.cli.common import row_limit
from labeler.cli.describe.snippets import answer_sentence, matched_snippet, matched_words
from mrc.text import passage_id
from tests.commands import HARBOUR, TOWER, gold_file, new_workspace, ok, run

LONG = "Ann sings. " * 40 + "The tower of Korr was raised by Ilvane. " + "Bob paints. " * 40


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = new_workspace(tmp_path / "ws")
    ok("import", gold_file(tmp_path), "--split", "gold=2,dev=1,pool=rest", "-w", folder)
    ok("index", "--analyzer", "bigram", "-w", folder)
    return folder


# --- lists ----------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("limit", "as_json", "rows"), [(None, False, 50), (None, True, None), (7, False, 7), (7, True, 7)]
)
def test_a_terminal_gets_50_rows_unless_it_asks_for_more(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, as_json: bool, rows: int | None
) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    assert row_limit(limit, as_json=as_json) == rows


def test_a_pipe_gets_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert row_limit(None, as_json=False) is None


def test_a_list_that_is_cut_says_how_many_rows_there_are(workspace: Path) -> None:
    total = ok("labels", "list", "-w", workspace)["total"]
    *rows, last = run("labels", "list", "--limit", "1", "-w", workspace).out.splitlines()
    assert len(rows) == 2  # the header and a label
    assert last == f"1 of {total} labels; --limit N shows more, --json lists all"
    assert len(ok("labels", "list", "--limit", "1", "-w", workspace)["labels"]) == 1


def test_pages_hold_every_label_once(workspace: Path) -> None:
    everything = ok("labels", "list", "-w", workspace)
    assert set(everything) == {"labels", "total"}
    assert everything["total"] == len(everything["labels"]) > 2
    ids, after = [], ()
    while True:
        page = ok("labels", "list", "--limit", "1", *after, "-w", workspace)
        assert page["total"] == everything["total"]
        ids += [row["id"] for row in page["labels"]]
        if page["next"] is None:
            break
        after = ("--after", page["next"])
    assert ids == [row["id"] for row in everything["labels"]]
    shown = run("labels", "list", "--limit", "1", "-w", workspace)
    assert shown.err.splitlines() == [f"the next page: --after {everything['labels'][0]['question_id']}"]


def test_the_json_of_a_long_list_is_written_a_page_at_a_time(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {name: ok(name, "list", "-w", workspace) for name in ("labels", "questions")}
    monkeypatch.setattr("labeler.cli.labels.PAGE", 1)
    monkeypatch.setattr("labeler.cli.retrieval.PAGE", 2)
    for name, found in whole.items():
        assert ok(name, "list", "-w", workspace) == found
    first = whole["questions"]["questions"][0]["id"]
    later = ok("questions", "list", "--after", first, "-w", workspace)
    assert later == {"questions": whole["questions"]["questions"][1:], "total": whole["questions"]["total"]}
    assert ok("questions", "list", "--after", "~", "-w", workspace)["questions"] == []
    assert "no-such-id" in run("labels", "list", "--question", "no-such-id", "--json", "-w", workspace).json["error"]


def test_labels_are_filtered_by_role_kind_and_text(workspace: Path) -> None:
    everything = ok("labels", "list", "-w", workspace)["labels"]
    (dev,) = ok("labels", "list", "--role", "dev", "-w", workspace)["labels"]
    assert dev in everything
    assert ok("labels", "list", "--kind", "human", "-w", workspace)["labels"] == []
    answer = dev["answers"][0]["text"]
    found = ok("labels", "list", "--search", answer.upper(), "-w", workspace)["labels"]
    assert dev["id"] in {label["id"] for label in found}


def test_gold_labels_of_dev_questions_are_used_for_evaluation_and_not_released(workspace: Path) -> None:
    labels = {label["role"]: label for label in ok("labels", "list", "-w", workspace)["labels"]}
    assert (labels["gold"]["released"], labels["dev"]["released"]) == (True, False)
    assert "used for evaluation" in run("labels", "list", "--role", "dev", "-w", workspace).out
    assert "exportable, used in training" in run("labels", "list", "--role", "gold", "-w", workspace).out


def test_questions_are_listed_by_role_and_label_and_searched_by_text(workspace: Path) -> None:
    pool = ok("questions", "list", "--role", "pool", "-w", workspace)
    assert pool["total"] == len(pool["questions"]) > 0
    assert {each["role"] for each in pool["questions"]} == {"pool"}
    assert ok("questions", "list", "--unlabelled", "-w", workspace)["questions"] == pool["questions"]
    found = ok("questions", "search", "RAISED the tower", "-w", workspace)["questions"]
    assert [each["id"] for each in found] == ["q3"]
    assert run("questions", "search", "nothing like it", "-w", workspace).out == "no question\n"


def test_the_hidden_answers_of_the_pool_are_not_listed(workspace: Path) -> None:
    pool = ok("questions", "list", "--role", "pool", "-w", workspace)["questions"]
    assert [each["answers"] for each in pool] == [[] for _ in pool]


# --- passages -------------------------------------------------------------------------------------


def test_a_passage_is_shown_whole_with_its_questions_by_the_start_of_its_id(workspace: Path) -> None:
    found = ok("passages", "show", passage_id(TOWER)[:8], "-w", workspace)
    assert (found["id"], found["text"], found["title"]) == (passage_id(TOWER), TOWER, "Velmora")
    assert [each["id"] for each in found["questions"]] == ["q3"]
    text = run("passages", "show", passage_id(TOWER)[:8], "-w", workspace).out
    assert TOWER in text
    assert "Who raised the tower of Korr?" in text


def test_an_unknown_passage_is_refused(workspace: Path) -> None:
    assert "passage '00000000' is not stored" in run("passages", "show", "0" * 8, "-w", workspace).fault


def test_search_marks_the_words_that_match_and_names_the_command_that_shows_the_passage(workspace: Path) -> None:
    head, snippet, command = run("search", "벨모라 항구", "-k", "1", "-w", workspace).out.splitlines()
    assert re.fullmatch(r"1  Velmora  \(score \d+\.\d\d\)", head)
    assert "«벨모라» «항구는» 1921년에" in snippet
    assert command.strip() == f"labeler passages show {passage_id(HARBOUR)[:12]}"


def test_ask_shows_the_title_and_the_sentence_with_the_answer_marked(baseline: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(baseline, tmp_path / "ws")
    question = "Who founded the mill?"
    best = ok("ask", question, "-w", workspace)["answers"][0]
    head, sentence, command, *rest = run("ask", question, "-w", workspace).out.splitlines()
    assert head.startswith(f"1  {best['text']}  (")
    assert sentence.strip().startswith(f"{best['title']}: ")
    assert f"«{best['text']}»" in sentence
    assert command.strip() == f"labeler passages show {best['passage_id'][:12]}"
    assert best["passage"][best["start"] : best["end"]] == best["text"]
    assert rest[-1] == "No confidence yet: `labeler round` calibrates this reader."


# --- snippets -------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_a_snippet_is_cut_around_the_words_that_match() -> None:
    snippet = matched_snippet(LONG, "Who raised the tower?", words, width=60)
    assert snippet.startswith("…")
    assert snippet.endswith("…")
    assert "«The» «tower» of Korr was «raised»" in snippet
    assert len(snippet) < 60 + len("««»»««»»……")


def test_the_sentence_of_an_answer_is_shown_without_its_neighbours() -> None:
    start = LONG.index("Ilvane")
    assert answer_sentence(LONG, start, start + 6) == "The tower of Korr was raised by «Ilvane»."
    assert answer_sentence(LONG, start, start + 6, width=20) == "…raised by «Ilvane»."


@given(st.text(alphabet="ab .\n가", min_size=1, max_size=300), st.data())
def test_an_answer_is_marked_wherever_it_is(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    shown = answer_sentence(text, start, end, width=20)
    marked = " ".join(shown.split("«")[1].split("»")[0].split())
    assert marked == " ".join(text[start:end].split())


@given(st.text(alphabet="ab .\n가", max_size=300), st.text(alphabet="ab가 ", max_size=10))
def test_the_words_of_a_snippet_are_those_of_the_passage(text: str, question: str) -> None:
    shown = matched_snippet(text, question, words, width=30)
    bare = shown.strip("…").replace("«", "").replace("»", "")
    assert " ".join(bare.split()) in " ".join(text.split())


def test_words_that_match_have_their_offsets() -> None:
    (tower,) = matched_words("The Tower!", "a tower", words)
    assert (tower.start, tower.end, tower.terms) == (4, 10, frozenset({"tower"}))
