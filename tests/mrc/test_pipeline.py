"""From questions to predictions: order, memory, and the features a calibrator needs."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mrc.calibration.calibrate import FEATURES, HYBRID_FEATURES
from mrc.ensemble import Cascade, Ensemble
from mrc.pipeline import answer, confidence_features, held_out_rule, question_overlap, read
from mrc.ranking import Ranked
from mrc.read.config import ReadConfig
from mrc.read.model.reader import Reader
from mrc.read.predict.groups import Group
from mrc.types import Answer, Hit, Passage, Question
from tests.mrc import tiny

CONFIG = ReadConfig(max_seq_length=64, doc_stride=16, max_answer_length=4, chunk_size=2)
PASSAGES = {
    "a": Passage("a", "Mira Oland founded the mill of Tarn in 1893."),
    "b": Passage("b", "The mill stands in Tarn."),
}


class Retriever:
    """Finds nothing for a question that says so, else both passages, the second first for "stands"."""

    def __init__(self):
        self.asked = []

    def retrieve(self, questions, k):
        self.asked.append(list(questions))
        return [self.hits(text)[:k] for text in questions]

    @staticmethod
    def hits(text):
        if "nothing" in text:
            return ()
        names = ("b", "a") if "stands" in text else ("a", "b")
        return tuple(Hit(name, rank, 9.0 - 2 * rank) for rank, name in enumerate(names))


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader.load(tiny.bert(tmp_path_factory.mktemp("start") / "bert"))


def fetch(ids):
    return {key: PASSAGES[key] for key in ids}


QUESTIONS = [
    Question(f"q{number}", text) for number, text in enumerate(["Who?", "nothing", "What stands?", "When?", "Where?"])
]


def test_predictions_come_in_the_order_of_the_questions_a_chunk_at_a_time(reader):
    retriever = Retriever()
    stream = answer(iter(QUESTIONS), retriever=retriever, reader=reader, fetch=fetch, k=2, config=CONFIG)
    first = next(stream)
    assert retriever.asked == [["Who?", "nothing"]]
    rest = list(stream)
    assert [found.question_id for found in [first, *rest]] == ["q0", "q1", "q2", "q3", "q4"]
    assert rest[0].answers == ()
    assert rest[0].hits == ()
    assert rest[0].null_score == 1
    assert rest[0].features == {}
    assert [hit.passage_id for hit in rest[1].hits] == ["b", "a"]


def test_every_answered_prediction_carries_every_feature_as_a_finite_number(reader):
    stream = answer(QUESTIONS, retriever=Retriever(), reader=reader, fetch=fetch, k=2, config=CONFIG)
    for found in (prediction for prediction in stream if prediction.answers):
        assert found.features.keys() == FEATURES.keys() | {"passages_read"}
        assert all(math.isfinite(value) for value in found.features.values())
        best = found.answers[0]
        assert PASSAGES[best.passage_id].text[best.start : best.end] == best.text
        assert sum(item.score for item in found.answers) + found.null_score <= 1 + 1e-9


def test_given_passages_are_hits_without_a_score(reader):
    passages = [(PASSAGES["a"],), ()]
    first, second = read(QUESTIONS[:2], passages, reader=reader, config=CONFIG)
    assert first.hits == (Hit("a", 0, 0.0),)
    assert first.features["retrieval_score"] == 0
    assert second.answers == ()
    with pytest.raises(ValueError, match="zip"):
        list(read(QUESTIONS, passages, reader=reader, config=CONFIG))


def test_a_rule_fitted_on_held_out_questions_stops_others_early(reader):
    retriever = Retriever()
    held_out = [Question(f"h{number:03d}", f"What stands {number}?") for number in range(40)]
    options = {"retriever": retriever, "reader": reader, "fetch": fetch, "k": 2, "config": CONFIG}
    alone = {question.id: question.id for question in held_out}
    rule = held_out_rule(held_out, **options, split_group_of=alone, risk=0.2)
    assert (rule.questions, rule.risk, len(rule.thresholds)) == (20, 0.2, 1)
    assert [held_out_rule(held_out[::-1], **options, split_group_of=alone, risk=0.2).thresholds] == [rule.thresholds]
    everything = list(answer(QUESTIONS, **options))
    first = list(answer(QUESTIONS, **options, stopping=replace(rule, thresholds=(-1.0,))))
    assert [found.features.get("passages_read") for found in everything] == [2, None, 2, 2, 2]
    assert [found.features.get("passages_read") for found in first] == [1, None, 1, 1, 1]
    assert [hit.passage_id for hit in first[0].hits] == ["a", "b"]  # what was found, read or not
    assert {found.answers[0].passage_id for found in first if found.answers} == {"a", "b"}


def test_a_rule_takes_what_was_drawn_together_as_one(reader, monkeypatch):
    asked = [Question(f"h{number}", "nothing" if number == 5 else f"What stands {number}?") for number in range(7)]
    fitted = []
    monkeypatch.setattr("mrc.pipeline.fit_stopping", lambda units, *, risk: fitted.append(units))
    split_group_of = dict(
        zip((question.id for question in asked), "bacabcb", strict=True)
    )  # h5 finds nothing, alone in no unit
    options = {"retriever": Retriever(), "reader": reader, "fetch": fetch, "k": 2, "config": CONFIG, "risk": 0.01}
    held_out_rule(asked, **options, split_group_of=split_group_of)
    held_out_rule(asked, **options, split_group_of=dict.fromkeys(split_group_of, "a"))
    held_out_rule(asked, **options, split_group_of={**split_group_of, "h5": "d"})
    assert [[len(unit) for unit in units] for units in fitted] == [[2, 3, 1], [6], [2, 3, 1]]
    (everything,) = fitted[1]
    in_units = [own for unit in fitted[0] for own in unit]
    order = [int(key[1]) for key in sorted(split_group_of, key=lambda key: (split_group_of[key], key)) if key != "h5"]
    by_number = dict(zip([0, 1, 2, 3, 4, 6], everything, strict=True))
    for number, own in zip(order, in_units, strict=True):
        assert own.total == pytest.approx(by_number[number].total, rel=1e-4)


def test_spans_are_moved_wherever_questions_are_read(reader):
    def whole(question, passage, start, end):
        assert question in {asked.text for asked in QUESTIONS}
        return 0, len(passage.text)

    options = {"reader": reader, "config": CONFIG, "refine": whole}
    found = list(answer(QUESTIONS[:1], retriever=Retriever(), fetch=fetch, k=1, **options))
    found += list(read(QUESTIONS[:1], [(PASSAGES["a"],)], **options))
    assert [[best.text for best in prediction.answers] for prediction in found] == [[PASSAGES["a"].text]] * 2


def test_an_ensemble_and_a_cascade_answer_where_a_reader_does(reader):
    options = {"retriever": Retriever(), "fetch": fetch, "k": 2, "config": CONFIG}
    alone = list(answer(QUESTIONS, reader=reader, **options))
    for several in (Ensemble([reader, reader]), Cascade(reader, Ensemble([reader]), low=0, high=1)):
        for one, other in zip(answer(QUESTIONS, reader=several, **options), alone, strict=True):
            assert one.question_id == other.question_id
            assert [best.text for best in one.answers] == [best.text for best in other.answers]
            assert one.features == pytest.approx(other.features, rel=1e-4)


def test_features_by_hand():
    text = "Mira Oland founded the mill of Tarn in 1893."
    group = Group("Who founded Tarn?", (PASSAGES["b"], PASSAGES["a"]))
    answers = (
        Answer("Mira Oland", "a", 0, 10, 0.4, 0.3),
        Answer("Oland", "a", 5, 10, 0.2, 0.2),  # overlaps the best, so it is no rival
        Answer("Tarn", "b", 19, 23, 0.1, 0.1),
    )
    ranked = Ranked(answers, 0.25, (2, 1, 1), 0.7, 0.8, 2)
    hits = (Hit("b", 0, 8.0), Hit("a", 1, 5.0), Hit("c", 2, 4.5))
    shares = (0.4 / 0.7, 0.2 / 0.7, 0.1 / 0.7)
    assert text[0:10] == "Mira Oland"
    assert confidence_features(group, ranked, hits) == pytest.approx(
        {
            "mass": 0.4,
            "max_probability": 0.3,
            "margin": 0.4 - 0.1,
            "entropy": -sum(share * math.log(share) for share in shares),
            "start_entropy": 0.7,
            "end_entropy": 0.8,
            "null_score": 0.25,
            "retrieval_score": 5.0,
            "retrieval_gap": 5.0 - 4.5,
            "passage_rank": 1.0,
            "support": 2.0,
            "answer_length": 10.0,
            "question_length": 17.0,
            "question_overlap": 2 / 3,  # "founded" and "Tarn", not "Who"
            "passages_read": 2.0,
        }
    )


def plain_hits(hits: Sequence[Hit]) -> list[Hit]:
    """The hits as terms alone found them."""
    return [Hit(hit.passage_id, hit.rank, hit.score, bm25=hit.bm25) for hit in hits]


def test_passages_found_by_meaning_too_bring_features_of_both_lists():
    passages = tuple(Passage(name, "The mill of Tarn.") for name in "abc")
    best = Answer("mill", "b", 4, 8, score=0.6, probability=0.5)
    ranked = Ranked((best,), 0.1, (1,), 0.2, 0.3, 3)
    hits = (Hit("a", 0, 2.0, bm25=9.0), Hit("b", 1, 1.5, bm25=7.0, dense=0.8), Hit("c", 2, 0.1, dense=0.5))
    features = confidence_features(Group("Which mill?", passages), ranked, hits)
    assert features.keys() == FEATURES.keys() | HYBRID_FEATURES.keys() | {"passages_read"}
    # By terms a leads b by 2; by meaning b leads c by .3, and a is not there.
    found = {name: features[name] for name in HYBRID_FEATURES}
    assert found == pytest.approx(
        {"bm25_score": 7, "bm25_lead": -2, "dense_score": 0.8, "dense_lead": 0.3, "lists_agree": 0}
    )
    unfound = confidence_features(Group("Which mill?", passages[:2]), ranked, plain_hits(hits[:2]), by_meaning=True)
    assert (unfound["dense_score"], unfound["dense_lead"], unfound["lists_agree"]) == (0, 0, 0)
    alone = confidence_features(Group("Which mill?", passages[1:2]), ranked, hits[1:2])
    assert {alone["bm25_lead"], alone["dense_lead"], alone["lists_agree"]} == {0, 1}
    assert confidence_features(Group("Which mill?", passages), ranked, plain_hits(hits)) == {
        name: value for name, value in features.items() if name not in HYBRID_FEATURES
    }


def test_the_last_passage_has_no_gap_and_a_lone_answer_is_its_own_margin():
    group, ranked = (
        Group("Who?", (PASSAGES["a"],)),
        Ranked((Answer("1893", "a", 39, 43, 0.4, 0.3),), 0.2, (1,), 0.0, 0.0, 1),
    )
    features = confidence_features(group, ranked, (Hit("a", 0, 8.0),))
    assert (features["retrieval_gap"], features["margin"], features["entropy"]) == (0, 0.4, 0)


@pytest.mark.parametrize(
    ("question", "passage", "span", "share"),
    [
        ("강은 어디?", "그 강은 길다", (4, 6), 1 / 2),
        ("Tarn mill", "tarn" + " " * 60 + "mill 1893", (69, 73), 1 / 2),  # "tarn" is too far away
        ("?!", "mill", (0, 4), 0.0),
    ],
)
def test_question_words_count_within_50_code_points_of_the_span(question, passage, span, share):
    assert question_overlap(question, passage, *span) == pytest.approx(share)
