"""Assign questions to splits: whole split groups, in seeded order, with counts as maxima. Pure.

A split group is a connected component of questions that share a paragraph (or a document) or a normalised text. It
stays in one split, so that no training question recurs in a test.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

ROLES = ("gold", "calibration", "dev", "test", "pool")
REST = "rest"
FILE = "file"


@dataclass(frozen=True, slots=True)
class Item:
    """A question with the keys (paragraph or document, text) that keep it in the split of others with the same key."""

    id: str
    keys: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Wanted counts, in order; the role `rest` gets the groups that no count has room for; None leaves them out."""

    counts: tuple[tuple[str, int], ...]
    rest: str | None

    def __str__(self) -> str:
        parts = [f"{role}={count}" for role, count in self.counts]
        return ",".join([*parts, f"{self.rest}={REST}"] if self.rest else parts)


@dataclass(frozen=True, slots=True)
class FileSplit:
    """The split that the file itself names for each question."""

    def __str__(self) -> str:
        return FILE


def parse_split(text: str) -> SplitPlan | FileSplit:
    """Parse `gold=1000,dev=500,test=1500,pool=rest` or `file`. Raises ValueError that says what is wrong."""
    if text.strip() == FILE:
        return FileSplit()
    counts: list[tuple[str, int]] = []
    rest: str | None = None
    for part in text.split(","):
        role, sign, count = (piece.strip() for piece in part.partition("="))
        if not sign or role not in ROLES:
            raise ValueError(f"{part.strip()!r} is not ROLE=COUNT with a role of {', '.join(ROLES)}, nor {FILE}")
        if role == rest or role in dict(counts):
            raise ValueError(f"{role} is named twice")
        if count == REST:
            if rest is not None:
                raise ValueError(f"{rest} and {role} cannot both be the rest")
            rest = role
        elif count.isascii() and count.isdigit() and int(count) > 0:
            counts.append((role, int(count)))
        else:
            raise ValueError(f"{part.strip()!r}: the count is a whole number above 0, or {REST}")
    return SplitPlan(tuple(counts), rest)


def split_groups(items: Iterable[Item]) -> dict[str, str]:
    """Return the split group of each question id: connected components over shared keys, named by their lowest id."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    holder: dict[Hashable, str] = {}
    for item in items:
        parent.setdefault(item.id, item.id)
        for key in item.keys:
            one, other = root(holder.setdefault(key, item.id)), root(item.id)
            parent[max(one, other)] = min(one, other)  # the root of a component is its lowest id
    return {node: group_name(root(node)) for node in parent}


def group_name(lowest_id: str) -> str:
    """Return the name of the split group with this lowest question id: a short hash."""
    return hashlib.sha256(lowest_id.encode()).hexdigest()[:16]


def assign(split_group_of: Mapping[str, str], plan: SplitPlan, *, seed: int) -> dict[str, str]:
    """Return the role of each question id: groups in seeded order, each to the first role with room for all of it.

    Counts are maxima. Without a rest, the result lacks questions of groups that no role has room for.
    """
    members_of: defaultdict[str, list[str]] = defaultdict(list)
    for question_id in sorted(split_group_of):
        members_of[split_group_of[question_id]].append(question_id)
    names = sorted(members_of)
    room = dict(plan.counts)
    roles: dict[str, str] = {}
    for position in np.random.default_rng(seed).permutation(len(names)):
        members = members_of[names[position]]
        role = next((name for name in room if room[name] >= len(members)), plan.rest)
        if role is None:
            continue
        if role in room:
            room[role] -= len(members)
        roles.update(dict.fromkeys(members, role))
    return roles


def hold_out(sizes: Mapping[str, int], share: float, *, rng: np.random.Generator) -> set[str]:
    """Draw the groups to hold out, given their sizes in questions: at most `share` (0-1) of all questions."""
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1, not {share}")
    room = int(share * sum(sizes.values()) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    chosen: set[str] = set()
    names = sorted(sizes)
    for position in rng.permutation(len(names)):
        if sizes[names[position]] <= room:
            chosen.add(names[position])
            room -= sizes[names[position]]
    return chosen
