"""Pairs of texts on two sides that are equal or nearly equal. Pure: texts are fetched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from labeler.leaks.sides import ORDER, Item
from mrc.text.contained import contained_across
from mrc.text.near_across import Fetch, near_across
from mrc.text.near_duplicates import NearDuplicate

How = Literal["same", "equal", "near", "contained", "dense"]
HOWS: Final[tuple[How, ...]] = ("same", "equal", "near", "contained", "dense")

Rep = tuple[str, str]  # identity and level of all texts that are equal on one side


@dataclass(frozen=True, slots=True)
class Leak:
    """Two texts on two sides. `similarity`: Jaccard index of shingles; of `contained` the share of the shorter text's
    shingles, of `dense` the cosine; else 1.

    `how`: the same passage or document, equal but for spacing, case and the like, near by shingles, one contained in
    the other, dense by vectors.
    """

    kind: str  # question, passage or document
    a: str
    b: str
    sides: tuple[str, str]  # of a and of b: gold, human, pseudo, calibration, dev, test
    similarity: float
    how: How


def lexical_leaks(
    kind: str,
    items: Sequence[Item],
    fetch: Fetch,
    *,
    similarity: float,
    progress: Callable[[int], object] | None = None,
) -> list[Leak]:
    """The pairs of equal and nearly equal texts, the most similar first; the work grows with the number of texts.

    Of several equal texts on a side, each is paired with the first one on the other side. Passages are also paired
    where one holds the other: a question with its answer in the short one can be answered from the long one.
    """
    groups: defaultdict[Rep, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.identity, item.level].append(item)

    def near(sides: Mapping[str, str], texts: Fetch) -> list[NearDuplicate]:
        return near_across(sides, texts, similarity=similarity, progress=progress)

    found = [*_equal(kind, groups), *_alike(kind, groups, fetch, near, "near")]
    if kind == "passage":
        found += _alike(kind, groups, fetch, contained_across, "contained")
    ordered = sorted(found, key=lambda leak: (HOWS.index(leak.how), -leak.similarity, leak.a, leak.b, leak.sides))
    return without_repeats(ordered)


def _equal(kind: str, groups: Mapping[Rep, Sequence[Item]]) -> Iterator[Leak]:
    by_identity: defaultdict[str, list[Sequence[Item]]] = defaultdict(list)
    for (identity, _), members in groups.items():
        by_identity[identity].append(members)
    for sides in by_identity.values():
        for one, other in combinations(sides, 2):
            for a, b in _paired(one, other):
                yield leak(kind, a, b, 1.0, "same" if a.key == b.key else "equal")


def _paired(one: Sequence[Item], other: Sequence[Item]) -> Iterator[tuple[Item, Item]]:
    """Each item of either side with its like of the same key, else with the first of the other side."""
    of_key = {item.key: item for item in other}
    paired = set()
    for item in one:
        like = of_key.get(item.key, other[0])
        paired.add(like.key)
        yield item, like
    yield from ((one[0], item) for item in other if item.key not in paired)


def _alike(
    kind: str,
    groups: Mapping[Rep, Sequence[Item]],
    fetch: Fetch,
    find: Callable[[Mapping[str, str], Fetch], Sequence[NearDuplicate]],
    how: How,
) -> Iterator[Leak]:
    """The pairs that `find` makes of one text of each group, spread to the others of its group."""
    named = {f"{members[0].key}\n{level}": rep for rep, members in groups.items() for level in [rep[1]]}

    def texts(keys: Sequence[str]) -> Mapping[str, str]:
        found = fetch(sorted({key.rpartition("\n")[0] for key in keys}))
        return {key: found[key.rpartition("\n")[0]] for key in keys}

    sides = {key: level for key, (_, level) in named.items()}
    for pair in find(sides, texts):
        one, other = named[pair.a], named[pair.b]
        if one[0] == other[0]:
            continue  # equal: they are paired already
        for a, b in _paired(groups[one], groups[other]):
            yield leak(kind, a, b, pair.similarity, how)


def leak(kind: str, a: Item, b: Item, similarity: float, how: How) -> Leak:
    """The pair with its sides in `ORDER`."""
    first, second = sorted((a, b), key=lambda item: (ORDER.index(item.side), item.key))
    return Leak(kind, first.key, second.key, (first.side, second.side), round(similarity, 4), how)


def without_repeats(leaks: Iterable[Leak]) -> list[Leak]:
    """One leak for each pair of texts and sides, the first."""
    found: dict[tuple[str, str, str, tuple[str, str]], Leak] = {}
    for each in leaks:
        found.setdefault((each.kind, each.a, each.b, each.sides), each)
    return list(found.values())
