"""Leaks: what stands on two sides of the split is listed, and does not leave with labels unless asked for by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db import queries, store
from db.rows import NewLabel, SpanRow
from labeler.core.workspace import create_workspace, open_workspace
from labeler.labels.exportable import LEAKING
from labeler.leaks import find
from labeler.leaks.dense import PassageVectors, dense_leaks, threshold
from labeler.leaks.find import Leaking, LeakReport, find_leaks, vectors_of
from labeler.leaks.search import lexical_leaks
from labeler.leaks.sides import Item
from mrc.text import passage_id
from tests.commands import ok, run
from tests.worlds import at

BRIDGE = "The stone bridge of Tarn was finished in 1746 by the mason Hester Vane, who had it built of grey stone."
BRIDGE_AGAIN = BRIDGE.replace("grey stone", "grey stones")  # nearly equal
MILL = "Oren keeps the mill on the upper river, where nine wheels turn from early spring to the first frost."
HARBOUR = "A lighthouse of white brick has stood at the harbour of Selm since the great storm of the year 1802."
TOWER = "Nobody remembers who raised the tower, but its seven bells are rung whenever a ship comes in."


def paragraph(context: str, *asked: tuple[str, str, str], title: str = "") -> dict[str, Any]:
    """(id, question, answer) on a context, as an article."""
    qas = [
        {"id": key, "question": text, "answers": [{"text": answer, "answer_start": context.index(answer)}]}
        for key, text, answer in asked
    ]
    return {"title": title or context[:12], "paragraphs": [{"context": context, "qas": qas}]}


def squad(path: Path, *articles: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"data": list(articles)}), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Gold that nearly equals test in a passage or a question, one label of each kind that leaks into nothing."""
    made = create_workspace(tmp_path / "ws", language="en", environ={}).folder
    test = squad(
        tmp_path / "test.json",
        paragraph(BRIDGE, ("t1", "Who built the stone bridge?", "Hester Vane")),
        paragraph(TOWER, ("t2", "How many bells does the old tower of the town of Selm have?", "seven"), title="Selm"),
    )
    gold = squad(
        tmp_path / "gold.json",
        paragraph(BRIDGE_AGAIN, ("g-passage", "When was the bridge finished?", "1746"), title="Bridges"),
        paragraph(MILL, ("g-question", "How many bells does the old tower of the town of Selm  have now?", "nine")),
        paragraph(HARBOUR, ("g-clean", "What stands at the harbour?", "lighthouse"), title="selm"),
    )
    ok("import", test, "--as", "test", "-w", made)
    ok("import", gold, "--as", "gold", "-w", made)
    return made


def exported(folder: Path, out: Path, *more: str) -> tuple[set[str], dict[str, Any]]:
    report = ok("export", "-w", folder, "--format", "jsonl", "-o", out, "--force", *more)
    ids = {json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()}
    return ids, report


def test_leaks_lists_near_passages_questions_and_shared_documents(folder: Path) -> None:
    found = ok("leaks", "-w", folder)
    pairs = {(each["kind"], each["how"]): each for each in found["pairs"]}
    assert pairs.keys() == {("passage", "near"), ("question", "near"), ("document", "same"), ("document", "near")}
    passage = pairs["passage", "near"]
    assert (passage["a"], passage["b"]) == (passage_id(BRIDGE_AGAIN), passage_id(BRIDGE))
    assert passage["sides"] == ["gold", "test"]
    assert 0.7 <= passage["similarity"] < 1
    question = pairs["question", "near"]
    assert (question["a"], question["b"], question["sides"]) == ("g-question", "t2", ["gold", "test"])
    assert pairs["document", "same"]["similarity"] == 1
    assert found["counts"] == {"question near": 1, "passage near": 1, "document same": 1, "document near": 1}
    assert found["compared"]["question"] == {"gold": 3, "test": 2}
    assert found["thresholds"] == {"question": 0.8, "passage": 0.7, "document": 0.7, "dense": None}


def test_the_table_shows_both_texts_and_what_was_compared(folder: Path) -> None:
    said = run("leaks", "-w", folder).out
    assert "gold: How many bells does the old" in said
    assert "test: How many bells does the old" in said
    assert "no vectors: the index has no encoder" in said
    few = run("leaks", "-w", folder, "--limit", "1").out
    assert "... and 3 more" in few


def test_a_workspace_without_leaks_says_so(tmp_path: Path) -> None:
    made = create_workspace(tmp_path / "ws", language="en", environ={}).folder
    assert "no leak" in run("leaks", "-w", made).out
    assert ok("leaks", "-w", made)["pairs"] == []


def test_labels_that_leak_do_not_leave_and_are_counted_with_the_command(folder: Path, tmp_path: Path) -> None:
    ids, report = exported(folder, tmp_path / "out.jsonl")
    assert ids == {"g-clean"}
    assert (
        report["left_out"]["labels that nearly equal dev or test (list: labeler leaks; export them: --with-leaks)"] == 2
    )
    assert {each["question_id"] for each in report["conflicts"]} == {"g-passage", "g-question"}
    said = run("export", "-w", folder, "--format", "jsonl", "-o", tmp_path / "again.jsonl").out
    assert f"left out: 2 {LEAKING}" in said
    assert LEAKING == "labels that nearly equal dev or test (list: labeler leaks; export them: --with-leaks)"


def test_they_leave_when_asked_for_by_name(folder: Path, tmp_path: Path) -> None:
    ids, _ = exported(folder, tmp_path / "out.jsonl", "--with-leaks")
    assert ids == {"g-clean", "g-passage", "g-question"}


def test_test_questions_themselves_can_be_exported(folder: Path, tmp_path: Path) -> None:
    ids, report = exported(folder, tmp_path / "out.jsonl", "--role", "test")
    assert ids == {"t1", "t2"}
    assert not [why for why in report["left_out"] if "leaks" in why]


@pytest.mark.parametrize("kind", ["human", "pseudo"])
def test_labels_of_every_kind_are_compared(kind: str, folder: Path, tmp_path: Path) -> None:
    """A pool question whose label stands in a passage that nearly equals one of test."""
    pool = [{"id": "p1", "question": "Who was the mason?"}, {"id": "p2", "question": "What turns in spring?"}]
    file = tmp_path / "pool.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in pool))
    ok("import", file, "--as", "pool", "-w", folder)
    database = open_workspace(folder, environ={}).database()
    labels = [_label("p1", BRIDGE_AGAIN, "Hester Vane"), _label("p2", MILL, "nine wheels")]
    with database.write() as session:
        _store(session, kind, labels)
        report = find_leaks(session)
    database.close()
    assert Leaking.of(report).passages.keys() == {passage_id(BRIDGE_AGAIN)}
    assert report.compared["question"][kind] == 2
    sides = {each.sides for each in report.pairs if each.kind == "passage"}
    assert sides == {("gold", "test")}, "a passage of several kinds is named by the most trusted"
    if kind == "human":
        assert exported(folder, tmp_path / "out.jsonl")[0] == {"g-clean", "p2"}


@pytest.mark.parametrize("inside", [True, False])
def test_a_passage_that_holds_one_of_test_or_stands_in_one_does_not_leave(tmp_path: Path, inside: bool) -> None:
    """Too little of the long one is shared for the two to be near."""
    long, short = f"{MILL} {HARBOUR}  {TOWER} {BRIDGE.upper()} {MILL[::-1]}", BRIDGE
    gold_text, test_text = (short, long) if inside else (long, short)
    made = create_workspace(tmp_path / "ws", language="en", environ={}).folder
    test = squad(tmp_path / "test.json", paragraph(test_text, ("t1", "When?", "1746"), title="a"))
    gold = squad(
        tmp_path / "gold.json",
        paragraph(gold_text, ("g1", "By whom was it built?", gold_text[:3]), title="b"),
        paragraph(MILL[:60] + MILL[60:].upper()[::-1], ("g2", "How many wheels?", "Oren"), title="c"),
    )
    ok("import", test, "--as", "test", "-w", made)
    ok("import", gold, "--as", "gold", "-w", made)
    (pair,) = ok("leaks", "-w", made)["pairs"]
    assert (pair["kind"], pair["how"], pair["sides"]) == ("passage", "contained", ["gold", "test"])
    assert pair["similarity"] >= 0.9
    assert run("leaks", "-w", made).code == 0
    assert exported(made, tmp_path / "out.jsonl")[0] == {"g2"}
    assert exported(made, tmp_path / "all.jsonl", "--with-leaks")[0] == {"g1", "g2"}


def _label(key: str, context: str, text: str) -> NewLabel:
    start = context.index(text)
    return NewLabel(key, (SpanRow(text, passage_id(context), start, start + len(text)),), train_weight=1.0)


def _store(session: Any, kind: str, labels: list[NewLabel]) -> None:
    if kind == "human":
        for label in labels:
            store.set_label(session, label.question_id, label.answers, reviewer="kim")
        return
    row = store.open_round(session, "loop", config={}, seed=0, code_version="1")
    model = store.add_model(
        session, row.number, hash="m" * 64, training_sha256="t", path="m", start="builtin", config={}, examples=1,
        seconds=1.0, loss=None,
    )  # fmt: skip
    made = [
        NewLabel(each.question_id, each.answers, train_weight=0.5, released=False, model_id=model) for each in labels
    ]
    store.record_labels(session, row.number, human=[], pseudo=made, reason="test")


# --- pure parts -----------------------------------------------------------------------------------


def items(**sides: str) -> list[Item]:
    """key -> side/identity."""
    return [Item(key, *value.split("/")) for key, value in sorted(sides.items())]


def fetched(texts: Mapping[str, str]) -> Any:
    return lambda keys: {key: texts[key] for key in keys}


def test_each_of_several_equal_texts_is_paired_once_with_the_other_side() -> None:
    sided = items(a="gold/x", b="human/x", c="pseudo/x", t="test/x", u="test/x", v="dev/y")
    texts = dict.fromkeys("abctu", "one text") | {"v": "quite another one"}
    found = lexical_leaks("question", sided, fetched(texts), similarity=0.7)
    assert [(each.a, each.b, each.sides, each.how) for each in found] == [
        ("a", "t", ("gold", "test"), "equal"),
        ("a", "u", ("gold", "test"), "equal"),
        ("b", "t", ("human", "test"), "equal"),
        ("c", "t", ("pseudo", "test"), "equal"),
    ]


def test_texts_of_gold_human_and_pseudo_labels_do_not_leak_into_each_other() -> None:
    sided = items(a="gold/x", b="human/x", c="pseudo/x")
    assert lexical_leaks("passage", sided, fetched(dict.fromkeys("abc", "one text")), similarity=0.7) == []


def test_dev_and_test_and_calibration_are_sides_too() -> None:
    sided = items(a="calibration/x", b="dev/x", c="test/x")
    found = lexical_leaks("question", sided, fetched(dict.fromkeys("abc", "one text")), similarity=0.7)
    assert [each.sides for each in found] == [("calibration", "dev"), ("calibration", "test"), ("dev", "test")]
    assert Leaking.of(LeakReport(found, {}, {})).questions == {"a": "b"}, "dev and test labels are no labels that leave"


def unit(*rows: list[float]) -> np.ndarray:
    vectors = np.array(rows, dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_dense_leaks_are_the_closest_passages_at_or_above_the_limit() -> None:
    sided = items(a="gold/1", b="pseudo/2", c="gold/3", s="dev/4", t="test/5", missing="test/6")
    vectors = PassageVectors(
        ["a", "b", "c", "s", "t"], unit([1, 0, 0], [0, 1, 0.1], [1, 1, 1], [0, 0.2, 1], [0.05, 1, 0])
    )
    (found,) = dense_leaks(sided, vectors, 0.95)
    assert (found.a, found.b, found.sides, found.how) == ("b", "t", ("pseudo", "test"), "dense")
    assert found.similarity == pytest.approx(1 / (np.sqrt(1.01) * np.sqrt(1.0025)), abs=1e-4)


def test_the_limit_follows_how_far_apart_random_passages_are() -> None:
    """In 64 dimensions random vectors are near right angles; with a common part they are not."""
    rng = np.random.default_rng(0)
    apart = unit(*rng.normal(size=(2000, 64)).tolist())
    alike = unit(*(rng.normal(size=(2000, 64)) + 5).tolist())
    assert threshold(apart) == pytest.approx(0.9, abs=0.02)
    assert threshold(alike) > 0.99
    assert threshold(apart[:1]) == 1.0


def test_vectors_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from labeler.leaks import dense

    rng = np.random.default_rng(1)
    train = unit(*rng.normal(size=(40, 8)).tolist())
    test = unit(*(train[::4] + 0.01 * rng.normal(size=(10, 8))).tolist())
    ids = [f"a{n:02}" for n in range(40)] + [f"t{n:02}" for n in range(10)]
    sided = [Item(key, "gold" if key[0] == "a" else "test", key) for key in ids]
    vectors = PassageVectors(ids, np.concatenate([train, test]))
    whole = dense_leaks(sided, vectors, 0.97)
    monkeypatch.setattr(dense, "_BLOCK", 3)
    assert dense_leaks(sided, vectors, 0.97) == whole
    assert {(each.a, each.b) for each in whole} >= {(f"a{4 * n:02}", f"t{n:02}") for n in range(10)}


# --- with an encoder ------------------------------------------------------------------------------


def test_vectors_are_those_of_the_index_memory_mapped(hybrid: Path) -> None:
    with at(hybrid) as runtime:
        vectors = vectors_of(runtime)
        assert vectors is not None
        assert len(vectors.ids) == len(vectors.vectors)
        base = vectors.vectors.base
        assert isinstance(base, np.memmap), "the file is not read into memory"
        with runtime.database.read() as session:
            found = find_leaks(session, vectors)
    assert found.thresholds["dense"] == threshold(vectors.vectors) > 0.5


def test_a_passage_in_other_words_does_not_leave(hybrid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index in which one gold passage lies where a test passage lies."""
    with at(hybrid) as runtime, runtime.database.read() as session:
        (gold, test), others = _two_passages(session), runtime.index().ids
    rng = np.random.default_rng(0)
    vectors = unit(*rng.normal(size=(len(others), 64)).tolist())
    vectors[list(others).index(gold)] = vectors[list(others).index(test)]
    monkeypatch.setattr(find, "vectors_of", lambda runtime: PassageVectors(list(others), vectors))
    pairs = ok("leaks", "-w", hybrid)["pairs"]
    (dense,) = [each for each in pairs if each["how"] == "dense"]
    assert (dense["a"], dense["b"], dense["sides"], dense["similarity"]) == (gold, test, ["gold", "test"], 1.0)
    kept, report = exported(hybrid, tmp_path / "out.jsonl")
    everything, _ = exported(hybrid, tmp_path / "all.jsonl", "--with-leaks")
    left = everything - kept
    assert report["left_out"][LEAKING] == len(left) > 0
    with at(hybrid) as runtime, runtime.database.read() as session:
        answered = {row.question_id for row in queries.live_labels(session) if row.answers[0].passage_id == gold}
    assert answered & everything <= left


def _two_passages(session: Any) -> tuple[str, str]:
    """A passage of a gold label, and one of a test label."""
    found = []
    for role in ("gold", "test"):
        labels = queries.live_labels(session, roles=[role])
        found.append(labels[0].answers[0].passage_id)
    return found[0], found[1]


def test_an_index_without_an_encoder_or_none_at_all_has_no_vectors(baseline: Path, folder: Path) -> None:
    for place in (baseline, folder):
        with at(place) as runtime:
            assert vectors_of(runtime) is None
