"""How well passages are found: marks, comparisons, misses; and settings tuned on what is labelled."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import queries
from labeler.core.errors import ConfigError, NotReady
from labeler.core.runtime import Runtime, with_settings
from labeler.evaluation import retrieval_metrics
from labeler.evaluation.evaluate import evaluate, labelled
from labeler.evaluation.index_comparison import compare_indexes, other_index
from labeler.evaluation.misses import find_misses
from labeler.retrieval import tuning
from labeler.retrieval.indexing import build_index
from mrc.errors import StaleIndex
from mrc.retrieve.error_analysis import ANSWER_ELSEWHERE, NO_SHARED_TERM, REASONS
from mrc.types import Hit
from tests.commands import ok, run
from tests.mrc import tiny
from tests.worlds import at, make_workspace


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An indexed workspace without a reader."""
    return make_workspace(tmp_path_factory.mktemp("ranking") / "ws")


@pytest.fixture
def workspace(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "ws"))


@pytest.fixture
def runtime(workspace: Path) -> Iterator[Runtime]:
    with at(workspace) as opened:
        yield opened


def searched(runtime: Runtime, split: str = "dev") -> retrieval_metrics.RetrievalResults:
    return retrieval_metrics.search(runtime, runtime.index(), labelled(runtime, split))


# Marks


def test_every_depth_is_measured_with_its_interval(runtime: Runtime) -> None:
    found = evaluate(runtime, "dev")
    assert found.retrieval is not None
    names = [f"{kind}_{depth}" for kind in ("top", "answer_in") for depth in (1, 3, 5, 10, 20, 100)]
    assert set(found.retrieval) == {*names, "mrr"}
    for name, value in found.retrieval.items():
        low, high = found.intervals[f"retrieval.{name}"]
        assert 0 <= low <= value <= high <= 1


def test_scores_follow_from_ranks(runtime: Runtime) -> None:
    asked = labelled(runtime, "dev")[:3]
    marks = retrieval_metrics.RetrievalResults(
        asked, [(), (), ()], gold_ranks=[0, 3, -1], answer_ranks=[0, 1, -1]
    ).scores()
    assert marks["top_1"] == [1, 0, 0]
    assert marks["top_3"] == [1, 0, 0]  # rank 3 is the fourth
    assert marks["top_5"] == [1, 1, 0]
    assert marks["mrr"] == [1, 1 / 4, 0]
    assert marks["answer_in_3"] == [1, 1, 0]


def test_the_answer_rank_is_at_most_the_gold_rank(runtime: Runtime) -> None:
    found = searched(runtime)
    assert any(rank >= 0 for rank in found.gold_ranks)
    for gold, answer in zip(found.gold_ranks, found.answer_ranks, strict=True):
        assert gold < 0 or 0 <= answer <= gold


def test_the_answer_is_searched_in_all_hits(runtime: Runtime) -> None:
    entry = labelled(runtime, "dev")[0]
    gold = entry.label.answers[0].passage_id
    with runtime.database.read() as session:
        texts = {row.id: row.text for row in queries.iter_passages(session)}
    others = [key for key, text in texts.items() if entry.label.answers[0].text.lower() not in text.lower()]
    for rank in (0, retrieval_metrics.READ_FIRST - 1, retrieval_metrics.READ_FIRST, 15):
        ids = [*others[:rank], gold]
        hits = tuple(Hit(key, place, 1.0) for place, key in enumerate(ids))
        assert retrieval_metrics.answer_ranks(runtime, [entry, entry], [hits, ()]) == [rank, -1]


# Another index


def test_an_index_compared_with_itself_does_not_differ(runtime: Runtime) -> None:
    index = runtime.index()
    found = compare_indexes(runtime, searched(runtime), index, index.fingerprint[:8])
    assert (found.index, found.other) == (index.fingerprint, index.fingerprint)
    assert (found.better, found.worse) == (0, 0)
    assert {(each.mean, each.low, each.high) for each in found.differences.values()} == {(0, 0, 0)}


def test_two_settings_are_compared_question_by_question(runtime: Runtime) -> None:
    found = evaluate(runtime, "dev", compare="analyzer=whitespace, k1=0.5").comparison
    assert found is not None
    other = other_index(runtime, "analyzer=whitespace,k1=0.5")
    assert (other.config.analyzer, other.config.k1, other.config.method) == ("whitespace", 0.5, "atire")
    here, there = searched(runtime), retrieval_metrics.search(runtime, other, labelled(runtime, "dev"))
    questions = len(here.entries)
    assert found.differences["top_1"].mean == pytest.approx(
        sum(rank == 0 for rank in here.gold_ranks) / questions - sum(rank == 0 for rank in there.gold_ranks) / questions
    )
    assert found.better > found.worse  # stems without stop words find more than bare words
    assert runtime.current_index() == found.index  # the other one is not kept


def test_other_lexical_settings_keep_the_dense_part(runtime: Runtime, tmp_path: Path) -> None:
    build_index(runtime, dense=str(tiny.bert(tmp_path / "bert")))
    index = runtime.index()
    same = other_index(runtime, f"k1={index.config.k1}")
    assert same.dense is index.dense
    assert same.fingerprint == index.fingerprint
    other = other_index(runtime, "analyzer=whitespace")
    assert other.fingerprint != index.fingerprint
    hits = next(found for found in other.retrieve(["Who founded the mill?"], 5) if found)
    assert any(hit.dense is not None for hit in hits)


@pytest.mark.parametrize(
    ("name", "error"), [("0000", "0 stored indexes begin with '0000'; stored are: [0-9a-f]{16};"), ("../x", "0 stored")]
)
def test_a_missing_index_is_named_with_the_stored_ones(runtime: Runtime, name: str, error: str) -> None:
    with pytest.raises(NotReady, match=error):
        other_index(runtime, name)


def test_other_fusion_settings_reuse_the_vectors(runtime: Runtime, tmp_path: Path) -> None:
    build_index(runtime, dense=str(tiny.bert(tmp_path / "bert")))
    index = runtime.index()
    assert index.dense is not None
    assert other_index(runtime, "dense.model=none").dense is None
    other = other_index(runtime, "dense.weight=1, dense.fusion=rrf, b=0.2").dense
    assert other is not None
    assert (other.weight.value, other.config.fusion, other.vectors is index.dense.vectors) == (1, "rrf", True)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ("k9=1", r"--compare index\.k9"),
        ("dense.weight=2", "weight must be in 0-1"),
        ("dense.pooling=cls", "needs other vectors"),
        ("dense.model=elsewhere", "only none"),
        ("dense.weight=0.5", "lexical only"),
        ("read.top_k=3", "no setting of the index"),
    ],
)
def test_a_setting_that_cannot_be_compared_is_refused(runtime: Runtime, settings: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        other_index(runtime, settings)


def test_an_index_of_other_passages_is_not_compared(workspace: Path, runtime: Runtime, tmp_path: Path) -> None:
    before = runtime.current_index()
    (tmp_path / "more.txt").write_text("A new passage about nothing else.", encoding="utf-8")
    ok("import", str(tmp_path / "more.txt"), "--as", "corpus", "-w", str(workspace))
    ok("index", "-w", str(workspace))
    with pytest.raises(StaleIndex, match="which have changed since"):
        other_index(runtime, before[:16])


# Misses


def test_misses_are_the_questions_below_the_depth_each_with_a_reason(runtime: Runtime) -> None:
    found = evaluate(runtime, "dev", misses=1)
    assert found.misses
    assert found.retrieval
    assert found.reasons is not None
    assert len(found.misses) == round((1 - found.retrieval["top_1"]) * len(searched(runtime).entries))
    for miss in found.misses:
        assert miss.rank is None or miss.rank >= 1
        assert miss.reasons
        assert set(miss.reasons) <= set(REASONS)
        assert miss.first_passage != miss.gold_passage
    assert sum(found.reasons.values()) == sum(len(miss.reasons) for miss in found.misses)


def test_a_question_without_a_known_term_shares_none(runtime: Runtime) -> None:
    found = searched(runtime)
    (entry, *_) = found.entries
    strange = retrieval_metrics.RetrievalResults([entry], [()], [-1], [-1])
    index = other_index(runtime, "analyzer=whitespace")
    (miss,) = find_misses(runtime, _asking(strange, "zzz qqq"), index, depth=3)
    assert (miss.rank, miss.first_passage, miss.reasons) == (None, None, (NO_SHARED_TERM,))


def test_the_answer_counts_as_elsewhere_only_in_higher_ranked_passages(runtime: Runtime) -> None:
    (entry, *_) = labelled(runtime, "dev")
    (hits,) = runtime.index().retrieve([entry.question.text], 1)
    for gold, answer, elsewhere in ((4, 4, False), (4, 3, True), (-1, 3, True), (-1, -1, False)):
        found = retrieval_metrics.RetrievalResults([entry], [hits], [gold], [answer])
        (miss,) = find_misses(runtime, found, runtime.index(), depth=1)
        assert (ANSWER_ELSEWHERE in miss.reasons) == elsewhere


def _asking(found: retrieval_metrics.RetrievalResults, text: str) -> retrieval_metrics.RetrievalResults:
    entry = found.entries[0]
    asked = dataclasses.replace(entry, question=dataclasses.replace(entry.question, text=text))
    return dataclasses.replace(found, entries=[asked])


# Tuning


def test_tuning_asks_gold_and_calibration_questions_alone(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        roles = {entry.question.role for entry in tuning._labelled(runtime)}
        gold = len(queries.labelled_questions(session, "gold"))
    assert roles == {"gold"}  # no calibration is held out yet
    assert len(tuning._labelled(runtime)) == gold


def test_tuned_values_are_used_by_later_indexes_until_they_are_discarded(runtime: Runtime) -> None:
    tuned = tuning.tune_index(runtime)
    assert tuned == tuning.last_tuned(runtime)
    assert tuned.mrr_after[0] >= tuned.mrr_before[0]
    config = tuning.index_config(runtime)
    assert (config.k1, config.b, config.title_weight) == (tuned.k1, tuned.b, tuned.title_weight)
    build_index(runtime)
    assert runtime.index().config == config
    tuning.forget_tuning(runtime)
    assert (tuning.index_config(runtime).k1, tuning.last_tuned(runtime)) == (1.5, None)


@pytest.mark.parametrize(
    ("changes", "k1"),
    [
        ({}, 0.3),
        ({"k1": 1.2}, 1.2),  # a setting of one's own goes before
        ({"method": "okapi"}, 1.5),  # tuned for atire
        ({"analyzer": "bigram"}, 1.5),
        ({"window_chars": 500}, 1.5),
    ],
)
def test_tuned_values_apply_only_to_the_method_and_analyzer_they_were_tuned_for(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], k1: float
) -> None:
    zero = (0.0, 0.0, 0.0)
    tuned = tuning.TunedIndex("atire", "english", 0, 0.3, 0.9, 1, 10, zero, zero, zero, 0.0, 0.0)
    monkeypatch.setattr(tuning, "last_tuned", lambda runtime: tuned)
    changed = runtime.with_config(with_settings(runtime.config, index=changes))
    assert tuning.index_config(changed).k1 == k1


def test_without_gold_there_is_nothing_to_tune_on(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws", division="dev=30,test=20,pool=60")
    with at(workspace) as runtime, pytest.raises(NotReady, match="tuning needs answered gold questions"):
        tuning.tune_index(runtime)


# The commands


def test_the_command_tunes_prints_the_interval_and_indexes(workspace: Path) -> None:
    ws = str(workspace)
    told = ok("index", "--tune", "-w", ws)
    assert told["tuned"]["questions"] > 0
    assert ok("index", "-w", ws)["fingerprint"] == told["fingerprint"]
    shown = run("index", "--tune", "-w", ws).out
    assert "tuned on" in shown
    assert "95% interval" in shown
    assert "cross-validated gain in MRR" in shown
    assert ok("index", "--no-tune", "-w", ws)["tuned"] is None


def test_the_command_compares_and_lists_misses(workspace: Path) -> None:
    ws = str(workspace)
    told = ok("evaluate", "--compare", "method=bm25l", "--misses", "1", "-w", ws)
    assert told["comparison"]["differences"]["top_3"].keys() == {"mean", "low", "high"}
    assert len(told["misses"]) >= max(told["reasons"].values())
    shown = run("evaluate", "--compare", "method=okapi", "--misses", "1", "-w", ws).out
    assert "questions better" in shown
    assert "not found (no shared term" in shown
    assert "stored indexes begin with" in run("evaluate", "--compare", "ffff0000", "-w", ws).fault
    assert json.loads(run("evaluate", "--json", "-w", ws).out)["misses"] is None


def test_titles_and_windows_are_settings_of_the_index(workspace: Path) -> None:
    plain, other = (
        ok("index", "-w", str(workspace), *changes)
        for changes in ((), ("--set", "index.title_weight=1", "--set", "index.window_chars=200"))
    )
    assert plain["fingerprint"] != other["fingerprint"]
    assert ok("search", "who", "-w", str(workspace), "--set", "index.title_weight=1")["hits"] is not None
