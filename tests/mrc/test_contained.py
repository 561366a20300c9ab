"""Texts of which one holds the other: found across sides, however long the rest is."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Mapping

import pytest

from mrc.text.contained import SPAN, WINDOW, contained_across, fingerprints
from mrc.text.near_across import Fetch, near_across
from mrc.text.near_duplicates import fold

SYLLABLES = [*"벨모라항구아르넨등대섬강", "ve", "lm", "or", "a", "ta", "rn", "il", "do"]


def words(rng: random.Random, count: int) -> str:
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(count))


def fetch(texts: Mapping[str, str]) -> Fetch:
    return lambda keys: {key: texts[key] for key in keys}


def world(rng: random.Random, *, share: float = 1.0) -> tuple[dict[str, str], dict[str, str]]:
    """Twenty texts of a test, each within a longer one on the training side, and as many that have nothing of them."""
    texts = {}
    for number in range(20):
        short = words(rng, 40)
        texts[f"test-{number:02}"] = short
        kept = " ".join(short.split()[: round(40 * share)])
        texts[f"train-{number:02}"] = f"{words(rng, 100)} {kept} {words(rng, 200)}"
        texts[f"other-{number:02}"] = words(rng, 300)
    return texts, {key: "test" if key.startswith("test") else "train" for key in texts}


@pytest.mark.parametrize("seed", range(3))
def test_a_text_in_a_long_one_is_found_and_nothing_else_is(seed: int) -> None:
    texts, sides = world(random.Random(seed))
    found = contained_across(sides, fetch(texts))
    assert [(pair.a, pair.b) for pair in found] == [(f"test-{row:02}", f"train-{row:02}") for row in range(20)]
    assert {pair.similarity for pair in found} == {1.0}
    assert near_across(sides, fetch(texts)) == [], "shingles alone do not find them"


def test_half_of_a_text_is_not_the_text() -> None:
    texts, sides = world(random.Random(5), share=0.5)
    assert contained_across(sides, fetch(texts)) == []


def test_one_side_is_no_leak_and_nothing_is_found_in_nothing() -> None:
    texts, _ = world(random.Random(7))
    assert contained_across(dict.fromkeys(texts, "train"), fetch(texts)) == []
    assert contained_across({}, fetch({})) == []


def test_spaces_case_and_unicode_form_do_not_hide_it() -> None:
    short = words(random.Random(8), 40)
    changed = unicodedata.normalize("NFD", short.upper().replace(" ", "  "))
    texts = {"a": short, "b": f"{words(random.Random(9), 90)} {changed} {words(random.Random(10), 90)}"}
    (pair,) = contained_across({"a": "dev", "b": "train"}, fetch(texts))
    assert (pair.a, pair.b) == ("a", "b")
    assert pair.similarity > 0.97


def test_whatever_is_long_enough_in_two_texts_gives_both_a_fingerprint() -> None:
    rng = random.Random(11)
    for _ in range(50):
        shared = words(rng, 30).replace(" ", "")[: SPAN + WINDOW - 1]
        one, other = (fingerprints(f"{words(rng, 9)}{shared}{words(rng, 9)}") for _ in range(2))
        assert set(one.tolist()) & set(other.tolist())
    assert fingerprints(fold(words(rng, 30))[: SPAN + WINDOW - 2]).size == 0
    assert fingerprints("").size == 0
