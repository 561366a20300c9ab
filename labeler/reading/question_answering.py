"""Search and answers of a workspace in Python: its current index, reader and calibrator behind one object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from db import queries
from labeler.core.runtime import Runtime
from labeler.core.workspace import open_workspace
from mrc.analyzers.base import list_of_texts, one_text
from mrc.types import Passage

if TYPE_CHECKING:
    from labeler.reading.ask import AskedAnswer
    from mrc.corpus import SearchResult
    from mrc.read.model.reader import Reader
    from mrc.retrieve.index import Index


class QuestionAnswering:
    """Answers questions as a workspace does; for notebooks and the command line. Changes nothing in the workspace.

    `load` opens a workspace, `close` or a `with` block ends its database connection.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @classmethod
    def load(cls, folder: str | Path | None = None, *, settings: Iterable[str] = ()) -> Self:
        """Open a workspace: this folder, or the one that the command line would use here.

        Args:
            folder: of the workspace, with its `labeler.toml`.
            settings: over those of the workspace, each `section.key=value`.

        Raises:
            WorkspaceError: there is no workspace.
            ConfigError: a setting is wrong.
        """
        if isinstance(settings, str):
            raise TypeError(f"settings must be a list of strings, not one string: [{settings!r}]")
        workspace = open_workspace(Path(folder) if folder is not None else None, overrides=settings)
        return cls(Runtime(workspace, workspace.database()))

    def search(self, question: str, k: int = 5) -> list[SearchResult]:
        """At most k passages for one question, best first. Raises NotReady without an index."""
        return self.search_many([one_text(question, "question", many="search_many")], k)[0]

    def search_many(self, questions: Sequence[str], k: int = 5) -> list[list[SearchResult]]:
        """At most k passages for each question, best first. Raises NotReady without an index."""
        from mrc.corpus import search_results

        found = self.index.retrieve(questions, k)
        passages = self._runtime.fetch([hit.passage_id for hits in found for hit in hits])
        return [search_results(hits, passages) for hits in found]

    def ask(self, question: str, k: int | None = None) -> list[AskedAnswer]:
        """The ranked answers to one question from its k best passages, the first with a calibrated confidence.

        k: default `read.top_k`, the number for which rounds calibrate.

        Raises: NotReady without an index or a reader.
        """
        from labeler.reading.ask import ask

        return ask(self._runtime, one_text(question, "question", many="ask_many"), k=k)

    def ask_many(self, questions: Sequence[str], k: int | None = None) -> list[list[AskedAnswer]]:
        """The ranked answers to each question, read in batches; see `ask`."""
        from labeler.reading.ask import ask_many

        return ask_many(self._runtime, list_of_texts(questions, "questions"), k=k)

    def __getitem__(self, passage_id: str) -> Passage:
        """The passage of an id, with the title of its document. Raises KeyError."""
        return self._runtime.fetch([passage_id])[passage_id]

    @property
    def index(self) -> Index:
        """The current index. Raises NotReady, StaleIndex."""
        return self._runtime.index()

    @property
    def reader(self) -> Reader:
        """The current reader. Raises NotReady, BadCheckpoint."""
        return self._runtime.reader(self._runtime.best_model())

    def __len__(self) -> int:
        """The number of passages."""
        with self._runtime.database.read() as session:
            return queries.corpus_state(session).passages

    def __repr__(self) -> str:
        with self._runtime.database.read() as session:
            model = queries.best_model(session)
        reader = f"reader of round {model.round_number}" if model else "no reader"
        return f"QuestionAnswering({str(self._runtime.workspace.folder)!r}, {len(self):,} passages, {reader})"

    def close(self) -> None:
        """Close the database connection."""
        self._runtime.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
