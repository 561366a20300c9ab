"""A round that trains the encoder of the passages: what it learns from, what is judged, and what takes effect."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db import queries
from db.rows import QuestionRow, RetrieverRow, ReviewRow, RoundRow, SpanRow, TrainingRow
from labeler.core.errors import NotReady
from labeler.core.runtime import DENSE_KEY, Runtime, with_settings
from labeler.evaluation.scoring import QuestionScore
from labeler.importing.ingest import import_files
from labeler.maintenance.prune import prune
from labeler.maintenance.status import status
from labeler.reading.ask import ask
from labeler.retrieval.indexing import VECTORS, build_index
from labeler.rounds import history, machine
from labeler.rounds.gate import Verdict
from labeler.rounds.retriever import examples, promotion
from mrc.calibration.features import ALL_FEATURES
from mrc.errors import BadCheckpoint
from mrc.retrieve.fuse import FusionWeight
from mrc.retrieve.index import Index
from mrc.retrieve.training import trainer as encoder_training
from mrc.retrieve.training.train_config import BiEncoderExample
from mrc.types import Passage
from tests.commands import run
from tests.mrc import tiny
from tests.state import state
from tests.worlds import SMALL_RETRIEVER, at, make_workspace


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder `bert`, another one, and a workspace whose index finds passages with the first."""
    folder = tmp_path_factory.mktemp("retriever")
    tiny.bert(folder / "bert")
    tiny.bert(folder / "other", seed=1)
    workspace = make_workspace(folder / "indexed", **SMALL_RETRIEVER)
    with at(workspace) as runtime:
        build_index(runtime, dense=str(folder / "bert"))
    return folder


@pytest.fixture(scope="module")
def played(home: Path) -> Path:
    """The same after the baseline and one round with the simulated reviewer; both retrievers are promoted."""
    folder = shutil.copytree(home / "indexed", home / "played")
    with pytest.MonkeyPatch.context() as patch, at(folder) as runtime:
        judging(patch, promoted=True)
        machine.train(runtime)
        assert machine.run(runtime, reviewer="simulated").round.stage == "closed"
    return folder


@pytest.fixture
def fresh(home: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A copy of the indexed workspace, before its baseline."""
    with at(shutil.copytree(home / "indexed", tmp_path / "fresh")) as opened:
        yield opened


@pytest.fixture
def runtime(played: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A copy of the played workspace."""
    with at(shutil.copytree(played, tmp_path / "copy")) as opened:
        yield opened


def trained(runtime: Runtime, number: int) -> RetrieverRow:
    with runtime.database.read() as session:
        found = queries.retriever_of_round(session, number)
    assert found is not None
    return found


def meta(runtime: Runtime, key: str) -> str | None:
    with runtime.database.read() as session:
        return queries.get_meta(session, key)


def judging(monkeypatch: pytest.MonkeyPatch, *, promoted: bool) -> None:
    """Makes the gate decide so about retrievers, whatever it sees."""
    honest = promotion.compare

    def decide(*rows: Sequence[QuestionScore], **settings: Any) -> Verdict:
        found: Verdict = honest(*rows, **settings)  # type: ignore[arg-type]
        why = f"{'promoted' if promoted else 'refused'}: by this test ({found.why})"
        return dataclasses.replace(found, promoted=promoted, why=why)

    monkeypatch.setattr(promotion, "compare", decide)


# --- what it learns from --------------------------------------------------------------------------


def test_the_encoder_is_trained_on_exactly_the_labels_that_were_fixed(runtime: Runtime) -> None:
    for number in (0, 1):
        with runtime.database.read() as session:
            rows = queries.training_rows(session, number)
        found = trained(runtime, number)
        assert found.training_sha256 == queries.training_sha256(rows)
        assert found.examples == sum(bool(row.label.answers) for row in rows)
    assert found.examples > trained(runtime, 0).examples


def test_nothing_of_a_held_out_passage_is_shown_to_it(fresh: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def spy(examples: Sequence[BiEncoderExample], passages: Sequence[Passage], **settings: Any) -> None:
        seen.update(examples=examples, passages=passages, **settings)
        raise BadCheckpoint("enough was seen")

    monkeypatch.setattr(encoder_training, "train", spy)
    with pytest.raises(NotReady, match=r"enough was seen \(give this round up first: labeler rounds revert 0\)"):
        machine.train(fresh)
    with fresh.database.read() as session:
        held_out = queries.held_out_passages(session)
        everything = set(queries.corpus_ids(session))
        taught = queries.training_rows(session, 0)
    assert held_out
    assert {passage.id for passage in seen["passages"]} == everything - held_out
    for example in seen["examples"]:
        assert not held_out & {*example.positives, *example.negatives}
        assert not set(example.positives) & set(example.negatives)
    assert any(example.negatives for example in seen["examples"])
    assert [(each.id, each.weight) for each in seen["examples"]] == [(row.question.id, row.weight) for row in taught]


def test_a_later_import_does_not_change_the_training_set_of_the_encoder(
    fresh: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a training that was interrupted goes on where it was."""
    seen: list[Any] = []

    def spy(*given: Any, **settings: Any) -> None:
        seen.append((*given, settings["start"], settings["seed"]))
        raise BadCheckpoint("enough was seen")

    monkeypatch.setattr(encoder_training, "train", spy)
    for text in ("A passage that came while the round was open.", "Another one."):
        with pytest.raises(NotReady, match="enough was seen"):
            machine.run(fresh)
        late = tmp_path / "late.txt"
        late.write_text(text, encoding="utf-8")
        import_files(fresh.database, [str(late)], role="corpus")
    assert seen[0] == seen[1]


def a_row(passage: str = "p0") -> TrainingRow:
    asked = QuestionRow("q", "Who?", "n", "pool", "pool", "u")
    with_answer = SpanRow("Ada", passage, 0, 3)
    label = type("Label", (), {"answers": (with_answer,)})()
    return TrainingRow(asked, label, 1.0, {})


def a_review(verdict: str, *shown: str, marked: str | None = None) -> ReviewRow:
    answer = SpanRow("Ada", marked, 0, 3) if marked else None
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return ReviewRow(
        id=1, task_id=1, round_number=1, question_id="q", reviewer="kim", verdict=verdict, answer=answer, origin=None,
        seconds=None, comment=None, passages=shown, created_at=moment, superseded_at=None, deleted_at=None,
        recorded_in=1, source=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reviews", "expected"),
    [
        ([a_review("answerable", "p1", "p0", "p2", marked="p0")], ("p1", "p2")),
        ([a_review("no_answer", "p3", "p4")], ("p3", "p4")),  # the question has its label from elsewhere
        ([a_review("no_answer", "p0", "p4")], ("p4",)),  # what the label rests on answers it, whoever missed it
        ([a_review("answerable", "p1", "p5", marked="p5")], ()),  # another passage than the label's
        ([a_review("no_answer", "p5"), a_review("answerable", "p1", "p5", marked="p5")], ()),
        (
            [a_review("no_answer", "p2", "p1"), a_review("answerable", "p0", "p1", "p3", marked="p0")],
            ("p2", "p1", "p3"),
        ),
        ([a_review("skipped", "p1"), a_review("bad_question", "p2")], ()),
    ],
)
def test_passages_that_a_reviewer_saw_without_the_answer_are_negatives(
    reviews: list[ReviewRow], expected: tuple[str, ...]
) -> None:
    assert examples.passages_without_answer([a_row()], reviews) == {"q": expected}


def test_what_reviewers_saw_without_the_answer_comes_before_what_shares_terms(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        rows, row = queries.training_rows(session, 1), queries.round_(session, 1)
        reviews = examples.recorded_reviews(session, rows)
        teachable = set(queries.corpus_ids(session)) - queries.held_out_passages(session)
    assert row.index_fingerprint is not None
    taught = examples.retriever_examples(rows, runtime.index(row.index_fingerprint), reviews, trainable=teachable)
    answered = [row for row in rows if row.label.answers]
    seen = examples.passages_without_answer(answered, reviews)
    confirmed = {key: [place for place in shown if place in teachable] for key, shown in seen.items()}
    assert any(confirmed.values())
    for example in taught:
        known = confirmed[example.id]
        assert list(example.negatives[: len(known)]) == known
        assert len(set(example.negatives)) == len(example.negatives)


def test_reviews_of_a_reverted_round_give_no_negatives(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        rows = queries.training_rows(session, 1)
        assert examples.recorded_reviews(session, rows)
    history.revert(runtime, 1, with_reviews=True)
    with runtime.database.read() as session:
        assert examples.recorded_reviews(session, rows) == []


def test_every_round_starts_from_the_first_checkpoint_and_not_from_the_last_retriever(
    runtime: Runtime, home: Path
) -> None:
    with runtime.database.read() as session:
        opened_with = queries.round_(session, 1).index_fingerprint
    assert opened_with == trained(runtime, 0).index_after
    assert [trained(runtime, number).start for number in (0, 1)] == [str(home / "bert")] * 2


def test_another_start_can_be_named(fresh: Runtime, home: Path) -> None:
    other = fresh.with_config(with_settings(fresh.config, retriever={"start": str(home / "other")}))
    machine.train(other)
    assert trained(other, 0).start == str(home / "other")


def test_a_missing_starting_checkpoint_is_an_error_before_a_round_opens(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    nowhere = fresh.with_config(with_settings(fresh.config, retriever={"start": "nobody/nothing"}))
    with pytest.raises(BadCheckpoint, match="nobody/nothing"):
        machine.train(nowhere)
    assert machine.current(fresh) is None


def test_a_lexical_index_trains_no_encoder_and_logs_why(fresh: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    build_index(fresh, dense="none")
    caplog.clear()
    assert machine.train(fresh).retriever is None
    assert "retriever.train is on, but the index is lexical only" in caplog.text


def test_reading_given_passages_trains_no_encoder_and_logs_why(
    fresh: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    given = fresh.with_config(with_settings(fresh.config, read={"passages": "given"}))
    assert machine.train(given).retriever is None
    assert "no retriever is trained" in caplog.text


def test_without_the_setting_none_is_trained(fresh: Runtime) -> None:
    off = fresh.with_config(with_settings(fresh.config, retriever={"train": False}))
    assert machine.train(off).retriever is None
    with off.database.read() as session:
        assert queries.retrievers(session) == []


# --- what takes effect ----------------------------------------------------------------------------


def test_the_gate_judges_the_index_as_loaded_from_disk(fresh: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def spy(runtime: Runtime, row: RoundRow, after: Index, before: Index) -> dict[str, Any]:
        judged.extend((after, before))
        return told(runtime, row, after, before)

    told = promotion.compare_indexes
    monkeypatch.setattr(promotion, "compare_indexes", spy)
    machine.train(fresh)
    after, before = judged
    for index in (after, before):  # in memory no index is searched by clusters
        assert index is fresh.index(index.fingerprint)
        assert index.dense is not None
        assert isinstance(index.dense.vectors.base, np.memmap)


def test_a_promoted_encoder_is_that_of_the_current_index(fresh: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fresh.current_index()
    judging(monkeypatch, promoted=True)
    machine.train(fresh)
    found = trained(fresh, 0)
    assert (found.promoted, found.index_before) == (True, before)
    assert fresh.current_index() == found.index_after != before
    dense = fresh.index().dense
    assert dense is not None
    assert dense.encoding.checkpoint == found.hash
    assert fresh.index().lexical_fingerprint == fresh.index(before).lexical_fingerprint
    shown = status(fresh).retriever
    assert shown is not None
    assert (shown.round, shown.hash, shown.path) == (0, found.hash, found.path)


def test_an_index_built_later_is_the_same_one(runtime: Runtime) -> None:
    now = runtime.current_index()
    assert build_index(runtime).fingerprint == now == trained(runtime, 1).index_after


def test_an_index_of_more_passages_keeps_the_retriever(runtime: Runtime, tmp_path: Path) -> None:
    late = tmp_path / "late.txt"
    late.write_text("A passage that came after the round.", encoding="utf-8")
    import_files(runtime.database, [str(late)], role="corpus")
    assert build_index(runtime).dense == str(runtime.workspace.folder / trained(runtime, 1).path)


def test_a_refused_retriever_is_stored_and_changes_nothing(fresh: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    before, named = fresh.current_index(), meta(fresh, DENSE_KEY)
    judging(monkeypatch, promoted=False)
    told = machine.train(fresh).retriever
    assert told is not None
    assert (told["promoted"], told["gate"]["why"][:21]) == (False, "refused: by this test")
    assert (fresh.current_index(), meta(fresh, DENSE_KEY)) == (before, named)
    assert status(fresh).retriever is None
    assert history.one_round(fresh, 0)["retriever"] == told


def test_it_is_judged_by_what_is_found_on_dev(runtime: Runtime) -> None:
    found = trained(runtime, 1)
    gate = dict(found.gate or {})
    with runtime.database.read() as session:
        asked = [entry for entry in queries.labelled_questions(session, "dev") if entry.label.answers]
    top_k = runtime.config.read.top_k
    shares = []
    for fingerprint in (found.index_before, found.index_after):
        hits = runtime.index(fingerprint).retrieve([entry.question.text for entry in asked], top_k)
        golds = [{answer.passage_id for answer in entry.label.answers} for entry in asked]
        first = [any(hit.passage_id in gold for hit in row) for row, gold in zip(hits, golds, strict=True)]
        shares.append(float(np.mean(first)))
    assert (gate["top_k"], gate["questions"], gate["recall"]) == (top_k, len(asked), shares[1])
    assert gate["recall_change"] == pytest.approx(shares[1] - shares[0])
    assert f"top-{top_k} " in gate["why"]


def test_the_fusion_weight_is_not_tuned_on_questions_that_trained_the_encoder(home: Path, tmp_path: Path) -> None:
    settings = SMALL_RETRIEVER | {"calibrate__calibration_share": 0.5}
    with at(make_workspace(tmp_path / "half", **settings)) as runtime:
        build_index(runtime, dense=str(home / "bert"))
        machine.train(runtime)
        after = runtime.index(trained(runtime, 0).index_after).dense
        with runtime.database.read() as session:
            counts = queries.counts(session).labels_by_role
    assert after is not None
    assert after.weight.questions == counts["calibration"] == 30


def test_too_few_questions_to_weigh_it_by_leave_the_weight_of_the_index_before(runtime: Runtime) -> None:
    parts = [runtime.index(each).dense for each in (trained(runtime, 0).index_before, trained(runtime, 0).index_after)]
    assert parts[0] is not None
    assert parts[1] is not None
    assert parts[0].weight.questions == 60
    assert parts[1].weight == FusionWeight(parts[0].weight.value)  # not tuned


def test_a_model_that_somebody_chose_meanwhile_stays(fresh: Runtime, home: Path) -> None:
    machine.run(fresh, until="trained")
    chosen = build_index(fresh, dense=str(home / "other")).fingerprint
    machine.run(fresh)
    assert trained(fresh, 0).promoted is False
    assert fresh.current_index() == chosen
    assert "built with another model" in (trained(fresh, 0).gate or {})["why"]


def test_passages_that_came_meanwhile_are_in_the_index_that_it_is_judged_on(fresh: Runtime, tmp_path: Path) -> None:
    machine.run(fresh, until="trained")
    late = tmp_path / "late.txt"
    late.write_text("A passage that came while the round was open.", encoding="utf-8")
    import_files(fresh.database, [str(late)], role="corpus")
    larger = build_index(fresh).fingerprint
    machine.run(fresh)
    found = trained(fresh, 0)
    assert found.index_before == larger
    assert fresh.index(found.index_after).ids == fresh.index(larger).ids


def test_a_retriever_goes_before_the_setting_it_was_trained_under_but_not_before_a_newer_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SMALL_RETRIEVER | {"dense__model": str(home / "bert")}
    judging(monkeypatch, promoted=True)
    with at(make_workspace(tmp_path / "set", **settings)) as runtime:
        machine.train(runtime)
        assert build_index(runtime).fingerprint == trained(runtime, 0).index_after
        newer = runtime.with_config(with_settings(runtime.config, dense={"model": str(home / "other")}))
        assert build_index(newer).dense == str(home / "other")
        assert build_index(runtime, dense=str(home / "bert")).dense == str(home / "bert")
        assert build_index(runtime).dense == str(home / "bert")  # asked for: the retriever is out of use


# --- taking back, moving, pruning -----------------------------------------------------------------


def test_reverting_its_round_brings_back_the_index_and_the_model_before(runtime: Runtime, home: Path) -> None:
    told = history.revert(runtime, 1, with_reviews=False)
    assert told["retrievers"] == [trained(runtime, 1).hash]
    assert told["index"] == runtime.current_index() == trained(runtime, 0).index_after
    assert told["next"] is None
    assert build_index(runtime).fingerprint == trained(runtime, 0).index_after


def test_reverting_what_was_indexed_again_names_the_command_that_leads_on(runtime: Runtime, tmp_path: Path) -> None:
    late = tmp_path / "late.txt"
    late.write_text("A passage that came after the round.", encoding="utf-8")
    import_files(runtime.database, [str(late)], role="corpus")
    build_index(runtime)
    told = run("rounds", "revert", "1", "--yes", "-w", runtime.workspace.folder)
    assert "labeler index" in told.out
    assert build_index(runtime).dense == str(runtime.workspace.folder / trained(runtime, 0).path)


def test_reverting_leaves_a_model_that_was_named_since(runtime: Runtime, home: Path) -> None:
    chosen = build_index(runtime, dense=str(home / "other")).fingerprint
    assert history.revert(runtime, 1, with_reviews=False)["retrievers"] == []
    assert (runtime.current_index(), meta(runtime, DENSE_KEY)) == (chosen, str(home / "other"))


def test_a_workspace_that_moved_finds_its_retriever(played: Path, tmp_path: Path) -> None:
    with at(shutil.copytree(played, tmp_path / "before")) as runtime:
        hits = runtime.index().retrieve(["Who founded the mill?"], 3)
    shutil.move(tmp_path / "before", tmp_path / "after")
    with at(tmp_path / "after") as runtime:
        dense = runtime.index().dense
        assert dense is not None
        assert dense.encoding.source == str(tmp_path / "after" / trained(runtime, 1).path)
        assert runtime.index().retrieve(["Who founded the mill?"], 3) == hits
        assert build_index(runtime).fingerprint == trained(runtime, 1).index_after


def test_pruning_keeps_what_the_index_needs_and_deletes_refused_retrievers(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    judging(monkeypatch, promoted=False)
    machine.train(fresh)
    judging(monkeypatch, promoted=True)
    machine.run(fresh, reviewer="none")
    refused, used = trained(fresh, 0), trained(fresh, 1)
    assert used.promoted
    done = prune(fresh, keep=1)
    assert done.retrievers == (refused.path,)
    assert len(done.vectors) == 2  # of the starting checkpoint, and of the refused one
    dense = fresh.index().dense
    assert dense is not None
    kept = [folder.name for folder in (fresh.workspace.index_folder / VECTORS).iterdir()]
    assert kept == [dense.encoding.key]
    assert (fresh.workspace.folder / used.path).is_dir()
    assert build_index(fresh).fingerprint == used.index_after
    assert prune(fresh, keep=1).retrievers == ()


def with_refused(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of the retriever of the baseline, which was refused."""
    with monkeypatch.context() as until_then:
        judging(until_then, promoted=False)
        machine.train(runtime)
    return str(runtime.workspace.folder / trained(runtime, 0).path)


def test_pruning_keeps_a_reverted_retriever_while_the_index_finds_passages_with_it(
    runtime: Runtime, tmp_path: Path
) -> None:
    late = tmp_path / "late.txt"
    late.write_text("A passage that came after the round.", encoding="utf-8")
    import_files(runtime.database, [str(late)], role="corpus")
    build_index(runtime)
    history.revert(runtime, 1, with_reviews=False)  # the index of more passages stays
    assert prune(runtime, keep=1).retrievers == ()
    with at(runtime.workspace.folder) as later:
        assert later.index().retrieve(["Who built it?"], 1)
    build_index(runtime)
    assert prune(runtime, keep=1).retrievers == (trained(runtime, 1).path,)


def test_pruning_keeps_a_refused_retriever_that_somebody_chose(
    fresh: Runtime, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = with_refused(fresh, monkeypatch)
    build_index(fresh, dense=refused)
    assert prune(fresh, keep=1).retrievers == ()
    with at(fresh.workspace.folder) as later:
        assert later.index().retrieve(["Who built it?"], 1)
        assert build_index(later).dense == refused
    build_index(fresh, dense=str(home / "other"))
    assert prune(fresh, keep=1).retrievers == (trained(fresh, 0).path,)


def test_pruning_keeps_the_retriever_that_is_remembered_for_the_indexes_that_follow(
    fresh: Runtime, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = with_refused(fresh, monkeypatch)
    build_index(fresh, dense=refused)
    build_index(fresh.with_config(with_settings(fresh.config, dense={"model": str(home / "other")})))
    assert prune(fresh, keep=1).retrievers == ()
    assert build_index(fresh).dense == refused


def test_pruning_keeps_the_retriever_that_the_settings_name(
    fresh: Runtime, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = with_refused(fresh, monkeypatch)
    for section, key in (("dense", "model"), ("retriever", "start")):
        assert (
            prune(fresh.with_config(with_settings(fresh.config, **{section: {key: refused}})), keep=1).retrievers == ()
        )
    assert prune(fresh, keep=1).retrievers == (trained(fresh, 0).path,)


def test_pruning_keeps_the_retriever_that_a_revert_would_name_again(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = with_refused(fresh, monkeypatch)
    build_index(fresh, dense=refused)
    judging(monkeypatch, promoted=True)
    machine.run(fresh, reviewer="none")
    assert prune(fresh, keep=1).retrievers == ()
    history.revert(fresh, 1, with_reviews=False)
    assert build_index(fresh).dense == refused


def test_pruning_keeps_the_retriever_of_the_index_of_an_open_round(
    fresh: Runtime, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(fresh, dense=with_refused(fresh, monkeypatch))
    off = fresh.with_config(with_settings(fresh.config, retriever={"train": False}))
    machine.run(off, reviewer="none", until="open")
    build_index(fresh, dense=str(home / "other"))
    assert prune(fresh, keep=1).retrievers == ()
    with at(fresh.workspace.folder) as later:
        assert machine.run(later).round.stage == "closed"
    assert prune(fresh, keep=1).retrievers == (trained(fresh, 0).path,)


@pytest.mark.parametrize("broken", ["folder", "meta.json"])
def test_pruning_deletes_no_retriever_where_an_index_in_use_cannot_be_read(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    with_refused(fresh, monkeypatch)
    folder = fresh.index_folder(fresh.current_index())
    if broken == "folder":
        shutil.rmtree(folder)
    else:
        (folder / broken).write_text("{", encoding="ascii")
    with at(fresh.workspace.folder) as later:
        done = prune(later, keep=1)
    assert (done.retrievers, done.vectors) == ((), ())
    assert (fresh.workspace.folder / trained(fresh, 0).path).is_dir()


def test_pruning_does_not_make_good_what_is_in_use_again(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A prune that was killed before the folders were gone, and an index built with one of them since."""
    refused = with_refused(fresh, monkeypatch)
    shutil.copytree(refused, tmp_path / "kept")
    assert prune(fresh, keep=1).retrievers == (trained(fresh, 0).path,)
    shutil.move(tmp_path / "kept", refused)
    build_index(fresh, dense=refused)
    assert prune(fresh, keep=1).retrievers == ()
    assert fresh.index().retrieve(["Who built it?"], 1)


def test_a_retriever_whose_files_changed_is_not_used(fresh: Runtime) -> None:
    machine.run(fresh, until="trained")
    weights = fresh.workspace.folder / trained(fresh, 0).path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(BadCheckpoint, match="its files changed since round 0 trained it"):
        machine.run(fresh)


# --- what is told, and confidence -----------------------------------------------------------------


def test_the_commands_show_the_retriever_of_a_round(fresh: Runtime) -> None:
    at_ws = ("-w", fresh.workspace.folder)
    said = run("train", *at_ws).out
    assert "retriever trained on 48 examples" in said
    assert "retriever promoted: top-2" in said
    minutes = run("round", "--dry-run", *at_ws, "--json").json["training_minutes"]
    with fresh.database.read() as session:
        seconds = queries.models(session)[0].seconds + trained(fresh, 0).seconds  # both have six updates again
    assert minutes == pytest.approx(seconds / 60, rel=0.05)
    shown = run("rounds", "show", "0", *at_ws, "--json").json
    found = trained(fresh, 0)
    assert shown["retriever"]["hash"] == found.hash
    assert {"retriever_trained", "retriever_judged"} <= {event["kind"] for event in shown["events"]}
    assert f"retriever  round 0, {found.hash[:12]}" in run("status", *at_ws).out
    assert run("status", *at_ws, "--json").json["retriever"]["start"] == found.start
    closed = run("round", "--reviewer", "none", *at_ws)
    assert "\n  retriever " in closed.out
    again = run("train", *at_ws, "--json").json["retriever"]
    assert again["path"] == trained(fresh, 2).path
    page = run("report", *at_ws, "--output", fresh.workspace.folder / "report.html")
    assert page.code == 0, page.err
    assert "Trained retriever" in (fresh.workspace.folder / "report.html").read_text("utf-8")


def test_the_calibrator_of_a_hybrid_index_looks_at_both_lists(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        row = queries.round_(session, 1)
        calibrator = queries.calibrator(session, row.calibrator_id or 0)
        predictions = queries.predictions(session, 1)
    assert tuple(calibrator.state["features"]) == ALL_FEATURES
    assert all(entry.features.keys() == {*ALL_FEATURES, "passages_read"} for entry in predictions if entry.answers)
    assert all(entry.confidence is not None for entry in predictions if entry.answers)


def test_an_answer_has_no_confidence_where_passages_are_found_in_another_way_than_calibrated(runtime: Runtime) -> None:
    machine.run(runtime, reviewer="none", until="predicted")
    assert ask(runtime, "Who built it?")[0].confidence is not None
    build_index(runtime, dense="none")
    assert ask(runtime, "Who built it?")[0].confidence is None


@pytest.mark.parametrize("change", [{"model": "other"}, {"pooling": "cls"}])
def test_an_answer_has_no_confidence_where_passages_are_encoded_in_another_way_than_calibrated(
    runtime: Runtime, home: Path, change: dict[str, str]
) -> None:
    machine.run(runtime, reviewer="none", until="predicted")
    meant = {name: str(home / value) if name == "model" else value for name, value in change.items()}
    other = runtime.with_config(with_settings(runtime.config, dense=meant))
    build_index(other)
    assert ask(other, "Who built it?")[0].confidence is None


def test_an_answer_keeps_its_confidence_where_more_passages_are_encoded_in_the_same_way(
    runtime: Runtime, tmp_path: Path
) -> None:
    machine.run(runtime, reviewer="none", until="predicted")
    late = tmp_path / "late.txt"
    late.write_text("A passage that came after the round.", encoding="utf-8")
    import_files(runtime.database, [str(late)], role="corpus")
    build_index(runtime)
    with at(runtime.workspace.folder) as later:
        assert ask(later, "Who built it?")[0].confidence is not None


def test_with_a_lexical_index_an_answer_has_a_confidence_without_the_index_of_the_round(tmp_path: Path) -> None:
    with at(make_workspace(tmp_path / "terms")) as runtime:
        machine.train(runtime)
        opened_with = machine.run(runtime, reviewer="none", until="predicted").round.index_fingerprint
        assert opened_with is not None
        late = tmp_path / "late.txt"
        late.write_text("A passage that came while the round was open.", encoding="utf-8")
        import_files(runtime.database, [str(late)], role="corpus")
        build_index(runtime)
        shutil.rmtree(runtime.index_folder(opened_with))
    with at(tmp_path / "terms") as runtime:
        assert ask(runtime, "Who built it?")[0].confidence is not None


def test_the_state_of_two_equal_runs_is_equal(
    home: Path, played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judging(monkeypatch, promoted=True)
    found: list[Mapping[str, Any]] = []
    with at(shutil.copytree(home / "indexed", tmp_path / "again")) as runtime:
        machine.train(runtime)
        machine.run(runtime, reviewer="simulated")
        with runtime.database.read() as session:
            found.append(state(session))
    with at(played) as runtime, runtime.database.read() as session:
        found.append(state(session))
    assert found[0]["retrievers"]
    assert found[0] == found[1]


def test_the_record_of_a_reader_holds_only_the_settings_of_its_training(played: Path) -> None:
    with at(played) as runtime:
        record = json.loads((runtime.workspace.folder / runtime.best_model().path / "training.json").read_text("utf-8"))
    assert record["config"] == dataclasses.asdict(runtime.config.training)
