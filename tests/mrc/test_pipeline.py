"""The pipeline: order, memory, features of predictions, and inputs from notebooks."""

import math
from dataclasses import replace

import pytest

from mrc.calibration.features import FEATURES
from mrc.ensemble import Cascade, Ensemble
from mrc.pipeline import answer, held_out_rule, read, read_candidates
from mrc.ranking import rank_candidates
from mrc.read.config import ReadConfig
from mrc.read.model.reader import Reader, normalizer
from mrc.retrieve.bm25 import BM25
from mrc.text import passage_id, question_id
from mrc.types import Hit, Passage, Question
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


def test_a_rule_is_fitted_on_split_groups(reader, monkeypatch):
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


def test_post_processing_applies_wherever_questions_are_read(reader):
    def whole(question, passage, start, end):
        assert question in {asked.text for asked in QUESTIONS}
        return 0, len(passage.text)

    options = {"reader": reader, "config": CONFIG, "refine": whole}
    found = list(answer(QUESTIONS[:1], retriever=Retriever(), fetch=fetch, k=1, **options))
    found += list(read(QUESTIONS[:1], [(PASSAGES["a"],)], **options))
    assert [[best.text for best in prediction.answers] for prediction in found] == [[PASSAGES["a"].text]] * 2


def test_an_ensemble_and_a_cascade_can_replace_a_reader(reader):
    options = {"retriever": Retriever(), "fetch": fetch, "k": 2, "config": CONFIG}
    alone = list(answer(QUESTIONS, reader=reader, **options))
    for several in (Ensemble([reader, reader]), Cascade(reader, Ensemble([reader]), low=0, high=1)):
        for one, other in zip(answer(QUESTIONS, reader=several, **options), alone, strict=True):
            assert one.question_id == other.question_id
            assert [best.text for best in one.answers] == [best.text for best in other.answers]
            assert one.features == pytest.approx(other.features, rel=1e-4)


def texts_of(found):
    return [[best.text for best in prediction.answers] for prediction in found]


def test_passages_may_be_a_mapping_or_the_retrievers_own(reader):
    class Corpus(Retriever):
        fetch = staticmethod(fetch)

    options = {"reader": reader, "config": CONFIG, "k": 2}
    expected = texts_of(answer(QUESTIONS, retriever=Retriever(), fetch=fetch, **options))
    assert texts_of(answer(QUESTIONS, retriever=Retriever(), fetch=PASSAGES, **options)) == expected
    assert texts_of(answer(QUESTIONS, retriever=Corpus(), **options)) == expected
    with pytest.raises(TypeError, match="holds no texts: give fetch="):
        answer(QUESTIONS, retriever=Retriever(), **options)


def test_a_bm25_over_a_list_of_texts_can_be_the_retriever(reader):
    texts = [passage.text for passage in PASSAGES.values()]
    bm25 = BM25.build(texts, analyzer="english")
    (found,) = answer(["Who founded the mill?"], retriever=bm25, reader=reader, fetch=texts, k=2)
    assert [hit.passage_id for hit in found.hits] == [passage_id(texts[0]), passage_id(texts[1])]
    assert found.hits[0].score == found.hits[0].bm25 > found.hits[1].score
    assert found.question_id == question_id("Who founded the mill?", "")
    best = found.answers[0]
    assert best.text in texts[0] or best.text in texts[1]
    (unknown,) = answer(["Zzz?"], retriever=bm25, reader=reader, fetch=texts)
    assert (unknown.answers, unknown.hits) == ((), ())
    for wrong in (None, PASSAGES, fetch, texts[0]):
        with pytest.raises(TypeError, match="the list of texts that it was built from"):
            answer(["Who?"], retriever=bm25, reader=reader, fetch=wrong)


def test_a_single_question_and_an_unknown_metric_are_refused(reader):
    options = {"retriever": Retriever(), "reader": reader, "fetch": PASSAGES}
    with pytest.raises(TypeError, match="a list of questions, not a str"):
        answer("Who founded the mill?", **options)
    with pytest.raises(ValueError, match="unknown metric 'sqad': use squad, squad_v2, korquad"):
        answer(QUESTIONS, metric="sqad", **options)
    with pytest.raises(ValueError, match="unknown metric"):
        next(read(QUESTIONS[:1], [()], reader=reader, metric="sqad"))


# --- retrieval in the answer ------------------------------------------------------------------------


class Prominent(Retriever):
    """The same with standardized scores: the first passage stands out by 4 deviations."""

    @staticmethod
    def hits(text):
        return tuple(replace(hit, standardized=4.0 * (hit.rank == 0)) for hit in Retriever.hits(text))


def test_the_weight_of_retrieval_moves_the_answer_to_the_passage_that_stands_out(reader):
    kinds = [Prominent(), Retriever()]
    found, given = (
        list(answer(QUESTIONS, retriever=kind, reader=reader, fetch=fetch, k=2, config=CONFIG, retrieval_weight=50.0))
        for kind in kinds
    )
    plain = list(answer(QUESTIONS, retriever=Prominent(), reader=reader, fetch=fetch, k=2, config=CONFIG))
    assert [each.answers for each in given] == [each.answers for each in plain], "scores of 0 change nothing"
    for each in (prediction for prediction in found if prediction.answers):
        assert {a.passage_id for a in each.answers if a.score > 1e-9} == {each.hits[0].passage_id}


def test_fewer_passages_are_read_than_retrieved(reader):
    options = {"reader": reader, "fetch": fetch, "config": CONFIG}
    found = list(answer(QUESTIONS, retriever=Retriever(), k=2, read=1, **options))
    alone = list(answer(QUESTIONS, retriever=Retriever(), k=1, **options))
    assert [each.answers for each in found] == [each.answers for each in alone]
    assert {len(each.hits) for each in found} == {0, 2}, "the others are kept as hits"
    assert {each.features.get("passages_read", 1.0) for each in found} == {1.0}
    gap = {each.question_id: each.features["retrieval_gap"] for each in found if each.answers}
    assert set(gap.values()) == {2.0}, "the next passage counts, though it was not read"


def test_candidates_are_those_of_the_reader_alone_with_the_hits(reader):
    options = {"reader": reader, "fetch": fetch, "k": 2, "config": CONFIG}
    plain = list(answer(QUESTIONS, retriever=Prominent(), **options))
    found = list(read_candidates(QUESTIONS, retriever=Prominent(), **options))
    for (spans, hits), prediction in zip(found, plain, strict=True):
        assert hits == prediction.hits
        ranked = rank_candidates(spans, priors=[0.0] * len(hits), normalize=normalizer("squad"), n_best_size=20)
        assert [a.text for a in ranked] == [a.text for a in prediction.answers]
