"""Networks: encoders, span heads, ONNX export, and `Reader`, which answers questions with one checkpoint.

`Reader` is imported on first use: `import mrc.read.model` alone loads neither torch nor transformers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrc.read.model.reader import Reader

__all__ = ["Reader"]


def __getattr__(name: str) -> object:
    if name == "Reader":
        from mrc.read.model.reader import Reader

        return Reader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
