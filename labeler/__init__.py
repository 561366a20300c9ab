"""The command line, rounds, reviews and reports: the only place where `mrc` and `db` meet.

`from labeler import QuestionAnswering` for notebooks; it is loaded when it is first named.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labeler.reading.question_answering import QuestionAnswering

__all__ = ["QuestionAnswering"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name != "QuestionAnswering":
        raise AttributeError(f"module 'labeler' has no attribute {name!r}")
    from labeler.reading.question_answering import QuestionAnswering

    return QuestionAnswering


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
