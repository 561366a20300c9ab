"""What rounds do with the reader's options: rules, adaptive reading, teachers, stage 0, balance, early stopping."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from db import queries, store
from labeler.core.config import FILE_NAME, load_config
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime, with_settings
from labeler.evaluation import reader_metrics
from labeler.maintenance.prune import prune
from labeler.reading import answering, postprocessing, tuning
from labeler.reading.answering import ReadingPlan
from labeler.reading.ask import ask
from labeler.reading.early_exit import fitted_rule, stored_rule
from labeler.reading.postprocessing import Tuned
from labeler.rounds import checkpoints, machine, resolved_settings
from labeler.rounds.steps import promotion, training
from mrc import pipeline
from mrc.errors import BadCheckpoint, MissingExtra, NoDevice
from mrc.postprocess.rules import refiner
from mrc.read.model.loading import load_model
from mrc.read.model.reader import Reader
from mrc.read.predict.adaptive import StoppingRule
from mrc.read.train.param_groups import param_groups
from mrc.types import Answer, Prediction
from tests.commands import ok, run
from tests.mrc import tiny
from tests.worlds import at

ALWAYS = StoppingRule(thresholds=(-1.0,), risk=0.01, questions=6, changed=0, passages=0.5)  # one passage is enough


@pytest.fixture
def runtime(baseline: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A copy of a workspace with its first reader."""
    with at(shutil.copytree(baseline, tmp_path / "copy")) as opened:
        yield opened


def under(runtime: Runtime, **sections: Mapping[str, object]) -> Runtime:
    return runtime.with_config(with_settings(runtime.config, **sections))


def calls(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> list[dict[str, Any]]:
    """The keyword arguments of each call of a function from now on."""
    honest, seen = getattr(where, name), list[dict[str, Any]]()

    def watched(*rows: Any, **keywords: Any) -> Any:
        seen.append(keywords)
        return honest(*rows, **keywords)

    monkeypatch.setattr(where, name, watched)
    return seen


# --- adaptive reading -------------------------------------------------------------------------------


def test_a_round_predicts_under_one_rule_however_often_it_is_begun(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = under(runtime, experimental={"adaptive": "calibrated"})
    monkeypatch.setattr(pipeline, "held_out_rule", lambda *_, **__: ALWAYS)
    fits = calls(monkeypatch, pipeline, "held_out_rule")
    row = machine.run(at_once, reviewer="none", until="predicted").round
    with runtime.database.read() as session:
        found = queries.predictions(session, row.number)
    assert {each.features["passages_read"] for each in found if each.answers} == {1.0}
    assert len(fits) == 1
    with runtime.database.read() as session:
        held_out = queries.questions(session, roles=["calibration"])
    index = at_once.current_index()
    assert fitted_rule(at_once, at_once.best_model(), index=index) == ALWAYS
    assert len(fits) == 1, "the stored rule is read back"
    assert {each.id for each in held_out} <= {each.question_id for each in found}, "the calibrator sees such scores too"


def test_reading_in_full_is_the_default_and_fits_nothing(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = calls(monkeypatch, pipeline, "held_out_rule")
    row = machine.run(runtime, reviewer="none", until="predicted").round
    with runtime.database.read() as session:
        found = queries.predictions(session, row.number)
    assert {each.features["passages_read"] for each in found if each.answers} == {2.0}
    assert fits == []


def test_a_rule_counts_for_one_reader_one_index_and_one_way_of_reading(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "held_out_rule", lambda *_, **__: ALWAYS)
    calibrated = under(runtime, experimental={"adaptive": "calibrated"})
    model, index = runtime.best_model(), runtime.current_index()
    fitted_rule(calibrated, model, index=index)
    assert stored_rule(calibrated, model, index=index) == ALWAYS
    assert stored_rule(under(calibrated, read={"top_k": 3}), model, index=index) is None
    assert stored_rule(calibrated, model, index="another") is None
    assert stored_rule(runtime, model, index=index) is None, "adaptive reading is off"
    assert fitted_rule(calibrated, model, index=None) is None, "a given passage is one passage"
    voting = under(calibrated, ensemble={"members": (model.path,)})
    assert stored_rule(voting, model, index=index) is None, "it says nothing of a vote"
    large = under(calibrated, cascade={"large": model.path})
    assert stored_rule(large, model, index=index) is None, "nor of who is asked beside"
    korean = under(calibrated, workspace={"language": "ko"})
    assert stored_rule(korean, model, index=index) is None, "rules on answers are others"
    assert stored_rule(under(calibrated, experimental={"adaptive_risk": 0.02}), model, index=index) is None
    bf16, fp32 = (under(calibrated, compute={"precision": name}) for name in ("bf16", "fp32"))
    assert stored_rule(bf16, model, index=index) is None, "computed otherwise, read otherwise"
    assert stored_rule(fp32, model, index=index) == ALWAYS, "so narrow a reader computes in fp32 anyway"


def test_a_stopping_rule_is_fitted_on_the_split_groups_that_were_held_out(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = calls(monkeypatch, pipeline, "held_out_rule")
    settings = runtime.workspace.folder / "labeler.toml"
    settings.write_text(settings.read_text() + '[experimental]\nadaptive = "calibrated"\nadaptive_risk = 0.2\n')
    with at(runtime.workspace.folder) as calibrated:
        fitted_rule(calibrated, runtime.best_model(), index=runtime.current_index())
    assert fits[0]["risk"] == 0.2
    with runtime.database.read() as session:
        held_out = queries.questions(session, roles=["calibration"])
    assert fits[0]["split_group_of"] == {row.id: row.split_group for row in held_out}


def test_a_question_asked_of_more_or_fewer_passages_than_the_rule_is_of_is_read_in_full(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "held_out_rule", lambda *_, **__: ALWAYS)
    calibrated = under(runtime, experimental={"adaptive": "calibrated"})
    fitted_rule(calibrated, runtime.best_model(), index=runtime.current_index())
    seen = calls(monkeypatch, pipeline, "answer")
    for k in (1, 2, 3, None):
        ask(calibrated, "Who founded the harbour?", k=k)
    assert [each["stopping"] for each in seen] == [None, ALWAYS, None, ALWAYS]


def test_a_question_is_asked_under_the_rule_of_its_round(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "held_out_rule", lambda *_, **__: ALWAYS)
    calibrated = under(runtime, experimental={"adaptive": "calibrated"})
    machine.run(calibrated, reviewer="none", until="predicted")
    seen = calls(monkeypatch, pipeline, "answer")
    found = ask(calibrated, "Who founded the harbour?")
    assert seen[0]["stopping"] == ALWAYS
    assert found[0].confidence is not None
    in_full = ask(under(calibrated, experimental={"adaptive": "off"}), "Who founded the harbour?")
    assert seen[1]["stopping"] is None
    assert in_full[0].confidence is None, "it was calibrated on scores of other readings"


def test_too_few_held_out_questions_stop_nothing(runtime: Runtime) -> None:
    calibrated = under(runtime, experimental={"adaptive": "calibrated"})
    rule = fitted_rule(calibrated, runtime.best_model(), index=runtime.current_index())
    assert rule is not None
    assert set(rule.thresholds) == {1.0}


# --- rules on answers -------------------------------------------------------------------------------


def earned(
    runtime: Runtime, *rules: str, table: Sequence[Mapping[str, object]] = (), null_threshold: float = 0.0
) -> None:
    """Says that the reader has earned these rules on dev."""
    tuned = {"rules": rules, "null_threshold": null_threshold, "table": table, "questions": 30, "tuned_on": "x"}
    with runtime.database.write() as session:
        store.set_meta(session, f"{postprocessing.RULES_KEY}{runtime.best_model().hash[:32]}", json.dumps(tuned))


def test_tuned_rules_are_used_by_every_command_that_reads(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    earned(runtime, "brackets")
    assert postprocessing.rules_of(runtime, runtime.best_model()) == Tuned(("brackets",), questions=30, tuned_on="x")
    seen = calls(monkeypatch, pipeline, "answer")
    ask(runtime, "Who founded the harbour?")
    reader_metrics.reader_scores(runtime, runtime.best_model(), "dev", index=runtime.current_index())
    machine.run(runtime, reviewer="none", until="predicted")
    assert len(seen) >= 3
    assert all(each["refine"] is not None for each in seen)


def test_evaluate_shows_the_effect_of_each_rule(runtime: Runtime) -> None:
    said = ("evaluate", "--rules", "-w", runtime.workspace.folder)
    assert "no rule was evaluated" not in run(*said).out
    case = {"question": "Who?", "before": "(Mira", "after": "Mira", "was_right": False, "is_right": True}
    effect = {"rule": "brackets", "changed": 6, "fixed": 5, "broken": 0, "exact_match_change": 0.05, "examples": [case]}
    earned(runtime, "brackets", table=[effect])
    assert ok(*said)["rules"] == [effect]
    out = run(*said).out
    assert "brackets  on        6      5       0         +5.0" in out
    assert "brackets  fixed  (Mira   Mira" in out
    assert ok("evaluate", "-w", runtime.workspace.folder)["rules"] is None


def test_train_names_its_teachers_and_its_head(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def train(at: Runtime) -> None:
        seen.append(at.config)
        raise NotReady("seen")

    monkeypatch.setattr(machine, "train", train)
    run("train", "--head", "cnn", "--teacher", "a", "--teacher", "b", "-w", runtime.workspace.folder)
    assert seen[0].train.head == "cnn"
    assert seen[0].train.teachers == ("a", "b")


def test_an_evaluation_under_other_rules_is_another_one(runtime: Runtime) -> None:
    model = runtime.best_model()
    before = reader_metrics.stored_evaluation(runtime, model, "dev", index=None)
    earned(runtime, "brackets")
    after = reader_metrics.stored_evaluation(runtime, model, "dev", index=None)
    assert after.id != before.id
    assert reader_metrics.stored_evaluation(runtime, model, "dev", index=None).id == after.id


def test_an_evaluation_under_another_threshold_or_language_is_another_one(runtime: Runtime) -> None:
    model = runtime.best_model()
    earned(runtime)
    ids = [reader_metrics.stored_evaluation(runtime, model, "dev", index=None).id]
    earned(runtime, null_threshold=0.7)
    ids.append(reader_metrics.stored_evaluation(runtime, model, "dev", index=None).id)
    assert runtime.language == "en"
    korean = under(runtime, workspace={"language": "ko", "metric": runtime.metric})
    ids.append(reader_metrics.stored_evaluation(korean, model, "dev", index=None).id)
    assert len(set(ids)) == 3


def test_no_confidence_where_the_round_read_by_other_rules_or_settings(runtime: Runtime) -> None:
    machine.run(runtime, reviewer="none", until="predicted")
    question = "Who founded the harbour?"
    assert ask(runtime, question)[0].confidence is not None
    assert ask(under(runtime, read={"chunk_size": 64}), question)[0].confidence is not None, "no score depends on it"
    assert ask(under(runtime, read={"n_best_size": 3}), question)[0].confidence is None
    assert ask(under(runtime, compute={"precision": "fp32"}), question)[0].confidence is None
    assert ask(under(runtime, read={"rules": ("brackets",)}), question)[0].confidence is None
    earned(runtime, "brackets")  # as a round closes; the one that predicted had none
    assert ask(runtime, question)[0].confidence is None


def test_rules_tuned_for_one_reader_are_not_those_of_its_ensemble(runtime: Runtime, other: str) -> None:
    earned(runtime, "brackets")
    voting = under(runtime, ensemble={"members": (other,)})
    assert postprocessing.rules_of(voting, runtime.best_model()) == Tuned()
    tuned = tuning.tune(voting, runtime.best_model(), index=runtime.current_index())
    assert tuned.tuned_on
    assert postprocessing.rules_of(voting, runtime.best_model()) == tuned
    assert postprocessing.rules_of(runtime, runtime.best_model()).rules == ("brackets",), "it stays its own"


def test_closing_a_round_tunes_the_rules_of_the_student_and_of_the_best(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[str] = []
    monkeypatch.setattr(tuning, "tune", lambda _, model, index: tuned.append(model.hash))
    best = runtime.best_model()
    row = machine.run(runtime, reviewer="none").round
    with runtime.database.read() as session:
        student = queries.model_of_round(session, row.number)
    assert student is not None
    assert tuned == [student.hash, best.hash]


def test_the_threshold_of_no_answer_is_how_far_it_must_win() -> None:
    said = Prediction("q", (Answer("a mill", "p", 0, 6, 0.2, 0.1),), 0.4, ())  # log(0.4 / 0.2) = 0.69
    assert answering.best_text(said, may_abstain=True) == ("", None)
    assert answering.best_text(said, may_abstain=True, null_threshold=0.5) == ("", None)
    assert answering.best_text(said, may_abstain=True, null_threshold=0.8) == ("a mill", "p")
    assert answering.best_text(said, may_abstain=False) == ("a mill", "p")


def test_spans_go_through_the_rules_that_are_handed_in(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        questions = queries.questions(session, roles=["dev"])
    reader = runtime.reader(runtime.best_model())

    def first(*_: object) -> tuple[int, int]:
        return 0, 1

    plan = ReadingPlan(refine=first)
    found = answering.answers(runtime, questions, reader, runtime.current_index(), plan=plan)
    assert {len(answer.text) for each in found for answer in each.answers} == {1}
    assert refiner((), language="en") is None


# --- several readers --------------------------------------------------------------------------------


@pytest.fixture
def other(runtime: Runtime) -> str:
    """The folder, in the workspace, of a reader with the same encoder that was trained otherwise."""
    with runtime.database.read() as session:
        row, rows = queries.round_(session, 0), queries.training_rows(session, 0)
    trained = under(runtime, train={"max_steps": 3})
    training.train_reader(trained, row, rows, folder=runtime.workspace.models_folder / "other")
    return "models/other"


def answered(runtime: Runtime) -> list[tuple[str, ...]]:
    """The texts that the dev questions are answered with, best first."""
    with runtime.database.read() as session:
        questions = queries.questions(session, roles=["dev"])
    found = answering.answers(runtime, questions, runtime.answerer(runtime.best_model()), runtime.current_index())
    return [tuple(answer.text for answer in each.answers) for each in found]


def test_a_round_predicts_by_the_vote_of_the_members(runtime: Runtime, other: str) -> None:
    alone, voting = answered(runtime), answered(under(runtime, ensemble={"members": (other,), "vote": "logits"}))
    assert voting != alone
    own = under(runtime, ensemble={"members": (runtime.best_model().path,), "vote": "logits"})
    assert [texts[0] for texts in answered(own)] == [texts[0] for texts in alone]
    calibrated = under(runtime, ensemble={"members": (other,)})
    row = machine.run(calibrated, reviewer="none", until="predicted").round
    assert row.config["ensemble"]["members"] == [other]
    found = ask(calibrated, "Who founded the harbour?")
    assert found[0].confidence is not None
    assert ask(runtime, "Who founded the harbour?")[0].confidence is None, "it was calibrated on the scores of a vote"


def test_in_a_round_a_larger_reader_is_asked_within_the_band(runtime: Runtime, other: str) -> None:
    small = answered(runtime)
    large = answered(under(runtime, cascade={"large": other, "low": 0.0, "high": 1.0}))
    assert small != large
    assert answered(under(runtime, cascade={"large": other, "low": 1.0, "high": 1.0})) == small


def test_an_evaluation_with_an_ensemble_is_stored_apart(runtime: Runtime, other: str) -> None:
    model = runtime.best_model()
    alone = reader_metrics.stored_evaluation(runtime, model, "dev", index=None)
    voting = reader_metrics.stored_evaluation(under(runtime, ensemble={"members": (other,)}), model, "dev", index=None)
    assert alone.id != voting.id


def test_adaptive_reading_and_a_vote_do_not_go_together(runtime: Runtime, other: str) -> None:
    both = under(runtime, ensemble={"members": (other,)}, experimental={"adaptive": "calibrated"})
    asked = under(runtime, cascade={"large": other}, experimental={"adaptive": "calibrated"})
    for pair, why in ((both, "ensemble.members"), (asked, "cascade.large")):
        with pytest.raises(NotReady, match=f"experimental.adaptive works with one reader, but {why} is set"):
            resolved_settings.resolve(pair)
        with pytest.raises(NotReady, match=r"experimental\.adaptive works with one reader"):
            ask(pair, "Who founded the harbour?")


def test_rounds_read_with_the_backend_of_the_settings(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.reader(runtime.best_model())  # by torch; one that was loaded so is not taken for the other
    monkeypatch.setattr(Reader, "load", stopped)
    with pytest.raises(BadCheckpoint, match="stop here, onnx"):
        under(runtime, read={"backend": "onnx"}).reader(runtime.best_model())


def stopped(_: object, *, backend: str, **__: object) -> None:
    raise BadCheckpoint(f"stop here, {backend}")


def test_a_missing_member_of_the_ensemble_is_an_error_before_a_round_opens(runtime: Runtime) -> None:
    with pytest.raises(NotReady, match="models/gone: there is no such checkpoint"):
        resolved_settings.resolve(under(runtime, ensemble={"members": ("models/gone",)}))


def test_a_question_is_answered_though_a_reader_that_an_open_round_names_is_gone(
    runtime: Runtime, other: str, tmp_path: Path
) -> None:
    elsewhere = shutil.copytree(runtime.workspace.folder / other, tmp_path / "elsewhere")
    machine.run(under(runtime, ensemble={"members": (str(elsewhere),)}), reviewer="none", until="predicted")
    shutil.rmtree(elsewhere)
    with at(runtime.workspace.folder) as later:
        (first, *_) = ask(later, "Who founded the harbour?")
    assert first.confidence is None


def test_the_files_of_a_member_are_read_once_for_all_that_asks_who_answers(
    runtime: Runtime, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    voting = under(runtime, ensemble={"members": (other,)})
    assert voting.other_readers[1] not in (other, voting.located(other))
    monkeypatch.setattr("mrc.read.model.reader.model_hash", lambda folder: pytest.fail(f"{folder} is read again"))
    assert under(voting, experimental={"hard_vote": True}).other_readers[1:] == voting.other_readers[1:]


def test_a_round_that_continues_with_the_same_folders_logs_no_unused_setting(
    runtime: Runtime, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(runtime.workspace.folder / other, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    given = ('ensemble.members=["elsewhere"]', "cascade.large=elsewhere", 'train.teachers=["elsewhere"]')
    named = runtime.with_config(
        load_config(runtime.workspace.folder / FILE_NAME, environ={}, overrides=[*given, "train.distill_weight=0.5"])
    )
    row = machine.run(named, reviewer="none", until="predicted").round
    assert Path(row.config["cascade"]["large"]).is_absolute()
    caplog.clear()
    machine.run(named, reviewer="none", until="predicted")
    assert "not used" not in caplog.text
    machine.run(under(named, ensemble={"members": ()}, cascade={"large": other}), reviewer="none", until="predicted")
    assert "ensemble.members (stays" in caplog.text
    assert "cascade.large (stays" in caplog.text
    assert "train.teachers" not in caplog.text


# --- pruning ----------------------------------------------------------------------------------------


def refused(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of a student that was not promoted."""
    honest = promotion.judge
    monkeypatch.setattr(promotion, "judge", lambda *given: replace(honest(*given), promoted=False))
    number = machine.run(runtime, reviewer="none").round.number
    with runtime.database.read() as session:
        student = queries.model_of_round(session, number)
    assert student is not None
    return student.path


@pytest.mark.parametrize(
    "named", ["ensemble.members", "cascade.large", "train.teachers", "train.start", "nothing", "settings now"]
)
def test_pruning_keeps_the_readers_that_an_open_round_or_the_settings_name(
    runtime: Runtime, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = refused(runtime, monkeypatch)
    sections: dict[str, dict[str, dict[str, object]]] = {
        "ensemble.members": {"ensemble": {"members": (path,)}},
        "cascade.large": {"cascade": {"large": path}},
        "train.teachers": {"train": {"teachers": (path,), "distill_weight": 0.5}},
        "train.start": {"train": {"start": path}},
    }
    if named in sections:
        machine.run(under(runtime, **sections[named]), reviewer="none", until="predicted")
    found = prune(under(runtime, ensemble={"members": (path,)}) if named == "settings now" else runtime, keep=1)
    assert (path in found.models) == (named == "nothing")
    assert (runtime.workspace.folder / path).is_dir() == (named != "nothing")


def test_pruning_keeps_a_prepared_start_that_is_named_or_that_the_reader_began_as(runtime: Runtime) -> None:
    with runtime.database.read() as session:
        begun = queries.models(session)[0].start
    names = ("pretrain-0123456789ab", "pretrain-aaaaaaaaaaaa")
    for name in names:
        shutil.copytree(runtime.workspace.folder / begun, runtime.workspace.models_folder / name)
    named = under(runtime, train={"start": f"models/{names[0]}"})
    assert prune(named, keep=1).models == (f"models/{names[1]}",)
    machine.run(named, reviewer="none")
    with runtime.database.read() as session:
        assert queries.models(session)[-1].start == f"models/{names[0]}"
        assert queries.rounds(session)[-1].promoted
    assert prune(runtime, keep=1).models == ()
    assert resolved_settings.resolve_start(runtime) == f"models/{names[0]}"


# --- training ---------------------------------------------------------------------------------------


class Caught(Exception):
    """Carries what a training was called with."""


def trained_with(runtime: Runtime, monkeypatch: pytest.MonkeyPatch, number: int) -> dict[str, Any]:
    """What the training of a round is called with; it does not take place."""

    def train(examples: object, **keywords: object) -> None:
        raise Caught({"examples": examples, **keywords})

    monkeypatch.setattr("mrc.read.train.trainer.train", train)
    with runtime.database.read() as session:
        row, rows = queries.round_(session, number), queries.training_rows(session, number)
    with pytest.raises(Caught) as found:
        training.train_reader(runtime, row, rows, folder=runtime.workspace.models_folder / "never")
    keywords: dict[str, Any] = found.value.args[0]
    return keywords


def test_by_default_a_student_is_trained_on_labels_alone(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    given = trained_with(runtime, monkeypatch, 0)
    assert (given["teachers"], given["dev"], given["shares"], given["metric"]) == ([], [], None, "squad")
    assert all(example.golds for example in given["examples"])


def test_with_a_distillation_weight_the_teacher_of_the_round_is_used(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = machine.run(runtime, reviewer="none", until="labelled").round.number
    distilling = under(runtime, train={"distill_weight": 0.5})
    given = trained_with(distilling, monkeypatch, number)
    assert not given["distill_human_labelled"], "it was trained on the labels of people"
    (teacher,) = given["teachers"]
    assert teacher.fingerprint == runtime.reader(runtime.best_model()).fingerprint


def test_readers_named_in_the_settings_are_the_teachers(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    other = shutil.copytree(runtime.workspace.folder / runtime.best_model().path, runtime.workspace.folder / "other")
    named = under(runtime, train={"distill_weight": 0.5, "teachers": ("other", str(other))})
    given = trained_with(named, monkeypatch, 0)
    assert [each.fingerprint for each in given["teachers"]] == [runtime.reader(runtime.best_model()).fingerprint] * 2
    assert given["distill_human_labelled"]


def test_teachers_without_a_distillation_weight_are_refused_before_a_round_opens(runtime: Runtime) -> None:
    with pytest.raises(NotReady, match=r"train\.distill_weight is 0; try: --set train\.distill_weight=0\.5"):
        resolved_settings.resolve(under(runtime, train={"teachers": ("other",)}))


def test_without_a_teacher_the_first_reader_logs_that_it_uses_labels_alone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert trained_with(under(runtime, train={"distill_weight": 0.5}), monkeypatch, 0)["teachers"] == []
    assert "there is no teacher yet" in caplog.text


def test_balancing_uses_the_mix_of_the_predicted_pool(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    number = machine.run(runtime, reviewer="none", until="labelled").round.number
    shares = trained_with(under(runtime, train={"balance": "weights"}), monkeypatch, number)["shares"]
    assert sum(shares.values()) == pytest.approx(1)
    with runtime.database.read() as session:
        pool = {each.id for each in queries.questions(session, roles=["pool"])}
        found = [each for each in queries.predictions(session, number) if each.question_id in pool]
    longest = [each for each in found if len(each.answers[0].text.split()) >= 8]
    assert sum(share for kind, share in shares.items() if kind.endswith("8+")) == pytest.approx(
        len(longest) / len(found)
    )


def test_early_stopping_watches_dev_in_the_passages_that_answer(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = trained_with(under(runtime, train={"early_stopping_patience": 2}), monkeypatch, 0)["dev"]
    with runtime.database.read() as session:
        assert {each.id for each in watched} == {row.id for row in queries.questions(session, roles=["dev"])}
    assert all(each.answers[0] in each.context for each in watched)


def test_a_round_that_could_never_train_is_not_opened(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved_settings.resolve(under(runtime, train={"early_stopping_patience": 2}))
    with monkeypatch.context() as patch:
        patch.setattr(queries, "labelled_questions", lambda *_: [])
        with pytest.raises(NotReady, match=r"train\.early_stopping_patience needs dev questions, and there are none"):
            resolved_settings.resolve(under(runtime, train={"early_stopping_patience": 2}))
        patch.setattr(queries, "begun", lambda _: False)
        resolved_settings.resolve(
            under(runtime, train={"early_stopping_patience": 2})
        )  # the first round will hold some out
        with pytest.raises(NotReady, match=r"train\.early_stopping_patience"):
            resolved_settings.resolve(under(runtime, train={"early_stopping_patience": 2}, round={"dev_share": 0.0}))
    bpe = tiny.roberta(runtime.workspace.models_folder / "bpe")
    with pytest.raises(BadCheckpoint, match="needs a WordPiece tokenizer"):
        resolved_settings.resolve(under(runtime, experimental={"morphemes": True}, train={"start": str(bpe)}))
    monkeypatch.setattr("mrc.read.data.morphemes.find_spec", lambda _: None)
    for asked in ({"experimental": {"morphemes": True}}, {"train": {"exact_match_features": "morphemes"}}):
        with pytest.raises(MissingExtra, match="morphemes"):
            resolved_settings.resolve(under(runtime, **asked))
    monkeypatch.setattr("mrc.read.train.distributed.pick_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(NoDevice, match="processes = 2"):
        resolved_settings.resolve(under(runtime, experimental={"processes": 2}))


def test_stage_0_reads_no_passage_of_a_held_out_question(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def pretrain(start: str, given: Sequence[str], folder: Path, **_: object) -> Path:
        texts.extend(given)
        return folder

    monkeypatch.setattr("mrc.read.pretrain.pretraining.pretrain", pretrain)
    trained_with(under(runtime, pretrain={"mlm_epochs": 0.1}), monkeypatch, 0)
    with runtime.database.read() as session:
        held_out = queries.held_out_passages(session)
        free = [passage.text for passage in queries.iter_passages(session) if passage.id not in held_out]
    assert held_out
    assert texts == free


def test_stage_0_is_done_once_for_the_same_passages_and_every_round_starts_from_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = under(runtime, pretrain={"mlm_epochs": 0.1})
    made = calls(monkeypatch, *_of("mrc.read.pretrain.pretraining", "pretrain"))
    first = trained_with(prepared, monkeypatch, 0)["start"]
    assert Path(first).name.startswith("pretrain-")
    assert Path(first).is_dir()
    with runtime.database.read() as session:
        row = queries.round_(session, 0)
    assert checkpoints.is_builtin(checkpoints.starting_checkpoint(prepared, row)), (
        "the round is known by what it began with"
    )
    assert trained_with(prepared, monkeypatch, 0)["start"] == first
    assert len(made) == 2, "the second call finds the folder"
    assert made[0]["config"].mlm_epochs == 0.1
    assert trained_with(runtime, monkeypatch, 0)["start"] != first


def test_stage_0_trains_the_head_that_the_round_trains(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[object] = []

    def pretrain(start: str, given: Sequence[str], folder: Path, *, head: str, **_: object) -> Path:
        heads.append((head, folder))
        return folder

    monkeypatch.setattr("mrc.read.pretrain.pretraining.pretrain", pretrain)
    for head in ("linear", "biaffine"):
        settings = {"pretrain": {"recurring_span_epochs": 1}, "train": {"head": head}}
        assert trained_with(under(runtime, **settings), monkeypatch, 0)["config"].head == head
    (first, one), (second, other) = heads
    assert (first, second) == ("linear", "biaffine")
    assert one != other, "each has its own start"


def test_the_built_in_encoder_is_trained_at_a_rate_of_its_own(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No --model, no rate in the settings: at the rate for pretrained encoders it would hardly learn."""
    given = trained_with(under(runtime, train={"learning_rate": None}), monkeypatch, 0)
    assert checkpoints.is_builtin(given["start"])
    assert given["config"].learning_rate is None
    cpu = {"device": torch.device("cpu"), "dtype": torch.float32}
    model = load_model(given["start"], head=given["config"].head, seed=0, **cpu)
    encoder = {id(weights) for weights in model.encoder.parameters()}
    groups = param_groups(model, given["config"])
    rates = {group["lr"] for group in groups for weights in group["params"] if id(weights) in encoder}
    assert rates == {1e-3}


def _of(module: str, name: str) -> tuple[Any, str]:
    import importlib

    return importlib.import_module(module), name


def test_pruning_deletes_prepared_starts_unless_a_round_is_open(runtime: Runtime) -> None:
    folder = runtime.workspace.models_folder / "pretrain-0123456789ab"
    folder.mkdir()
    machine.run(runtime, reviewer="none", until="predicted")
    assert prune(runtime, keep=1).models == ()
    assert folder.is_dir()
    machine.run(runtime, reviewer="none")
    assert "models/pretrain-0123456789ab" in prune(runtime, keep=1).models
    assert not folder.exists()
