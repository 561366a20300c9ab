"""Near-equal is equal: copies that trivial edits change share one side of a split, one guard and one original."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from db import queries
from db.engine import Database
from labeler.importing import ingest
from labeler.importing import near as near_module
from labeler.importing.ingest import ImportReport, import_files
from labeler.importing.splits import parse_split
from mrc.text.near_duplicates import NearDuplicate, near_duplicates
from tests.commands import new_workspace, ok, run

EDITS: dict[str, Callable[[str], str]] = {
    "trailing space": lambda text: f"{text} ",
    "double space": lambda text: text.replace(" ", "  ", 1),
    "CRLF": lambda text: text.replace(". ", ".\r\n", 1),
    "NBSP": lambda text: text.replace(" ", "\u00a0", 1),
    "zero width": lambda text: f"{text[:3]}\u200b{text[3:]}",
    "case": str.upper,
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "quotes": lambda text: text.replace('"', "“", 1).replace('"', "”", 1),
    "spacing": lambda text: text.replace(" ", ""),
}


def paragraph(number: int, text: str, question: str) -> dict[str, object]:
    answer = text.split()[0] if " " in text else text[:3]
    qas = [{"id": f"q{number}", "question": question, "answers": [{"text": answer, "answer_start": 0}]}]
    return {"context": text, "qas": qas}


def squad(path: Path, paragraphs: Sequence[dict[str, object]]) -> str:
    documents = [{"title": f"t{number}", "paragraphs": [each]} for number, each in enumerate(paragraphs)]
    path.write_text(json.dumps({"data": documents}), encoding="utf-8")
    return str(path)


def original(number: int) -> str:
    return f'Érable {number} built the "mill" of 세종 in {1700 + number}. It burnt down {number} years later.'


def pairs(edit: str, count: int = 120) -> list[dict[str, object]]:
    """Paragraphs, and a copy of each with the edit; questions differ."""
    plain = [paragraph(2 * n, original(n), f"Who built mill {n}?") for n in range(count)]
    copies = [paragraph(2 * n + 1, EDITS[edit](original(n)), f"When did number {n} burn?") for n in range(count)]
    return [*plain, *copies]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    folder = tmp_path / "ws"
    ok("init", folder)
    return Database(folder / "labeler.db")


def roles(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {row.id: row.role for row in queries.questions(session)}


def split(database: Database, tmp_path: Path, edit: str, **options: str) -> ImportReport:
    file = squad(tmp_path / "all.json", pairs(edit))
    return import_files(database, [file], split=parse_split("gold=80,dev=80,pool=rest"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("edit", EDITS)
def test_no_copy_with_a_trivial_edit_is_on_another_side(edit: str, database: Database, tmp_path: Path) -> None:
    """In such a split 54 to 69 of 120 pairs were on two sides."""
    assert EDITS[edit](original(1)) != original(1)
    split(database, tmp_path, edit)
    found = roles(database)
    sides = {key: "train" if role in ("gold", "pool") else role for key, role in found.items()}
    assert sum(sides[f"q{2 * n}"] != sides[f"q{2 * n + 1}"] for n in range(120)) == 0
    assert len(set(sides.values())) == 2


@pytest.mark.parametrize("edit", EDITS)
def test_a_later_import_of_a_copy_meets_the_guard(edit: str, database: Database, tmp_path: Path) -> None:
    import_files(database, [squad(tmp_path / "dev.json", [paragraph(0, original(1), "Who built it?")])], role="dev")
    copy = [paragraph(1, EDITS[edit](original(1)), "When?"), paragraph(3, original(7), "Where?")]
    report = import_files(database, [squad(tmp_path / "gold.json", copy)], role="gold")
    assert [each.why for each in report.rejected] == [
        "its paragraph is in the dev split and cannot be in the train split too"
    ]


@pytest.mark.parametrize("edit", EDITS)
def test_what_nearly_equals_a_held_out_passage_is_held_out(edit: str, database: Database, tmp_path: Path) -> None:
    import_files(database, [squad(tmp_path / "dev.json", [paragraph(0, original(1), "Who built it?")])], role="dev")
    (tmp_path / "copy.txt").write_text(EDITS[edit](original(1)), encoding="utf-8", newline="")
    import_files(database, [str(tmp_path / "copy.txt")], role="corpus")
    with database.read() as session:
        ids = queries.corpus_ids(session)
        assert len(ids) == (1 if edit == "trailing space" else 2)  # text files are cut without space at their ends
        assert queries.held_out_passages(session) == set(ids)
        assert queries.passage_sides(session, ids) == dict.fromkeys(ids, "dev")
        stored = {row.text for row in queries.passages(session, ids).values()}
    assert original(1) in stored  # unaltered


@pytest.mark.parametrize(("one", "other"), [("누가 세웠나?", "누가세웠나?"), ("Who  built it", "who built it?")])
def test_questions_of_one_wording_are_duplicates_and_share_a_side(
    one: str, other: str, database: Database, tmp_path: Path
) -> None:
    same = [paragraph(0, original(1), one), paragraph(1, f"{original(1)} ", other)]
    report = import_files(database, [squad(tmp_path / "gold.json", same)], role="gold")
    assert report.duplicates == 1
    with database.read() as session:
        rows = {row.id: row for row in queries.questions(session)}
    assert rows["q1"].duplicate_of == "q0"
    assert rows["q0"].split_group == rows["q1"].split_group
    refused = import_files(
        database, [squad(tmp_path / "dev.json", [paragraph(5, original(9), other), paragraph(7, original(8), "Why?")])],
        role="dev",
    )  # fmt: skip
    assert "the same question is stored as gold" in refused.rejected[0].why


# --- a few words changed --------------------------------------------------------------------------


LONG = (
    "The mill on the Arden was founded in 1746 by Hester Vane, who had it built of grey stone from the quarry. "
    "It burnt down twice, and owner number {n} moved the wheel to the other bank of the river in the spring."
)


def near(tmp_path: Path, count: int = 30) -> str:
    def text(n: int) -> str:
        return f"{' '.join(f'{(n * 7919 + k * 104729) ** 3 % 99991:x}' for k in range(30))}. {LONG.format(n=n)[:60]}"

    plain = [paragraph(2 * n, text(n), f"Who built mill {n}, the one of {n * 7}?") for n in range(count)]
    copies = [paragraph(2 * n + 1, f"{text(n)} And more.", f"In year {n * 13} what burnt?") for n in range(count)]
    return squad(tmp_path / "near.json", [*plain, *copies])


def test_copies_with_a_few_words_more_are_listed(database: Database, tmp_path: Path) -> None:
    report = import_files(database, [near(tmp_path)], split=parse_split("gold=20,dev=20,pool=rest"))
    found = roles(database)
    across = {
        (f"q{2 * n}", f"q{2 * n + 1}")
        for n in range(30)
        if (found[f"q{2 * n}"] == "dev") != (found[f"q{2 * n + 1}"] == "dev")
    }
    assert across
    listed = {(pair.a, pair.b) for pair in report.near_duplicates if pair.kind == "paragraph"}
    assert listed == across
    assert all(0.7 <= pair.similarity < 1 for pair in report.near_duplicates)


def test_dedupe_near_keeps_them_on_one_side(database: Database, tmp_path: Path) -> None:
    report = import_files(database, [near(tmp_path)], split=parse_split("gold=20,dev=20,pool=rest"), dedupe="near")
    assert report.near_duplicates == ()
    found = roles(database)
    assert all((found[f"q{2 * n}"] == "dev") == (found[f"q{2 * n + 1}"] == "dev") for n in range(30))
    assert set(found.values()) == {"gold", "dev", "pool"}


def test_a_later_file_that_nearly_repeats_dev_is_listed(database: Database, tmp_path: Path) -> None:
    import_files(database, [squad(tmp_path / "dev.json", [paragraph(0, LONG.format(n=1), "Who?")])], role="dev")
    again = LONG.format(n=1).replace("grey", "gray")
    report = import_files(database, [squad(tmp_path / "g.json", [paragraph(1, again, "When?")])], role="gold")
    assert [(pair.kind, pair.a, pair.b, pair.sides) for pair in report.near_duplicates] == [
        ("paragraph", "q0", "q1", ("dev", "train"))
    ]


def test_the_command_says_what_it_found_and_what_to_do(tmp_path: Path) -> None:
    ok("init", tmp_path / "ws")
    plan = ("--split", "gold=20,dev=20,pool=rest", "-w", tmp_path / "ws")
    text = run("import", near(tmp_path), *plan).out
    assert "near-duplicates are on two sides of the split; undo the import and add --dedupe near" in text
    assert "similarity 0." in text
    refused = run("import", near(tmp_path), "--split", "gold=10,pool=rest", "-w", tmp_path / "ws")
    assert "undo that first: labeler import --undo 1" in refused.fault
    assert "dev has 20 questions: under 100" in text


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of texts in each search for near-duplicates."""
    searched: list[int] = []

    def search(texts: Mapping[str, str]) -> list[NearDuplicate]:
        searched.append(len(texts))
        return near_duplicates(texts)

    monkeypatch.setattr(near_module, "near_duplicates", search)
    return searched


def test_near_duplicates_are_searched_only_where_two_sides_exist(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = counted(monkeypatch)
    files = [squad(tmp_path / f"{n}.json", [paragraph(n, original(n), f"Who built {n}?")]) for n in range(4)]
    import_files(database, [files[0]], role="gold")
    import_files(database, [files[1]], role="pool")  # gold and pool are one side
    assert searched == []
    import_files(database, [files[2]], role="dev")
    assert searched == [3, 3]  # paragraphs and questions, stored ones too
    import_files(database, [files[3]], role="gold")
    assert searched == [3, 3, 4, 4]


def test_dedupe_near_joins_groups_of_one_side_too(database: Database, tmp_path: Path) -> None:
    import_files(database, [near(tmp_path, 2)], role="gold", dedupe="near")
    with database.read() as session:
        groups = {row.id: row.split_group for row in queries.questions(session)}
    assert groups["q0"] == groups["q1"] != groups["q2"] == groups["q3"]  # a round holds out whole groups


def test_the_report_says_that_stored_texts_were_not_compared(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LIMIT", 1)
    monkeypatch.setattr(near_module, "LIMIT", 1)
    texts = [LONG.format(n=n) for n in range(3)]
    two = [paragraph(n, original(n), f"What of {n}?") for n in range(2)]
    assert import_files(database, [squad(tmp_path / "gold.json", two)], role="gold").stored_compared
    report = import_files(database, [squad(tmp_path / "dev.json", [paragraph(5, texts[0], "Who?")])], role="dev")
    assert not report.stored_compared
    assert [note for note in report.notes if "near-duplicates" in note] == [
        f"{tmp_path / 'dev.json'}: the workspace has more than 1 questions: near-duplicates were searched within the "
        "file alone, not among stored questions"
    ]


def test_pairs_of_stored_questions_are_not_listed_again_and_the_remedy_fits(database: Database, tmp_path: Path) -> None:
    import_files(database, [squad(tmp_path / "dev.json", [paragraph(0, LONG.format(n=1), "Who?")])], role="dev")
    again = LONG.format(n=1).replace("grey", "gray")
    report = import_files(database, [squad(tmp_path / "g.json", [paragraph(1, again, "When?")])], role="gold")
    assert (len(report.near_duplicates), report.near_remedy) == (1, ingest.FIXED_REMEDY)
    later = import_files(database, [squad(tmp_path / "h.json", [paragraph(3, original(4), "Which?")])], role="gold")
    assert (later.near_duplicates, later.near_remedy) == ((), "")


@pytest.mark.parametrize("first", [("--as", "gold"), ("--split", "gold=1,dev=rest"), ("--split", "gold=1,pool=rest")])
def test_a_file_imported_before_is_not_split_and_nothing_changes(first: tuple[str, str], tmp_path: Path) -> None:
    at = ("-w", new_workspace(tmp_path / "ws"))
    file = squad(tmp_path / "a.json", [paragraph(n, original(n), f"Who built {n}?") for n in range(5)])
    ok("import", file, *first, *at)
    before = ok("status", *at)["questions"]
    refused = run("import", file, "--split", "gold=2,dev=1,pool=rest", *at).fault
    assert f"imported before with {' '.join(first)}" in refused
    assert refused.endswith("undo that first: labeler import --undo 1")
    assert ok("status", *at)["questions"] == before
    ok("import", "--undo", "1", *at)
    assert ok("import", file, "--split", "gold=2,dev=1,pool=rest", *at)["splits"] == {"gold": 2, "dev": 1, "pool": 2}


def test_a_small_dev_split_is_warned_of_however_it_is_made(database: Database, tmp_path: Path) -> None:
    few = squad(tmp_path / "dev.json", [paragraph(n, original(n), f"Who built {n}?") for n in range(3)])
    assert "dev has 3 questions: under 100 the gate has little power; import more of them" in (
        import_files(database, [few], role="dev").notes
    )
    more = squad(tmp_path / "more.json", [paragraph(n, original(n), f"Who built {n}?") for n in range(3, 103)])
    assert not [note for note in import_files(database, [more], role="dev").notes if "power" in note]
