"""The split that a file itself names: roles of its questions, and those that its own split leaks. Pure.

Exports of this tool name the role of each question (`role`), other files often a `split`; a saved dataset has folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labeler.importing.conflicts import keys, side
from labeler.importing.formats.content import ROLE_OF
from labeler.importing.formats.filed import Keys, Questions
from mrc.squad import Rejected

_STRICTNESS = ("train", "calibration", "dev", "test")


def roles_of_file(questions: Questions, *, by_document: bool) -> tuple[dict[str, str], list[int], list[Rejected]]:
    """Return the role of each usable question, the numbers of those questions, and the rejected others.

    Rejected are questions without a known split, and those whose text, paragraph or document the file has on a stricter
    side too: test before dev before calibration before training.
    """
    strictest = _strictest(questions.all_keys(), by_document=by_document)
    roles: dict[str, str] = {}
    kept, rejected = [], []
    for question in questions.all_keys():
        why = _fault(question, strictest, by_document=by_document)
        if why is None:
            kept.append(question.number)
            roles.setdefault(question.id, role_of(question))
        else:
            rejected.append(Rejected(questions[question.number].where, why))
    return roles, kept, rejected


def role_of(question: Keys) -> str:
    """Return the role that a question's file gives it, or an empty text."""
    return ROLE_OF.get(question.split.lower(), "")


def _strictest(questions: Iterable[Keys], *, by_document: bool) -> dict[tuple[str, str], str]:
    """Return the strictest side on which the file has each text, paragraph and document."""
    found: dict[tuple[str, str], str] = {}
    for question in questions:
        if role := role_of(question):
            here = side(role)
            for key in keys(question, by_document=by_document):
                found[key] = max(here, found.get(key, here), key=_STRICTNESS.index)
    return found


def _fault(question: Keys, strictest: Mapping[tuple[str, str], str], *, by_document: bool) -> str | None:
    """Return why a question cannot have the split that its file names, or None."""
    role = role_of(question)
    if not role and not question.split:
        return "the file names no split for it (a field role or split); give --split ROLE=N,... or --as ROLE"
    if not role:
        return f"the file puts it into the split {question.split!r}; known are {', '.join(ROLE_OF)}"
    for name, key in keys(question, by_document=by_document):
        stricter = strictest[name, key]
        if stricter != side(role):
            what = "question" if name == "text" else name
            return f"the file has its {what} in the {stricter} split too; it cannot be in the {side(role)} split"
    return None
