"""From questions to predictions: order, memory, and the features a calibrator needs."""

import math
from collections.abc import Sequence

import pytest

from mrc.calibrate import FEATURES, HYBRID_FEATURES
from mrc.decode import Ranked
from mrc.pipeline import answer, confidence_features, question_overlap, read
from mrc.read.config import ReadConfig
from mrc.read.model import Reader
from mrc.read.predict import Group
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
        assert found.features.keys() == FEATURES.keys()
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


def test_features_by_hand():
    text = "Mira Oland founded the mill of Tarn in 1893."
    group = Group("Who founded Tarn?", (PASSAGES["b"], PASSAGES["a"]))
    answers = (
        Answer("Mira Oland", "a", 0, 10, 0.4, 0.3),
        Answer("Oland", "a", 5, 10, 0.2, 0.2),  # overlaps the best, so it is no rival
        Answer("Tarn", "b", 19, 23, 0.1, 0.1),
    )
    ranked = Ranked(answers, 0.25, (2, 1, 1), 0.7, 0.8)
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
        }
    )


def plain_hits(hits: Sequence[Hit]) -> list[Hit]:
    """The hits as terms alone found them."""
    return [Hit(hit.passage_id, hit.rank, hit.score, bm25=hit.bm25) for hit in hits]


def test_passages_found_by_meaning_too_bring_features_of_both_lists():
    passages = tuple(Passage(name, "The mill of Tarn.") for name in "abc")
    best = Answer("mill", "b", 4, 8, score=0.6, probability=0.5)
    ranked = Ranked((best,), 0.1, (1,), 0.2, 0.3)
    hits = (Hit("a", 0, 2.0, bm25=9.0), Hit("b", 1, 1.5, bm25=7.0, dense=0.8), Hit("c", 2, 0.1, dense=0.5))
    features = confidence_features(Group("Which mill?", passages), ranked, hits)
    assert features.keys() == FEATURES.keys() | HYBRID_FEATURES.keys()
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
        name: value for name, value in features.items() if name in FEATURES
    }


def test_the_last_passage_has_no_gap_and_a_lone_answer_is_its_own_margin():
    group, ranked = (
        Group("Who?", (PASSAGES["a"],)),
        Ranked((Answer("1893", "a", 39, 43, 0.4, 0.3),), 0.2, (1,), 0.0, 0.0),
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
