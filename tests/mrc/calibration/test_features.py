"""Features of confidence: values by hand, their order in rows, and missing ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from mrc.calibration.features import (
    ALL_FEATURES,
    FEATURES,
    HYBRID_FEATURES,
    confidence_features,
    feature_rows,
    known_features,
    question_overlap,
)
from mrc.errors import DataError
from mrc.ranking import Ranked
from mrc.types import Answer, Hit, Passage, Prediction

PASSAGES = {
    "a": Passage("a", "Mira Oland founded the mill of Tarn in 1893."),
    "b": Passage("b", "The mill stands in Tarn."),
}


def prediction(features: dict[str, float]) -> Prediction:
    return Prediction("q9", (), 0.0, (), features)


def test_rows_hold_the_features_in_their_written_order() -> None:
    features = {name: float(number) for number, name in enumerate(FEATURES)}
    assert feature_rows([prediction(dict(reversed(features.items())))]).tolist() == [[float(n) for n in range(14)]]
    assert feature_rows([]).shape == (0, 14)


@pytest.mark.parametrize(("value", "why"), [(None, "is missing"), (math.nan, "is not finite"), (math.inf, "is not")])
def test_a_feature_that_is_not_there_is_named_with_its_question(value: float | None, why: str) -> None:
    features = dict.fromkeys(FEATURES, 0.5)
    if value is None:
        del features["margin"]
    else:
        features["margin"] = value
    with pytest.raises(DataError, match=f"q9: feature margin {why}"):
        feature_rows([prediction(features)])


def test_hybrid_features_are_used_where_every_prediction_has_them() -> None:
    plain, hybrid = (prediction(dict.fromkeys(names, 0.5)) for names in (FEATURES, ALL_FEATURES))
    assert (*FEATURES, *HYBRID_FEATURES) == ALL_FEATURES
    assert known_features([hybrid, hybrid]) == ALL_FEATURES
    assert known_features([hybrid, plain]) == known_features([]) == tuple(FEATURES)
    assert feature_rows([hybrid], ALL_FEATURES).shape == (1, len(ALL_FEATURES))
    with pytest.raises(DataError, match="q9: feature bm25_score is missing"):
        feature_rows([plain], ALL_FEATURES)


def test_features_by_hand():
    text = "Mira Oland founded the mill of Tarn in 1893."
    passages = (PASSAGES["b"], PASSAGES["a"])
    answers = (
        Answer("Mira Oland", "a", 0, 10, 0.4, 0.3),
        Answer("Oland", "a", 5, 10, 0.2, 0.2),  # overlaps the best, so it is no rival
        Answer("Tarn", "b", 19, 23, 0.1, 0.1),
    )
    ranked = Ranked(answers, 0.25, (2, 1, 1), 0.7, 0.8, 2)
    hits = (Hit("b", 0, 8.0), Hit("a", 1, 5.0), Hit("c", 2, 4.5))
    shares = (0.4 / 0.7, 0.2 / 0.7, 0.1 / 0.7)
    assert text[0:10] == "Mira Oland"
    assert confidence_features("Who founded Tarn?", passages, ranked, hits) == pytest.approx(
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
    """The hits as a lexical index alone finds them."""
    return [Hit(hit.passage_id, hit.rank, hit.score, bm25=hit.bm25) for hit in hits]


def test_hits_of_a_hybrid_index_have_the_features_of_both_lists():
    passages = tuple(Passage(name, "The mill of Tarn.") for name in "abc")
    best = Answer("mill", "b", 4, 8, score=0.6, probability=0.5)
    ranked = Ranked((best,), 0.1, (1,), 0.2, 0.3, 3)
    hits = (Hit("a", 0, 2.0, bm25=9.0), Hit("b", 1, 1.5, bm25=7.0, dense=0.8), Hit("c", 2, 0.1, dense=0.5))
    features = confidence_features("Which mill?", passages, ranked, hits)
    assert features.keys() == FEATURES.keys() | HYBRID_FEATURES.keys() | {"passages_read"}
    # In the lexical list a leads b by 2; in the dense one b leads c by .3, and a is missing.
    found = {name: features[name] for name in HYBRID_FEATURES}
    assert found == pytest.approx(
        {"bm25_score": 7, "bm25_lead": -2, "dense_score": 0.8, "dense_lead": 0.3, "lists_agree": 0}
    )
    unfound = confidence_features("Which mill?", passages[:2], ranked, plain_hits(hits[:2]), hybrid=True)
    assert (unfound["dense_score"], unfound["dense_lead"], unfound["lists_agree"]) == (0, 0, 0)
    alone = confidence_features("Which mill?", passages[1:2], ranked, hits[1:2])
    assert {alone["bm25_lead"], alone["dense_lead"], alone["lists_agree"]} == {0, 1}
    assert confidence_features("Which mill?", passages, ranked, plain_hits(hits)) == {
        name: value for name, value in features.items() if name not in HYBRID_FEATURES
    }


@pytest.mark.parametrize(
    ("start", "end", "rivals"),
    [(0, 4, True), (0, 5, False), (8, 12, True), (7, 12, False)],  # the best answer is [4, 8)
)
def test_a_rival_may_adjoin_the_best_answer_but_not_overlap_it(start, end, rivals):
    answers = (Answer("best", "a", 4, 8, 0.5, 0.5), Answer("rival", "a", start, end, 0.2, 0.2))
    ranked = Ranked(answers, 0.1, (1, 1), 0.0, 0.0, 1)
    features = confidence_features("Who?", (PASSAGES["a"],), ranked, (Hit("a", 0, 8.0),))
    assert features["margin"] == pytest.approx(0.5 - 0.2 if rivals else 0.5)


def test_the_last_passage_has_no_gap_and_the_margin_of_a_single_answer_is_its_mass():
    ranked = Ranked((Answer("1893", "a", 39, 43, 0.4, 0.3),), 0.2, (1,), 0.0, 0.0, 1)
    features = confidence_features("Who?", (PASSAGES["a"],), ranked, (Hit("a", 0, 8.0),))
    assert (features["retrieval_gap"], features["margin"], features["entropy"]) == (0, 0.4, 0)


@pytest.mark.parametrize(
    ("question", "passage", "span", "share"),
    [
        ("강은 어디?", "그 강은 길다", (4, 6), 1 / 2),
        ("Tarn mill", "tarn" + " " * 60 + "mill 1893", (69, 73), 1 / 2),  # "tarn" is too far away
        ("가 mill", "가 1893", (2, 6), 1 / 2),  # the first character of the passage counts
        ("?!", "mill", (0, 4), 0.0),
    ],
)
def test_question_words_count_within_50_code_points_of_the_span(question, passage, span, share):
    assert question_overlap(question, passage, *span) == pytest.approx(share)


def test_the_window_around_a_span_is_50_code_points_wide_to_the_letter() -> None:
    passage = "ab" + "." * 49 + "X" + "." * 48 + "cd"  # "ab" begins 51 before the span; "cd" ends 50 after it
    assert question_overlap("cd", passage, 51, 52) == 1
    assert question_overlap("ab", passage, 51, 52) == 0
    assert question_overlap("ab", passage[1:], 50, 51) == 0
    assert question_overlap("b", passage, 51, 52) == 1
    assert question_overlap("d", passage + ".", 51, 52) == 1
    assert question_overlap("d", "." + passage[:-2] + ".cd", 52, 53) == 0
