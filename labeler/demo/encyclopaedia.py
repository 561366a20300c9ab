"""A synthetic encyclopaedia with questions, in Korean and English: the corpus of `labeler demo` and of tests.

People, towns, bridges, inventions, festivals, expeditions, companies and books. Every relation has many templates, a
statement and its question share a word or only a meaning, paragraphs contain several years, names or numbers, and names
resemble each other. A paragraph is easy where only one span has the type of the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np

from labeler.demo import words_en, words_ko
from labeler.demo.names import Names
from labeler.demo.templates import Kind, Relation, Variants, fill, parse, slots

Language = Literal["ko", "en", "mixed"]


@dataclass(frozen=True, slots=True)
class GeneratedQuestion:
    """A question and its answer: `answer == context[start:start + len(answer)]`."""

    id: str
    question: str
    answer: str
    start: int


@dataclass(frozen=True, slots=True)
class Paragraph:
    title: str
    context: str
    questions: tuple[GeneratedQuestion, ...]


@dataclass(frozen=True, slots=True)
class Encyclopaedia:
    """An encyclopaedia; the paragraphs of one article share its title and follow each other."""

    paragraphs: tuple[Paragraph, ...]

    def squad(self) -> dict[str, Any]:
        """The content of a SQuAD 1.1 file."""
        articles: dict[str, list[dict[str, Any]]] = {}
        for paragraph in self.paragraphs:
            articles.setdefault(paragraph.title, []).append(
                {
                    "context": paragraph.context,
                    "qas": [
                        {"id": q.id, "question": q.question, "answers": [{"text": q.answer, "answer_start": q.start}]}
                        for q in paragraph.questions
                    ],
                }
            )
        return {
            "version": "1.1",
            "data": [{"title": title, "paragraphs": paragraphs} for title, paragraphs in articles.items()],
        }


@dataclass(frozen=True, slots=True)
class Mix:
    """How paragraphs are generated; shares are 0-1."""

    kinds: int = 3  # entity types, of eight: more types need more labels than the demo has
    facts: tuple[int, int] = (2, 3)  # sentences with a question, both ends included
    fillers: tuple[int, int] = (0, 1)  # sentences without a question, both ends included
    plain: float = 0.7  # share of articles with one sentence for each answer type, and no fillers
    second_paragraph: float = 0.05  # share of articles with a second paragraph, on the remaining relations
    aside: float = 0.05  # share of paragraphs that also mention a distractor entity
    full_name: float = 0.6  # share of later sentences that repeat the name
    questions: int = 3  # of a paragraph, at most


@dataclass(frozen=True, slots=True)
class _Entity:
    kind: Kind
    name: str
    pronoun: str
    values: dict[str, str]


def make_encyclopaedia(
    language: Language, *, seed: int, documents: int = 1000, mix: Mix | None = None
) -> Encyclopaedia:
    """`documents` articles, half of them in each language if mixed. Equal seeds give equal texts."""
    languages = ("ko", "en") if language == "mixed" else (language,)
    paragraphs: list[Paragraph] = []
    for number, one in enumerate(languages):
        share = documents // len(languages) + (number < documents % len(languages))
        rng = np.random.default_rng([seed, number, one == "ko"])
        paragraphs += _Writer(words_ko if one == "ko" else words_en, rng, mix or Mix()).paragraphs(share)
    order = np.random.default_rng([seed, len(languages)]).permutation(len(paragraphs))
    return Encyclopaedia(tuple(paragraphs[i] for i in order))


class _Writer:
    """Writes the articles of one language."""

    def __init__(self, words: ModuleType, rng: np.random.Generator, mix: Mix) -> None:
        self.words, self.rng, self.mix = words, rng, mix
        self.korean = words is words_ko
        self.names = Names(words, rng, korean=self.korean)

    def paragraphs(self, documents: int) -> list[Paragraph]:
        kinds = list(parse(self.words.TEMPLATES, self.words.MACROS).values())[: self.mix.kinds]
        entities = [self._entity(kinds[i % len(kinds)]) for i in range(documents)]
        distractors = {entity.name: _distractors(entity, entities) for entity in entities}
        return [paragraph for entity in entities for paragraph in self._article(entity, distractors[entity.name])]

    def _entity(self, kind: Kind) -> _Entity:
        gaps = self.rng.integers(14, 60, size=len(kind.relations))
        years = iter((int(self.rng.integers(1700, 1860)) + np.cumsum(gaps)).tolist())
        values = {
            relation.name: self.names.year(next(years))
            if relation.answer == "year"
            else self.names.value(relation.answer, relation.options)
            for relation in kind.relations
        }
        return _Entity(kind, self.names.entity(kind.name), str(self.rng.choice(["She", "He"])), values)

    def _article(self, entity: _Entity, distractors: Sequence[_Entity]) -> list[Paragraph]:
        relations = [entity.kind.relations[i] for i in self.rng.permutation(len(entity.kind.relations))]
        if self.rng.random() < self.mix.plain:
            first, fillers = _one_of_each_type(relations), 0
        else:
            first = relations[: int(self.rng.integers(*self.mix.facts, endpoint=True))]
            fillers = int(self.rng.integers(*self.mix.fillers, endpoint=True))
        parts = [first]
        rest = [relation for relation in relations if relation not in first]
        if len(rest) > 1 and self.rng.random() < self.mix.second_paragraph:
            parts.append(rest)
        return [self._paragraph(entity, part, fillers, distractors) for part in parts]

    def _paragraph(
        self, entity: _Entity, relations: Sequence[Relation], fillers: int, distractors: Sequence[_Entity]
    ) -> Paragraph:
        plan: list[Relation | Variants | _Entity] = [*relations]
        for i in self.rng.permutation(len(entity.kind.fillers))[:fillers]:
            plan.insert(int(self.rng.integers(1, len(plan), endpoint=True)), entity.kind.fillers[i])
        if distractors and self.rng.random() < self.mix.aside:
            other = distractors[int(self.rng.integers(len(distractors)))]
            plan.insert(int(self.rng.integers(1, len(plan), endpoint=True)), other)
        text, needs_name, asked = "", True, []
        for part in plan:
            text += " " if text else ""
            if isinstance(part, Relation):
                named = needs_name or self.rng.random() < self.mix.full_name
                sentence, start = self._statement(entity, part, named=named)
                asked.append((part, sentence[start : start + len(entity.values[part.name])], len(text) + start))
                needs_name = part.answer == "person"
            elif isinstance(part, _Entity):
                sentence, needs_name = self._aside(part, relations), True
            else:
                sentence, needs_name = self._filler(entity, part), True
            text += sentence
        chosen = sorted(self.rng.permutation(len(asked))[: self.mix.questions].tolist())
        questions = tuple(self._question(entity, text, *asked[i]) for i in chosen)
        return Paragraph(entity.name.strip("『』"), text, questions)

    def _statement(self, entity: _Entity, relation: Relation, *, named: bool) -> tuple[str, int]:
        form = self._choose(relation.statements)
        subject = entity.name if named else self._anaphor(entity, is_first=form.startswith("{S"))
        if self.korean and not named and form.startswith(("{S:은} ", "{S:이} ")) and self.rng.random() < 0.5:
            form = form[form.index(" ") + 1 :]  # Korean leaves out a subject that is known
        sentence, starts = fill(form, {"S": subject, "A": entity.values[relation.name]})
        return sentence[:1].upper() + sentence[1:], starts["A"]

    def _anaphor(self, entity: _Entity, *, is_first: bool) -> str:
        if entity.kind.name == "person" and not self.korean:
            surname = entity.name.split()[-1]
            return entity.pronoun if is_first and self.rng.random() < 0.7 else surname
        noun: str = self.words.ANAPHORS[entity.kind.name]
        return "it" if is_first and not self.korean and self.rng.random() < 0.5 else noun

    def _aside(self, other: _Entity, relations: Sequence[Relation]) -> str:
        relation = relations[int(self.rng.integers(len(relations)))]
        sentence, _ = self._statement(other, relation, named=True)
        if not self.korean and sentence.startswith(("The ", "In ", "People ", "It ", "At ", "As ", "To ", "From ")):
            sentence = sentence[0].lower() + sentence[1:]
        return f"{self.rng.choice(self.words.ASIDES)} {sentence}"

    def _filler(self, entity: _Entity, forms: Variants) -> str:
        form = forms[int(self.rng.integers(len(forms)))]
        values = {name: self.names.value(name, ()) for name in slots(form) if name != "S"}
        sentence, _ = fill(form, values | {"S": entity.name})
        return sentence[:1].upper() + sentence[1:]

    def _question(
        self, entity: _Entity, context: str, relation: Relation, answer: str, start: int
    ) -> GeneratedQuestion:
        question, _ = fill(self._choose(relation.questions), {"S": entity.name})
        digest = hashlib.sha256(f"{question}\n{context}".encode()).hexdigest()[:16]
        return GeneratedQuestion(digest, question, answer, start)

    def _choose(self, lines: Sequence[Variants]) -> str:
        forms = lines[int(self.rng.integers(len(lines)))]
        return forms[int(self.rng.integers(len(forms)))]


def _one_of_each_type(relations: Sequence[Relation]) -> list[Relation]:
    seen: dict[str, Relation] = {}
    for relation in relations:
        seen.setdefault(relation.answer, relation)
    return list(seen.values())


def _distractors(entity: _Entity, entities: Sequence[_Entity]) -> list[_Entity]:
    """Up to three others of the kind whose names share most of their letters' beginning or end with the entity's."""
    others = [other for other in entities if other.kind is entity.kind and other is not entity]
    return sorted(others, key=lambda other: (-_shared(entity.name, other.name), other.name))[:3]


def _shared(one: str, two: str) -> int:
    def prefix(a: str, b: str) -> int:
        return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))

    return max(prefix(one, two), prefix(one[::-1], two[::-1]))
