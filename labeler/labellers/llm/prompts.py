"""Prompts: templates in Korean and English that a workspace may edit, with passages fenced as data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from labeler.core.errors import ConfigError
from labeler.core.files import atomic_write, read_text
from mrc.types import Passage

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER: Final = "prompts"  # of a workspace
SEPARATOR: Final = "--- question ---"  # between the instructions and the text of a question
_BUILT_IN: Final = Path(__file__).parent / "templates"

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its passages and the right reply."""

    question_id: str
    question: str
    passages: tuple[Passage, ...]
    passage: int  # number of the passage with the answer, from 1; 0: none
    quote: str = ""
    answer: str = ""

    @property
    def reply(self) -> str:
        """The reply as the model is to write it."""
        return json.dumps({"passage": self.passage, "quote": self.quote, "answer": self.answer}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template: what is said first, and how a question with its passages is put."""

    source: str  # the file that it comes from
    sha256: str
    system: Template
    question: Template

    def messages(self, question: str, passages: Sequence[Passage], examples: Sequence[Example] = ()) -> list[Message]:
        """The messages of a request: instructions, examples with their replies, the question."""
        texts = [text for each in examples for text in (each.question, *_texts(each.passages))]
        fence = _fence([question, *_texts(passages), *texts])
        found = [{"role": "system", "content": self.system.render(fence=fence)}]
        for each in examples:
            found.append({"role": "user", "content": self._put(each.question, each.passages, fence)})
            found.append({"role": "assistant", "content": each.reply})
        return [*found, {"role": "user", "content": self._put(question, passages, fence)}]

    def _put(self, question: str, passages: Sequence[Passage], fence: str) -> str:
        return self.question.render(question=question, passages=passages, fence=fence)


def load_prompt(workspace: Path, language: str) -> Prompt:
    """The template that the workspace has for a language, else the built-in one. Raises ConfigError."""
    own = template_path(workspace, language)
    path = own if own.is_file() else _BUILT_IN / own.name
    text, _ = read_text(path)
    system, separator, question = text.partition(f"{SEPARATOR}\n")
    if not separator:
        raise ConfigError(f"{path}: the line {SEPARATOR!r} between instructions and question is missing")
    found = Prompt(
        str(path), hashlib.sha256(text.encode()).hexdigest(), _compiled(system, path), _compiled(question, path)
    )
    _check(found, path)
    return found


def template_path(workspace: Path, language: str) -> Path:
    """Where a workspace has its template for a language, if it has one."""
    return workspace / FOLDER / f"{language}.jinja"


def write_template(workspace: Path, language: str) -> Path:
    """Write the built-in template into the workspace, to be edited; one that is there stays. Returns its path."""
    path = template_path(workspace, language)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as file:
            file.write((_BUILT_IN / path.name).read_text(encoding="utf-8"))
    return path


def _compiled(text: str, path: Path) -> Template:
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    try:
        return SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(text)
    except TemplateError as error:
        raise ConfigError(f"{path}: not a template: {error}") from error


def _check(prompt: Prompt, path: Path) -> None:
    """Raise ConfigError for a template that fails, or that leaves out the question, a passage or the fence."""
    from jinja2 import TemplateError

    probe = Passage("probe", "A probe of a passage.", "A title")
    try:
        messages = prompt.messages("A probe of a question?", [probe])
    except (TemplateError, TypeError, ArithmeticError, LookupError) as error:
        raise ConfigError(f"{path}: the template cannot be filled in: {error}") from error
    put = messages[-1]["content"]
    fence = _fence(["A probe of a question?", probe.text, probe.title])
    for what, part in (("question", "A probe of a question?"), ("passages", probe.text), ("fence", fence)):
        if part not in put:
            raise ConfigError(f"{path}: the part behind {SEPARATOR!r} does not use {what}")


def _texts(passages: Sequence[Passage]) -> list[str]:
    return [text for passage in passages for text in (passage.text, passage.title)]


def _fence(texts: Sequence[str]) -> str:
    """A line that stands in none of the texts, the same for the same texts."""
    digest: Any = hashlib.sha256("\x00".join(texts).encode("utf-8", "surrogatepass"))
    while True:
        fence = f"=== {digest.hexdigest()[:16]} ==="
        if not any(fence in text for text in texts):
            return fence
        digest.update(b"again")
