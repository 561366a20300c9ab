"""Particles: the endings that they may follow, and nouns that end like a particle."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.postprocess.josa import PARTICLES, equal_but_josa

VOWEL, RIEUL, CONSONANT = "바다", "서울", "부산"


@pytest.mark.parametrize(
    ("particle", "after"),
    [
        ("은", {CONSONANT, RIEUL}),
        ("는", {VOWEL}),
        ("이", {CONSONANT, RIEUL}),
        ("가", {VOWEL}),
        ("을", {CONSONANT, RIEUL}),
        ("를", {VOWEL}),
        ("과", {CONSONANT, RIEUL}),
        ("와", {VOWEL}),
        ("으로", {CONSONANT}),
        ("로", {VOWEL, RIEUL}),
        ("으로부터", {CONSONANT}),
        ("로부터", {VOWEL, RIEUL}),
        ("아", {CONSONANT, RIEUL}),
        ("야", {VOWEL}),
        ("이랑", {CONSONANT, RIEUL}),
        ("랑", {VOWEL}),
        ("이며", {CONSONANT, RIEUL}),
        ("며", {VOWEL}),
        *((each, {VOWEL, RIEUL, CONSONANT}) for each in ("에", "에서", "에게", "의", "도", "만", "부터", "까지")),
        *((each, {VOWEL, RIEUL, CONSONANT}) for each in ("처럼", "보다", "이다", "입니다", "에서는", "까지의")),
    ],
)
def test_a_particle_follows_the_sounds_it_may_follow_and_no_others(particle: str, after: set[str]) -> None:
    for stem in (VOWEL, RIEUL, CONSONANT):
        assert equal_but_josa(stem, stem + particle) == (stem in after), stem
        assert equal_but_josa(stem + particle, stem) == (stem in after), stem


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("나이", "나", False),  # 나 ends in a vowel: 이 cannot follow
        ("국가", "국", False),
        ("사과", "사", False),
        ("제주도", "제주도는", True),
        ("제주도", "제주섬", False),
        ("회의", "회의를", True),
        ("국가", "국가가", True),
        ("나이", "나이는", True),
        ("서울은", "서울에서", False),  # neither is the other plus a particle
        ("서울", "서울시", False),
        ("서울", "서울 에", False),
        ("", "은", False),
        ("은", "은", True),
        ("", "", True),
    ],
)
def test_nouns_that_end_like_a_particle_are_compared_whole(a: str, b: str, same: bool) -> None:
    assert equal_but_josa(a, b) is same


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("1945", "1945는", True),  # 오: a vowel
        ("1945", "1945은", False),
        ("1941", "1941로", True),  # 일: ㄹ
        ("1941", "1941으로", False),
        ("1950", "1950을", True),  # 오십
        ("3", "3만", False),  # 30,000
        ("3천", "3천만", False),
        ("3천", "3천까지", True),
        ("20", "20도", False),  # degrees
        ("종로2", "종로2가", False),  # a block of the street
        ("KBS", "KBS는", True),  # the sound of Latin letters is not written
        ("KBS", "KBS은", True),
        ("'춘향전'", "'춘향전'을", True),  # through the quotation mark: 전
        ("'춘향전'", "'춘향전'를", False),
        ("한국(Korea)", "한국(Korea)은", True),
        ("!", "!은", False),
    ],
)
def test_digits_have_their_spoken_ending_and_other_scripts_any_ending(a: str, b: str, same: bool) -> None:
    assert equal_but_josa(a, b) is same


def test_decomposed_hangul_is_the_same_text() -> None:
    apart = unicodedata.normalize("NFD", "서울로")
    assert apart != "서울로"
    assert equal_but_josa(apart, "서울로")
    assert equal_but_josa(apart, "서울")


@given(st.text(st.sampled_from("가각갈나이의도만 1Z'"), max_size=6), st.sampled_from(sorted(PARTICLES)))
def test_comparison_is_symmetric_and_needs_a_whole_particle(stem: str, particle: str) -> None:
    assert equal_but_josa(stem, stem + particle) == equal_but_josa(stem + particle, stem)
    assert not equal_but_josa(stem, stem + particle + "Z")
    assert equal_but_josa(stem, stem)
