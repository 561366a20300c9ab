"""Bad corpora, questions, indexes and caches, for every kind of index."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrc import analyzers
from mrc.errors import DataError, StaleIndex
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.dense.vectors import CHUNK
from mrc.retrieve.index import Index, IndexConfig
from mrc.retrieve.rerank.config import RerankConfig
from mrc.types import Passage
from tests.mrc import tiny

KINDS = ("bm25", "dense", "hybrid", "reranked")
TEXTS = (
    "Mira Oland founded the mill of Tarn in 1893.",
    "한빛 학당은 1921년에 문을 열었다.",
    "The mill stands in Tarn.",
)


class Built:
    """Builds an index of each kind with the checkpoints of a folder."""

    def __init__(self, folder: Path) -> None:
        self.encoder, self.cross = tiny.bert(folder / "encoder"), tiny.cross_encoder(folder / "cross")

    def __call__(self, kind: str, texts: Sequence[str], **how: Any) -> Index:
        passages = [Passage(f"p{number:07}", text, f"title {number % 3}") for number, text in enumerate(texts)]
        return Index.build(passages, how.pop("terms", IndexConfig(analyzer="bigram")), **self.parts(kind), **how)

    def parts(self, kind: str) -> dict[str, Any]:
        """The settings of a kind's index: for `dense` the lexical ranking has no weight."""
        if kind == "bm25":
            return {}
        weight = 1.0 if kind == "dense" else 0.5
        parts: dict[str, Any] = {"dense": DenseConfig(model=str(self.encoder), precision="fp32", weight=weight)}
        if kind == "reranked":
            parts["rerank"] = RerankConfig(model=str(self.cross), top_n=5, precision="fp32")
        return {"device": "cpu"} | parts


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("checkpoints"))


def ids(index: Index, question: str, k: int) -> list[str]:
    return [hit.passage_id for hit in index.retrieve([question], k)[0]]


def fetch(wanted: Sequence[str]) -> dict[str, Passage]:
    return {key: Passage(key, TEXTS[int(key[1:])]) for key in wanted}


# Corpora


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [(), ("",), (" ", "\n\t", "\u200b.,!")])
def test_a_corpus_without_a_term_is_an_error_that_says_what_to_do(
    build: Built, kind: str, texts: tuple[str, ...]
) -> None:
    with pytest.raises(DataError, match=f"nothing to index: {len(texts)} passages hold no term; import passages"):
        build(kind, texts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 100])
def test_a_corpus_may_have_one_passage(build: Built, kind: str, k: int) -> None:
    index = build(kind, TEXTS[:1])
    assert ids(index, "the mill", k) == ["p0000000"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_passage_does_not_change_what_else_is_found(build: Built, kind: str) -> None:
    index = build(kind, ["", *TEXTS, " "])
    found = ids(index, TEXTS[0], 10)
    assert found[0] == "p0000001" or kind == "reranked"
    assert set(found) <= {f"p{number:07}" for number in range(5)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window_chars", [0, 500])
def test_a_passage_of_a_megabyte_is_indexed_and_found(build: Built, kind: str, window_chars: int) -> None:
    terms = IndexConfig(analyzer="bigram", window_chars=window_chars)
    index = build(kind, ["거북선 " * 250_000 + "needle", *TEXTS, "x" * 1_000_000], terms=terms)
    assert len(index.ids) == 5
    found = ids(index, "needle", 5)
    assert len(found) == len(set(found))
    assert kind != "bm25" or found == ["p0000000"]


@pytest.mark.parametrize("kind", KINDS)
def test_surrogates_and_control_characters_are_indexed_saved_and_found(build: Built, kind: str, tmp_path: Path) -> None:
    texts = ["\ud800 half a pair \udfff", "\x00\x01 control \x7f\x1b[31m", "\u202e backwards \ufeff\ufffe", "🙂 " * 9]
    index = build(kind, texts, terms=IndexConfig(analyzer="bigram", title_weight=1))
    index.save(tmp_path)
    held = {f"p{number:07}": Passage(f"p{number:07}", text) for number, text in enumerate(texts)}
    loaded = Index.load(tmp_path, expect_corpus=None, device="cpu", fetch=lambda wanted: held)
    asked = ["half a pair", "control", "\ud800", "\x00", "\udcff backwards", "🙂🙂"]
    found = loaded.retrieve(asked, 4)
    assert found == index.retrieve(asked, 4)
    if kind == "bm25":
        assert [[hit.passage_id for hit in hits] for hits in found[:2]] == [["p0000000"], ["p0000001"]]


# Questions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [3, 4, 1000])
def test_a_k_above_the_corpus_size_returns_every_passage_once(build: Built, kind: str, k: int) -> None:
    found = ids(build(kind, TEXTS), "the mill of Tarn", k)
    assert len(found) == len(set(found)) == (2 if kind == "bm25" else 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("question", ["", " \t\n", "\u200b"])
def test_an_empty_question_finds_nothing_and_an_unknown_term_the_nearest_vectors(
    build: Built, kind: str, question: str
) -> None:
    index = build(kind, TEXTS)
    nothing, unknown = index.retrieve([question, "qqq"], 3)
    if question.strip():  # a character that is no white space: no term, but a text
        assert len(nothing) == (0 if kind == "bm25" else 3)
    else:
        assert nothing == ()
    assert len(unknown) == (0 if kind == "bm25" else 3)
    assert {hit.bm25 for hit in unknown} <= {None}


@pytest.mark.parametrize("kind", KINDS)
def test_no_questions_have_no_hits_and_k_must_be_positive(build: Built, kind: str) -> None:
    index = build(kind, TEXTS)
    assert index.retrieve([], 3) == []
    with pytest.raises(ValueError, match="k must be at least 1"):
        index.retrieve(["mill"], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_of_a_megabyte_is_searched(build: Built, kind: str) -> None:
    index = build(kind, TEXTS)
    assert len(ids(index, "the mill of Tarn " * 60_000, 2)) == 2


# Indexes


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_of_another_analyzer_version_is_stale(
    build: Built, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(kind, TEXTS).save(tmp_path)
    monkeypatch.setattr(analyzers.Bigram, "version", "2")
    with pytest.raises(StaleIndex, match=r"built by analyzer bigram .*, now it is 2; run `labeler index`"):
        Index.load(tmp_path, expect_corpus=None, fetch=fetch)
    again = build(kind, TEXTS, reuse=tmp_path)  # counts of the other version are not reused
    again.save(tmp_path)
    assert Index.load(tmp_path, expect_corpus=None, fetch=fetch).fingerprint == again.fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_a_save_that_is_killed_leaves_the_index_that_was_there(build: Built, kind: str, tmp_path: Path) -> None:
    """The process is killed by SIGKILL while writing; the next save removes what it left."""
    before = build(kind, TEXTS[:2])
    before.save(tmp_path / "index")
    parts = {name: repr(value) for name, value in build.parts(kind).items()}
    code = (
        "import os, signal, numpy\n"
        "from pathlib import Path\n"
        "from mrc.retrieve.index import Index, IndexConfig\n"
        "from mrc.retrieve.rerank.reranking import RerankConfig\n"
        "from mrc.retrieve.dense.config import DenseConfig\n"
        "from mrc.types import Passage\n"
        f"index = Index.build([Passage('a', 'the mill')], IndexConfig(analyzer='bigram'), "
        f"{', '.join(f'{name}={value}' for name, value in parts.items())})\n"
        "write = numpy.save\n"
        "def dying(path, values):\n"
        "    write(path, values)\n"
        "    if path.name == 'weights.npy':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "numpy.save = dying\n"
        f"index.save(Path({str(tmp_path / 'index')!r}))\n"
    )
    assert alone(code) == -signal.SIGKILL
    assert len([entry for entry in (tmp_path / "index").iterdir() if entry.is_dir()]) == 2
    loaded = Index.load(tmp_path / "index", expect_corpus=before.corpus, device="cpu", fetch=fetch)
    assert loaded.retrieve(["the mill"], 2) == before.retrieve(["the mill"], 2)
    build(kind, TEXTS).save(tmp_path / "index")
    assert len([entry for entry in (tmp_path / "index").iterdir() if entry.is_dir()]) == 1


def test_a_killed_encoding_resumes_after_its_last_chunk(
    build: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"the mill of Tarn {number}" for number in range(2 * CHUNK + 7)]
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from mrc.retrieve.index import Index, IndexConfig\n"
        "from mrc.retrieve.dense.config import DenseConfig\n"
        "from mrc.types import Passage\n"
        f"passages = [Passage(f'p{{n:07}}', f'the mill of Tarn {{n}}') for n in range({len(texts)})]\n"
        "seen = []\n"
        "def report(done):\n"
        "    seen.append(done)\n"
        "    if len(seen) == 2:\n"  # none are cached, one chunk is
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"Index.build(passages, IndexConfig(analyzer='bigram'), dense=DenseConfig(model={str(build.encoder)!r}, "
        f"precision='fp32', weight=0.5), device='cpu', vectors=Path({str(tmp_path)!r}), progress=report)\n"
    )
    assert alone(code) == -signal.SIGKILL
    encoded: list[str] = []
    passages = BiEncoder.passages

    def counting(self: BiEncoder, some: Sequence[str]) -> Any:
        encoded.extend(some)
        return passages(self, some)

    monkeypatch.setattr(BiEncoder, "passages", counting)
    resumed = build("hybrid", texts, vectors=tmp_path)
    assert encoded == texts[CHUNK:]
    fresh = build("hybrid", texts)
    assert resumed.fingerprint == fresh.fingerprint
    assert resumed.dense is not None
    assert fresh.dense is not None
    np.testing.assert_array_equal(resumed.dense.vectors, fresh.dense.vectors)


def test_cached_vectors_of_another_model_are_not_used(build: Built, tmp_path: Path) -> None:
    build("hybrid", TEXTS, vectors=tmp_path / "cache")
    for other in (tiny.bert(tmp_path / "other", seed=1), tiny.distilbert(tmp_path / "narrow", seed=2)):
        settings = DenseConfig(model=str(other), precision="fp32")
        passages = [Passage(str(number), text) for number, text in enumerate(TEXTS)]
        terms = IndexConfig(analyzer="bigram")
        mixed = Index.build(passages, terms, dense=settings, device="cpu", vectors=tmp_path / "cache")
        fresh = Index.build(passages, terms, dense=settings, device="cpu")
        assert mixed.dense is not None
        assert fresh.dense is not None
        np.testing.assert_array_equal(mixed.dense.vectors, fresh.dense.vectors)
    assert len(list((tmp_path / "cache").iterdir())) == 3  # a folder for each encoder


def alone(code: str) -> int:
    """The exit status of a process that runs this code."""
    root = Path(__file__).parent.parent.parent.parent
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=False).returncode


# Memory


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is known on Linux only")
def test_a_loaded_index_uses_memory_only_for_the_pages_it_reads(build: Built, tmp_path: Path) -> None:
    """Its arrays are enlarged to 120 MB, of which loading and a question read a few pages."""
    index = build("hybrid", TEXTS)
    index.save(tmp_path)
    (data,) = (entry for entry in tmp_path.iterdir() if entry.is_dir())
    code = (
        "import json, os, sys\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from mrc.files import crc32\n"
        f"data, meta = Path({str(data)!r}), Path({str(tmp_path / 'meta.json')!r})\n"
        "for name in ('documents.npy', 'weights.npy', 'count_term_ids.npy', 'vectors.npy'):\n"
        "    values = np.load(data / name)\n"
        "    rest = 30_000_000 // (values.itemsize * (values.shape[1] if values.ndim > 1 else 1))\n"
        "    np.save(data / name, np.concatenate([values, np.ones((rest, *values.shape[1:]), values.dtype)]))\n"
        "values = json.loads(meta.read_text())\n"
        "values['crc32'] = {name: crc32(data / name) for name in values['crc32']}\n"
        "meta.write_text(json.dumps(values))\n"
    )
    assert alone(code) == 0
    assert sum(path.stat().st_size for path in data.iterdir()) > 120_000_000
    code = (
        "import os\n"
        "from pathlib import Path\n"
        "from mrc.retrieve.index import Index\n"
        "def resident():\n"
        "    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
        "before = resident()\n"
        f"index = Index.load(Path({str(tmp_path)!r}), expect_corpus=None)\n"
        "assert index.bm25.scores('mill').any()\n"
        "assert index.dense.vectors[:3].any()\n"
        "print(resident() - before)\n"
        "raise SystemExit(resident() - before > 12_000_000)\n"
    )
    assert alone(code) == 0
