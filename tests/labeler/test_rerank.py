"""`[rerank]`: hits are re-ranked, `search` shows it, and predictions depend on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import queries
from labeler.rounds import machine
from tests.commands import run
from tests.mrc import tiny
from tests.worlds import at, make_workspace

QUESTION = "Who founded the mill?"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rerank")
    tiny.cross_encoder(folder / "cross")
    return make_workspace(folder / "workspace")


@pytest.fixture
def workspace(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shutil.copytree(template.parent, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "home" / "workspace"


def index(workspace: Path, *settings: str) -> dict[str, object]:
    sets = [part for setting in settings for part in ("--set", f"rerank.{setting}")]
    found: dict[str, object] = run("index", *sets, "-w", str(workspace), "--json").json
    return found


def test_an_index_without_a_cross_encoder_says_so_and_search_shows_none(workspace: Path) -> None:
    assert index(workspace)["rerank"] is None
    hits = run("search", QUESTION, "-w", str(workspace), "--json").json["hits"]
    assert {hit["rerank"] for hit in hits} == {None}
    assert "re-ranker" not in run("search", QUESTION, "-w", str(workspace)).out


def test_search_shows_the_first_passages_in_their_new_order_with_their_scores(workspace: Path) -> None:
    before = index(workspace)
    plain = run("search", QUESTION, "-k", "6", "-w", str(workspace), "--json").json["hits"]
    built = index(workspace, "model=cross", "top_n=4")
    assert built["rerank"] == str(workspace.parent / "cross")
    assert built["fingerprint"] != before["fingerprint"]
    hits = run("search", QUESTION, "-k", "6", "-w", str(workspace), "--json").json["hits"]
    assert sorted(hit["passage_id"] for hit in hits[:4]) == sorted(hit["passage_id"] for hit in plain[:4])
    scores = [hit["rerank"] for hit in hits]
    assert scores[:4] == sorted(scores[:4], reverse=True)
    assert hits[4:] == plain[4:]
    assert [hit["rank"] for hit in hits] == list(range(6))
    first = run("search", QUESTION, "-w", str(workspace)).out.splitlines()[0]
    assert first.endswith(f"(score {hits[0]['score']:.2f}, re-ranker {hits[0]['rerank']:.2f})")
    assert "\nre-ranker: " in run("index", "--set", "rerank.model=cross", "-w", str(workspace)).out


def test_predictions_are_made_from_re_ranked_passages_and_name_that_index(
    baseline: Path, tmp_path: Path, template: Path
) -> None:
    folder = shutil.copytree(baseline, tmp_path / "round")
    before = index(folder)["fingerprint"]
    built = index(folder, f"model={template.parent / 'cross'}", "top_n=10")
    with at(folder) as runtime:
        row = machine.predict(runtime)
        with runtime.database.read() as session:
            rows = queries.predictions(session, row.number)
            texts = {
                entry.id: entry.text for entry in queries.questions(session, ids=[row.question_id for row in rows])
            }
        found = runtime.index().retrieve([texts[row.question_id] for row in rows], runtime.config.read.top_k)
    assert {row.index_fingerprint for row in rows} == {built["fingerprint"]} != {before}
    assert [[key for key, _ in row.hits] for row in rows] == [[hit.passage_id for hit in hits] for hits in found]
    assert all(hit.rerank is not None for hits in found for hit in hits)


def test_a_changed_or_removed_cross_encoder_is_an_error_of_one_line(workspace: Path) -> None:
    index(workspace, "model=cross")
    tiny.cross_encoder(workspace.parent / "cross", seed=1)
    assert "its files changed since the index was built; run `labeler index`" in (
        run("search", QUESTION, "-w", str(workspace)).fault
    )
    shutil.rmtree(workspace.parent / "cross")
    assert "no such folder" in run("search", QUESTION, "-w", str(workspace)).fault


def test_an_unusable_cross_encoder_leaves_the_index_unchanged(workspace: Path) -> None:
    before = index(workspace)
    tiny.bert(workspace.parent / "reader")
    fault = run("index", "--set", "rerank.model=reader", "-w", str(workspace)).fault
    assert "cannot score a pair of texts; choose a cross-encoder as rerank.model" in fault
    assert index(workspace) == before
