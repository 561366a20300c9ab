"""Round trips: what is imported, exported and imported again teaches the same, in every format."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from itertools import chain, count, pairwise
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from db import queries, store
from db.engine import Database
from db.rows import DocumentRow, NewImport, NewLabel, PassageRow, QuestionRow, SpanRow
from labeler.core.convert import training_examples
from labeler.core.errors import ImportRefused
from labeler.core.workspace import create_workspace, open_workspace
from labeler.importing.ingest import import_files
from labeler.importing.splits import parse_split
from labeler.labels.export import FORMATS, export_labels
from mrc.text.near_duplicates import identity
from tests.commands import new_workspace, ok, run

PARTS = (
    "training answer", "golds", "golds as given", "no answer", "kind", "question", "role", "is_impossible", "title",
    "context",
)  # fmt: skip
ROLES = ("gold", "calibration", "dev", "test")
SUFFIX = {"squad": "a.json", "squad_v2": "a.json", "jsonl": "a.jsonl", "csv": "a.csv", "hf": "hf"}
TITLES = (
    *("Or\rsk", "Orsk", "orsk", "Café", "Cafe\u0301", "등대, 나루", '=SUM(A1) "q"', " spaced ", "", "Füße\t№"),
    *("NA", "NaN", "nan", "None", "null", "True", "007", "46.0", "[]", "{'a': 1}"),  # texts that look like values
)
IDS = ("NaN", "null", "None", "007", "7", "46.0", "46", "1e3", "True", "[]", "q 1", " q", "q,2", "아이디", "a/b", "=1")
ODD = (
    *("\r", "\r\n", "\n\n", "\u2028", "\x85", "\x1c", "\u200b", "👩\u200d👩\u200d👧 ", "한글 ", "가 ", '", "'),
    *("\ufeff", "\\n", "'", "\t"),
)


def context(rng: random.Random, number: int) -> str:
    words = [f"Word{number}x{place}{rng.choice(ODD)}" for place in range(30)]
    return rng.choice(("", " ", '"', "=")) + "".join(words) + rng.choice(("", "\r", "\n", " "))


def answers(rng: random.Random, text: str) -> list[dict[str, Any]]:
    """Golds of up to six annotators in the order of their work: some agree, some mark a longer or a later span."""
    starts = [place for place, char in enumerate(text) if char == "W"]
    spans = [(start, start + rng.choice((4, 6, 20))) for start in rng.sample(starts, 3)]
    chosen = (rng.choice(spans) for _ in range(rng.randint(1, 6)))
    return [{"text": text[start:end], "answer_start": start} for start, end in chosen]


def squad_file(path: Path, *, impossible: bool, paragraphs: int = 24) -> str:
    rng = random.Random(0)
    ids = chain(IDS, (f"{rng.random():.12f}" for _ in count()))
    data = []
    for number in range(paragraphs):
        text = context(rng, number)
        qas: list[dict[str, Any]] = []
        for place in range(3):
            none = impossible and rng.random() < 0.3
            golds = [] if none else answers(rng, text)
            asked = f"What is {number} {place}, {rng.choice(ODD)}?"
            qa = {"id": next(ids), "question": asked, "answers": golds}
            qas.append({**qa, "is_impossible": none} if impossible else qa)
        data.append({"title": TITLES[number % len(TITLES)], "paragraphs": [{"context": text, "qas": qas}]})
    path.write_text(json.dumps({"version": "v2.0", "data": data}), encoding="utf-8")
    return str(path)


def stored(database: Database) -> dict[str, dict[str, Any]]:
    """All that a workspace knows of each question and its label, by id."""
    with database.read() as session:
        taught = {
            one.id: (one.context, one.start, one.end, one.weight, one.human_labelled, one.golds)
            for one in training_examples(queries.training_labels(session))
        }
        labels = queries.live_labels(session)
        questions = {row.id: row for row in queries.questions(session)}
        passages = queries.passages(session, queries.corpus_ids(session))
    return {
        label.question_id: {
            "training answer": taught.get(label.question_id),
            "golds": label.answers,
            "golds as given": label.all_answers or label.answers,
            "no answer": (label.no_answer, label.passages),
            "kind": label.kind,
            "question": questions[label.question_id].text,
            "role": questions[label.question_id].role,
            "is_impossible": questions[label.question_id].is_impossible or False,
            "title": passages[str(questions[label.question_id].context_id)].title,
            "context": passages[str(questions[label.question_id].context_id)].text,
        }
        for label in labels
    }


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[list[Database]]:
    made = [create_workspace(tmp_path / name, environ={}).database() for name in ("first", "second", "third")]
    yield made
    for database in made:
        database.close()


def changed(before: dict[str, Any], after: dict[str, Any], part: str) -> list[str]:
    return [key for key in before if after[key][part] != before[key][part]]


def test_a_round_trip_through_each_format_changes_nothing_that_teaches(
    format: str, databases: list[Database], tmp_path: Path
) -> None:
    file = squad_file(tmp_path / "squad.json", impossible=format != "squad")
    split = parse_split("calibration=12,dev=12,test=12,gold=rest")
    report = import_files(databases[0], [file], split=split)
    assert (report.questions, report.rejected) == (72, ())
    was = stored(databases[0])
    assert any(len(set(row["golds as given"])) < len(row["golds as given"]) for row in was.values())
    assert any(row["golds"][0] != row["golds as given"][0] for row in was.values() if row["golds"])
    for source, target in pairwise(databases):  # twice: what is exported of an export too
        place = tmp_path / f"{id(target)}-{SUFFIX[format]}"
        export_labels(source, place, format=format, roles=ROLES, with_leaks=True)  # questions of a pattern
        again = import_files(target, [str(place)], split=parse_split("file"))
        assert (again.rejected, again.splits) == ((), report.splits)
        now = stored(target)
        assert set(now) == set(was)
        assert [(part, ids) for part in PARTS if (ids := changed(was, now, part))] == []


def test_a_gold_of_three_annotators_counts_three_after_a_round_trip(
    format: str, databases: list[Database], tmp_path: Path
) -> None:
    text = "It began with the fight at Orsk in May 1754."
    long, late = "the fight at Orsk in May 1754", "May 1754"
    golds = [{"text": each, "answer_start": text.index(each)} for each in (long, late, long, late, late)]
    qa = {"id": "q", "question": "When did it begin?", "answers": golds}
    data = {"version": "1.1", "data": [{"title": "v", "paragraphs": [{"context": text, "qas": [qa]}]}]}
    (tmp_path / "a.json").write_text(json.dumps(data))
    import_files(databases[0], [str(tmp_path / "a.json")], role="gold")
    export_labels(databases[0], tmp_path / f"out-{SUFFIX[format]}", format=format)
    import_files(databases[1], [str(tmp_path / f"out-{SUFFIX[format]}")], role="gold")
    with databases[1].read() as session:
        (label,) = queries.live_labels(session)
        (example,) = training_examples(queries.training_labels(session))
    assert [span.text for span in label.all_answers] == [long, late, long, late, late]
    assert Counter(span.text for span in label.all_answers) == {long: 2, late: 3}
    assert text[example.start : example.end] == late


# --- files that other tools read -----------------------------------------------------------------


def answered(number: int, text: str) -> dict[str, Any]:
    return {"id": f"z{number}", "question": f"Which {number}?", "context": f"{text} of {number}.", "answers": [text]}


def impossible(number: int) -> dict[str, Any]:
    return {"id": f"a{number}", "question": f"Why {number}?", "context": f"Nothing {number}.", "is_impossible": True}


def lines(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def test_an_exported_jsonl_loads_in_datasets_whatever_comes_first(databases: list[Database], tmp_path: Path) -> None:
    import datasets

    records = [*map(impossible, range(30)), *(answered(number, "Tarn") for number in range(3))]
    import_files(databases[0], [lines(tmp_path / "gold.jsonl", records)], role="gold")
    with databases[0].write() as session:
        span = queries.live_labels(session, question_ids=["z2"])[0].answers
        store.set_label(session, "z2", span, reviewer="ann")  # the last row: no other has a reviewer
    export_labels(databases[0], tmp_path / "out.jsonl", format="jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows[:3]] == ["z0", "a0", "a1"]  # the first answer gives the lists their type
    assert all(value is not None and value != [] for value in rows[0].values())
    assert {tuple(map(type, row.values())) for row in rows} == {tuple(map(type, rows[0].values()))}
    settings = {"chunksize": 300, "cache_dir": str(tmp_path / "cache")}  # a row or two, as 10 MB of a large file
    loaded = datasets.load_dataset("json", data_files=str(tmp_path / "out.jsonl"), split="train", **settings)
    assert [(row["reviewer"], row["answers"]["text"]) for row in loaded][-1] == ("ann", ["Tarn"])
    assert loaded.num_rows == 33


def test_a_hugging_face_export_has_splits_and_a_card(databases: list[Database], tmp_path: Path) -> None:
    import datasets

    file = squad_file(tmp_path / "squad.json", impossible=True)
    import_files(databases[0], [file], split=parse_split("calibration=12,dev=12,test=12,gold=rest"))
    report = export_labels(databases[0], tmp_path / "orsk", format="hf", roles=ROLES)
    loaded = datasets.load_from_disk(str(tmp_path / "orsk"))
    assert dict(report.splits) == {name: part.num_rows for name, part in loaded.items()}
    assert set(loaded) == {"train", "calibration", "validation", "test"}
    card = (tmp_path / "orsk" / "README.md").read_text(encoding="utf-8")
    assert "license: unknown  # fill in" in card
    assert "**gold**: answers of the files that were imported" in card
    assert f"| train | {report.splits['train']} | {report.splits['train']} |" in card
    assert "## Certificates\n\nNone." in card
    impossible_rows = sum(row["is_impossible"] for part in loaded.values() for row in part)
    assert f"(`is_impossible`): {impossible_rows}." in card
    assert huggingface_hub.DatasetCard(card).data.license == "unknown"
    assert huggingface_hub.DatasetCard(card).data.language is None  # made words


def test_the_card_names_the_language_of_the_passages(databases: list[Database], tmp_path: Path) -> None:
    text = "Die Brücke wurde 1830 gebaut, und sie ist die älteste der Stadt."
    records = [{"id": "q", "question": "Wann wurde sie gebaut?", "context": text, "answers": ["1830"]}]
    import_files(databases[0], [lines(tmp_path / "a.jsonl", records)], role="gold")
    export_labels(databases[0], tmp_path / "a: b", format="hf")
    card = huggingface_hub.DatasetCard((tmp_path / "a: b" / "README.md").read_text(encoding="utf-8"))
    assert (card.data.language, card.data.pretty_name) == (["de"], "a: b")


def test_a_dataset_of_several_splits_is_imported_by_the_names_of_its_splits(
    databases: list[Database], tmp_path: Path
) -> None:
    import datasets

    parts = {"train": [answered(1, "Tarn")], "validation": [answered(2, "Orsk")], "test": [answered(3, "Vane")]}
    made = {name: datasets.Dataset.from_list(rows) for name, rows in parts.items()}
    datasets.DatasetDict(made).save_to_disk(str(tmp_path / "hf"))
    with pytest.raises(ImportRefused, match="or import all with --split file"):
        import_files(databases[0], [str(tmp_path / "hf")], role="gold")
    report = import_files(databases[0], [str(tmp_path / "hf")], split=parse_split("file"))
    assert report.splits == {"gold": 1, "dev": 1, "test": 1}


def test_a_split_named_by_the_file_may_not_leak(databases: list[Database], tmp_path: Path) -> None:
    text = "The mill stands in Orsk."
    shared = {"context": text, "answers": ["Orsk"]}
    records = [
        {"id": "a", "question": "Where?", "split": "train", **shared},
        {"id": "b", "question": "In which town?", "split": "test", "context": f"{text} ", "answers": ["Orsk"]},
        {"id": "c", "question": "where", "split": "Train", "context": "In Tarn it is.", "answers": ["Tarn"]},
        {"id": "d", "question": "IN WHICH TOWN", "split": "dev", "context": "Vane rules.", "answers": ["Vane"]},
        {"id": "e", "question": "Who?", "split": "extra", "context": "Vane rules here.", "answers": ["Vane"]},
        {"id": "f", "question": "When?", "context": "In 1830.", "answers": ["1830"]},
    ]
    report = import_files(databases[0], [lines(tmp_path / "a.jsonl", records)], split=parse_split("file"))
    assert report.splits == {"gold": 1, "test": 1}
    assert [row.why for row in report.rejected] == [
        "the file has its paragraph in the test split too; it cannot be in the train split",
        "the file has its question in the test split too; it cannot be in the dev split",
        "the file puts it into the split 'extra'; known are train, training, gold, pool, dev, valid, val, validation, "
        "test, calibration",
        "the file names no split for it (a field role or split); give --split ROLE=N,... or --as ROLE",
    ]


def test_a_question_in_two_splits_of_a_dataset_is_in_the_stricter_one(
    databases: list[Database], tmp_path: Path
) -> None:
    one = {**answered(1, "Tarn"), "split": "train"}
    records = [one, {**one, "split": "validation"}, {**one, "kind": "human"}, {**answered(2, "Orsk"), "split": "train"}]
    report = import_files(databases[0], [lines(tmp_path / "a.jsonl", records)], split=parse_split("file"))
    assert report.splits == {"dev": 1, "gold": 1}
    assert [row.why for row in report.rejected] == [
        "the file has its question in the dev split too; it cannot be in the train split"
    ] * 2
    again = import_files(databases[1], [lines(tmp_path / "b.jsonl", records)], role="gold")
    assert (again.splits, again.duplicates, again.rejected) == ({"gold": 2}, 2, ())


def test_questions_of_another_split_are_counted_and_a_speaker_is_no_split(
    databases: list[Database], tmp_path: Path
) -> None:
    roles = [{"role": "test"}, {"role": "user", "split": "validation"}, {"role": "gold"}, {"split": "extra"}]
    records = [{**answered(number, f"Tarn{number}"), **role} for number, role in enumerate(roles)]
    report = import_files(databases[0], [lines(tmp_path / "a.jsonl", records)], role="gold")
    assert report.splits == {"gold": 4}
    assert [note for note in report.notes if "other splits" in note] == [
        "the file has questions of other splits (1 test, 1 validation), imported as gold; --split file keeps their "
        "splits"
    ]
    kept = import_files(databases[1], [lines(tmp_path / "b.jsonl", records)], split=parse_split("file"))
    assert (kept.splits, len(kept.rejected)) == ({"gold": 1, "dev": 1, "test": 1}, 1)


def test_pseudo_labels_that_become_gold_are_counted(databases: list[Database], tmp_path: Path) -> None:
    records = [{**answered(1, "Tarn"), "kind": "pseudo"}, {**answered(2, "Orsk"), "kind": "gold"}]
    report = import_files(databases[0], [lines(tmp_path / "a.jsonl", records)], role="gold")
    assert [note for note in report.notes if "pseudo" in note] == [
        "1 labels were made by a model (kind pseudo) and are imported as gold; export with --kinds gold,human to leave "
        "them out"
    ]


# --- nothing leaves on two sides -----------------------------------------------------------------


def crossing(database: Database) -> None:
    """Questions and passages of one identity on several sides, which no import would accept."""
    texts = {"p1": "The mill of Orsk.", "p2": "The mill  of Orsk", "p3": "A ford.", "p4": "a ford", "p5": "A hill."}
    rows = [  # id, role, passage, normalized
        ("g1", "gold", "p1", "n1"),  # its passage nearly equals one of test
        ("g2", "gold", "p5", "n2"),  # its question nearly equals one of dev
        ("g3", "gold", "p5", "n3"),
        ("d1", "dev", "p3", "n2"),
        ("d2", "dev", "p4", "n4"),
        ("t1", "test", "p2", "n5"),
        ("t2", "test", "p2", "n4"),  # nearly equals a question of dev: test is stricter
    ]
    with database.write() as session:
        store.add_import(
            session,
            NewImport(
                "a.json", "a", "split", "squad", {}, {},
                documents=(DocumentRow("d", "D"),),
                passages=tuple(
                    PassageRow(key, "d", place, text, identity=identity(text))
                    for place, (key, text) in enumerate(texts.items())
                ),
                questions=tuple(
                    QuestionRow(key, f"Who is {key}?", normal, role, role, key, context_id=passage)
                    for key, role, passage, normal in rows
                ),
                labels=tuple(
                    NewLabel(key, (SpanRow(texts[passage][:1], passage, 0, 1),)) for key, _, passage, _ in rows
                ),
            ),
        )  # fmt: skip


def test_nearly_equal_passages_and_questions_never_leave_on_two_sides(
    databases: list[Database], tmp_path: Path
) -> None:
    crossing(databases[0])
    report = export_labels(databases[0], tmp_path / "a.jsonl", format="jsonl", roles=["gold", "dev", "test"])
    left = [json.loads(line)["id"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert left == ["d1", "g3", "t1", "t2"]
    assert report.left_out == {
        "labels in passages of calibration, dev or test questions": 1,
        "labels of gold questions that nearly equal dev questions": 1,
        "labels of dev questions that nearly equal test questions": 1,
    }
    assert [(one.question_id, one.conflict) for one in report.conflicts] == [("g1", "p1"), ("d2", "t2"), ("g2", "d1")]


def test_one_side_alone_leaves_without_what_the_other_has(databases: list[Database], tmp_path: Path) -> None:
    crossing(databases[0])
    assert export_labels(databases[0], tmp_path / "a.jsonl", format="jsonl", roles=["gold"]).labels == 1
    assert export_labels(databases[0], tmp_path / "b.jsonl", format="jsonl", roles=["dev"]).labels == 1
    assert export_labels(databases[0], tmp_path / "c.jsonl", format="jsonl", roles=["test"]).labels == 2


def test_a_label_of_dev_in_a_passage_of_test_stays_here(databases: list[Database], tmp_path: Path) -> None:
    records = [{**answered(number, "Orsk"), "split": name} for number, name in enumerate(("dev", "test"))]
    import_files(databases[0], [lines(tmp_path / "in.jsonl", records)], split=parse_split("file"))
    with databases[0].write() as session:
        store.set_label(session, "z0", queries.live_labels(session, question_ids=["z1"])[0].answers, reviewer="ann")
    report = export_labels(databases[0], tmp_path / "a.jsonl", format="jsonl", roles=["dev", "test"])
    assert (report.labels, report.left_out) == (1, {"labels of dev questions in passages of test questions": 1})


def test_the_command_lists_what_it_left_out(tmp_path: Path) -> None:
    made = new_workspace(tmp_path / "ws")
    database = open_workspace(made).database()
    crossing(database)
    database.close()
    done = run("export", "--format", "jsonl", "-o", tmp_path / "a.jsonl", "-w", made)
    assert "left out: 1 labels of gold questions that nearly equal dev questions" in done.out
    assert "  g2: labels of gold questions that nearly equal dev questions, d1" in done.out
    again = ok("import", tmp_path / "a.jsonl", "--split", "file", "-w", new_workspace(tmp_path / "other"))
    assert again["splits"] == {"gold": 1}
