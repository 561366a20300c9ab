"""A labeller's answers in rounds and certificates: calibrated, taught, certified, and named in every trail."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest

from db import certificates, queries
from db.engine import Session
from db.errors import Conflict
from db.rows import LabellerPredictionRow, PredictionRow, SpanRow
from labeler.certificates.verify import verify
from labeler.certify.machine import run as certify
from labeler.certify.request import Request
from labeler.core.errors import NotReady
from labeler.core.runtime import with_settings
from labeler.demo.encyclopaedia import make_encyclopaedia
from labeler.importing.ingest import undo_import
from labeler.labellers.importing import import_predictions
from labeler.labellers.passages import found_passages
from labeler.labels.browse import stored_labels
from labeler.rounds import history, machine
from labeler.rounds.resolved_settings import resolve
from labeler.rounds.steps import training
from mrc.ranking import Ranked
from mrc.read.predict.groups import Group
from tests.commands import ok
from tests.labeler.labellers.worlds import jsonl
from tests.worlds import at, make_workspace

DIVISION = "gold=30,calibration=50,dev=20,pool=70"


def predictions(path: Path) -> Path:
    """Answers to every question, right more often where the score is high; one question is left out in ten."""
    rows: list[dict[str, Any]] = []
    for article in make_encyclopaedia("en", seed=5, documents=80).squad()["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                draw = zlib.crc32(qa["id"].encode()) % 100
                gold, first = qa["answers"][0]["text"], paragraph["context"].split()[0]
                right = draw % 10 < draw // 10 + 2
                answer = {"id": qa["id"], "score": draw / 100, "context": paragraph["context"]}
                if draw != 50:
                    start = qa["answers"][0]["answer_start"] if right else 0
                    rows.append(answer | {"answer": gold if right else first, "start": start})
    return jsonl(path, rows)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained workspace with a labeller, a certificate of its answers, and a round that they taught."""
    folder = tmp_path_factory.mktemp("labeller")
    made = make_workspace(folder / "ws", division=DIVISION)
    with at(made) as runtime:
        machine.train(runtime)
        import_predictions(runtime, [str(predictions(folder / "p.jsonl"))], labeller="roberta")
        certify(runtime, Request(target=0.4, audits=25, seed="7", labeller="roberta"), reviewer="simulated")
        config = with_settings(runtime.config, round={"labeller": "roberta"})
        machine.run(runtime.with_config(config), reviewer="simulated")
    return made


def _labels(session: Session, number: int) -> list[Any]:
    return [row for row in queries.labels(session, round_number=number) if row.kind == "pseudo"]


def test_a_round_takes_the_answers_of_its_labeller_and_calibrates_them(workspace: Path) -> None:
    with at(workspace) as runtime, runtime.database.read() as session:
        row = queries.round_(session, 2)
        labeller = queries.labeller(session, "roberta")
        found = queries.predictions(session, 2)
        answers = {each.question_id: each for each in queries.labeller_predictions(session, labeller.id)}
        assert (row.kind, row.stage, row.teacher_id, row.labeller_id) == ("loop", "closed", None, labeller.id)
        assert {(each.model_id, each.labeller_id) for each in found} == {(None, labeller.id)}
        assert {each.question_role for each in found} == {"pool", "calibration"}
        for each in found:
            assert each.answers[0].text == answers[each.question_id].text
            assert each.score == answers[each.question_id].answers[0].score
            assert each.confidence is not None
            assert each.answers[0].passage_id in {key for key, _ in each.hits}
        assert row.calibrator_id is not None
        assert queries.calibrator(session, row.calibrator_id).metrics["items"] == sum(
            each.question_role == "calibration" for each in found
        )


def test_its_answers_teach_the_student_and_every_pseudo_label_names_the_labeller(workspace: Path) -> None:
    with at(workspace) as runtime:
        with runtime.database.read() as session:
            labeller = queries.labeller(session, "roberta")
            written = _labels(session, 2)
            assert written
            assert {(each.model_id, each.labeller_id) for each in written} == {(None, labeller.id)}
            taught = {each.label.id for each in queries.training_rows(session, 2)}
            assert taught & {each.id for each in written}
            assert {each.labeller for each in stored_labels(session, written)} == {"roberta"}
            events = queries.history(session, written[0].question_id)
        assert {each.kind for each in events if each.detail.get("labeller") == "roberta"} == {
            "labeller_prediction",
            "prediction",
            "label",
        }
        shown = history.one_round(runtime, 2)
        assert (shown["labeller"], shown["stage"]) == ("roberta", "closed")
        assert shown["model"]["examples"] > 0


def test_a_certificate_covers_the_answers_of_the_labeller_and_verifies(workspace: Path, tmp_path: Path) -> None:
    with at(workspace) as runtime, runtime.database.read() as session:
        row = certificates.certificates(session)[0]
        assert row.document is not None
        assert row.document["labeller"][0]["name"] == "roberta"
        assert row.document["certified"] is not None
        assert row.document["not_ranked"].get("no answer was predicted", 0) == 0
        verified = verify(session, row)
        assert verified.valid, verified.why
        released = queries.certified_labels(session, row.id)
        labeller = queries.labeller(session, "roberta")
        stored = {each.question_id: each.answers[0] for each in queries.labeller_predictions(session, labeller.id)}
        assert released
        for label in released:
            best = stored[label.question_id]
            assert label.answers == (SpanRow(best.text, str(best.passage_id), best.start or 0, best.end or 0),)
            assert label.labeller_id == labeller.id
    out = tmp_path / "out.jsonl"
    ok("export", "--format", "jsonl", "--kinds", "pseudo", "-o", out, "-w", workspace)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows
    assert {(each["labeller"], each["model"]) for each in rows} == {("roberta", "")}


def test_what_a_labeller_cannot_do_is_said_before_a_round_is_opened(workspace: Path, tmp_path: Path) -> None:
    with at(workspace) as runtime:
        import_predictions(runtime, [str(jsonl(tmp_path / "n.jsonl", _dev_only(runtime)))], labeller="dev only")
        for name, fault in (("nobody", "there is no labeller 'nobody'"), ("dev only", "has answered no unlabelled")):
            config = with_settings(runtime.config, round={"labeller": name})
            with pytest.raises(Exception, match=fault) as raised:
                machine.run(runtime.with_config(config), reviewer="simulated")
            assert "\n" not in str(raised.value)
            assert machine.current(runtime) is None
        with pytest.raises(NotReady, match="no predictions are stored"):
            certify(runtime, Request(stored=True, labeller="dev only"), reviewer="simulated")


def _dev_only(runtime: Any) -> list[dict[str, Any]]:
    with runtime.database.read() as session:
        entry = queries.labelled_questions(session, "dev")[0]
    return [{"id": entry.question.id, "answer": entry.label.answers[0].text, "context_id": entry.question.context_id}]


def test_answers_that_an_open_round_takes_cannot_be_undone(workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "copy"))
    with at(copy) as runtime:
        config = with_settings(runtime.config, round={"labeller": "roberta"})
        machine.run(runtime.with_config(config), until="open", reviewer="simulated")
        with runtime.database.read() as session:
            number = next(row.id for row in queries.imports(session) if row.options.get("labeller") == "roberta")
        with pytest.raises(Conflict, match="round 3 is taking the answers of this import"):
            undo_import(runtime.database, number)
        machine.run(runtime, until="predicted")
        assert undo_import(runtime.database, number).predictions > 0
        with runtime.database.read() as session:
            assert queries.predicted_ids(session, 3)


def test_a_labeller_answers_the_uncertain_questions_of_a_cascade(workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "copy"))
    with at(copy) as runtime:
        cascade = {"large": "labeller:roberta", "low": 0.0, "high": 1.0}
        row = machine.run(runtime.with_config(with_settings(runtime.config, cascade=cascade)), until="predicted").round
        with runtime.database.read() as session:
            labeller = queries.labeller(session, "roberta")
            said = {each.question_id: each for each in queries.labeller_predictions(session, labeller.id)}
            found = queries.predictions(session, row.number)
        assert (row.teacher_id is not None, row.labeller_id) == (True, None)
        taken = [each for each in found if each.question_id in said and _is_read(each, said[each.question_id])]
        assert taken
        assert {each.answers[0].text == said[each.question_id].text for each in taken} == {True}
        for large, fault in (("labeller:nobody", "no labeller 'nobody'"), ("./nothing", "no such checkpoint")):
            other = runtime.with_config(with_settings(runtime.config, cascade={"large": large}))
            with pytest.raises(Exception, match=fault):
                resolve(other)
        for ensemble, fault in (
            ({"members": ("labeller:nobody",)}, "no labeller 'nobody'"),
            ({"members": ("labeller:roberta",), "vote": "logits"}, "has no logits to vote with"),
        ):
            with pytest.raises(Exception, match=fault):
                resolve(runtime.with_config(with_settings(runtime.config, ensemble=ensemble)))


def _is_read(entry: PredictionRow, said: LabellerPredictionRow) -> bool:
    """Whether the labeller's answer stands in the passage that was found first, which is read in any case."""
    return said.answers[0].passage_id == entry.hits[0][0]


def test_a_labeller_votes_with_the_reader_where_it_has_answered(workspace: Path) -> None:
    with at(workspace) as runtime:
        with runtime.database.read() as session:
            questions = queries.pool_to_predict(session)[:30]
        found = found_passages(runtime, questions, count=2)
        groups = [Group(row.text, tuple(own)) for row, own in zip(questions, found, strict=True)]
        config = with_settings(runtime.config, ensemble={"members": ("labeller:roberta",)})
        read = {"config": config.read, "normalize": str.lower}
        model = runtime.best_model()
        alone = list(runtime.answerer(model).read(groups, **read))
        both = list(runtime.with_config(config).answerer(model).read(groups, **read))
        said = runtime.answerer_named("labeller:roberta")
        stored = list(said.read(groups, **read))
    silent = [at for at, ranked in enumerate(stored) if not ranked.answers]
    voted = [at for at, ranked in enumerate(stored) if ranked.answers]
    assert silent
    assert voted
    for place in silent:
        assert [each.text for each in both[place].answers] == [each.text for each in alone[place].answers]
        assert both[place].answers[0].score == pytest.approx(alone[place].answers[0].score, rel=1e-4)
    for place in voted:
        answer = stored[place].answers[0].text
        own, voting = (_score(ranked[place], answer) for ranked in (alone, both))
        assert own < voting  # the labeller speaks for it
        assert _score(both[place], alone[place].answers[0].text) != _score(alone[place], alone[place].answers[0].text)


def _score(ranked: Ranked, text: str) -> float:
    return next((each.score for each in ranked.answers if each.text.lower() == text.lower()), 0.0)


def test_a_labeller_teaches_the_student_of_its_round_by_its_scores(workspace: Path, tmp_path: Path) -> None:
    with at(workspace) as runtime:
        with runtime.database.read() as session:
            row, rows = queries.round_(session, 2), queries.training_rows(session, 2)
            stored = queries.model_of_round(session, 2)
        config = with_settings(runtime.config, train={"distill_weight": 0.5})
        given = runtime.with_config(config)
        own = training.teachers(given, row, rows).readers
        named = with_settings(config, train={"teachers": ("labeller:roberta",)})
        by_name = training.teachers(runtime.with_config(resolve(runtime.with_config(named))), row, rows).readers
        assert {each.fingerprint for each in (*own, *by_name)} == {own[0].fingerprint}
        taught = training.train_reader(given, row, rows, folder=tmp_path / "taught")
    assert stored is not None
    assert taught.hash != stored.hash
    assert taught.loss != stored.loss


def test_an_import_that_votes_in_an_open_round_cannot_be_undone(workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "copy"))
    with at(copy) as runtime:
        config = with_settings(runtime.config, ensemble={"members": ("labeller:roberta",)})
        machine.run(runtime.with_config(config), until="open", reviewer="simulated")
        with runtime.database.read() as session:
            number = next(row.id for row in queries.imports(session) if row.options.get("labeller") == "roberta")
        with pytest.raises(Conflict, match="round 3 is taking the answers of this import"):
            undo_import(runtime.database, number)
