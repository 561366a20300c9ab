"""The benchmark of certificates: rows of real predictions, and pools of other documents than their seeds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.certificate_pools import COLUMNS, EVIDENCE, Rows, lending, read_rows, shifted
from benchmarks.certificates import Row, Setting, measure, pooled
from labeler.replay.redraw import Judged, an_attempt, redraw

DOCUMENTS = 20


def rows(size: int = 2000, *, seed: int = 0) -> Rows:
    """Answers that are right as often as their document is easy and their confidence says; both are drawn."""
    rng = np.random.default_rng(seed)
    of_row = rng.integers(DOCUMENTS, size=size)
    easy = np.linspace(-1.5, 1.5, DOCUMENTS)[of_row]
    score = rng.normal(0.5, 1.5, size=size)
    right = rng.random(size) < 1 / (1 + np.exp(-(score + easy)))
    confidence = 1 / (1 + np.exp(-score))
    return Rows(confidence, right, confidence**0.5, [f"d{number:02}" for number in of_row])


def test_a_shifted_pool_is_of_other_documents_than_its_seeds_and_the_worst_ones_are_worse() -> None:
    given = rows()
    found = shifted(given, np.random.default_rng(0))
    assert list(found) == ["other documents", "worst documents"]
    for pool in found.values():
        assert pool.seeds is not None
        assert len(pool.correct) + len(pool.seeds.right) == len(given.correct)
        assert abs(len(pool.correct) - 1000) < 200, "half of the questions"
        assert len(pool.evidence.right) == EVIDENCE
        assert (np.diff(pool.confidence) <= 0).all(), "most confident first"
    worst = found["worst documents"]
    assert worst.seeds is not None
    assert worst.correct.mean() < worst.seeds.right.mean() - 0.1
    right_of = {name: given.correct[[each == name for each in given.documents or ()]].mean() for name in
                set(given.documents or ())}  # fmt: skip
    assert worst.correct.mean() < float(np.median(list(right_of.values())))


def test_confidences_of_a_shifted_pool_learn_nothing_from_it() -> None:
    """Whatever is right in the pool, its confidences stay: they are fitted on the other documents."""
    given = rows()
    before = shifted(given, np.random.default_rng(0))["other documents"]
    inside = np.isin(given.documents, sorted(_documents_of_pool(given, before.confidence)))
    after = shifted(replace(given, correct=given.correct ^ inside), np.random.default_rng(0))["other documents"]
    assert np.array_equal(before.confidence, after.confidence)
    assert np.array_equal(before.correct, ~after.correct)


def _documents_of_pool(given: Rows, confidence: np.ndarray) -> set[str]:
    """The documents that the pool was drawn from: as many as hold so many questions, in the order of the draw."""
    names = sorted(set(given.documents or ()))
    found: set[str] = set()
    for place in np.random.default_rng(0).permutation(len(names)):
        if sum(each in found for each in given.documents or ()) == len(confidence):
            break
        found.add(names[place])
    return found


def test_a_naive_threshold_of_other_documents_fails_in_worse_ones_where_certificates_hold() -> None:
    pool = shifted(rows(4000), np.random.default_rng(0))["worst documents"]
    row = measure(Setting("worst documents", pool, audits=300), target=0.7, delta=0.1, draws=60, seed=0)
    assert row.missed <= 0.2 * row.draws
    assert row.naive_missed >= 0.8 * row.draws
    assert "| 0.70 | 300 | worst documents |" in row.text()


def test_noise_draws_the_same_audits_and_flips_judgements() -> None:
    pool = lending(rows(), np.random.default_rng(0))
    how = {"right": pool.correct, "attempt": an_attempt(0.7, 150), "draws": 30}
    exact, none, all_wrong = (
        redraw(pool.ranking(), **how, rng=np.random.default_rng(1), noise=noise) for noise in (0.0, 0.0, 1.0)
    )  # type: ignore[arg-type]
    assert exact == none, "the same seed draws the same audits"
    assert exact.wrong + all_wrong.wrong == exact.asked, "with every judgement flipped, right ones are called wrong"
    assert (all_wrong.coverage, all_wrong.audited) == (0, all_wrong.asked), "nothing is certified, all are outside"
    assert 0 < exact.audited < exact.asked


def test_the_naive_threshold_is_chosen_on_the_questions_given() -> None:
    pool = lending(rows(), np.random.default_rng(0))
    always = Judged(np.full(500, pool.confidence[-1]), np.ones(500, dtype=np.bool_))
    found = redraw(
        pool.ranking(), pool.correct, an_attempt(0.8, 300), rng=np.random.default_rng(0), draws=5, naive_from=always
    )
    assert found.naive_missed == 5, "seeds that are all right let the whole pool leave, which is not"


def test_rows_are_read_from_tables_and_rounds_with_and_without_documents(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, (0.9, 1, 0.5, "a"), (0.2, 0, 0.1, "b")])
    found = read_rows(table)
    assert (found.confidence.tolist(), found.correct.tolist()) == ([0.9, 0.2], [True, False])
    assert found.documents == ["a", "b"]
    old = tmp_path / "old.csv"
    old.write_text("confidence,correct\n0.9,1\n0.2,0\n", encoding="utf-8")
    found = read_rows(old)
    assert (found.probability, found.documents) == (None, None)
    assert not shifted(found, np.random.default_rng(0))
    for each, documents in ((["p", 0.9, 0.5, True], None), (["p", 0.9, 0.5, True, "a"], ["a"])):
        stored = tmp_path / "round-1.json"
        stored.write_text(json.dumps({"judged": [each]}), encoding="utf-8")
        found = read_rows(stored)
        assert (found.confidence.tolist(), found.correct.tolist()) == ([0.9], [True])
        assert found.documents == documents


def test_misses_of_several_pools_are_added_up() -> None:
    one = Row(0.7, "exact reviewers", 300.0, 3, 100, 40, 0.2, 0.4)
    both = pooled([one, replace(one, missed=7, naive_missed=60, coverage=0.4)])
    assert (both.missed, both.draws, both.naive_missed) == (10, 200, 100)
    assert "5.0 [2.4, 9.0]" in both.text()
