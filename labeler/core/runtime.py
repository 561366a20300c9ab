"""The runtime of a command: workspace, database, settings, and indexes and readers that are loaded once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from db import queries
from db.engine import Database
from labeler.core import convert
from labeler.core.config import Config
from labeler.core.errors import NotReady
from labeler.core.settings import ComputeConfig
from labeler.core.workspace import Interrupted, Workspace
from mrc.types import Passage

if TYPE_CHECKING:
    from db.rows import ModelRow, RetrieverRow
    from labeler.core.labeller_reader import LabellerReader
    from mrc.analyzers import Language
    from mrc.metrics import Metric
    from mrc.read.model.reader import Reader
    from mrc.read.predict.groups import Answerer
    from mrc.retrieve.index import Index

INDEX_KEY = "index"  # in meta: the fingerprint of the current index
DENSE_KEY = "index_dense"  # in meta: the bi-encoder last named for an index, or the path of one that a round trained
LABELLER = "labeller:"  # before the name of a labeller that takes the place of a reader
LANGUAGE_SAMPLE = 200  # passages from which the language of a workspace is detected


class Runtime:
    """An open workspace with its database and settings. Indexes and readers are loaded on first use and kept."""

    def __init__(
        self,
        workspace: Workspace,
        database: Database,
        config: Config | None = None,
        *,
        interrupted: Interrupted | None = None,
    ) -> None:
        self.workspace = workspace
        self.interrupted = interrupted  # the last command in this workspace, if it did not come to its end
        self.database = database
        self.config = config or workspace.config
        self._indexes: dict[str, Index] = {}
        self._readers: dict[tuple[str, str, str, str], Reader] = {}  # by hash, device, precision and backend
        self._members: dict[tuple[str, str, str, str], Reader] = {}  # by name, device, precision and backend
        self._hashes: dict[str, str] = {}  # of the members' folders: each is read once

    def with_config(self, config: Config) -> Runtime:
        """The same runtime under other settings, such as those that a round was opened with."""
        runtime = Runtime(self.workspace, self.database, config)
        runtime._indexes, runtime._readers = self._indexes, self._readers
        runtime._members, runtime._hashes = self._members, self._hashes
        return runtime

    @cached_property
    def text_language(self) -> str:
        """The language of the passages, one of `mrc.analyzers.LANGUAGES`: the setting, or that of a sample."""
        from mrc.analyzers import text_language

        if self.config.workspace.language != "auto":
            return self.config.workspace.language
        with self.database.read() as session:
            sample = [row.text for row in queries.first_passages(session, LANGUAGE_SAMPLE)]
        return text_language(sample)

    @property
    def language(self) -> Language:
        """Korean or not, which counts as English: metrics and rules of post-processing know these two."""
        return "ko" if self.text_language == "ko" else "en"

    @property
    def metric(self) -> Metric:
        """The metric whose rules decide that two answers are equal."""
        from mrc.metrics import resolve_metric

        return resolve_metric(self.config.workspace.metric, language=self.language)

    @cached_property
    def device(self) -> str:
        """Where models run; see `use_compute`. Raises NoDevice."""
        return use_compute(self.config.compute)

    @property
    def reading_device(self) -> str:
        """Where readers run: that of this process, or on a cluster that of its workers."""
        compute = self.config.compute
        if compute.on_ray:
            return "cuda" if compute.gpus_per_worker else "cpu"
        return self.device

    @property
    def given(self) -> bool:
        """Whether questions are read in the context they were imported with instead of retrieved passages."""
        return self.config.read.passages == "given"

    def index_folder(self, fingerprint: str) -> Path:
        return self.workspace.index_folder / fingerprint[:16]

    def current_index(self) -> str:
        """The fingerprint of the current index, checked against the corpus. Raises NotReady, StaleIndex."""
        from mrc.errors import StaleIndex
        from mrc.retrieve.storage.meta import read_meta

        with self.database.read() as session:
            fingerprint = queries.get_meta(session, INDEX_KEY)
            corpus = queries.corpus_state(session).fingerprint
        if not fingerprint:
            raise NotReady("there is no retrieval index yet; run: labeler index")
        folder = self.index_folder(fingerprint)
        if not folder.is_dir():
            raise NotReady(f"the index {folder} is gone; run: labeler index")
        if read_meta(folder).corpus != corpus:
            raise StaleIndex("passages were added or removed since the index was built; run: labeler index")
        return fingerprint

    def check_index(self, fingerprint: str) -> None:
        """Check the files of an index and the version of its analyzer, without loading it.

        Raises: StaleIndex, DataError, MissingExtra.
        """
        from mrc.retrieve.storage.meta import check_analyzer, check_files, read_meta

        folder = self.index_folder(fingerprint)
        meta = read_meta(folder)
        check_analyzer(folder, meta)
        check_files(folder, meta)

    def index(self, fingerprint: str | None = None) -> Index:
        """The index of this fingerprint, default the current one. Raises NotReady, StaleIndex."""
        fingerprint = fingerprint or self.current_index()
        if fingerprint not in self._indexes:
            folder = self.index_folder(fingerprint)
            if not folder.is_dir():
                raise NotReady(f"the index {folder} is gone; run: labeler index")
            self._indexes[fingerprint] = self.load_index(folder)
        return self._indexes[fingerprint]

    def load_index(self, folder: Path, *, expect_corpus: str | None = None) -> Index:
        """The index of a folder, with a bi-encoder that a round trained found where the workspace is now.

        Raises: StaleIndex, DataError; see `Index.load`.
        """
        from mrc.retrieve.index import Index

        device = self.config.compute.device
        index = Index.load(folder, expect_corpus=expect_corpus, device=device, fetch=self.fetch)
        if index.dense is None and index.reranking is None:  # no model runs, so torch is not loaded
            return index
        device = self.device
        trained = self.retriever_of(index.dense.encoding.checkpoint) if index.dense else None
        if index.dense is None or trained is None:
            return index
        dense = index.dense.with_source(str(self.workspace.folder / trained.path), device=device)
        return dataclasses.replace(index, dense=dense)

    def retriever_of(self, checkpoint: str) -> RetrieverRow | None:
        """The bi-encoder that a round trained and whose files have this hash; None where there is none."""
        with self.database.read() as session:
            return next((row for row in queries.retrievers(session) if row.hash == checkpoint), None)

    def best_model(self) -> ModelRow:
        """The reader that was promoted last. Raises NotReady."""
        with self.database.read() as session:
            model = queries.best_model(session)
        if model is None:
            raise NotReady("there is no reader yet; run: labeler train")
        return model

    def reader(self, model: ModelRow) -> Reader:
        """A reader that this workspace trained.

        Raises: NotReady where its folder was pruned; BadCheckpoint where its files changed since.
        """
        key = (model.hash, *self._how)
        if key not in self._readers:
            folder = self.model_folder(model)
            self._readers.clear()  # one in memory at a time
            self._readers[key] = self.load(folder)
        return self._readers[key]

    def model_folder(self, model: ModelRow) -> Path:
        """The folder of a reader that this workspace trained, checked. Raises: as `reader`."""
        from mrc.errors import BadCheckpoint
        from mrc.read.model.reader import model_hash

        folder = self.workspace.folder / model.path
        if not folder.is_dir():
            raise NotReady(f"the model of round {model.round_number} is gone from {folder}; run: labeler train")
        if model_hash(folder) != model.hash:
            raise BadCheckpoint(f"{folder}: its files changed since round {model.round_number}; run: labeler train")
        return folder

    def answerer(self, model: ModelRow) -> Answerer:
        """A reader of this workspace with the members of `[ensemble]` and the larger reader of `[cascade]`.

        Raises: as `reader` and `check_adaptive`; MembersDisagree.
        """
        from mrc.ensemble import combine

        self.check_adaptive()
        ensemble, cascade = self.config.ensemble, self.config.cascade
        return combine(
            [self.reader(model), *(self.answerer_named(name) for name in ensemble.members)],
            names=(model.path, *ensemble.members),
            vote=self.config.vote,
            large=self.answerer_named(cascade.large) if cascade.large else None,
            band=(cascade.low, cascade.high),
        )

    def check_adaptive(self) -> None:
        """Raise NotReady where an ensemble or a cascade would read adaptively: its risk is bounded for one reader."""
        ensemble, cascade = self.config.ensemble.members, self.config.cascade.large
        if self.config.experimental.adaptive != "off" and (ensemble or cascade):
            other = "ensemble.members" if ensemble else "cascade.large"
            raise NotReady(f"experimental.adaptive works with one reader, but {other} is set; unset one of the two")

    @property
    def other_readers(self) -> tuple[object, ...]:
        """What identifies the ensemble and the cascade, for fingerprints; empty without them. Folders by their hash."""
        from mrc.read.model.reader import model_hash

        def known(name: str) -> str:
            if name.startswith(LABELLER):
                with self.database.read() as session:
                    return queries.labeller_sha256(session, name.removeprefix(LABELLER))
            home = self.located(name)
            if home not in self._hashes:
                self._hashes[home] = model_hash(home) if Path(home).is_dir() else home
            return self._hashes[home]

        ensemble, cascade = self.config.ensemble, self.config.cascade
        voting = (self.config.vote, *map(known, ensemble.members)) if ensemble.members else ()
        asked = (known(cascade.large), cascade.low, cascade.high) if cascade.large else ()
        return (*voting, *asked)

    def answerer_named(self, name: str) -> Reader | LabellerReader:
        """A reader beside that of the workspace: a checkpoint, or the stored answers of a labeller. Raises NotFound."""
        if not name.startswith(LABELLER):
            return self._member(name)
        from labeler.core.labeller_reader import LabellerReader

        return LabellerReader(self.database, name.removeprefix(LABELLER))

    def _member(self, name: str) -> Reader:
        key = (name, *self._how)
        if key not in self._members:
            self._members[key] = self.load(Path(self.located(name)))
        return self._members[key]

    def located(self, name: str) -> str:
        """The path of a checkpoint in the workspace or elsewhere, or its hub name.

        Raises: NotReady for a path that does not exist.
        """
        inside = self.workspace.folder / name
        if inside.is_dir():
            return str(inside)
        if name.startswith((".", "/", f"{self.workspace.models_folder.name}/")) and not Path(name).is_dir():
            raise NotReady(
                f"{inside}: there is no such checkpoint; name another one (a start: labeler train --model PATH)"
            )
        return name

    def load(self, folder: Path) -> Reader:
        """The reader of a folder, with the device, precision and backend of the settings.

        Raises: BadCheckpoint; MissingExtra or NoDevice for a backend that is not installed or not for this device.
        """
        from mrc.read.model.reader import Reader

        precision, backend = self.config.compute.precision, self.config.read.backend
        return Reader.load(folder, device=self.device, precision=precision, backend=backend)

    @property
    def _how(self) -> tuple[str, str, str]:
        return self.device, self.config.compute.precision, self.config.read.backend

    def fetch(self, ids: Sequence[str]) -> Mapping[str, Passage]:
        """The stored passages of these ids."""
        with self.database.read() as session:
            rows = queries.passages(session, ids)
        return {key: convert.to_passage(row) for key, row in rows.items()}


def use_compute(config: ComputeConfig) -> str:
    """Set the CPU threads of torch and return the device on which models run. Raises NoDevice."""
    from mrc.encoder.compute import pick_device, use_threads

    if config.threads:
        use_threads(config.threads)
    return str(pick_device(config.device))


def with_settings(config: Config, **sections: Mapping[str, object]) -> Config:
    """The configuration with some keys of some sections replaced; checked like any other."""
    changed = {name: dataclasses.replace(getattr(config, name), **keys) for name, keys in sections.items()}
    return dataclasses.replace(config, **changed)
