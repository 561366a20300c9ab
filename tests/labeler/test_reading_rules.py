"""The rules and the threshold that dev earns a reader: tuned as a round closes, kept, and used as settings say."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from db import queries
from db.rows import ModelRow, QuestionRow, SpanRow
from labeler.core.runtime import Runtime, with_settings
from labeler.reading import answering, postprocessing, tuning
from labeler.reading.answering import ReadingPlan
from labeler.reading.postprocessing import Tuned
from mrc import pipeline
from mrc.postprocess.rules import Refine
from mrc.ranking import Candidate
from mrc.retrieve.index import Index
from mrc.types import Answer, Hit, Passage, Prediction, Question
from tests.worlds import at, make_workspace, squad_v2

READINGS: list[tuple[int, str | None]] = []  # questions and index of every reading


def model(name: str) -> ModelRow:
    """A reader that is never loaded."""
    now = datetime.datetime.now(datetime.UTC)
    return ModelRow(1, 0, "student", name * 64, "", name, "start", {}, 1, 1.0, None, now, None)


@pytest.fixture
def runtime(baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A copy of the baseline, whose reader forgets the last digit of every number."""
    with at(shutil.copytree(baseline, tmp_path / "copy")) as opened:
        forget_last_digits(monkeypatch, opened)
        yield opened


def forget_last_digits(monkeypatch: pytest.MonkeyPatch, runtime: Runtime, *, null: float = 0.1) -> None:
    """Stubs reading: every answerable question gets its gold, numbers without their last digit; impossible ones some
    word at a lower score than "no answer"."""

    def golds_of(at: Runtime) -> dict[str, tuple[SpanRow, ...]]:
        with at.database.read() as session:
            entries = [each for role in ("dev", "calibration") for each in queries.labelled_questions(session, role)]
        return {entry.question.id: entry.label.answers for entry in entries}

    def shortened(gold: SpanRow) -> int:
        return gold.end - (gold.text[-1].isdigit() and len(gold.text) > 1)

    def answers(
        at: Runtime, questions: Sequence[QuestionRow], reader: object, index: str | None, *, plan: ReadingPlan
    ) -> Iterator[Prediction]:
        READINGS.append((len(questions), index))
        assert index is None, "answers in retrieved passages come from the candidates"
        golds = golds_of(at)
        for question in questions:
            if golds[question.id]:
                gold = golds[question.id][0]
                place, score = (gold.passage_id, gold.start, shortened(gold)), 0.5
            else:
                assert question.context_id
                place, score = (question.context_id, 0, 4), 0.2
            text = at.fetch([place[0]])[place[0]].text[place[1] : place[2]]
            yield Prediction(question.id, (Answer(text, *place, score, score),), null if score == 0.5 else 0.3, ())

    def read_candidates(
        questions: Sequence[Question], *, retriever: Index, **_: object
    ) -> Iterator[tuple[tuple[Candidate, ...], tuple[Hit, ...]]]:
        READINGS.append((len(questions), retriever.fingerprint))
        golds = golds_of(runtime)
        for question in questions:
            gold = golds[question.id][0]
            end = shortened(gold)
            span = Candidate(gold.text[: end - gold.start], gold.passage_id, 0, gold.start, end, 0.0)
            yield (span,), (Hit(gold.passage_id, 0, 1.0),)

    READINGS.clear()
    monkeypatch.setattr(answering, "answers", answers)
    monkeypatch.setattr(pipeline, "read_candidates", read_candidates)
    monkeypatch.setattr(Runtime, "reader", lambda runtime, model: None)


def numbers(runtime: Runtime) -> int:
    """Dev questions whose answer is a number of at least two digits."""
    with runtime.database.read() as session:
        golds = [entry.label.answers[0].text for entry in queries.labelled_questions(session, "dev")]
    return sum(gold[-1].isdigit() and len(gold) > 1 for gold in golds)


def calibration(runtime: Runtime) -> int:
    """The number of calibration questions, which tune how passages are read, but no rule."""
    with runtime.database.read() as session:
        return len(queries.labelled_questions(session, "calibration"))


def refine_of(runtime: Runtime, reader: ModelRow) -> Refine | None:
    return postprocessing.plan_of(runtime, reader).refine


def repaired(refine: Refine | None) -> str:
    assert refine is not None
    return "In 1785 it was"[slice(*refine("When?", Passage("p", "In 1785 it was"), 3, 6))]


def test_a_rule_that_helps_on_dev_is_used_and_one_that_changes_nothing_is_not(runtime: Runtime) -> None:
    reader = model("a")
    assert refine_of(runtime, reader) is None, "nothing is tuned yet"
    tuned = tuning.tune(runtime, reader, index=runtime.current_index())
    assert tuned.rules == ("units",)
    units, brackets = tuned.table
    assert (units.changed, units.fixed, units.broken) == (numbers(runtime), numbers(runtime), 0)
    assert (units.exact_match_change, tuned.questions) == (numbers(runtime) / 30, 30)
    assert brackets.changed == 0
    assert postprocessing.rules_of(runtime, reader) == tuned
    assert repaired(refine_of(runtime, reader)) == "1785"


def test_a_reader_that_no_round_trained_is_tuned_alike_and_nothing_is_stored(runtime: Runtime) -> None:
    reader, index = model("a"), runtime.current_index()
    alone = tuning.tuning_of(runtime, answering.answerer(runtime, reader), index=index)
    assert postprocessing.rules_of(runtime, reader) == Tuned()
    stored = tuning.tune(runtime, reader, index=index)
    assert alone == dataclasses.replace(stored, tuned_on=alone.tuned_on)
    assert alone.rules == ("units",)


def test_dev_is_read_once_for_the_same_questions_and_again_when_they_change(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, index = model("a"), runtime.current_index()
    first = tuning.tune(runtime, reader, index=index)
    assert tuning.tune(runtime, reader, index=index) == first
    assert [(30 + calibration(runtime), index)] == READINGS
    honest = queries.labelled_questions
    monkeypatch.setattr(queries, "labelled_questions", lambda session, role: honest(session, role)[:20])
    assert tuning.tune(runtime, reader, index=index).questions == 20
    assert len(READINGS) == 2


def test_rules_are_those_of_one_reader(runtime: Runtime) -> None:
    tuning.tune(runtime, model("a"), index=runtime.current_index())
    assert postprocessing.rules_of(runtime, model("b")) == Tuned()


def test_the_settings_turn_rules_off_or_name_them(runtime: Runtime) -> None:
    reader = model("a")
    tuning.tune(runtime, reader, index=runtime.current_index())
    off = runtime.with_config(with_settings(runtime.config, read={"rules": ()}))
    assert refine_of(off, reader) is None
    named = runtime.with_config(with_settings(runtime.config, read={"rules": ("brackets",)}))
    assert repaired(refine_of(named, reader)) == "178", "units are not named"


def test_rules_that_the_settings_name_are_not_tuned(runtime: Runtime) -> None:
    reader, index = model("a"), runtime.current_index()
    tuned = tuning.tune(runtime, reader, index=index)
    for rules in ((), ("brackets",)):
        named = runtime.with_config(with_settings(runtime.config, read={"rules": rules}))
        assert tuning.tune(named, reader, index=index).table == tuned.table, "kept for `auto`"
        given = runtime.with_config(with_settings(runtime.config, read={"rules": rules, "passages": "given"}))
        READINGS.clear()
        assert tuning.tune(given, reader, index=None).table == tuned.table
        assert READINGS == [], "dev is not read for them"


def test_without_dev_questions_nothing_is_tuned_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at(make_workspace(tmp_path / "empty", division="gold=60,test=20,pool=60")) as runtime:
        forget_last_digits(monkeypatch, runtime)
        assert tuning.tune(runtime, model("a"), index=runtime.current_index()) == Tuned()
    assert READINGS == []


def test_the_threshold_of_no_answer_is_tuned_in_the_passages_given_and_a_setting_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "v2", division="gold=60,dev=60,test=20,pool=60", squad=squad_v2())
    with at(workspace) as runtime:
        # Right answers .5 against "no answer" .6; impossible questions .2 against .3.
        forget_last_digits(monkeypatch, runtime, null=0.6)
        reader = model("a")
        tuned = tuning.tune(runtime, reader, index=runtime.current_index())
        assert [index is None for _, index in READINGS] == [False, True]
        assert 0.6 / 0.5 < math.exp(tuned.null_threshold) < 0.3 / 0.2
        assert postprocessing.null_threshold_of(runtime, reader) == tuned.null_threshold
        set_ = runtime.with_config(with_settings(runtime.config, read={"null_score_diff_threshold": 0.5}))
        assert postprocessing.null_threshold_of(set_, reader) == 0.5
        zero = runtime.with_config(with_settings(runtime.config, read={"null_score_diff_threshold": 0.0}))
        assert postprocessing.null_threshold_of(zero, reader) == 0.0
        READINGS.clear()
        named = runtime.with_config(with_settings(runtime.config, read={"rules": (), "null_score_diff_threshold": 0.0}))
        assert tuning.tune(named, reader, index=None) == tuned
        assert READINGS == []
        plain = runtime.with_config(with_settings(runtime.config, read={"rules": ()}))
        assert tuning.tune(plain, reader, index=runtime.current_index()).rules == tuned.rules, "kept for `auto`"
        assert [index for _, index in READINGS] == [runtime.current_index(), None], "for reading and the threshold"


def test_what_is_stored_is_plain_json(runtime: Runtime) -> None:
    reader = model("a")
    tuned = tuning.tune(runtime, reader, index=runtime.current_index())
    with runtime.database.read() as session:
        stored = queries.get_meta(session, "rules:" + reader.hash[:32])
    assert stored is not None
    assert json.loads(stored)["rules"] == list(tuned.rules)
