"""Named errors of reading comprehension: each is one line that says what, where and how to mend it.

MrcError
├── DataError          a file or row that cannot be used
│   ├── SpanMismatch   an answer that does not stand at its offset
│   └── MembersDisagree  readers of an ensemble that do not see the same text
├── StaleIndex         the index was built from other passages or settings
├── MissingExtra       an optional package is needed
├── BadAnalyzer        a user's analyzer that cannot be loaded or gives no terms
├── NoDevice           a GPU is asked for and there is none
├── BadCheckpoint      a model folder that is none, or is broken
├── TrainingDiverged   the loss is no longer a number
├── OutOfMemory        a single window does not fit into memory
└── WorkerDied         one of several processes that train is gone
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as Rust says it
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # as NumPy says it


class MrcError(Exception):
    """Something a user can mend. The message is one line for people."""


class DataError(MrcError):
    """A file or row that cannot be used; the message names the file and the place."""


class SpanMismatch(DataError):
    """An answer whose text does not stand at its offset in the passage."""


class MembersDisagree(DataError):
    """Readers of an ensemble that do not see the same text; the message names the reader and the passage."""


class StaleIndex(MrcError):
    """The retrieval index does not belong to the passages or settings at hand."""


class MissingExtra(MrcError):
    """A feature needs a package that is not installed; the message names the extra."""


class BadAnalyzer(MrcError):
    """An analyzer of the user's own that cannot be loaded, or does not give terms."""


class NoDevice(MrcError):
    """The device that is asked for is not in this machine."""


class BadCheckpoint(MrcError):
    """A model folder that is none, is incomplete, or holds broken weights."""


class TrainingDiverged(MrcError):
    """The loss is no longer a number; the message names the update."""


class OutOfMemory(MrcError):
    """A single window, or question in training, does not fit into the device's memory."""


class WorkerDied(MrcError):
    """One of several processes that train is gone; the message names the file with its last words."""


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Failures to write below `place` as OSErrors that have their number and name a place.

    NumPy tells of a short write without the number; safetensors and tokenizers raise errors of their own.
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
