"""Reading comprehension: retrieval, reading, calibration, metrics. Knows no database and no rounds.

`from mrc import BM25, Corpus, Reader` for notebooks; each is loaded when it is first named.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrc.corpus import Corpus
    from mrc.read.model import Reader
    from mrc.retrieve.bm25 import BM25

__all__ = ["BM25", "Corpus", "Reader"]

# oneDNN, with which torch multiplies on a CPU, keeps a compiled kernel for each shape of matrices, 1,024 of them unless
# told otherwise. Texts differ in length, so memory would grow for long; sorted batches need few shapes at a time.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

# OpenMP threads spin while they wait for each other, for milliseconds. On a machine whose cores are shared that time is
# missing where the others compute. These are read when torch is first loaded: by its libgomp on Linux (turns of the
# loop), by the LLVM and Intel runtimes elsewhere (milliseconds). A wait policy that the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    os.environ.setdefault("KMP_BLOCKTIME", "1")

# Those of OpenBLAS, which multiplies for NumPy, spin for 2^28 cycles, a tenth of a second, also where nothing was ever
# multiplied: more than a short command takes to search an index. 2^20 cycles bridge the gap between two products.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")

_EXPORTED = {"BM25": "mrc.retrieve.bm25", "Corpus": "mrc.corpus", "Reader": "mrc.read.model"}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTED:
        raise AttributeError(f"module 'mrc' has no attribute {name!r}")
    return getattr(import_module(_EXPORTED[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTED])
