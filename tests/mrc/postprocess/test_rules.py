"""Post-processing rules, their effects, and the threshold for abstaining."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc.metrics import score
from mrc.postprocess import RULES
from mrc.postprocess.rules import (
    Abstention,
    AnsweredQuestion,
    RuleEffect,
    abstention,
    chosen_rules,
    null_margin,
    null_threshold,
    refined,
    refiner,
    rule_effects,
)
from mrc.types import Answer, Passage

MILL = Passage("mill", "The mill cost 5 million dollars, (half of it) borrowed, and 300 people built it in 40 weeks.")


def judged(
    span: str, golds: tuple[str, ...], *, question: str = "How much did it cost?", more: str = ""
) -> AnsweredQuestion:
    spans = [span, more] if more else [span]
    answers = []
    for text, mass in zip(spans, (0.4, 0.3), strict=False):
        start = MILL.text.index(text)
        answers.append(Answer(text, MILL.id, start, start + len(text), mass, mass / 2))
    return AnsweredQuestion(question, tuple(answers), {MILL.id: MILL}, golds)


def test_rules_apply_in_a_fixed_order() -> None:
    text = MILL.text
    start = text.index("(half")
    for names in (RULES, RULES[::-1]):
        refine = refiner(names, language="en")
        assert refine is not None
        assert text[slice(*refine("", MILL, start, start + 8))] == "half of"
        five = text.index("5 ")
        assert text[slice(*refine("How much?", MILL, five, five + 1))] == "5 million dollars"


def test_no_rule_gives_none_and_an_unknown_rule_lists_the_known_ones() -> None:
    assert refiner([], language="ko") is None
    assert refiner(["josa"], language="en") is None, "English has no particles"
    with pytest.raises(ValueError, match="unknown rule josas; known are josa, units, brackets"):
        refiner(["josas"], language="ko")


SPANS = st.text(alphabet='서울은 에서국가의(«"5 km%백만년)', min_size=1, max_size=30)


@settings(max_examples=30)  # tagging is slow
@given(SPANS, st.data())
def test_an_answer_is_never_empty_and_never_moves_away(text: str, data: st.DataObject) -> None:
    pytest.importorskip("kiwipiepy")
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    passage = Passage("p", text)
    for language in ("ko", "en"):
        refine = refiner(RULES, language=language)
        assert refine is not None
        begin, stop = refine("언제, 얼마? when, how far?", passage, start, end)
        assert 0 <= begin < stop <= len(text)
        assert max(begin, start) < min(end, stop), "still the same place"
        assert text[begin:stop].strip() or not text[start:end].strip()


# --- the table ------------------------------------------------------------------------------------


def test_the_table_counts_what_a_rule_changes_fixes_and_breaks() -> None:
    asked = [
        judged("5", ("5 million dollars",)),  # fixed
        judged("5", ("5 million dollars",)),
        judged("5 million", ("5 million",)),  # broken
        judged("5", ("everything",)),  # changed, wrong before and after
        judged("300 people", ("300 people",)),  # not changed
        AnsweredQuestion("Who?", (), {}, ("the miller",)),  # no answer: counts as a question
        judged("5", ()),  # has no gold: does not count
        judged("300 people", ()),
    ]
    units, brackets = rule_effects(asked, metric="squad", language="en")
    assert (units.rule, units.changed, units.fixed, units.broken) == ("units", 4, 2, 1)
    assert units.exact_match_change == (2 - 1) / 6, "of the questions with golds"
    assert [(each.before, each.after) for each in units.examples] == [
        ("5", "5 million dollars"),
        ("5", "5 million dollars"),
        ("5 million", "5 million dollars"),
        ("5", "5 million dollars"),
    ]
    assert (brackets.rule, brackets.changed) == ("brackets", 0)


def test_masses_of_answers_that_become_equal_are_added() -> None:
    asked = judged("300 people", ("5 million",), question="What did it take?", more="5 million")
    third = Answer("5", MILL.id, MILL.text.index("5"), MILL.text.index("5") + 1, 0.2, 0.1)
    asked = AnsweredQuestion(asked.question, (*asked.answers, third), asked.passages, asked.golds)
    refine = refiner(["units"], language="en")
    assert refine is not None
    best, second = refined(asked, refine, "squad")
    assert (best.text, best.score) == ("5 million", 0.3 + 0.2)
    assert (second.text, second.score) == ("300 people", 0.4)
    assert all(each.text == MILL.text[each.start : each.end] for each in (best, second))
    assert rule_effects([asked], metric="squad", language="en")[0].fixed == 1


@pytest.mark.parametrize(
    ("changed", "fixed", "broken", "on"), [(5, 1, 0, True), (4, 4, 0, False), (9, 2, 2, False), (9, 3, 2, True)]
)
def test_a_rule_is_chosen_if_it_fixes_more_than_it_breaks_and_changes_five(
    changed: int, fixed: int, broken: int, on: bool
) -> None:
    assert chosen_rules([RuleEffect("units", changed, fixed, broken, 0.0, ())]) == (("units",) if on else ())


# --- no answer ------------------------------------------------------------------------------------


def test_the_margin_is_zero_for_equal_masses() -> None:
    for null, best in ((0.3, 0.2), (0.2, 0.3), (0.2, 0.2), (0.0, 0.0), (0.1, 0.0), (0.0, 0.1)):
        assert (null_margin(null, best) > 0) == (null > best)
    assert null_margin(0.4, 0.2) == pytest.approx(math.log(2))


def test_a_question_without_answers_is_never_answered() -> None:
    found = abstention((), 1.0, ("Tarn",), "squad_v2")
    assert (found.margin, found.answered, found.empty) == (math.inf, (0.0, 0.0), (0.0, 0.0))


def test_an_impossible_question_is_right_without_an_answer() -> None:
    found = abstention(judged("5", ()).answers, 0.2, (), "squad_v2")
    assert found == Abstention(math.log(0.2) - math.log(0.4), (0.0, 0.0), (1.0, 1.0))
    assert score("", (), "squad_v2").exact_match == 1


MARKS = st.sampled_from([(0.0, 0.0), (0.0, 0.5), (1.0, 1.0)])
QUESTIONS = st.builds(Abstention, st.integers(-4, 4).map(float) | st.just(math.inf), MARKS, MARKS)


@given(st.lists(QUESTIONS, max_size=12))
def test_the_threshold_is_the_best_of_all_cuts(questions: list[Abstention]) -> None:
    def worth(cut: float) -> tuple[float, float]:
        chosen = [each.empty if each.margin > cut else each.answered for each in questions]
        return sum(exact for exact, _ in chosen), sum(f1 for _, f1 in chosen)

    found = null_threshold(questions)
    cuts = [number / 4 for number in range(-24, 25)]  # between, at and beyond all margins that occur
    assert worth(found) == max(map(worth, cuts))
    assert math.isfinite(found)
    if worth(0.0) == worth(found):
        assert found == 0.0, "nothing is gained by moving it"
