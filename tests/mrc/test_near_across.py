"""Near-duplicates on two sides of a split: all texts that have one are found, in work that grows with their number."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from mrc.text import near_across as module
from mrc.text.near_across import near_across
from mrc.text.near_duplicates import NearDuplicate, jaccard, near_duplicates, shingles

WORDS = [f"{a}{b}" for a in "mortelagrin" for b in "vashidonek"]


def sentence(rng: random.Random, words: int = 40) -> list[str]:
    return [rng.choice(WORDS) for _ in range(words)]


def world(count: int, *, seed: int = 0) -> tuple[dict[str, str], dict[str, str]]:
    """Texts and sides: every fifth text of train is one of test with two words changed."""
    rng = random.Random(seed)
    texts, sides = {}, {}
    for number in range(count):
        words = sentence(rng)
        texts[f"train{number:05}"], sides[f"train{number:05}"] = " ".join(words), "train"
        if number % 5 == 0:
            words[3], words[20] = rng.choice(WORDS), rng.choice(WORDS)
            texts[f"test{number:05}"], sides[f"test{number:05}"] = " ".join(words), "test"
    return texts, sides


def fetch(texts: Mapping[str, str]) -> module.Fetch:
    return lambda keys: {key: texts[key] for key in keys}


def test_the_pairs_are_those_of_the_exhaustive_comparison_across_sides() -> None:
    texts, sides = world(60)
    found = near_across(sides, fetch(texts))
    expected = [pair for pair in near_duplicates(texts) if sides[pair.a] != sides[pair.b]]
    assert found == expected
    assert len(found) == 12


def test_pairs_of_one_side_are_no_leak() -> None:
    texts, sides = world(30)
    assert near_across(dict.fromkeys(sides, "train"), fetch(texts)) == []
    assert near_across({}, fetch({})) == []


def test_similarity_is_the_exact_index_and_the_limit_holds() -> None:
    texts, sides = world(60)
    found = near_across(sides, fetch(texts), similarity=0.85)
    assert all(pair.similarity == jaccard(shingles(texts[pair.a]), shingles(texts[pair.b])) >= 0.85 for pair in found)
    assert found == [pair for pair in near_across(sides, fetch(texts)) if pair.similarity >= 0.85]


def test_the_result_does_not_depend_on_the_size_of_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, sides = world(40)
    whole = near_across(sides, fetch(texts))
    monkeypatch.setattr(module, "_CHUNK", 7)
    monkeypatch.setattr(module, "_PAIRS", 3)
    asked: list[int] = []

    def counted(keys: Sequence[str]) -> Mapping[str, str]:
        asked.append(len(keys))
        return {key: texts[key] for key in keys}

    assert near_across(sides, counted) == whole
    assert max(asked) <= 7, "only a chunk of texts, or the texts of three pairs, are in memory"


@pytest.mark.parametrize("alike", [False, True], ids=["few near-duplicates", "all texts nearly equal"])
def test_comparisons_grow_with_the_number_of_texts(alike: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where every text of train nearly equals every one of test: a quarter of all pairs otherwise."""
    counts = []

    def counting(one: object, other: object) -> float:
        counts[-1] += 1
        return jaccard(one, other)  # type: ignore[arg-type]

    monkeypatch.setattr(module.near_duplicates, "jaccard", counting)
    for size in (200, 400, 800):
        texts, sides = world(size)
        if alike:
            base = sentence(random.Random(1), 60)
            texts = {key: " ".join([*base, key]) for key in texts}
        counts.append(0)
        found = near_across(sides, fetch(texts))
        missed = {key for key, side in sides.items() if side == "train"} - {pair.b for pair in found}
        assert len(missed) == (0 if alike else size - size // 5)
    assert counts[2] <= 2.3 * counts[1]
    assert counts[1] <= 2.5 * counts[0], "the buckets of the smallest are not full yet"
    assert counts[2] <= 2 * module.NEIGHBOURS * len(texts)


def test_a_pair_is_named_once_in_key_order() -> None:
    texts = {"b": "the mill on the Arden was founded in 1746", "a": "the mill on the Arden was founded in 1747"}
    assert near_across({"b": "train", "a": "test"}, fetch(texts)) == [
        NearDuplicate("a", "b", jaccard(shingles(texts["a"]), shingles(texts["b"])))
    ]
