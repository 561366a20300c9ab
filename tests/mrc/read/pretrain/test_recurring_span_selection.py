"""Recurring span selection: the masked words are in the rest of the passage and not in the question."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc.read.pretrain.recurring_span_selection import MIN_LEFT, recurring_span_examples

MASK = "[MASK]"
WORDS = ["Mira", "Oland", "mill", "Tarn", "1893", "the", "of", "water", "ran", "slowly", "and", "한빛", "학당은"]
SENTENCE = st.lists(st.sampled_from(WORDS), min_size=3, max_size=9).map(lambda words: " ".join(words) + ". ")
TEXTS = st.lists(st.lists(SENTENCE, min_size=1, max_size=5).map("".join), min_size=1, max_size=4)


def words(text):
    return re.findall(r"[^\W_]+", text.lower())


def holds(many, few):
    return any(many[at : at + len(few)] == few for at in range(len(many) - len(few) + 1))


def make(texts, most=50, seed=0):
    return recurring_span_examples(texts, mask=MASK, rng=np.random.default_rng(seed), most=most)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 5), st.integers(1, 8))
def test_the_answer_is_in_the_context_and_not_in_the_question(texts, seed, most):
    examples = make(texts, most=most, seed=seed)
    assert len(examples) <= most
    assert len({example.id for example in examples}) == len(examples)
    for example in examples:
        answer = words(example.context[example.start : example.end])
        assert MASK in example.question
        assert not holds(words(example.question.replace(MASK, "|")), answer)
        assert len(words(example.question.replace(MASK, " "))) >= MIN_LEFT
        for start, end in example.also:
            assert words(example.context[start:end]) == answer


def test_the_sentence_of_the_question_is_removed_and_all_other_occurrences_are_right():
    text = "In 1893 Mira Oland built a mill. Later Mira Oland left. They say Mira Oland never came back home."
    (example,) = [each for each in make([text]) if each.context[each.start : each.end] == "Mira Oland"]
    asked = {
        "In 1893 [MASK] built a mill.": "Later Mira Oland left. They say Mira Oland never came back home.",
        "They say [MASK] never came back home.": "In 1893 Mira Oland built a mill. Later Mira Oland left. ",
    }
    assert example.context == asked[example.question]
    assert [example.context[start:end] for start, end in example.also] == ["Mira Oland"]
    assert example.also[0][0] > example.end


def test_a_span_that_only_occurs_inside_longer_ones_gives_no_question():
    text = "We saw the Blue Tower Bridge at night time. People love the Blue Tower Bridge at day time too."
    answers = {example.context[example.start : example.end] for example in make([text])}
    assert "Blue Tower Bridge" in answers or any("Blue Tower Bridge" in answer for answer in answers)
    assert not answers & {"Blue", "Tower", "Bridge", "Blue Tower", "Tower Bridge"}


def test_stop_words_and_texts_without_recurring_words_give_no_examples():
    assert not make(["It was the end of the day for us. It was the start of a long night for them then."[:34]])
    assert not make(["One sentence alone recurs with nothing here.", "", "Short."])


def test_equal_seeds_give_equal_examples_and_no_text_gives_them_all():
    texts = [f"Mill {n} of Tarn stands near the river. The river flows by mill {n} of Tarn slowly." for n in range(20)]
    assert make(texts, seed=1) == make(texts, seed=1) != make(texts, seed=2)
    few = make(texts, most=10)
    assert len(few) == 10
    assert len({example.id.split("-")[1] for example in few}) > 2


@pytest.mark.parametrize("text", ["Tarn has a mill by the river now. Tarn is a small town up north."])
def test_the_first_words_of_a_sentence_can_be_masked(text):
    examples = make([text])
    assert {example.question.split()[0] for example in examples} == {MASK}
    assert all(example.context[example.start : example.end] == "Tarn" for example in examples)
