"""All leaks of a workspace, and which labels may not leave because of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from db import queries
from db.rows import TrainingRow
from labeler.core.errors import NotReady
from labeler.core.progress import bar
from labeler.core.runtime import INDEX_KEY, Runtime
from labeler.leaks.dense import PassageVectors, dense_leaks, threshold
from labeler.leaks.search import Leak, lexical_leaks, without_repeats
from labeler.leaks.sides import Item, Sides, load_sides
from mrc.errors import MrcError
from mrc.text.near_duplicates import SIMILARITY

if TYPE_CHECKING:
    from db.engine import Session

QUESTION_SIMILARITY: Final = 0.8  # of two questions' shingles: one other name or year makes another question
EVALUATION: Final = ("dev", "test")  # what no label that leaves may stand in or nearly equal


@dataclass(frozen=True, slots=True)
class LeakReport:
    """The pairs on two sides; `compared`: texts by kind and side; `thresholds`: the similarity from which each counts,
    `dense` None where the index has no vectors; `counts`: pairs by kind and how.
    """

    pairs: Sequence[Leak]
    compared: Mapping[str, Mapping[str, int]]
    thresholds: Mapping[str, float | None]

    @property
    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in self.pairs:
            name = f"{each.kind} {each.how}"
            found[name] = found.get(name, 0) + 1
        return found


def find_leaks(session: Session, vectors: PassageVectors | None = None, *, documents: bool = True) -> LeakReport:
    """The leaks between gold, human and pseudo-labels, calibration, dev and test.

    Args:
        vectors: of the passages, see `vectors_of`; None: no dense comparison.
        documents: compare documents too.
    """
    sides = load_sides(session)
    limit = threshold(vectors.vectors) if vectors else None
    pairs = _lexical(session, sides, documents=documents)
    if vectors and limit is not None:
        pairs += dense_leaks(sides.passages, vectors, limit)
    compared = {"question": sides.questions, "passage": sides.passages}
    compared |= {"document": sides.documents} if documents else {}
    return LeakReport(
        pairs=without_repeats(pairs),
        compared={kind: _counted(items) for kind, items in compared.items()},
        thresholds={"question": QUESTION_SIMILARITY, "passage": SIMILARITY, "document": SIMILARITY, "dense": limit},
    )


def _lexical(session: Session, sides: Sides, *, documents: bool) -> list[Leak]:
    def questions(keys: Sequence[str]) -> Mapping[str, str]:
        return {row.id: row.text for row in queries.questions(session, ids=keys)}

    def passages(keys: Sequence[str]) -> Mapping[str, str]:
        return {key: row.text for key, row in queries.passages(session, keys).items()}

    def whole(keys: Sequence[str]) -> Mapping[str, str]:
        return queries.document_texts(session, keys)

    searched = [
        ("question", sides.questions, questions, QUESTION_SIMILARITY),
        ("passage", sides.passages, passages, SIMILARITY),
        *([("document", sides.documents, whole, SIMILARITY)] if documents else []),
    ]
    with bar("compare", total=sum(len(items) for _, items, _, _ in searched), unit="texts") as progress:
        return [
            each
            for kind, items, fetch, similarity in searched
            for each in lexical_leaks(kind, items, fetch, similarity=similarity, progress=progress.update)
        ]


def _counted(items: Sequence[Item]) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in items:
        found[item.side] = found.get(item.side, 0) + 1
    return dict(sorted(found.items()))


def texts_of(session: Session, pairs: Sequence[Leak]) -> dict[tuple[str, str], str]:
    """The text of each question and passage, and the title or text of each document, by kind and id."""
    ids: dict[str, set[str]] = {"question": set(), "passage": set(), "document": set()}
    for each in pairs:
        ids[each.kind] |= {each.a, each.b}
    titles = queries.document_titles(session, ids["document"])
    untitled = queries.document_texts(session, [key for key, title in titles.items() if not title])
    texts: dict[tuple[str, str], str] = {("document", key): title or untitled[key] for key, title in titles.items()}
    texts |= {("question", row.id): row.text for row in queries.questions(session, ids=ids["question"])}
    return texts | {("passage", key): row.text for key, row in queries.passages(session, ids["passage"]).items()}


def vectors_of(runtime: Runtime) -> PassageVectors | None:
    """The passage vectors of the current index; None where it has no encoder, or there is no index."""
    with runtime.database.read() as session:
        fingerprint = queries.get_meta(session, INDEX_KEY)
    try:
        index = runtime.index(fingerprint) if fingerprint else None
    except (NotReady, MrcError):
        return None
    return PassageVectors(index.ids, index.dense.vectors) if index is not None and index.dense is not None else None


@dataclass(frozen=True, slots=True)
class Leaking:
    """Questions and passages of labels that stand in, or nearly equal, one of dev or test, each with the other one."""

    questions: Mapping[str, str]
    passages: Mapping[str, str]

    @classmethod
    def of(cls, report: LeakReport) -> Leaking:
        """Those of gold, human, pseudo and calibration labels."""
        kinds: dict[str, dict[str, str]] = {"question": {}, "passage": {}, "document": {}}
        for each in report.pairs:
            if each.sides[1] in EVALUATION and each.sides[0] not in EVALUATION:
                kinds[each.kind].setdefault(each.a, each.b)
        return cls(kinds["question"], kinds["passage"])

    def without(self, row: TrainingRow) -> TrainingRow:
        """The row without those passages shown with a no_answer that leak."""
        if not row.label.no_answer:
            return row
        return replace(row, passages={key: each for key, each in row.passages.items() if key not in self.passages})

    def other(self, row: TrainingRow) -> str | None:
        """The dev or test question or passage that a label leaks with, or None.

        A no_answer leaks where every passage that was shown does.
        """
        if row.question.id in self.questions:
            return self.questions[row.question.id]
        others = [self.passages.get(key) for key in row.passages]
        some = all if row.label.no_answer else any
        return next(filter(None, others), None) if others and some(others) else None
