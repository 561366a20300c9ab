"""Recurring span selection: a question is a sentence whose words recur in another sentence, with these words masked.

The reader selects the same words in the rest of the passage, and so trains span selection without labels.

Source: Ram et al. 2021, Few-Shot Question Answering by Pretraining Span Selection (Splinter), section 3.1, on recurring
spans. There the masks of all recurring spans stay in the passage; here every sentence is a question of its own and is
removed from the passage, so that these are ordinary training examples.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from mrc.analyzers.base import folded
from mrc.analyzers.characters import STOP_WORDS
from mrc.read.train_config import TrainingExample

MAX_WORDS: Final = 6  # of a masked span
MIN_LEFT: Final = 4  # words that the question keeps
LONGEST_SENTENCE: Final = 400  # characters; longer ones are lists and tables
MIN_PER_TEXT: Final = 4  # examples allowed per text, however many texts there are
EMPTY_TEXTS: Final = 0.5  # share of texts expected to give no example

_END: Final = re.compile(r"[.?!…。！？][\"'”’」』)\]]*\s+|[。！？]|\n\s*")
_WORD: Final = re.compile(r"[^\W_]+")
_INNER: Final = re.compile(r"[^\S\n]|[-'’/&.,][^\S\n]?")  # allowed between two words of a span


@dataclass(frozen=True, slots=True)
class _Word:
    start: int
    end: int
    form: str
    sentence: int


Places = list[tuple[int, int]]  # of a span's occurrences: first and last word


def recurring_span_examples(
    texts: Sequence[str], *, mask: str, rng: np.random.Generator, most: int
) -> list[TrainingExample]:
    """At most `most` examples from the texts; `mask` replaces the masked words in a question.

    The context is the passage without the sentence of the question. All other occurrences of the masked words in it
    are right: the first as the answer, the rest as `also`.
    """
    share = max(MIN_PER_TEXT, round(most / max(1, len(texts) * (1 - EMPTY_TEXTS))))
    examples: list[TrainingExample] = []
    for number in rng.permutation(len(texts)):
        found = _of_text(f"span-{number}", texts[number], mask, rng)
        examples += [example for example, _ in zip(found, range(share), strict=False)]
        if len(examples) >= most:
            return examples[:most]
    return examples


def _of_text(name: str, text: str, mask: str, rng: np.random.Generator) -> Iterator[TrainingExample]:
    """Examples of a text, each of another span, names and numbers first."""
    sentences = _sentences(text)
    words = _words(text, sentences)
    spans = list(_recurring(text, words).values())
    order = rng.permutation(len(spans)).tolist()
    for number in sorted(order, key=lambda number: not _names(text, words, spans[number])):
        places = spans[number]
        sentence = words[places[rng.integers(len(places))][0]].sentence
        example = _example(f"{name}-{number}", text, sentences[sentence], words, places, mask)
        if example:
            yield example


def _sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of the sentences, each with the space behind it."""
    ends = sorted({match.end() for match in _END.finditer(text)} | {len(text)})
    return [(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True) if start < end]


def _words(text: str, sentences: Sequence[tuple[int, int]]) -> list[_Word]:
    return [
        _Word(*match.span(), folded(match[0]), number)
        for number, (start, end) in enumerate(sentences)
        for match in _WORD.finditer(text, start, end)
    ]


def _recurring(text: str, words: Sequence[_Word]) -> Mapping[tuple[str, ...], Places]:
    """Runs of words that occur in two or more sentences, without those that only occur inside longer ones."""
    taken = np.zeros(len(words), dtype=np.bool_)
    kept: dict[tuple[str, ...], Places] = {}
    for length in range(MAX_WORDS, 0, -1):
        found: dict[tuple[str, ...], Places] = defaultdict(list)
        for first, last in _runs(text, words, length):
            found[tuple(word.form for word in words[first : last + 1])].append((first, last))
        used = []
        for forms, places in found.items():
            free = [place for place in places if not taken[place[0] : place[1] + 1].all()]
            if free and len({words[first].sentence for first, _ in places}) > 1 and _content(forms):
                kept[forms] = places
                used += places
        for first, last in used:
            taken[first : last + 1] = True
    return kept


def _runs(text: str, words: Sequence[_Word], length: int) -> Iterator[tuple[int, int]]:
    """First and last word of every run of this length within a sentence, joined by spaces or hyphens and the like."""
    joined = [
        left.sentence == right.sentence and bool(_INNER.fullmatch(text, left.end, right.start))
        for left, right in pairwise(words)
    ]
    for first in range(len(words) - length + 1):
        if all(joined[first : first + length - 1]):
            yield first, first + length - 1


def _content(forms: Sequence[str]) -> bool:
    """Whether a span neither starts nor ends with a stop word and has more than one letter."""
    return forms[0] not in STOP_WORDS and forms[-1] not in STOP_WORDS and sum(map(len, forms)) > 1


def _names(text: str, words: Sequence[_Word], places: Places) -> bool:
    """Whether a span looks like a name or number, as most answers do: a digit, or capitals inside a sentence."""
    first, last = places[0]
    written = text[words[first].start : words[last].end]
    opens = first == 0 or words[first - 1].sentence != words[first].sentence
    return bool(re.search(r"\d", written)) or (written[0].isupper() and not opens) or last > first


def _example(
    name: str, text: str, sentence: tuple[int, int], words: Sequence[_Word], places: Places, mask: str
) -> TrainingExample | None:
    """The example of a span with one sentence as question; None where too few words of the sentence are left."""
    start, end = sentence
    spans = [(words[first].start, words[last].end) for first, last in places]
    inside = [span for span in spans if start <= span[0] < end]
    left = sum(start <= word.start < end for word in words) - sum(
        last - first + 1 for first, last in places if start <= words[first].start < end
    )
    if left < MIN_LEFT or end - start > LONGEST_SENTENCE:
        return None
    shift = end - start
    right = [(a, b) if b <= start else (a - shift, b - shift) for a, b in spans if not start <= a < end]
    question = _masked(text, start, end, inside, mask)
    context = text[:start] + text[end:]
    return TrainingExample(name, question, context, *right[0], also=tuple(right[1:]))


def _masked(text: str, start: int, end: int, spans: Sequence[tuple[int, int]], mask: str) -> str:
    """text[start:end] with the mask in place of each span; overlapping spans get one mask."""
    pieces, at = [], start
    for first, last in spans:
        if first >= at:
            pieces += [text[at:first], mask]
        at = max(at, last)
    return "".join([*pieces, text[at:end]]).strip()
