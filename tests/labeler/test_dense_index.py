"""`labeler index --dense`: the model is remembered, its fusion weight tuned on gold questions."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import queries
from labeler.retrieval.tuning import tuning_questions
from tests.commands import run
from tests.mrc import tiny
from tests.worlds import at, make_workspace


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dense")
    tiny.bert(folder / "bert")
    return make_workspace(folder / "workspace")


@pytest.fixture
def workspace(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shutil.copytree(template.parent, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "home" / "workspace"


def index(workspace: Path, *options: str) -> dict[str, object]:
    found: dict[str, object] = run("index", *options, "-w", str(workspace), "--json").json
    return found


def test_an_index_without_a_model_says_so(workspace: Path) -> None:
    built = index(workspace)
    assert (built["dense"], built["weight"]) == (None, None)


def test_the_weight_is_tuned_on_gold_questions_and_shown(workspace: Path) -> None:
    built = index(workspace, "--dense", "bert")
    assert built["dense"] == str(workspace.parent / "bert")
    weight = built["weight"]
    assert isinstance(weight, dict)
    with at(workspace) as runtime:
        asked = tuning_questions(runtime)
        with runtime.database.read() as session:
            judging = {
                entry.question.id for role in ("dev", "test") for entry in queries.labelled_questions(session, role)
            }
    assert weight["questions"] == len(asked) == 60
    assert judging & {entry.question.id for entry in asked} == set()
    said = run("index", "-w", str(workspace)).out
    assert f"dense retrieval: {built['dense']}, weight {weight['value']:g} (tuned on 60 questions" in said


def test_the_model_is_remembered_until_another_is_named(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = index(workspace, "--dense", "bert")
    monkeypatch.chdir(workspace)  # where there is no folder bert
    assert index(workspace) == first
    tiny.bert(workspace.parent / "other", seed=1)
    other = index(workspace, "--dense", str(workspace.parent / "other"))
    assert other["fingerprint"] != first["fingerprint"]
    assert index(workspace, "--dense", "none")["dense"] is None
    assert index(workspace)["dense"] is None


def test_a_setting_overrides_the_remembered_model(workspace: Path) -> None:
    tiny.bert(workspace.parent / "other", seed=1)
    index(workspace, "--dense", "bert")
    built = index(workspace, "--set", "dense.model=other", "--set", "dense.weight=0.25")
    assert str(built["dense"]).endswith("other")
    assert built["weight"] == {"value": 0.25, "low": 0.25, "high": 0.25, "questions": 0, "documents": 0}
    assert "weight 0.25 (as set)" in run("index", "--set", "dense.weight=0.25", "-w", str(workspace)).out


def test_search_shows_the_scores_of_both_rankings(workspace: Path) -> None:
    index(workspace, "--dense", "bert")
    asked = "Who founded the mill?"
    hits = run("search", asked, "-w", str(workspace), "--json").json["hits"]
    assert len(hits) == 5
    assert any(hit["dense"] is not None for hit in hits)
    shown = run("search", asked, "-w", str(workspace)).out
    assert re.search(r"\(score \d\.\d\d, BM25 \d+\.\d\d, dense -?\d\.\d\d\)$", shown, re.MULTILINE)
    index(workspace, "--dense", "none")
    first = run("search", asked, "-w", str(workspace)).out.splitlines()[0]
    assert re.search(r" \(score \d+\.\d\d\)$", first)


def test_a_missing_model_leaves_the_index_unchanged(workspace: Path) -> None:
    before = index(workspace, "--dense", "bert")
    fault = run("index", "--dense", "nobody/nothing", "-w", str(workspace)).fault
    assert "nobody/nothing: no such folder, and no network to look for the model on the hub" in fault
    assert index(workspace) == before


def test_a_removed_model_is_an_error_of_one_line(workspace: Path) -> None:
    index(workspace, "--dense", "bert")
    shutil.rmtree(workspace.parent / "bert")
    assert "no such folder" in run("search", "mill", "-w", str(workspace)).fault


def test_too_few_labels_leave_the_weight_untuned(tmp_path: Path) -> None:
    tiny.bert(tmp_path / "bert")
    folder = make_workspace(tmp_path / "few", division="gold=5,dev=5,test=5,pool=20")
    said = run("index", "--dense", str(tmp_path / "bert"), "-w", str(folder)).out
    assert "weight 0.5 (not tuned: too few labelled questions or documents)" in said
