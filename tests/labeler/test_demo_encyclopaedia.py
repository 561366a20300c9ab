"""The synthetic encyclopaedia: exact offsets, correct particles, many templates, equal texts from equal seeds."""

from __future__ import annotations

import json
import re
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.demo import words_en, words_ko
from labeler.demo.encyclopaedia import Encyclopaedia, Language, Mix, make_encyclopaedia
from labeler.demo.settings import DOCUMENTS
from labeler.demo.templates import expand, fill, parse, particle, slots
from mrc.squad import read_squad

WORDS = [words_en, words_ko]


@pytest.fixture(scope="module", params=["ko", "en", "mixed"])
def encyclopaedia(request: pytest.FixtureRequest) -> Encyclopaedia:
    return make_encyclopaedia(request.param, seed=3, documents=160, mix=Mix(kinds=8, second_paragraph=0.3))


def test_every_answer_is_at_its_offset(encyclopaedia: Encyclopaedia) -> None:
    wrong = [
        q.id
        for paragraph in encyclopaedia.paragraphs
        for q in paragraph.questions
        if paragraph.context[q.start : q.start + len(q.answer)] != q.answer or q.answer != q.answer.strip()
    ]
    assert wrong == []


def test_the_squad_file_has_every_question_once(encyclopaedia: Encyclopaedia) -> None:
    data = json.loads(json.dumps(encyclopaedia.squad(), ensure_ascii=False))["data"]
    ids = [qa["id"] for article in data for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    assert sorted(ids) == sorted(q.id for paragraph in encyclopaedia.paragraphs for q in paragraph.questions)
    assert len(set(ids)) == len(ids)
    assert len({article["title"] for article in data}) == len(data)


def test_the_squad_file_is_read_without_a_rejected_row(encyclopaedia: Encyclopaedia) -> None:
    examples, rejected = read_squad(encyclopaedia.squad(), where="encyclopaedia.json")
    assert rejected == []
    assert len(examples) == sum(len(paragraph.questions) for paragraph in encyclopaedia.paragraphs)


def test_equal_seeds_give_equal_texts_and_others_other_texts() -> None:
    assert make_encyclopaedia("mixed", seed=5, documents=40) == make_encyclopaedia("mixed", seed=5, documents=40)
    assert make_encyclopaedia("mixed", seed=5, documents=40) != make_encyclopaedia("mixed", seed=6, documents=40)


def test_half_of_the_articles_of_a_mixed_encyclopaedia_are_korean() -> None:
    titles = {p.title for p in make_encyclopaedia("mixed", seed=0, documents=80).paragraphs}
    korean = {title for title in titles if re.search("[가-힣]", title)}
    assert (len(korean), len(titles) - len(korean)) == (40, 40)


def test_no_question_is_asked_twice(encyclopaedia: Encyclopaedia) -> None:
    questions = [q.question for paragraph in encyclopaedia.paragraphs for q in paragraph.questions]
    assert len(set(questions)) == len(questions)


def test_no_sentence_has_an_unfilled_slot_choice_or_macro(encyclopaedia: Encyclopaedia) -> None:
    texts = [p.context for p in encyclopaedia.paragraphs] + [
        q.question for p in encyclopaedia.paragraphs for q in p.questions
    ]
    assert [text for text in texts if re.search(r"[\[\]{}@|~]|  |\bthe the\b", text)] == []


def test_easy_paragraphs_have_one_span_of_a_type_and_hard_ones_several() -> None:
    def years(plain: float) -> float:
        encyclopaedia = make_encyclopaedia(
            "en", seed=1, documents=200, mix=Mix(facts=(4, 5), plain=plain, aside=0, second_paragraph=0)
        )
        found = [re.findall(r"\b(?:1[789]|20)\d\d\b", p.context) for p in encyclopaedia.paragraphs]
        return sum(len(years) > 1 for years in found) / len(found)

    assert years(1.0) < 0.02 < 0.3 < years(0.0)


def test_too_many_documents_for_the_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no more names for .*: make fewer documents"):
        make_encyclopaedia("ko", seed=0, documents=8 * 1000)


@pytest.mark.parametrize("language", ["ko", "en", "mixed"])
def test_the_demo_has_enough_names_in_every_language(language: Language) -> None:
    articles = make_encyclopaedia(language, seed=0, documents=DOCUMENTS).squad()["data"]
    assert len({article["title"] for article in articles}) == DOCUMENTS


@pytest.mark.parametrize("words", WORDS, ids=["en", "ko"])
def test_every_relation_has_at_least_eight_statements_and_eight_questions(words: object) -> None:
    few = [
        (kind.name, relation.name, what)
        for kind in parse(words.TEMPLATES, words.MACROS).values()  # type: ignore[attr-defined]
        for relation in kind.relations
        for what, lines in (("statements", relation.statements), ("questions", relation.questions))
        if len({form for line in lines for form in line}) < 8
    ]
    assert few == []


@pytest.mark.parametrize("words", WORDS, ids=["en", "ko"])
def test_statements_name_subject_and_answer_once_and_questions_the_subject_alone(words: object) -> None:
    for kind in parse(words.TEMPLATES, words.MACROS).values():  # type: ignore[attr-defined]
        for relation in kind.relations:
            assert {tuple(sorted(slots(form))) for line in relation.statements for form in line} == {("A", "S")}
            assert {slots(form) for line in relation.questions for form in line} == {("S",)}


@pytest.mark.parametrize("kind", list(parse(words_en.TEMPLATES, words_en.MACROS)))
def test_both_languages_have_the_same_relations(kind: str) -> None:
    english, korean = (parse(words.TEMPLATES, words.MACROS)[kind].relations for words in (words_en, words_ko))
    assert [(r.name, r.answer) for r in english] == [(r.name, r.answer) for r in korean]


@pytest.mark.parametrize(
    ("word", "form", "expected"),
    [
        ("도현빈", "은", "은"),
        ("노을다리", "은", "는"),
        ("소르강", "이", "이"),
        ("채미르", "이", "가"),
        ("1923년", "을", "을"),
        ("벌꿀", "으로", "로"),  # ㄹ
        ("종이", "으로", "로"),
        ("은결강", "으로", "으로"),
        ("『유리 시계』", "을", "를"),
        ("『빈 항구의 섬』", "은", "은"),
        ("제자", "이었", "였"),
        ("문하생", "이었", "이었"),
        ("수수께끼", "이라", "라"),
        ("닻", "과", "과"),
    ],
)
def test_a_korean_particle_follows_the_last_sound(word: str, form: str, expected: str) -> None:
    assert particle(word, form) == expected


def test_every_korean_particle_fits_the_sound_before_it() -> None:
    text = " ".join(p.context for p in make_encyclopaedia("ko", seed=2, documents=300).paragraphs)
    names = [p.title for p in make_encyclopaedia("ko", seed=2, documents=300).paragraphs]
    for name in names:
        has_final = (ord(name[-1]) - ord("가")) % 28 != 0
        for closed, opened in (("은", "는"), ("을", "를")):
            wrong = opened if has_final else closed
            assert not re.search(rf"(?<![가-힣] ){re.escape(name)}』?{wrong}(?= )", text), name


def test_choices_nest_macros_expand_and_literal_particles_fit() -> None:
    assert expand("a @x", {"@x": "[1|2]"}) == ("a 1", "a 2")
    assert expand("a [b|c [d|e]]", {}) == ("a b", "a c d", "a c e")
    assert expand("[스승|은사]~은", {}) == ("스승은", "은사는")


@given(subject=st.text(min_size=1), answer=st.text(min_size=1))
def test_filling_returns_the_offset_of_each_value(subject: str, answer: str) -> None:
    text, starts = fill("x {S:은} y {A} z", {"S": subject, "A": answer})
    assert text[starts["A"] :].startswith(answer)
    assert text[starts["S"] :].startswith(subject)


def test_pairs_of_question_and_statement_templates_seldom_repeat() -> None:
    """A lookup from question wording to statement wording would need far more rows than a gold set has."""
    pairs = [
        (re.sub(re.escape(p.title), "S", q.question), re.sub(r"\d+", "0", p.context[q.start - 14 : q.start]))
        for p in make_encyclopaedia("en", seed=4, documents=400).paragraphs
        for q in p.questions
    ]
    repeated = sum(len(list(group)) > 1 for _, group in groupby(sorted(pairs)))
    assert repeated / len(set(pairs)) < 0.2
