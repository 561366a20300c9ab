"""Building the retrieval index of a workspace."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from db import queries, store
from labeler import convert
from labeler.desk import INDEX_KEY, Desk
from labeler.errors import NotReady
from mrc.retrieve.index import Index


@dataclass(frozen=True, slots=True)
class Built:
    """What `labeler index` says. `dense` is None: passages are ranked by terms alone."""

    passages: int
    method: str
    analyzer: str  # the one really used, never `auto`
    dense: str | None
    fingerprint: str


def build_index(desk: Desk) -> Built:
    """The index of all active passages, now the current one. Passages cut into terms before are not cut again.

    Raises: NotReady without passages.
    """
    with desk.database.read() as session:
        passages = [convert.to_passage(row) for row in queries.iter_passages(session)]
        before = queries.get_meta(session, INDEX_KEY)
    if not passages:
        raise NotReady("there are no passages to index; add some with: labeler import FILE --as corpus")
    language = desk.language if desk.config.index.language == "auto" else desk.config.index.language
    config = dataclasses.replace(desk.config.index, language=language)
    earlier = desk.index_folder(before) if before else None
    index = Index.build(passages, config, reuse=earlier if earlier and earlier.is_dir() else None)
    index.save(desk.index_folder(index.fingerprint))
    with desk.database.write() as session:
        store.set_meta(session, INDEX_KEY, index.fingerprint)
        store.add_event(session, "indexed", detail={"passages": len(passages), "fingerprint": index.fingerprint})
    return Built(len(passages), config.method, index.bm25.analyzer.name, None, index.fingerprint)
