"""Named errors of reading comprehension: each is one line that says what, where and how to mend it.

MrcError
├── DataError          a file or row that cannot be used
│   └── SpanMismatch   an answer that does not stand at its offset
├── StaleIndex         the index was built from other passages or settings
├── MissingExtra       an optional package is needed
├── BadCheckpoint      a model folder that is none, or is broken
└── TrainingDiverged   the loss is no longer a number
"""


class MrcError(Exception):
    """Something a user can mend. The message is one line for people."""


class DataError(MrcError):
    """A file or row that cannot be used; the message names the file and the place."""


class SpanMismatch(DataError):
    """An answer whose text does not stand at its offset in the passage."""


class StaleIndex(MrcError):
    """The retrieval index does not belong to the passages or settings at hand."""


class MissingExtra(MrcError):
    """A feature needs a package that is not installed; the message names the extra."""


class BadCheckpoint(MrcError):
    """A model folder that is none, is incomplete, or holds broken weights."""


class TrainingDiverged(MrcError):
    """The loss is no longer a number; the message names the update."""
