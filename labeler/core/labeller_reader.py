"""A labeller's stored answers as a reader: of a cascade, of an ensemble, or as a teacher. It is asked by the text of a
question, within passages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from db import queries
from db.engine import Database
from db.rows import LabellerPredictionRow
from mrc.ranking import Candidate, Ranked
from mrc.read.config import ReadConfig
from mrc.types import Answer, Passage

if TYPE_CHECKING:
    from mrc.postprocess.rules import Refine
    from mrc.read.data.windows import Windower
    from mrc.read.predict.adaptive import StoppingRule
    from mrc.read.predict.groups import Group, Normalize
    from mrc.voting import CharProbs

UNLIMITED: Final = 1 << 30  # positions: nothing is tokenized


class LabellerReader:
    """Answers a question as the labeller did, where its answer is a span of a passage that is read; else not at all.

    Raises NotFound where there is no such labeller.
    """

    max_positions = UNLIMITED
    default_config = ReadConfig()

    def __init__(self, database: Database, name: str) -> None:
        self.name = name
        with database.read() as session:
            row = queries.labeller(session, name)
            self.fingerprint = queries.labeller_sha256(session, name)  # of all its answers
            found = {each.question_id: each for each in queries.labeller_predictions(session, row.id) if each.anchored}
            texts = {each.id: each.text for each in queries.questions(session, ids=found)}
        self._by_text: dict[str, LabellerPredictionRow] = {}
        for key, prediction in found.items():
            self._by_text.setdefault(texts[key], prediction)

    def __repr__(self) -> str:
        return f"LabellerReader({self.name!r}, {len(self._by_text)} questions)"

    @property
    def windower(self) -> Windower:
        """Raises TypeError: a labeller has no tokenizer."""
        raise TypeError(f"the labeller {self.name!r} reads no text")

    def read(
        self,
        groups: Iterable[Group],
        *,
        config: ReadConfig,
        normalize: Normalize,
        refine: Refine | None = None,
        stopping: StoppingRule | None = None,
    ) -> Iterator[Ranked]:
        """The labeller's answers to each group's question in its passages, in order; empty where there are none."""
        for group in groups:
            yield self._ranked(group, normalize)

    def char_probs(self, groups: Sequence[Group], *, temperature: float = 1.0) -> list[list[CharProbs] | None]:
        """The probabilities of the labeller's answers on characters, from its scores to the power of 1/temperature.

        None where its answer is no span of the passages: it has no vote there.
        """
        from mrc.voting import span_probs

        found: list[list[CharProbs] | None] = []
        for group in groups:
            spans = self._found(group)
            null = max(0.0, 1.0 - sum(math.exp(span.score) for span in spans))
            scaled = [replace(span, score=span.score / temperature) for span in spans]
            own = span_probs(group.passages, scaled, null=null ** (1 / temperature)) if spans else None
            found.append(own)
        return found

    def _found(self, group: Group) -> list[Candidate]:
        """The labeller's answers in the passages, best first; empty where its first answer is not among them."""
        row = self._by_text.get(group.question)
        if row is None:
            return []
        spans, first = list(_spans(row, group.passages)), row.answers[0]
        same = spans and (spans[0].start, spans[0].text) == (first.start, first.text)
        return spans if same else []

    def _ranked(self, group: Group, normalize: Normalize) -> Ranked:
        spans = self._found(group)
        if not spans:
            return Ranked((), 1.0, (), 0.0, 0.0, len(group.passages))
        merged: dict[str, list[Candidate]] = {}
        for span in spans:
            merged.setdefault(normalize(span.text) or span.text, []).append(span)
        answers = tuple(_answer(members) for members in merged.values())
        support = tuple(len({each.passage_id for each in members}) for members in merged.values())
        null = max(0.0, 1.0 - sum(answer.score for answer in answers))
        return Ranked(answers, null, support, 0.0, 0.0, len(group.passages), tuple(spans))


def _spans(row: LabellerPredictionRow, passages: Iterable[Passage]) -> Iterator[Candidate]:
    """The answers that are spans of these passages, best first, with the logarithms of their scores.

    Answers without a score share evenly what is left.
    """
    rank = {passage.id: place for place, passage in enumerate(passages)}
    given = sum(each.score for each in row.answers if each.score is not None)
    missing = sum(each.score is None for each in row.answers)
    share = max(0.0, 1.0 - given) / missing if missing else 0.0
    for each in row.answers:
        if each.passage_id in rank and each.start is not None and each.end is not None:
            mass = share if each.score is None else each.score
            score = math.log(max(mass, 1e-9))
            yield Candidate(each.text, each.passage_id, rank[each.passage_id], each.start, each.end, score)


def _answer(members: list[Candidate]) -> Answer:
    best = members[0]
    mass = min(1.0, sum(math.exp(each.score) for each in members))
    return Answer(best.text, best.passage_id, best.start, best.end, mass, min(mass, math.exp(best.score)))
