"""Tasks and reviews as Label Studio files. The exports here have the structure of a real server's (1.23.2)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import queries, store
from db.rows import NewReview, ReviewRow
from labeler.review.studio import export_parser
from labeler.review.studio.export_parser import parse_reviewer_names
from labeler.review.studio.files import PUSH_ID, ImportedReviews, import_reviews, write_tasks
from labeler.review.studio.labeling_config import VERDICT
from tests.commands import new_workspace, ok, run
from tests.reviewing import TASKS, TEXTS, round_in_review
from tests.studio import TestServer
from tests.worlds import at

MONDAY, TUESDAY = "2026-11-23T17:08:45.848526Z", "2026-11-24T09:00:00+09:00"


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    round_in_review(tmp_path / "ws")
    return tmp_path / "ws"


@pytest.fixture
def tasks(ws: Path, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Question id -> its task, as it was written."""
    with at(ws) as runtime:
        write_tasks(runtime, tmp_path / "tasks")
    files = (tmp_path / "tasks").glob("*.json")
    return {each["data"]["question_id"]: each for file in files for each in json.loads(file.read_text("utf-8"))}


def verdict(said: str) -> dict[str, Any]:
    return {
        "id": "v1",
        "from_name": VERDICT,
        "to_name": "p1",
        "type": "choices",
        "origin": "manual",
        "value": {"choices": [said]},
    }


def mark(task: dict[str, Any], text: str) -> dict[str, Any]:
    """The region of a text, in the first passage that contains it."""
    place = next(number for number in range(1, 6) if text in task["data"].get(f"p{number}", ""))
    start = task["data"][f"p{place}"].index(text)
    return {
        "id": "x1",
        "from_name": f"answer{place}",
        "to_name": f"p{place}",
        "type": "labels",
        "origin": "manual",
        "value": {"start": start, "end": start + len(text), "text": text, "labels": ["Answer"]},
    }


def annotation(number: int, result: list[Any], **changes: Any) -> dict[str, Any]:
    """As the server exports it."""
    return {
        "id": number,
        "completed_by": 1,
        "result": result,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": MONDAY,
        "updated_at": MONDAY,
        "draft_created_at": None,
        "lead_time": 12.5,
        "prediction": {},
        "result_count": len(result),
        "unique_id": f"feabf19b-b92e-4558-a01c-{number:012d}",
        "import_id": None,
        "last_action": None,
        "bulk_created": False,
        "task": 10000 + number,
        "project": 3,
        "updated_by": 1,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
        **changes,
    }


def answer(number: int, task: dict[str, Any], text: str, **changes: Any) -> dict[str, Any]:
    return annotation(number, [mark(task, text), verdict("answerable")], **changes)


def by(email: str, number: int = 1) -> dict[str, Any]:
    """completed_by, as a snapshot may have it."""
    return {"id": number, "email": email, "first_name": "", "last_name": ""}


def entry(task: dict[str, Any], *annotations: Any) -> dict[str, Any]:
    return {
        "id": 10001,
        "annotations": list(annotations),
        "drafts": [],
        "predictions": [1],
        "data": task["data"],
        "meta": {},
        "created_at": MONDAY,
        "updated_at": MONDAY,
        "allow_skip": True,
        "inner_id": 1,
        "total_annotations": len(annotations),
        "cancelled_annotations": 0,
        "total_predictions": 1,
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "last_comment_updated_at": None,
        "project": 3,
        "updated_by": 1,
        "comment_authors": [],
    }


def import_exports(ws: Path, *exports: Any, names: Sequence[str] = ()) -> ImportedReviews:
    """The result of importing exports, each as one file."""
    files = []
    for number, content in enumerate(exports):
        file = ws.parent / f"export-{number}.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        files.append(str(file))
    with at(ws) as runtime:
        return import_reviews(runtime, files, parse_reviewer_names(names))


def reviews(ws: Path, *, superseded: bool = False) -> list[ReviewRow]:
    with at(ws) as runtime, runtime.database.read() as session:
        return queries.reviews(session, superseded=superseded)


def said(ws: Path) -> list[tuple[str, str, str | None]]:
    """(question, reviewer, answer or verdict) of the current reviews, by question."""
    return sorted(
        (each.question_id, each.reviewer, each.answer.text if each.answer else each.verdict) for each in reviews(ws)
    )


# --- out -----------------------------------------------------------------------------------------


def test_each_kind_of_project_is_written_with_its_page_and_guidelines(ws: Path, tmp_path: Path) -> None:
    written = ok("export", "--format", "label-studio", "-o", tmp_path / "out", "-w", ws)
    assert written["files"] == {"suggested.json": 1, "suggested-two-people.json": 1, "blind.json": 2}
    assert (written["tasks"], written["labels"], written["path"]) == (4, 0, str(tmp_path / "out"))
    names = [
        f"{form}.{kind}" for form in ("suggested", "suggested-two-people", "blind") for kind in ("html", "json", "xml")
    ]
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == sorted(names)


def test_only_projects_with_open_tasks_are_written(tmp_path: Path) -> None:
    round_in_review(tmp_path / "ws", tasks=tuple(each for each in TASKS if each[2]))
    assert list(ok("export", "--format", "label-studio", "-o", tmp_path / "out", "-w", tmp_path / "ws")["files"]) == [
        "blind.json"
    ]


def test_blind_files_do_not_mention_suggestions_kinds_or_scores(ws: Path, tmp_path: Path) -> None:
    with at(ws) as runtime:
        write_tasks(runtime, tmp_path / "out")
    for kind in ("json", "xml", "html"):
        text = (tmp_path / "out" / f"blind.{kind}").read_text("utf-8").casefold()
        for word in ("prediction", "score", "random", "candidate", "suggest", "model_version", "후보"):
            assert word not in text, f"{word} in blind.{kind}"
    blind = json.loads((tmp_path / "out" / "blind.json").read_text("utf-8"))
    assert [each["data"]["question_id"] for each in blind] == ["q3", "q4"]  # in order of presentation
    assert {each["data"]["push_id"] for each in blind} == {PUSH_ID}


def test_the_same_tasks_are_written_as_the_same_bytes(ws: Path, tmp_path: Path) -> None:
    with at(ws) as runtime:
        write_tasks(runtime, tmp_path / "a")
        write_tasks(runtime, tmp_path / "b")
    assert {each.name: each.read_bytes() for each in (tmp_path / "a").iterdir()} == {
        each.name: each.read_bytes() for each in (tmp_path / "b").iterdir()
    }


def test_an_export_needs_open_tasks_and_a_new_folder(ws: Path, tmp_path: Path) -> None:
    export = ("export", "--format", "label-studio", "-o")
    assert "labeler round --reviewer people" in run(*export, tmp_path / "x", "-w", new_workspace(tmp_path / "n")).fault
    assert "exists already" in run(*export, ws, "-w", ws).fault
    assert run(*export, tmp_path / "x", "--kinds", "gold", "-w", ws).code == 2
    with at(ws) as runtime, runtime.database.write() as session:
        store.withdraw_tasks(session, 0)
    assert "has no open task" in run(*export, tmp_path / "x", "-w", ws).fault
    assert not (tmp_path / "x").exists()


def test_a_task_with_too_many_passages_is_not_exported(
    ws: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeler.review.studio.files.MAX_PASSAGES", 2)
    assert (
        "a task shows 3 passages, a page 2; review it with: labeler review"
        in run("export", "--format", "label-studio", "-o", tmp_path / "x", "-w", ws).fault
    )


# --- in ------------------------------------------------------------------------------------------


def test_imported_annotations_have_offsets_into_the_stored_passages(ws: Path, tasks: dict[str, Any]) -> None:
    accepted = [{**each, "origin": "prediction"} for each in tasks["q1"]["predictions"][0]["result"]]
    got = import_exports(
        ws,
        [
            entry(tasks["q1"], annotation(1, accepted)),
            entry(tasks["q3"], answer(2, tasks["q3"], "Cafe\u0301")),
            entry(tasks["q4"], annotation(3, [], was_cancelled=True, lead_time=3)),
            entry(tasks["q2"]),
        ],
    )
    assert (got.reviews, got.labels, got.skipped, got.edited, got.duplicates, got.rejected) == (3, 2, 1, 0, 0, ())
    assert said(ws) == [("q1", "user 1", "1921년"), ("q3", "user 1", "Cafe\u0301"), ("q4", "user 1", "skipped")]
    for review in reviews(ws):
        assert review.source == "file"
        if review.answer:
            assert TEXTS[review.answer.passage_id][review.answer.start : review.answer.end] == review.answer.text
    assert [(review.origin, review.seconds) for review in reviews(ws)] == [
        ("accepted", 12.5),
        ("written", 12.5),
        (None, 3),
    ]


def test_the_same_file_again_changes_nothing(ws: Path, tasks: dict[str, Any]) -> None:
    export = [
        entry(tasks["q3"], answer(1, tasks["q3"], "Dunmor")),
        entry(tasks["q4"], annotation(2, [], was_cancelled=True)),
    ]
    import_exports(ws, export)
    before = reviews(ws, superseded=True)
    again = import_exports(ws, export, export)
    assert (again.reviews, again.skipped, again.edited, again.duplicates) == (0, 0, 0, 4)
    assert reviews(ws, superseded=True) == before


def test_the_latest_edit_counts_whatever_the_order_of_the_files(ws: Path, tasks: dict[str, Any]) -> None:
    old = [entry(tasks["q3"], answer(1, tasks["q3"], "Dunmor"))]
    new = [entry(tasks["q3"], answer(1, tasks["q3"], "Ilvane", updated_at=TUESDAY))]
    assert (import_exports(ws, old).edited, import_exports(ws, new).edited) == (0, 1)
    back = import_exports(ws, old, new, old)
    assert (back.reviews, back.older, back.duplicates) == (0, 2, 1)
    assert said(ws) == [("q3", "user 1", "Ilvane")]
    assert len(reviews(ws, superseded=True)) == 2


def test_of_two_annotations_by_one_person_the_newest_counts(ws: Path, tasks: dict[str, Any]) -> None:
    newer, older = answer(1, tasks["q3"], "Ilvane", updated_at=TUESDAY), answer(2, tasks["q3"], "Dunmor")
    import_exports(
        ws, [entry(tasks["q3"], newer, older), entry(tasks["q3"], older)]
    )  # the task was imported there twice
    assert said(ws) == [("q3", "user 1", "Ilvane")]


def test_a_review_stays_when_a_later_file_lacks_it(ws: Path, tasks: dict[str, Any]) -> None:
    import_exports(ws, [entry(tasks["q3"], answer(1, tasks["q3"], "Dunmor"))])
    assert import_exports(ws, [entry(tasks["q3"])]).reviews == 0
    assert said(ws) == [("q3", "user 1", "Dunmor")]


def test_an_unreadable_edit_removes_the_review_until_it_is_corrected(ws: Path, tasks: dict[str, Any]) -> None:
    import_exports(ws, [entry(tasks["q3"], answer(1, tasks["q3"], "Dunmor"))])
    broken = [entry(tasks["q3"], annotation(1, [verdict("answerable")], updated_at=TUESDAY))]
    for _ in range(2):  # the same problem is reported again, and nothing else happens
        (rejected,) = import_exports(ws, broken).rejected
        assert rejected.where.endswith("entry 1 (question q3), annotation 1")
        assert rejected.why == "answerable without an answer marked"
        assert said(ws) == []
    corrected = answer(1, tasks["q3"], "Ilvane", updated_at="2026-11-25T00:00:00Z")
    import_exports(ws, [entry(tasks["q3"], corrected)])
    assert said(ws) == [("q3", "user 1", "Ilvane")]


def test_a_reviewer_known_by_number_and_by_name_is_one_person(ws: Path, tasks: dict[str, Any]) -> None:
    by_number = [entry(tasks["q2"], answer(1, tasks["q2"], "Ilvane"))]  # asks two people
    by_name = [entry(tasks["q2"], answer(1, tasks["q2"], "Ilvane", completed_by=by("kim@example.org")))]
    assert import_exports(ws, by_number).notes == (
        "reviewers known only by a number: user 1; name them with: --reviewer-name NUMBER=NAME",
    )
    assert import_exports(ws, by_name).edited == 1
    assert said(ws) == [("q2", "kim@example.org", "Ilvane")]
    assert import_exports(ws, by_number, by_name, by_number).reviews == 0
    assert said(ws) == [("q2", "kim@example.org", "Ilvane")]


def test_an_older_file_does_not_replace_a_newer_edit(ws: Path, tasks: dict[str, Any]) -> None:
    import_exports(ws, [entry(tasks["q3"], answer(1, tasks["q3"], "Ilvane", updated_at=TUESDAY))])
    named = answer(1, tasks["q3"], "Dunmor", completed_by=by("kim@example.org"))
    assert import_exports(ws, [entry(tasks["q3"], named)]).older == 1
    assert said(ws) == [("q3", "user 1", "Ilvane")]


def test_reviewers_known_by_numbers_can_be_named(ws: Path, tasks: dict[str, Any]) -> None:
    export = [entry(tasks["q2"], answer(1, tasks["q2"], "Ilvane"), answer(2, tasks["q2"], "Ilvane", completed_by=2))]
    got = import_exports(ws, export, names=["1=kim", "2=lee"])
    assert (got.reviews, got.notes) == (2, ())
    assert said(ws) == [("q2", "kim", "Ilvane"), ("q2", "lee", "Ilvane")]


def test_one_name_is_accepted_only_for_a_file_of_one_reviewer(ws: Path, tasks: dict[str, Any]) -> None:
    one = tmp_file(ws, [entry(tasks["q3"], answer(1, tasks["q3"], "Dunmor", completed_by=7))])
    ok("import", one, "--as", "reviews", "--reviewer-name", "kim", "-w", ws)
    assert said(ws) == [("q3", "kim", "Dunmor")]
    two = tmp_file(
        ws, [entry(tasks["q2"], answer(2, tasks["q2"], "Ilvane"), answer(3, tasks["q2"], "1840", completed_by=2))]
    )
    fault = run("import", two, "--as", "reviews", "--reviewer-name", "kim", "-w", ws).fault
    assert "has annotations of several reviewers (1, 2)" in fault


def test_a_disagreement_in_a_file_makes_an_adjudication_task(ws: Path, tasks: dict[str, Any]) -> None:
    export = [entry(tasks["q2"], answer(1, tasks["q2"], "Ilvane"), answer(2, tasks["q2"], "1840", completed_by=2))]
    import_exports(ws, export)
    with at(ws) as runtime, runtime.database.read() as session:
        asked = [(task.kind, task.state) for task in queries.tasks(session) if task.question_id == "q2"]
    assert asked == [("suspect", "conflict"), ("adjudication", "open")]


def test_a_file_does_not_change_a_review_from_a_server(ws: Path, tasks: dict[str, Any]) -> None:
    with at(ws) as runtime, runtime.database.write() as session:
        task = next(each for each in queries.tasks(session) if each.question_id == "q3")
        store.record_review(session, NewReview(task.id, "kim@example.org", "no_answer", source="studio"))
    named = answer(1, tasks["q3"], "Dunmor", completed_by=by("kim@example.org"))
    (rejected,) = import_exports(ws, [entry(tasks["q3"], named)]).rejected
    assert "labeler pull" in rejected.why
    assert said(ws) == [("q3", "kim@example.org", "no_answer")]


def test_a_late_review_of_a_withdrawn_task_counts(ws: Path, tasks: dict[str, Any]) -> None:
    with at(ws) as runtime, runtime.database.write() as session:
        store.withdraw_tasks(session, 0)
    assert import_exports(ws, [entry(tasks["q3"], answer(1, tasks["q3"], "Dunmor"))]).reviews == 1


def test_foreign_tasks_are_rejected_and_ours_imported(ws: Path, tasks: dict[str, Any]) -> None:
    other = {**tasks["q3"], "data": {**tasks["q3"]["data"], "task": "someone-elses"}}
    got = import_exports(
        ws, [entry(other, answer(1, tasks["q3"], "Dunmor")), entry(tasks["q3"], answer(2, tasks["q3"], "Dunmor")), 7]
    )
    assert got.reviews == 1
    assert [(row.where.rpartition(": ")[2], row.why) for row in got.rejected] == [
        ("entry 1", "not a task of this workspace"),
        ("entry 3", "not a task of this workspace"),
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"id": "1"}, "an annotation without an id"),
        ({"id": 1 << 63}, "an annotation without an id"),
        ({"updated_at": None}, "not a time with a time zone"),
        ({"updated_at": "2026-11-23T17:08:45"}, "not a time with a time zone"),
        ({"completed_by": [1]}, "completed_by is not a user"),
        ({"result": "x"}, "list of regions"),
        ({"result": [7]}, "list of regions"),
        ({"result": [verdict("maybe")]}, "unknown verdict"),
    ],
)
def test_an_invalid_annotation_is_rejected_with_its_position(
    ws: Path, tasks: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    bad = answer(1, tasks["q3"], "Dunmor") | changes
    got = import_exports(ws, [entry(tasks["q3"], bad, None), entry(tasks["q4"], answer(2, tasks["q4"], "Ilvane"))])
    assert got.reviews == 1
    assert [row.where.count("entry 1 (question q3)") for row in got.rejected] == [1, 1]
    assert any(why in row.why for row in got.rejected)


@pytest.mark.parametrize(
    ("marked", "why"),
    [
        ([{"start": 0, "end": 3}], None),  # a region without its text is the text at its place
        ([{"start": 0, "end": 3, "text": "another text"}], None),  # offsets count, as the page draws them
        ([{"start": "0", "end": "3", "text": "x"}], "answer outside the text (p1: marked is '0'-'3')"),
        ([{"start": 0, "end": 3}, {"start": 4, "end": 6}], "two answers marked"),
        ([{"start": 5, "end": 2, "text": "x"}], "marked is 5-2"),
        ([{"start": 0, "end": 10**6, "text": "x"}], "marked is 0-1000000"),
    ],
)
def test_awkward_regions_are_taken_at_their_offsets_or_listed_and_the_others_imported(
    ws: Path, tasks: dict[str, Any], marked: list[dict[str, Any]], why: str | None
) -> None:
    task = tasks["q3"]
    regions = [
        {**mark(task, "Dunmor"), "id": f"m{number}", "from_name": "answer1", "to_name": "p1"}
        | {"value": {"labels": ["Answer"], **value}}
        for number, value in enumerate(marked)
    ]
    awkward = annotation(1, [verdict("answerable"), *regions])
    skipped = annotation(3, [], was_cancelled=True)
    plain = entry(tasks["q4"], annotation(2, [verdict("no_answer")]), skipped)
    got = import_exports(ws, [entry(task, awkward), plain])
    assert [row.why for row in got.rejected if why and why in row.why] == [row.why for row in got.rejected]
    assert len(got.rejected) == (why is not None)
    with at(ws) as runtime, runtime.database.read() as session:
        current = {each.question_id: each for each in queries.reviews(session) if not each.superseded_at}
    assert current["q4"].verdict in ("no_answer", "skipped")
    if why is None:
        span = current["q3"].answer
        assert span is not None
        assert (span.start, span.end, span.text) == (0, 3, task["data"]["p1"][:3])
    else:
        assert "q3" not in current


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def one_task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A workspace with one task, and the task as it was written."""
    place = tmp_path_factory.mktemp("damaged")
    round_in_review(place / "ws", tasks=TASKS[1:2])
    with at(place / "ws") as runtime:
        write_tasks(runtime, place / "tasks")
    (task,) = json.loads((place / "tasks" / "blind.json").read_text("utf-8"))
    return place / "ws", task


@given(data=st.data())
def test_a_damaged_annotation_is_at_worst_rejected(one_task: tuple[Path, dict[str, Any]], data: st.DataObject) -> None:
    ws, task = one_task
    whole = annotation(1, [mark(task, "Dunmor"), verdict("answerable")])
    damaged: Any = whole
    path = data.draw(
        st.sampled_from(
            [("result",), ("result", 0), ("result", 0, "value"), ("result", 0, "value", "start"), ("completed_by",),
             ("result", 0, "value", "labels"), ("result", 1, "value", "choices"), ("lead_time",), ("was_cancelled",),
             ("unique_id",), ("updated_at",), ("result", 0, "from_name"), ("id",)]
        )
    )  # fmt: skip
    for key in path[:-1]:
        damaged = damaged[key]
    damaged[path[-1]] = data.draw(JUNK)
    got = import_exports(ws, [entry(task, whole)])
    assert got.reviews + got.duplicates + got.older + len(got.rejected) == 1


@pytest.mark.parametrize("lead_time", [10**400, -1, "12", float("inf"), None, [3]])
def test_an_invalid_time_is_left_out(ws: Path, tasks: dict[str, Any], lead_time: Any) -> None:
    assert import_exports(ws, [entry(tasks["q3"], answer(1, tasks["q3"], "Dunmor", lead_time=lead_time))]).reviews == 1
    assert [review.seconds for review in reviews(ws)] == [None]


def tmp_file(ws: Path, content: Any) -> Path:
    file = ws.parent / "one.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            [{"id": 1, "question": "?", "annotator": 1, "annotation_id": 1, "verdict": "answerable"}],
            "a JSON-MIN export",
        ),
        ("id,question,verdict\n1,Who?,answerable\n", "not a JSON list of tasks; export from Label Studio as JSON"),
        ({"tasks": []}, "not a JSON list of tasks"),
        ({"version": "1.1", "data": []}, "import it with --as gold, pool, dev or test"),
        ([{"data": {"question": "?"}}], "contains no annotations"),
        ([], "contains no annotations"),
        ([7, None], "contains no annotations"),
        ([{"annotations": [], "data": {"task": "x"}}], "none of its 1 tasks belongs to this workspace"),
        ("[" * 100_000, "not a JSON list of tasks"),
        ("[" + "9" * 5000 + "]", "contains no annotations"),
        ("\x00\x01", "not a JSON list of tasks"),
        ("", "the file is empty"),
    ],
)
def test_a_wrong_file_is_reported_in_one_line(ws: Path, content: Any, fault: str) -> None:
    assert fault in run("import", tmp_file(ws, content), "--as", "reviews", "-w", ws).fault
    assert reviews(ws) == []


def test_a_gigantic_file_is_not_read(ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_file(ws, "[]")
    os.truncate(file, export_parser.MAX_BYTES + 1)
    assert "larger than 1 GiB; export fewer tasks per file" in run("import", file, "--as", "reviews", "-w", ws).fault


def test_a_missing_file_and_a_folder_are_reported_in_one_line(ws: Path) -> None:
    assert "no such file" in run("import", ws / "no.json", "--as", "reviews", "-w", ws).fault
    assert "is a folder" in run("import", ws, "--as", "reviews", "-w", ws).fault


@pytest.mark.parametrize(
    "wrong",
    [
        ("--format", "csv"),
        ("--seed", "1"),
        ("--reviewer-name", "a", "--reviewer-name", "b"),
        ("--reviewer-name", "1=a", "--reviewer-name", "b"),
    ],
)
def test_options_that_do_not_apply_to_reviews_are_wrong_usage(ws: Path, wrong: tuple[str, ...]) -> None:
    assert run("import", "x.json", "--as", "reviews", *wrong, "-w", ws).code == 2


def test_reviewer_names_apply_to_reviews_only(ws: Path) -> None:
    assert run("import", "x.json", "--as", "gold", "--reviewer-name", "kim", "-w", ws).code == 2


def test_an_import_of_reviews_prints_counts_rejections_and_the_next_command(ws: Path, tasks: dict[str, Any]) -> None:
    file = tmp_file(ws, [entry(tasks["q3"], answer(1, tasks["q3"], "Dunmor")), entry(tasks["q4"], annotation(2, []))])
    printed = run("import", file, "--as", "reviews", "-w", ws).out
    assert "1 reviews, 0 skipped" in printed
    assert "entry 2 (question q4), annotation 2: no verdict" in printed
    assert printed.endswith("next: labeler round\n")


# --- a real server -------------------------------------------------------------------------------


def test_tasks_and_reviews_pass_through_a_real_server_as_files(
    label_studio: TestServer, ws: Path, tmp_path: Path
) -> None:
    with at(ws) as runtime:
        write_tasks(runtime, tmp_path / "tasks")
    call = label_studio.request
    for form in ("suggested", "blind"):
        setup = {
            "title": "questions",
            "label_config": (tmp_path / "tasks" / f"{form}.xml").read_text("utf-8"),
            "expert_instruction": (tmp_path / "tasks" / f"{form}.html").read_text("utf-8"),
        }
        project = call("POST", "/api/projects/", json=setup)["id"]
        written = json.loads((tmp_path / "tasks" / f"{form}.json").read_text("utf-8"))
        ids = call("POST", f"/api/projects/{project}/import?return_task_ids=true", json=written)["task_ids"]
        if form == "suggested":
            result = [{**each, "origin": "prediction"} for each in written[0]["predictions"][0]["result"]]
            call("POST", f"/api/tasks/{ids[0]}/annotations/", json={"result": result, "lead_time": 12.5})
        else:
            first = [mark(written[0], "Dunmor"), verdict("answerable")]
            edited = [mark(written[0], "Cafe\u0301 Dunmor"), verdict("answerable")]
            made = call("POST", f"/api/tasks/{ids[0]}/annotations/", json={"result": first, "lead_time": 2.0})
            call("PATCH", f"/api/annotations/{made['id']}/", json={"result": edited})
            call("POST", f"/api/tasks/{ids[1]}/annotations/", json={"result": [], "was_cancelled": True})
        export = call("GET", f"/api/projects/{project}/export?exportType=JSON")
        got = import_exports(ws, export, names=["kim"])
        assert (got.reviews, got.skipped, got.rejected) == ((1, 0, ()) if form == "suggested" else (2, 1, ()))
        assert set(annotation(1, [])) <= set(export[0]["annotations"][0])  # the structure that the tests above rely on
        assert set(entry(written[0])) <= set(export[0])
        least = call("GET", f"/api/projects/{project}/export?exportType=JSON_MIN")
        assert "JSON-MIN" in run("import", tmp_file(ws, least), "--as", "reviews", "-w", ws).fault
    assert said(ws) == [("q1", "kim", "1921년"), ("q3", "kim", "Cafe\u0301 Dunmor"), ("q4", "kim", "skipped")]
    assert [review.origin for review in reviews(ws)] == ["accepted", "written", None]
