"""Export and conversion: exported labels with their provenance in every format; training examples."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from db import certificates, queries, store
from db.engine import Database
from db.rows import AuditedItem, CertificateItem, NewLabel, NewReview, NewTask, SpanRow
from labeler.certificates.document import ranking_sha256, sha256_of
from labeler.certificates.verify import result_from, set_tests
from labeler.core.convert import new_prediction, to_passage, training_examples
from labeler.core.errors import ExportRefused
from labeler.core.workspace import create_workspace
from labeler.importing.ingest import import_files
from labeler.labels.export import export_labels
from labeler.labels.exportable import UNCERTIFIED
from mrc.calibration.certification import draw
from mrc.squad import parse_squad, read_squad
from mrc.text import passage_id
from mrc.types import Answer, Hit, Prediction

RANKED = (("p3", "섬에"), ("p4", "등대"))
GOLD = "The mill turns.\r\nMara built it in 1830."
POOL = "등대는 섬에 있다. 나루가 종을 울린다."
TEST = "The bridge has 7 arches."


def span(context: str, text: str) -> SpanRow:
    start = context.index(text)
    return SpanRow(text, passage_id(context), start, start + len(text))


def lines(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Gold with and without an answer, human labels, a certified and another pseudo-label, a test question."""
    folder = tmp_path_factory.mktemp("world")
    opened = create_workspace(folder / "ws", environ={}).database()
    gold = {"id": "g1", "question": "When?", "context": GOLD, "answers": ["1830", "in 1830", "1830"], "title": "Mill"}
    none = {"id": "g2", "question": "Who burnt it?", "context": GOLD, "is_impossible": True, "title": "Mill"}
    import_files(opened, [lines(folder / "gold.jsonl", gold, none)], role="gold")
    pool = [{"id": f"p{number}", "question": f"Question {number}?"} for number in range(1, 6)]
    import_files(opened, [lines(folder / "corpus.jsonl", {"text": POOL, "title": "등대"})], role="corpus")
    import_files(opened, [lines(folder / "pool.jsonl", *pool)], role="pool")
    test = {"id": "t1", "question": "How many?", "context": TEST, "answer": "7"}
    import_files(opened, [lines(folder / "test.jsonl", test)], role="test")
    with opened.write() as session:
        _play(session)
    yield opened
    opened.close()


def _play(session: Any) -> None:
    row = store.open_round(session, "loop", config={}, seed=0, code_version="1")
    model = store.add_model(
        session,
        row.number,
        hash="m" * 64,
        training_sha256="t" * 64,
        path="models/round-0",
        start="builtin",
        config={},
        examples=1,
        seconds=1.0,
        loss=None,
    )
    calibrator = store.add_calibrator(session, hash="c" * 64, kind="isotonic", state={}, metrics={})
    made: dict[str, Any] = {
        "model_id": model,
        "index_fingerprint": "i" * 64,
        "calibrator_id": calibrator,
    }
    store.record_labels(
        session,
        row.number,
        human=[
            NewLabel("p1", (span(POOL, "나루"),), reviewer="ann"),
            NewLabel("p2", (span(TEST, "7"),), reviewer="ann"),  # a passage of the test side
            NewLabel("p5", (), no_answer=True, passages=(passage_id(POOL), passage_id(GOLD)), reviewer="ann"),
        ],
        pseudo=[
            NewLabel("p3", (span(POOL, "섬에"),), confidence=0.95, **made),
            NewLabel("p4", (span(POOL, "등대"),), confidence=0.5, train_weight=0.25, **made),
        ],
        reason="round 0",
    )
    store.advance(session, row.number, "open", "closed", promoted=False)
    _certify(session, made)


def _certify(session: Any, made: dict[str, Any]) -> None:
    """A certificate for two answers, of which one was audited: a set of two with one right one meets .5."""
    audit = store.open_round(session, "audit", config={}, seed=0, code_version="1")
    request = {"target": 0.5, "delta": 0.9, "attempt": 1, "attempts": 1, "delta_shared": 0.9, "seed": "a"}
    certificate = certificates.add(session, audit.number, request=request)
    frozen = [CertificateItem(rank, key, span(POOL, text), 0.9, 0.9) for rank, (key, text) in enumerate(RANKED)]
    (drawn,) = draw([item.question_id for item in frozen], 1, seed="a")
    items = [replace(item, drawn=0 if item.question_id == drawn else None) for item in frozen]
    plan = {"sizes": [2], "start": 1, "target": 0.5, "delta": 0.9, "population": 2, "ranked": 2, "audits": 1}
    plan |= {"looks": [{"audits": 1, "level": 0.9}]}
    certificates.freeze(session, certificate.id, plan=plan, seed="a", items=items)
    store.add_tasks(session, audit.number, [NewTask(drawn, "audit", True, 0, (passage_id(POOL),))])
    (task,) = queries.tasks(session, round_number=audit.number)
    store.record_review(session, NewReview(task.id, "ann", "answerable", span(POOL, dict(RANKED)[drawn])))
    (review,) = queries.reviews(session, round_number=audit.number)
    judged = [item if item.drawn is None else replace(item, outcome="equal", review_id=review.id) for item in items]
    tests = set_tests(judged, plan)
    document = {
        **plan,
        "ranking_sha256": ranking_sha256(frozen),
        "metric": "squad",
        "seed": "a",
        "items": [drawn],
        "outcomes": {"equal": 1},
        "tests": tests,
        "certified": result_from(judged, tests, plan),
        "released": 1,
    }
    document["sha256"] = sha256_of(document)
    audited = [AuditedItem(item.rank, "equal", review.id, None) for item in judged if item.drawn is not None]
    certificates.conclude(session, certificate.id, audited=audited, document=document, sha256=document["sha256"])
    unseen = next(item for item in items if item.drawn is None)
    assert unseen.question_id == "p3"
    label = NewLabel("p3", (unseen.answer,), confidence=0.95, threshold=0.9, certificate_id=certificate.id, **made)
    store.record_audit(
        session, audit.number, human=[], certified=[label], reviews=[review.id], bad_questions=[], reason="certified"
    )
    store.advance(session, audit.number, "open", "closed", promoted=False)


def exported(database: Database, path: Path, **options: Any) -> list[dict[str, Any]]:
    export_labels(database, path, format="jsonl", **options)
    return [json.loads(line) for line in path.read_bytes().decode().split("\n")[:-1]]


def test_exported_labels_are_live_or_certified_and_not_from_a_held_out_passage(
    database: Database, tmp_path: Path
) -> None:
    rows = exported(database, tmp_path / "a.jsonl")
    assert [(row["id"], row["kind"]) for row in rows] == [
        ("g1", "gold"),
        ("g2", "gold"),
        ("p1", "human"),
        ("p3", "pseudo"),
        ("p5", "human"),
    ]


def test_kinds_and_roles_select_the_exported_labels(database: Database, tmp_path: Path) -> None:
    assert [row["id"] for row in exported(database, tmp_path / "a", kinds=["human"])] == ["p1", "p5"]
    assert [row["id"] for row in exported(database, tmp_path / "b", roles=["gold"])] == ["g1", "g2"]
    assert [row["id"] for row in exported(database, tmp_path / "c", roles=["test", "gold"])] == ["g1", "g2", "t1"]


def test_an_exported_label_has_its_provenance(database: Database, tmp_path: Path) -> None:
    rows = {row["id"]: row for row in exported(database, tmp_path / "a.jsonl")}
    names = ("role", "round", "model", "index", "calibrator", "threshold", "confidence", "reviewer")
    assert [rows["p3"][name] for name in names] == ["pool", 1, "m" * 64, "i" * 64, "c" * 64, 0.9, 0.95, ""]
    assert [rows["p1"][name] for name in names] == ["pool", 0, "", "", "", -1, -1, "ann"]
    assert [rows["g1"][name] for name in names] == ["gold", -1, "", "", "", -1, -1, ""]


def test_answers_are_at_their_offsets_and_texts_are_unaltered(database: Database, tmp_path: Path) -> None:
    rows = exported(database, tmp_path / "a.jsonl")
    assert rows[0]["context"] == GOLD
    assert rows[0]["answers"] == {
        "text": ["1830", "in 1830", "1830"],  # in the order of the file, as often as there
        "answer_start": [GOLD.index("1830"), GOLD.index("in 1830"), GOLD.index("1830")],
    }
    for row in rows:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text


def test_the_report_counts_the_labels_left_out_by_reason(database: Database, tmp_path: Path) -> None:
    report = export_labels(database, tmp_path / "a.json", format="squad")
    assert (report.labels, report.kinds) == (3, {"gold": 1, "human": 1, "pseudo": 1})
    assert report.left_out == {
        UNCERTIFIED: 1,
        "labels in passages of calibration, dev or test questions": 1,
        "labels of test questions (--role test exports them)": 1,
        "labels without an answer, which SQuAD 1.1 cannot store": 2,
    }
    data = json.loads((tmp_path / "a.json").read_bytes())
    assert data["version"] == "1.1"
    assert {
        qa["id"]: qa["provenance"]["kind"] for article in data["data"] for qa in article["paragraphs"][0]["qas"]
    } == {
        "g1": "gold",
        "p1": "human",
        "p3": "pseudo",
    }


def test_a_squad_v2_file_reads_back_as_what_was_stored(database: Database, tmp_path: Path) -> None:
    export_labels(database, tmp_path / "a.json", format="squad_v2")
    examples, rejected = read_squad(parse_squad((tmp_path / "a.json").read_bytes().decode(), where="a"), where="a")
    assert rejected == []
    found = {one.id: (one.context, sorted(gold.text for gold in one.answers), one.is_impossible) for one in examples}
    assert found == {
        "g1": (GOLD, ["1830", "in 1830"], False),
        "g2": (GOLD, [], True),
        "p1": (POOL, ["나루"], False),
        "p3": (POOL, ["섬에"], False),
        "p5": (POOL, [], True),
    }


@pytest.mark.parametrize(
    ("format", "name"), [("jsonl", "a.jsonl"), ("csv", "a.csv"), ("squad_v2", "a.json"), ("hf", "hf")]
)
def test_exported_gold_can_be_imported_elsewhere_and_exports_the_same(
    database: Database, tmp_path: Path, format: str, name: str
) -> None:
    export_labels(database, tmp_path / name, format=format, kinds=["gold"])
    other = create_workspace(tmp_path / "other", environ={}).database()
    report = import_files(other, [str(tmp_path / name)], role="gold")
    assert (report.questions, report.labels, report.rejected) == (2, 2, ())
    again, before = exported(other, tmp_path / "b.jsonl"), exported(database, tmp_path / "c.jsonl", kinds=["gold"])
    assert again == before
    other.close()


@pytest.mark.parametrize("format", ["squad", "squad_v2", "jsonl", "csv"])
def test_the_same_labels_give_the_same_bytes(database: Database, tmp_path: Path, format: str) -> None:
    for name in ("a", "b"):
        export_labels(database, tmp_path / name, format=format)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_csv_row_has_a_cell_for_each_part_of_the_provenance(database: Database, tmp_path: Path) -> None:
    export_labels(database, tmp_path / "a.csv", format="csv", kinds=["pseudo"])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["kind"], row["confidence"], row["reviewer"]) == ("p3", "pseudo", "0.95", "")
    assert json.loads(row["answers"]) == [{"text": "섬에", "answer_start": POOL.index("섬에")}]


def test_nothing_to_export_is_an_error_and_writes_nothing(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="no live label to export: kinds pseudo, roles gold"):
        export_labels(database, tmp_path / "a", format="jsonl", kinds=["pseudo"], roles=["gold"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"format": "xml"}, {"kinds": ["silver"]}, {"roles": ["train"]}])
def test_an_unknown_format_kind_or_role_is_a_value_error(
    database: Database, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        export_labels(database, tmp_path / "a", **{"format": "jsonl", **wrong})


def test_a_reader_trains_on_the_most_frequent_gold_and_on_shown_passages_as_negatives(database: Database) -> None:
    with database.read() as session:
        taught = {example.id: example for example in training_examples(queries.training_labels(session))}
    assert set(taught) == {"g1", "g2", "p1", "p3", "p4", "p5"}
    first = taught["g1"]
    assert (first.context, first.context[first.start : first.end], first.weight, first.human_labelled) == (
        GOLD,
        "1830",
        1.0,
        True,
    )
    impossible = taught["g2"]
    assert (impossible.context, impossible.start, impossible.end, impossible.negatives) == (GOLD, -1, -1, ())
    shown = taught["p5"]
    assert (shown.context, shown.start, shown.negatives) == (POOL, -1, (GOLD,))
    assert (taught["p4"].weight, taught["p4"].human_labelled, taught["p1"].human_labelled) == (0.25, False, True)


def test_a_prediction_is_stored_with_the_score_of_its_best_answer() -> None:
    answers = (Answer("7", "a", 15, 16, 0.6, 0.4), Answer("arches", "b", 17, 23, 0.3, 0.3))
    hits = (Hit("a", 0, 9.5), Hit("b", 1, 3.25))
    row = new_prediction(Prediction("q", answers, 0.1, hits, {"margin": 0.3}))
    assert (row.score, row.null_score, row.confidence, row.hits) == (0.6, 0.1, None, (("a", 9.5), ("b", 3.25)))
    assert [(answer.text, answer.passage_id, answer.score, answer.probability) for answer in row.answers] == [
        ("7", "a", 0.6, 0.4),
        ("arches", "b", 0.3, 0.3),
    ]
    assert new_prediction(Prediction("q", (), 1.0, ())).score is None


def test_a_passage_keeps_the_title_of_its_document(database: Database) -> None:
    with database.read() as session:
        row = queries.passages(session, [passage_id(POOL)])[passage_id(POOL)]
    assert (to_passage(row).title, to_passage(row).text) == ("등대", POOL)
