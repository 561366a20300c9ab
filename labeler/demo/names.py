"""Invented names and values for the synthetic encyclopaedia; no two entities share a name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from types import ModuleType

import numpy as np


class Names:
    """Draws names of one language. Parts of names recur on purpose, so that names resemble each other."""

    def __init__(self, words: ModuleType, rng: np.random.Generator, *, korean: bool) -> None:
        self.words, self.rng, self.korean = words, rng, korean
        self._unused: dict[str, Iterator[str]] = {}

    def entity(self, kind: str) -> str:
        """A name for an entity of `kind` that no other entity has.

        Raises: ValueError when the kind's names are used up.
        """
        if kind not in self._unused:
            self._unused[kind] = self._names(kind)
        name = next(self._unused[kind], None)
        if name is None:
            raise ValueError(f"no more names for {kind}: make fewer documents")
        return name

    def _names(self, kind: str) -> Iterator[str]:
        """All names of a kind in random order; when they are used up, all again with "Far" (Korean: "새") in front."""
        names = list(dict.fromkeys(getattr(self, f"_{kind}")()))
        new = r"\1새 " if self.korean else r"\1Far "
        yield from [names[i] for i in self.rng.permutation(len(names))]
        yield from [re.sub("^(the |『|)", new, names[i]) for i in self.rng.permutation(len(names))]

    def value(self, answer: str, options: Sequence[str]) -> str:
        """A value of the answer type: person, town, river, land, ship, year, number or a list of THINGS."""
        match answer:
            case "number":
                return self._number(options)
            case "year":
                return self.year(int(self.rng.integers(1721, 1990)))
            case "person":
                return self._pick(self._person())
            case "town":
                return self._pick(self._town())
            case "river":
                return str(self.words.RIVER_FORM.format(self._pick(self.words.RIVER_HEADS)))
            case "land":
                return self._pick(self.words.LANDS)
            case "ship":
                return self._pick(self.words.SHIPS)
            case _:
                return self._pick(self.words.THINGS[options[0]].split(";"))

    def year(self, year: int) -> str:
        return f"{year}년" if self.korean else str(year)

    def _number(self, options: Sequence[str]) -> str:
        low, high, *unit = options or ("3", "400")
        value = round(float(np.exp(self.rng.uniform(np.log(int(low)), np.log(int(high))))))
        return f"{value:,}" + (("" if self.korean else " ") + unit[0] if unit else "")

    def _pick(self, names: Sequence[str]) -> str:
        return names[int(self.rng.integers(len(names)))]

    def _join(self, *parts: Sequence[str], space: str = " ") -> list[str]:
        return [space.join(combination) for combination in product(*parts)]

    def _person(self) -> list[str]:
        if self.korean:
            return self._join(self.words.SURNAMES, self.words.GIVEN, space="")
        return self._join(self.words.GIVEN, self.words.SURNAMES)

    def _town(self) -> list[str]:
        plain = self._join(self.words.PLACE_HEADS, self.words.PLACE_TAILS, space="")
        return plain + self._join(self.words.PLACE_MARKS, plain[::5], space="" if self.korean else " ")

    def _bridge(self) -> list[str]:
        heads = self._join(["", *self.words.PLACE_MARKS], self.words.PLACE_HEADS, space="")
        if self.korean:
            return self._join(heads, ("대교", "다리", "돌다리"), space="")
        towns = self._join(self.words.PLACE_HEADS, self.words.PLACE_TAILS[:3], space="")
        return self._join(towns, ("Bridge", "Viaduct")) + self._join(self.words.PLACE_MARKS, towns, ["Bridge"])

    def _invention(self) -> list[str]:
        the = [] if self.korean else [["the"]]
        return self._join(*the, self.words.DEVICE_MARKS, self.words.DEVICES)

    def _festival(self) -> list[str]:
        the = [] if self.korean else [["the"]]
        marks = [*self.words.FAIR_MARKS, *self._join(self.words.FAIR_MARKS, self.words.FAIR_MARKS)]
        return self._join(*the, marks, self.words.FAIRS)

    def _expedition(self) -> list[str]:
        marks = self.words.EXPEDITION_MARKS
        if self.korean:
            return self._join(marks, ["탐험대"]) + self._join(marks, ("제2차", "제3차", "제4차", "제5차"), ["탐험대"])
        return self._join(["the"], marks, ["Expedition"]) + self._join(
            ["the"], ("Second", "Third", "Fourth", "Fifth"), marks, ["Expedition"]
        )

    def _company(self) -> list[str]:
        return self._join(self.words.COMPANY_MARKS, self.words.WORKS)

    def _book(self) -> list[str]:
        return [f"『{title}』" for title in self._titles()] if self.korean else self._titles()

    def _titles(self) -> list[str]:
        return self._join(self.words.ADJECTIVES, self.words.NOUNS)
