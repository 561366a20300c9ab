"""What a reviewer did on the review page: the verdict, and the one span that counts as the answer.

What the reviewer did wins over a suggestion that stays untouched: another mark, a candidate taken by its key, a typed
answer, "no answer". An answer without a verdict means answerable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeler.labels.span_search import near, occurrences
from labeler.review.studio.labeling_config import (
    ANSWER_LABEL,
    MAX_PASSAGES,
    TYPED,
    VERDICT,
    VERDICTS,
    labels_name,
    text_name,
)
from labeler.review.studio.page.candidates import candidate_name, rank_of
from labeler.review.studio.untrusted import as_text

_PASSAGE_OF = {labels_name(number): number for number in range(1, MAX_PASSAGES + 1)}
Place = tuple[int, int, int]  # passage on the page, from 1; start; end
SUGGESTED, CHANGED, DRAWN = (
    "prediction",
    "prediction-changed",
    "manual",
)  # origins of a region, as the server names them


class Unreadable(Exception):
    """The reason why an annotation is no review."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A span that counts as the answer."""

    place: Place
    origin: str  # SUGGESTED, CHANGED, DRAWN


@dataclass(frozen=True, slots=True)
class Said:
    """What an annotation says."""

    verdict: str
    mark: Mark | None  # with the verdict answerable, and only there


def read_marks(result: Any, shown: Mapping[int, str]) -> Said:
    """What the result of an annotation says. `shown`: the texts of the passages by their number on the page.

    Raises Unreadable.
    """
    entries = _entries(result)
    verdict, rank = _verdict(entries)
    if verdict == "bad_question":
        return Said(verdict, None)
    suggested, done = _marks(entries, rank, shown)
    if verdict == "no_answer":
        if done:
            raise Unreadable("no_answer but an answer is marked")
        return Said(verdict, None)
    marks = done or suggested
    if not marks:
        raise Unreadable("answerable without an answer marked" if verdict else "no verdict")
    if len(marks) > 1:
        raise Unreadable("two answers marked" if len(marks) == 2 else f"{len(marks)} answers marked")
    return Said("answerable", marks[0])


def values_of(result: Any, control: str) -> Iterator[Mapping[str, Any]]:
    """The values that a control has in an annotation; one, unless somebody wrote the annotation by hand."""
    yield from (_value(each) for each in _entries(result) if each.get("from_name") == control)


def strings(value: Any) -> list[str]:
    """The strings of a value that should be a list of strings. Raises Unreadable."""
    listed = [value] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise Unreadable("a value is not a list of texts")
    return listed


def _entries(result: Any) -> list[Mapping[str, Any]]:
    if not isinstance(result, list) or not all(isinstance(each, Mapping) for each in result):
        raise Unreadable("its result is not a list of regions")
    return result


def _value(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    value = entry.get("value")
    return value if isinstance(value, Mapping) else {}


def _verdict(entries: Sequence[Mapping[str, Any]]) -> tuple[str | None, int | None]:
    """The verdict, None where none is given, and the rank of the candidate that was taken by its key."""
    chosen = {choice for value in values_of(entries, VERDICT) for choice in strings(value.get("choices"))}
    if len(chosen) > 1:
        raise Unreadable(f"several verdicts ({', '.join(sorted(chosen))})")
    for choice in chosen:
        rank = rank_of(choice)
        if rank is None and choice not in VERDICTS:
            raise Unreadable(f"unknown verdict {choice!r:.40}")
        return ("answerable" if rank else choice), rank
    return None, None


def _marks(
    entries: Sequence[Mapping[str, Any]], rank: int | None, shown: Mapping[int, str]
) -> tuple[list[Mark], list[Mark]]:
    """The suggestions that stay untouched, and what the reviewer marked; a span marked twice is one.

    A suggestion that was marked again, or taken by its key, is what the reviewer did: accepted as it was.
    """
    regions = [_mark(each) for each in entries if ANSWER_LABEL in strings(_value(each).get("labels"))]
    suggested = {mark.place: mark for mark in regions if mark.origin == SUGGESTED}
    done = [mark for mark in regions if mark.origin != SUGGESTED]
    if rank is not None:
        done.append(_taken(entries, rank))
    done += [Mark(place, DRAWN) for place in _typed(entries, shown, done)]
    distinct = {mark.place: suggested.get(mark.place, mark) for mark in done}
    return list(suggested.values()), list(distinct.values())


def _taken(entries: Sequence[Mapping[str, Any]], rank: int) -> Mark:
    """The candidate of this rank, where it is marked now."""
    for each in entries:
        if each.get("id") == candidate_name(rank) and _value(each).get("labels"):
            return Mark(_mark(each).place, CHANGED)
    raise Unreadable(f"candidate {rank} is chosen and not marked")


def _mark(entry: Mapping[str, Any]) -> Mark:
    control = as_text(entry.get("from_name")) or ""
    number = _PASSAGE_OF.get(control)
    if number is None or entry.get("to_name") != text_name(number):
        raise Unreadable(f"an answer is marked by {control!r:.40}, which is not on our page")
    start, end = _value(entry).get("start"), _value(entry).get("end")
    if type(start) is not int or type(end) is not int:
        raise Unreadable(f"answer outside the text ({text_name(number)}: marked is {start!r:.20}-{end!r:.20})")
    return Mark((number, start, end), as_text(entry.get("origin")) or DRAWN)


def _typed(entries: Sequence[Mapping[str, Any]], shown: Mapping[int, str], done: Sequence[Mark]) -> Iterator[Place]:
    """Where typed answers are in the passages: the first occurrence, unless one of them is marked already."""
    texts = {str(number): text for number, text in sorted(shown.items())}
    for value in values_of(entries, TYPED):
        for text in filter(None, map(str.strip, strings(value.get("text")))):
            found = occurrences(text, texts) or near(text, texts)
            if not found:
                raise Unreadable(f"the typed answer is in no passage ({text!r:.40})")
            places = [(int(span.passage_id), span.start, span.end) for span in found]
            if not {mark.place for mark in done} & set(places):
                yield places[0]
