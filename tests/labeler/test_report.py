"""The report of a small filled database: its contents, what it must never contain, one self-contained page."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import db.schema
from db import queries, store
from db.engine import Database
from db.rows import (
    AnswerRow,
    DocumentRow,
    HiddenRow,
    NewImport,
    NewLabel,
    NewPrediction,
    NewReview,
    NewTask,
    PassageRow,
    PredictionRow,
    QuestionRow,
    SpanRow,
)
from db.store import add_import
from labeler.core.errors import FileError
from labeler.core.workspace import create_workspace
from labeler.evaluation.alarms import Alarm
from labeler.evaluation.pseudo_precision import Checked, pseudo_precision
from labeler.importing.ingest import import_files
from labeler.report import build, dataset, plots, write_report
from labeler.report.curves import learning_curves
from labeler.report.data import ErrorCause, Estimate, PrecisionRow, Report, TrainingLabels, TypeErrors
from labeler.report.dataset import quantile
from labeler.report.errors import CONTEXT, error_cause, excerpt
from labeler.report.gather import gather, risk_curve
from labeler.report.page import percent, points
from labeler.report.plots import precision_plot
from labeler.report.precision import wilson
from labeler.report.svg import inline
from labeler.review.agreement import Agreement
from labeler.rounds.gate import Verdict
from mrc.calibration.calibrate import fit
from mrc.calibration.features import FEATURES
from mrc.calibration.selective import release_threshold

TITLE = "다리와 <등대>"
TEXTS = {
    "p-gold": "Ada built the stone bridge in 1901, and the mayor opened it.",
    "p-calibration": "등대는 1923년에 세워졌다. 등대지기 박씨가 <b>불</b>을 밝혔다.",
    "p-dev": "The mill stands at Owl Creek.",
    "p-test": "The ferry leaves at noon.",
    "p-pool": "The tower clock was cast by Mira Quill in Oslo and weighs nine tons.",
}
HIDDEN = {"q1": "Mira Quill", "q2": "Oslo", "q3": "nine tons"}
QUESTIONS = {  # id -> role, text, passage, answer; the pool's are hidden
    "g1": ("gold", "Who built the bridge?", "p-gold", "Ada"),
    "c1": ("calibration", "등대는 <b>언제</b> 세워졌나? </script><script>alert(1)</script>", "p-calibration", "1923년"),
    "c2": ("calibration", "누가 불을 밝혔나?", "p-calibration", "박씨"),
    "c3": ("calibration", "무엇이 세워졌나?", "p-calibration", "등대"),
    "d1": ("dev", "Where does the mill stand?", "p-dev", "Owl Creek"),
    "t1": ("test", "When does the ferry leave?", "p-test", "noon"),
    "q1": ("pool", "Who cast the clock?", "p-pool", None),
    "q2": ("pool", "Where was the clock cast?", "p-pool", None),
    "q3": ("pool", "How heavy is the clock?", "p-pool", None),
}
CONFIG = {"workspace": {"language": "ko", "metric": "korquad"}, "read": {"top_k": 3}}


def span(passage_id: str, text: str) -> SpanRow:
    start = TEXTS[passage_id].index(text)
    return SpanRow(text, passage_id, start, start + len(text))


def new_import() -> NewImport:
    labelled = [(key, passage, answer) for key, (_, _, passage, answer) in QUESTIONS.items() if answer is not None]
    return NewImport(
        path="world.json",
        sha256="0" * 64,
        role="split",
        format="squad",
        options={},
        counts={},
        documents=(DocumentRow("doc", "마을 <기록>"),),
        passages=tuple(PassageRow(key, "doc", position, text) for position, (key, text) in enumerate(TEXTS.items())),
        questions=tuple(
            QuestionRow(
                id=key,
                text=text,
                normalized=key,
                role=role,
                imported_role=role,
                split_group=passage,
                context_id=passage,
            )
            for key, (role, text, passage, _) in QUESTIONS.items()
        ),
        labels=tuple(
            NewLabel(key, (span(passage, answer),), train_weight=1.0 if QUESTIONS[key][0] == "gold" else 0.0)
            for key, passage, answer in labelled
        ),
        hidden=tuple(HiddenRow(key, False, (span("p-pool", text),)) for key, text in HIDDEN.items()),
    )


def predicted(question_id: str, answer: SpanRow | None, *, hits: Sequence[str], confidence: float) -> NewPrediction:
    answers = (AnswerRow(answer.text, answer.passage_id, answer.start, answer.end, 0.6, 0.5),) if answer else ()
    return NewPrediction(
        question_id, answers, 0.6 if answer else None, 0.1, tuple((hit, 1.0) for hit in hits), {}, confidence
    )


PREDICTIONS = (
    predicted("c1", span("p-calibration", "1923년에"), hits=["p-gold", "p-calibration"], confidence=0.75),
    predicted("c2", span("p-gold", "Ada"), hits=["p-gold"], confidence=0.5),
    predicted("c3", span("p-calibration", "등대"), hits=["p-calibration"], confidence=0.25),
    predicted("q1", span("p-pool", "Mira Quill"), hits=["p-pool"], confidence=0.9),
    predicted("q2", span("p-pool", "tower"), hits=["p-pool"], confidence=0.4),
    predicted("q3", span("p-pool", "nine"), hits=["p-pool"], confidence=0.3),
)


def train(database: Database, number: int, *, from_stage: str, exact: float, f1: float) -> None:
    """The round's student, with these scores on dev and test, with intervals of a tenth on each side."""
    with database.write() as session:
        store.freeze_training(session, number)
        model = store.add_model(
            session,
            number,
            hash=f"{number}" * 64,
            training_sha256="0" * 64,
            path=f"models/round-{number}",
            start="builtin",
            config={},
            examples=number + 1,
            seconds=90,
            loss=0.125,
        )
        for split, key in (("dev", "d1"), ("test", "t1")):
            summary = {
                "mode": "end_to_end",
                "questions": 1,
                "exact_match": exact,
                "f1": f1,
                "passage_correct": 1.0,
                "intervals": {"exact_match": [exact - 0.1, exact + 0.1], "f1": [f1 - 0.1, f1 + 0.1]},
            }
            results = [[key, "doc", exact, f1, "said", "p-dev", True]]
            store.add_evaluation(session, model, split=split, key="settings", summary=summary, results=results)
            given = {**summary, "mode": "reader", "exact_match": 1.0}  # newer, but not end to end: not what is shown
            store.add_evaluation(session, model, split=split, key="given", summary=given, results=results)
        store.advance(session, number, from_stage, "trained", student_id=model)


def close(database: Database, number: int, *, promoted: bool, why: str) -> None:
    verdict = Verdict(promoted, why, True, 1, 0.5, 0.5, 0.0, 0.0, 0.0, 1.0, 1.0)
    alarms = [asdict(Alarm("churn", 0.4, 0.2, 0.6, 20, 0.3, False, "40% of pseudo-labels changed"))] if number else []
    with database.write() as session:
        gate = {**asdict(verdict), "alarms": alarms}
        store.advance(session, number, "trained", "closed", gate=gate, promoted=promoted)


def open_round(database: Database, kind: str) -> int:
    with database.write() as session:
        return store.open_round(session, kind, config=CONFIG, seed=0, code_version="0.1.0", reviewer="simulated").number


def play_loop_round(database: Database) -> None:
    """Round 1: a right pseudo-label, one that is wrong, one accepted review."""
    number = open_round(database, "loop")
    rows = np.full((3, len(FEATURES)), 0.5)
    calibrator = fit(rows, np.array([False, False, True]), ["a", "b", "c"], seed=0)
    rule = release_threshold(calibrator.out_of_fold, np.array([False, False, True]), target=0.85)
    with database.write() as session:
        teacher = queries.best_model(session)
        assert teacher is not None
        store.add_predictions(session, number, model_id=teacher.id, index_fingerprint="f" * 64, rows=PREDICTIONS)
        calibrator_id = store.add_calibrator(
            session,
            hash=calibrator.hash,
            kind=calibrator.kind,
            state=calibrator.state(),
            metrics=asdict(calibrator.metrics),
        )
        store.advance(session, number, "open", "predicted", calibrator_id=calibrator_id, release=asdict(rule))
        store.add_tasks(session, number, [NewTask("q3", "random", True, 0, ("p-pool",))])
        (task,) = queries.tasks(session)
        answer = span("p-pool", "nine tons")
        store.record_review(session, NewReview(task.id, "simulated", "answerable", answer, "written", seconds=90))
        (review,) = queries.reviews(session)
        common = {"model_id": teacher.id, "calibrator_id": calibrator_id}
        store.record_labels(
            session,
            number,
            reviews=[review.id],
            human=[NewLabel("q3", (answer,), reviewer="simulated", review_id=review.id)],
            pseudo=[
                NewLabel("q1", (span("p-pool", "Mira Quill"),), confidence=0.9, **common),
                NewLabel("q2", (span("p-pool", "tower"),), train_weight=0.5, confidence=0.4, **common),
            ],
            reason="replaced in round 1",
        )
        store.advance(session, number, "predicted", "labelled")
    train(database, number, from_stage="labelled", exact=0.75, f1=0.875)


def empty(folder: Path) -> Database:
    database = Database(folder / "labeler.db")
    db.schema.upgrade(database)
    return database


def filled(folder: Path, *, promoted: bool = True) -> Database:
    """A baseline, a closed loop round and an open one."""
    database = empty(folder)
    with database.write() as session:
        add_import(session, new_import())
        store.set_meta(session, "split_by", "paragraph")
    train(database, open_round(database, "baseline"), from_stage="open", exact=0.5, f1=0.625)
    close(database, 0, promoted=True, why="promoted: the first reader")
    play_loop_round(database)
    if not promoted:
        with database.write() as session:
            store.withdraw_round(session, 1, reason="round 1 was refused")
    close(database, 1, promoted=promoted, why="promoted: EM +25.0 points" if promoted else "refused: worse")
    open_round(database, "loop")
    return database


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return filled(tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="module")
def report(database: Database) -> Report:
    with database.read() as session:
        return gather(session, title=TITLE)


@pytest.fixture(scope="module")
def page(database: Database) -> str:
    return build(database, title=TITLE)


class Elements(HTMLParser):
    """All start tags with their attributes, and the text by which a reader knows the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


# --- the page by itself ---------------------------------------------------------------------------


def test_the_page_needs_no_network(page: str) -> None:
    elements = Elements(page)
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in elements.tags}
    links = [
        attributes[name]
        for _, attributes in elements.tags
        for name in ("src", "href", "xlink:href")
        if name in attributes
    ]
    assert links
    assert all(link is not None and link.startswith("#") for link in links)
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    policy = [attributes["content"] for tag, attributes in elements.tags if "http-equiv" in attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_text_of_the_workspace_is_escaped(page: str) -> None:
    assert "<script" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    text = Elements(page).text
    assert QUESTIONS["c1"][1] in text  # read back, it is what was asked
    assert f"{TITLE} – labelling report" in text
    assert "마을 <기록>" in text


def test_ids_are_unique_and_every_reference_has_its_target(page: str) -> None:
    elements = Elements(page)
    ids = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)


def test_every_plot_has_a_description_for_screen_readers(page: str) -> None:
    plots = [attributes for tag, attributes in Elements(page).tags if tag == "svg"]
    assert len(plots) == 1 + 1 + 2  # one learning curve of two rounds; labels; reliability and risk
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)


def test_equal_databases_give_equal_pages_apart_from_the_time(page: str, tmp_path: Path) -> None:
    def undated(text: str) -> str:
        return re.sub(r'<p class="quiet" id="made">.*?</p>', "", text)

    again = build(filled(tmp_path), title=TITLE)
    assert undated(again) == undated(page)
    assert undated(page) != page


def test_the_report_of_an_empty_workspace_names_what_is_missing(tmp_path: Path) -> None:
    text = Elements(build(empty(tmp_path), title="new")).text
    for line in (
        "No reader has been trained yet.",
        "No round has been run yet.",
        "No reader has been evaluated on dev or test yet.",
        "No round has labels to train on yet.",
        "Unknown: the pool has no hidden answers",
        "No confidence has been calibrated yet.",
        "There are no reviews yet.",
        "No round has predicted calibration questions yet",
        "Alarms\nNone.",
    ):
        assert line in text


def test_a_page_is_written_whole_or_not_at_all(database: Database, tmp_path: Path) -> None:
    assert write_report(database, tmp_path / "report.html", title=TITLE).read_text(encoding="utf-8").endswith("</html>")
    with pytest.raises(FileError, match=r"folder .*missing does not exist"):
        write_report(database, tmp_path / "missing" / "report.html", title=TITLE)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


# --- what it says ---------------------------------------------------------------------------------


def test_hidden_answers_are_counted_and_not_shown(page: str, report: Report) -> None:
    assert report.precision == (PrecisionRow(1, Checked(correct=1, items=2, unknown=0), wilson(1, 2)),)
    assert "50.0%" in page
    for answer in HIDDEN.values():
        assert answer not in page
    for question_id in HIDDEN:
        assert QUESTIONS[question_id][1] not in page


def test_precision_of_a_refused_round_covers_the_pseudo_labels_that_it_made(tmp_path: Path) -> None:
    database = filled(tmp_path, promoted=False)
    with database.read() as session:
        assert not queries.live_labels(session, kinds=["pseudo"])
        found = pseudo_precision(session, 1, metric="korquad")
    assert found is not None
    assert found.trained.rate == 0.5


def test_precision_is_unknown_without_pseudo_labels(database: Database) -> None:
    with database.read() as session:
        assert pseudo_precision(session, 0, metric="korquad") is None
    assert Checked(correct=0, items=0, unknown=3).rate is None


def test_a_round_is_reported_with_its_training_labels_scores_and_cost(report: Report) -> None:
    baseline, loop, current = report.rounds
    assert baseline.labels == TrainingLabels(gold=1)
    assert loop.labels == TrainingLabels(gold=1, human=1, pseudo=2)
    assert loop.labels.total == 4
    assert [line.outcome for line in report.rounds] == ["promoted", "promoted", "open"]
    assert (baseline.reviews, baseline.review_minutes) == (0, 0)
    assert (loop.reviews, loop.review_minutes) == (1, 90 / 60)
    assert (baseline.cost.reviewing, loop.cost.reviewing) == (None, 90 / 60)
    assert (loop.cost.training, loop.cost.retriever, current.cost.training) == (90 / 60, None, None)
    assert loop.cost.elapsed is not None
    assert current.cost.elapsed is None
    assert loop.scores["test"].exact_match == Estimate(0.75, 0.75 - 0.1, 0.75 + 0.1)
    assert report.reader == loop
    assert report.open_round == current


def test_a_refused_student_is_not_the_current_reader(tmp_path: Path) -> None:
    with filled(tmp_path, promoted=False).read() as session:
        report = gather(session, title=TITLE)
    assert report.reader is not None
    assert (report.reader.number, report.rounds[1].outcome, report.rounds[1].gate) == (0, "refused", "refused: worse")


def test_the_page_shows_rates_in_percent_with_intervals(page: str) -> None:
    text = Elements(page).text
    assert "75.0%" in text
    assert "65.0–85.0" in text
    assert "+25.0 points of exact match against round 0" in text
    assert "None: 3 calibration questions, 30 needed" in text
    assert "40% of pseudo-labels changed" in text


def test_reviewers_their_agreement_and_conflicts_are_reported(tmp_path: Path) -> None:
    database = filled(tmp_path)
    answers = {"kim": "Mira Quill", "lee": "Mira"}
    with database.write() as session:
        store.add_tasks(session, 2, [NewTask("q1", "suspect", False, 0, ("p-pool",), reviewers=2)])
        (task,) = queries.tasks(session, round_number=2)
        for name, text in answers.items():
            new = NewReview(task.id, name, "answerable", span("p-pool", text), "changed", seconds=30)
            store.record_review(session, new)
        store.set_task_states(session, [task.id], "conflict")
        made = store.add_project(
            session, url="http://studio.test", blind=True, passage_slots=3, reviewers=2, page_sha256="s"
        )
        store.set_project_remote_id(session, made.id, remote_id=7)
        report = gather(session, title=TITLE)
    people = {each.name: (each.reviews, each.seconds) for each in report.review_statistics.reviewers}
    assert people == {"simulated": (1, 90.0), "kim": (1, 30.0), "lee": (1, 30.0)}
    assert report.review_statistics.agreement == Agreement(
        pairs=1, verdict=1.0, verdict_alpha=None, exact=0.0, span_f1=2 * 4 / (10 + 4)
    )
    assert report.review_statistics.conflicts == ("q1",)
    assert report.review_statistics.origins == {"accepted": 0, "changed": 2, "written": 1}
    text = " ".join(Elements(build(database, title=TITLE)).text.split())
    assert "Agreement on the verdict100.0%" in text
    assert "0.0% same verdict and same answer; span F1 57.1%" in text
    assert "1 question in conflict: no label, because reviewers disagree" in text
    assert report.reviewers is not None
    (pair,) = report.reviewers.pairs
    assert (pair.reviewers, pair.items, pair.exact, pair.verdict_kappa) == (("kim", "lee"), 1, 0.0, None)
    assert pair.answer_alpha == 0  # of one pair that disagrees: as often as chance
    assert "Agreement of each two people over the tasks that both answered" in text
    assert "kim, lee1100.0%0.0%57.1%––0.00" in text
    assert "Anchoringunknown: it needs reviews of questions whose suggestion was held back" in text
    assert "Quality of reviewers" in text
    assert "http://studio.test/projects/7/data: 0 tasks, without suggestions" in text


def test_facts_of_the_data_set_are_answer_lengths_question_types_and_duplicates(report: Report) -> None:
    facts = report.dataset
    assert facts.answers == 6 + 1  # six imported labels, one review
    # Ada 3, 등대 2, 박씨 2, 1923년 5, noon 4, Owl Creek 9, nine tons 9: in order 2 2 3 4 5 9 9
    assert (facts.median_length, facts.p90_length, facts.max_length) == (4, 9, 9)
    assert facts.types["where"] == 2  # the mill, the clock
    assert (facts.questions, facts.duplicates) == (len(QUESTIONS), 0)


def test_facts_of_many_questions_are_those_of_a_random_sample_and_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "SAMPLE", 50)
    made = Database(create_workspace(tmp_path / "ws", environ={}).folder / "labeler.db")
    rows = [
        f"q{number},{'Who' if number % 2 else 'When'} {number}?,In {number} it was,{number}" for number in range(200)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["id,question,context,answer", *rows]))
    import_files(made, [str(tmp_path / "a.csv")], role="gold")
    page = build(made, title=TITLE)
    with made.read() as session:
        facts = gather(session, title=TITLE).dataset
    made.close()
    assert facts.sampled_of == 200
    assert facts.answers == facts.questions
    assert 25 < facts.questions < 90
    assert min(facts.types.values()) > 5
    assert f"a random sample: {facts.questions} of 200 questions" in page


def test_without_hidden_answers_no_pseudo_label_is_read_to_look_for_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Database(create_workspace(tmp_path / "ws", environ={}).folder / "labeler.db")
    monkeypatch.setattr("labeler.evaluation.pseudo_precision.own_pseudo", lambda *_: pytest.fail("labels were read"))
    with made.read() as session:
        assert pseudo_precision(session, 1, metric="squad") is None
    made.close()


def test_a_curve_of_many_points_is_drawn_at_some_and_says_so(report: Report) -> None:
    points = [(place / 9999, place / 20000) for place in range(10_000)]
    shown = plots.thinned(points)
    assert (len(shown), shown[0], shown[-1]) == (plots.POINTS, points[0], points[-1])
    assert plots.thinned(points[: plots.POINTS]) == points[: plots.POINTS]
    assert report.confidence is not None
    drawn = plots.risk_coverage(dataclasses.replace(report.confidence, curve=tuple(points)))
    assert "500 of its 10,000 points are drawn" in drawn
    assert len(drawn) < 40_000
    assert "points are drawn" not in plots.risk_coverage(report.confidence)


def test_a_quantile_is_the_smallest_value_that_enough_items_do_not_exceed() -> None:
    assert [quantile({1: 1, 5: 1}, share) for share in (0.0, 0.5, 0.51, 1.0)] == [1, 1, 5, 5]
    assert quantile({}, 0.5) is None


def test_the_wilson_interval_stays_within_0_and_1_and_narrows_with_more_items() -> None:
    # 8 of 10: centre (0.8 + 3.8415 / 20) / (1 + 3.8415 / 10), half 1.96 sqrt(0.8 * 0.2 / 10 + 3.8415 / 400) / 1.38415
    estimate = wilson(8, 10)
    assert (estimate.low, estimate.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(3, 3).high == 1
    assert wilson(0, 3).low == pytest.approx(0, abs=1e-12)
    assert wilson(80, 100).low > estimate.low


def test_the_report_opens_with_status_alarms_and_the_next_step(database: Database) -> None:
    text = " ".join(Elements(build(database, title=TITLE, next_step="labeler round")).text.split())
    opening = text[text.index("Status The current reader") : text.index("Each round, the labels")]
    assert "Round 2 is open" in opening
    assert "Round 1: 40% of pseudo-labels changed" in opening
    assert "Nextlabeler round" in opening


def test_alarms_of_earlier_rounds_are_kept_apart(report: Report) -> None:
    (alarm,) = report.new_alarms
    assert (alarm.round_number, report.old_alarms) == (1, ())
    over = dataclasses.replace(alarm, stands=False)
    later = dataclasses.replace(report, alarms=(over,))
    assert (later.new_alarms, later.old_alarms) == ((), (over,))


def test_three_evaluated_rounds_have_curves_of_each_metric_by_rounds_reviews_and_minutes(report: Report) -> None:
    baseline, loop, _ = report.rounds
    third = dataclasses.replace(loop, number=2, reviews=5, review_minutes=4.0)
    assert len(learning_curves([baseline, loop])) == 1
    assert len(learning_curves([baseline, loop, third])) == 6
    assert learning_curves([]) == []


def test_the_precision_plot_shows_intervals_on_an_axis_up_to_100_percent() -> None:
    rows = [PrecisionRow(number, Checked(9, 10, 0), wilson(9, 10)) for number in (1, 2)]
    plot = precision_plot(rows)
    assert plot is not None
    ticks = [int(text) for text in re.findall(r">(\d+)</text>", plot)]
    assert {50, 60, 70, 80, 90, 100} <= set(ticks)  # the lowest interval ends at 59.6%
    assert precision_plot(rows[:1]) is None


def test_confidence_comes_from_calibrators_not_fitted_on_the_question(report: Report) -> None:
    assert report.confidence is not None
    assert (report.confidence.questions, report.confidence.accuracy) == (3, 1 / 3)
    assert sum(bin_.items for bin_ in report.confidence.bins) == 3
    assert report.confidence.curve[-1] == (1.0, 2 / 3)  # all kept: as many wrong as there are


def test_wrong_answers_are_analysed_with_the_most_confident_first(report: Report) -> None:
    errors = report.errors
    assert errors is not None
    assert (errors.correct, errors.questions) == (1, 3)
    assert {why: number for why, number in errors.causes.items() if number} == {
        ErrorCause.NOT_RETRIEVED: 1,
        ErrorCause.OVERLAP: 1,
    }
    assert dict(errors.recall) == {1: 1 / 3, 2: 2 / 3}  # c3 reads it first, c1 second, c2 not at all
    assert errors.types == {  # c1 asks when, c2 who, c3 what
        "what": TypeErrors(1, retrieval=0, reading=0),
        "when": TypeErrors(1, retrieval=0, reading=1),
        "who": TypeErrors(1, retrieval=1, reading=0),
    }
    not_read, overlap = errors.examples
    assert (not_read.question_id, not_read.predicted, not_read.golds) == ("c2", "Ada", ("박씨",))
    assert (overlap.question_id, overlap.confidence) == ("c1", 0.75)
    assert overlap.gold.before + overlap.gold.span == "등대는 1923년"


# --- its parts ------------------------------------------------------------------------------------


def judged(answer: SpanRow | None, hits: Sequence[str]) -> PredictionRow:
    answers = (AnswerRow(answer.text, answer.passage_id, answer.start, answer.end, 0.6, 0.5),) if answer else ()
    return PredictionRow(
        id=1,
        round_number=1,
        question_id="c1",
        model_id=1,
        index_fingerprint=None,
        answers=answers,
        score=None,
        null_score=None,
        confidence=None,
        hits=tuple((hit, 1.0) for hit in hits),
        features={},
        decision=None,
        train_weight=None,
        question_role="calibration",
    )


@pytest.mark.parametrize(
    ("answer", "hits", "why"),
    [
        (None, [], ErrorCause.NO_PASSAGE),
        (SpanRow("x", "other", 0, 1), ["other"], ErrorCause.NOT_RETRIEVED),
        (SpanRow("x", "other", 0, 1), ["other", "gold"], ErrorCause.OTHER_PASSAGE),
        (SpanRow("abc", "gold", 2, 5), ["gold"], ErrorCause.OTHER_SPAN),  # ends where the gold answer starts
        (SpanRow("abcd", "gold", 2, 6), ["gold"], ErrorCause.OVERLAP),
        (SpanRow("abc", "gold", 8, 11), ["gold"], ErrorCause.OTHER_SPAN),  # starts where the gold answer ends
        (SpanRow("abc", "gold", 7, 10), ["gold"], ErrorCause.OVERLAP),
    ],
)
def test_the_cause_of_a_wrong_answer_is_the_first_step_that_failed(
    answer: SpanRow | None, hits: list[str], why: ErrorCause
) -> None:
    assert error_cause([SpanRow("def", "gold", 5, 8)], judged(answer, hits)) is why


def test_an_excerpt_is_cut_between_words() -> None:
    text = "alpha " * 40 + "HERE" + " omega" * 40
    found = excerpt(PassageRow("p", "d", 0, text, "Title"), 240, 244)
    assert found.before + found.span + found.after in text
    assert (found.span, found.cut_before, found.cut_after) == ("HERE", True, True)
    assert found.before.startswith("alpha ")
    assert found.after.endswith(" omega")
    assert max(len(found.before), len(found.after)) <= CONTEXT
    whole = excerpt(PassageRow("p", "d", 0, "just HERE.", "Title"), 5, 9)
    assert (whole.before, whole.after, whole.cut_before, whole.cut_after) == ("just ", ".", False, False)


def test_risk_rises_as_less_confident_answers_are_kept() -> None:
    confidence, correct = [0.9, 0.5, 0.5, 0.1], [True, True, False, False]
    assert risk_curve(confidence, correct) == ((1 / 4, 0 / 1), (3 / 4, 1 / 3), (4 / 4, 2 / 4))


def test_numbers_are_formatted_as_percent_points_and_dashes() -> None:
    assert (percent(0.0625), percent(None), points(-0.0125), points(0.1)) == ("6.2%", "–", "−1.2", "+10.0")


def test_an_svg_file_is_inlined_with_unique_ids_and_the_pages_colours() -> None:
    file = (
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "http://x"><svg xmlns="http://www.w3.org/2000/svg" '
        'width="80pt" height="40pt" viewBox="0 0 80 40"><defs><style type="text/css">*{color: red}</style></defs>'
        '<path id="a" style="stroke: #0072b2"/><use href="#a" clip-path="url(#a)"/>'
        "<text style=\"font: 10px 'DejaVu Sans', sans-serif\">1</text></svg>"
    )
    assert inline(file, name="plot", description='"risk"') == (
        '<svg viewBox="0 0 80 40" class="plot" role="img" aria-label="&#34;risk&#34;" style="max-width: 80pt">'
        '<path id="plot-a" style="stroke: var(--blue, #0072b2)"/><use href="#plot-a" clip-path="url(#plot-a)"/>'
        '<text style="font: 10px var(--font)">1</text></svg>'
    )
