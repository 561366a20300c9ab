"""Named errors of reading comprehension: one line that says what is wrong, where, and how to mend it.

MrcError
├── DataError          a file or row that cannot be used
│   ├── SpanMismatch   an answer that is not at its offset
│   └── MembersDisagree  readers of an ensemble that do not read the same text
├── StaleIndex         the index was built from other passages or settings
├── MissingExtra       an optional package is needed
├── BadAnalyzer        a user's analyzer that cannot be loaded or gives no terms
├── NoDevice           a GPU is asked for and there is none
├── BadCheckpoint      a model folder that is missing, incomplete or broken
├── TrainingDiverged   the loss is not finite
├── OutOfMemory        a single window does not fit into memory
└── WorkerDied         a process of a distributed training died
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # in messages of Rust libraries
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # in messages of NumPy


class MrcError(Exception):
    """An error that a user can mend. The message is one line."""


class DataError(MrcError):
    """A file or row that cannot be used; the message names the file and the place."""


class SpanMismatch(DataError):
    """An answer whose text is not at its offset in the passage."""


class MembersDisagree(DataError):
    """Readers of an ensemble that do not read the same text; the message names the reader and the passage."""


class StaleIndex(MrcError):
    """The retrieval index was built from other passages or settings."""


class MissingExtra(MrcError):
    """A feature needs a package that is not installed; the message names the extra."""


class BadAnalyzer(MrcError):
    """A user's analyzer that cannot be loaded or gives no terms."""


class NoDevice(MrcError):
    """The requested device is not in this machine."""


class BadCheckpoint(MrcError):
    """A model folder that is missing or incomplete, or holds broken weights."""


class TrainingDiverged(MrcError):
    """The loss is not finite; the message names the update."""


class OutOfMemory(MrcError):
    """A single window, or question in training, does not fit into the device's memory."""


class WorkerDied(MrcError):
    """A process of a distributed training died; the message names the file with its output."""


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Re-raise failures to write below `place` as OSErrors with their number and a file name.

    NumPy reports a short write without the number; safetensors and tokenizers raise their own errors.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or (errno.ENOSPC if _SHORT_WRITE.search(str(error)) else 0)
        if not number:
            raise
        raise OSError(number, os.strerror(number), error.filename or str(place)) from error
    except Exception as error:
        said = _OS_ERROR.search(str(error))
        if said is None:
            raise
        raise OSError(int(said[1]), os.strerror(int(said[1])), str(place)) from error
