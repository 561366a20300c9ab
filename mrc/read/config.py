"""Settings of reading; the module imports neither torch nor transformers, so that settings can be checked without them.

The settings of training are in `mrc.read.train_config`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from mrc.postprocess import RULES

DEVICES: Final = ("auto", "cpu", "cuda")
PRECISIONS: Final = ("auto", "fp32", "bf16")
BACKENDS: Final = ("torch", "onnx")
SPECIAL_TOKENS: Final = 8  # room kept for [CLS], [SEP] and their like when window sizes are checked


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How a passage is split into windows. Lengths are in tokens.

    Raises: ValueError where windows could miss or double a span.
    """

    max_seq_length: int = 384  # question, passage and special tokens of one window
    doc_stride: int = 128  # tokens that neighbouring windows share

    def __post_init__(self) -> None:
        check_range("doc_stride", self.doc_stride, low=2)
        room = self.max_seq_length // 2 - SPECIAL_TOKENS  # of a window that gives half its room to the question
        if self.doc_stride >= room:
            raise ValueError(
                f"doc_stride {self.doc_stride} must be below {room}, half of max_seq_length {self.max_seq_length} "
                "less special tokens"
            )


@dataclass(frozen=True, slots=True)
class ReadConfig(WindowConfig):
    """How passages are read. Lengths are in tokens.

    Raises: ValueError for a value out of range, and where windows could miss or double a span.
    """

    max_answer_length: int = 30  # longest span considered
    n_best_size: int = 20  # answers kept for a question, after merging equal texts
    batch_tokens: int = 2048  # padded tokens of one forward pass: small batches stay in the processor's cache
    chunk_size: int = 512  # questions read, sorted by length and yielded together
    null_score_diff_threshold: float | None = None  # nats by which "no answer" must win; none: tuned on dev, else 0
    rules: tuple[str, ...] = ("auto",)  # post-processing of spans: josa, units, brackets; auto: those that help on dev
    backend: str = "torch"  # onnx: ONNX Runtime, float32; faster where the processor has no bfloat16

    def __post_init__(self) -> None:
        WindowConfig.__post_init__(self)  # super() does not know a class remade with slots
        check_range("max_answer_length", self.max_answer_length, low=1, high=self.doc_stride // 2)
        check_range("n_best_size", self.n_best_size, low=1, high=1000)
        check_range("batch_tokens", self.batch_tokens, low=1)
        check_range("chunk_size", self.chunk_size, low=1)
        check_choice("backend", self.backend, BACKENDS)
        if self.rules != ("auto",):
            for rule in self.rules:
                check_choice("rules", rule, RULES)

    @property
    def windows(self) -> WindowConfig:
        """How passages are split into windows, without the rest."""
        return WindowConfig(self.max_seq_length, self.doc_stride)

    def fitted(self, positions: int) -> Self:
        """The same settings with windows, stride and answers shortened to an encoder of this many positions."""
        if self.max_seq_length <= positions:
            return self
        stride = min(self.doc_stride, positions // 3)
        longest = min(self.max_answer_length, stride // 2)
        return replace(self, max_seq_length=positions, doc_stride=stride, max_answer_length=longest)


@dataclass(frozen=True, slots=True)
class BuiltinConfig:
    """Size of the built-in encoder (mrc.read.model.builtin).

    Raises: ValueError for a value out of range.
    """

    vocab_size: int = 4000
    layers: int = 2
    hidden_size: int = 128
    heads: int = 4
    positions: int = 384
    dropout: float = 0.1
    common_share: float = 0.2  # pieces in more than this share of the texts do not count as shared

    def __post_init__(self) -> None:
        for name in ("vocab_size", "layers", "hidden_size", "heads", "positions"):
            check_range(name, getattr(self, name), low=1)
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of twice the heads, {2 * self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {self.dropout}")
        if not 0 < self.common_share <= 1:
            raise ValueError(f"common_share must be above 0 and at most 1, not {self.common_share}")


def check_range(name: str, value: int, *, low: int, high: int | None = None) -> None:
    """Raises: ValueError unless low <= value <= high."""
    if value < low or (high is not None and value > high):
        limit = f"at least {low}" if high is None else f"in {low}-{high}"
        raise ValueError(f"{name} must be {limit}, not {value}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises: ValueError unless value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
