"""Settings and plain values of the reader; imports neither torch nor transformers, so a configuration can be checked
without them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEVICES: Final = ("auto", "cpu", "cuda")
PRECISIONS: Final = ("auto", "fp32", "bf16")
HEADS: Final = ("linear",)
SPECIAL_TOKENS: Final = 8  # room kept for [CLS], [SEP] and their like when window sizes are checked


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """How passages are read. Lengths are in tokens.

    Raises: ValueError for a value out of range, and where windows could miss or double a span.
    """

    max_seq_length: int = 384  # question, passage and special tokens of one window
    doc_stride: int = 128  # tokens that neighbouring windows share
    max_answer_length: int = 30  # longest span considered
    n_best_size: int = 20  # answers kept for a question, after merging equal texts
    batch_tokens: int = 2048  # padded tokens of one forward pass: small batches stay in the processor's cache
    chunk_size: int = 64  # questions read, sorted by length and yielded together

    def __post_init__(self) -> None:
        check_windows(self.max_seq_length, self.doc_stride)
        check_range("max_answer_length", self.max_answer_length, low=1, high=self.doc_stride // 2)
        check_range("n_best_size", self.n_best_size, low=1, high=1000)
        check_range("batch_tokens", self.batch_tokens, low=1)
        check_range("chunk_size", self.chunk_size, low=1)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a reader is trained. Lengths are in tokens.

    Raises: ValueError for a value out of range.
    """

    head: str = "linear"
    epochs: float = 4.0  # passes over the examples; ignored when max_steps is given
    max_steps: int | None = None  # updates, whatever the number of examples: an equal budget for unequal data
    batch_size: int = 16  # questions of one update, each with all windows of its passages
    batch_tokens: int = 2048  # padded tokens of one forward pass; an update accumulates gradients over several
    learning_rate: float = 5e-5  # peak, encoder; small encoders bear 1e-4, the built-in one 1e-3
    head_learning_rate: float = 5e-4  # peak, head
    weight_decay: float = 0.01  # not on biases and normalisation layers
    warmup_ratio: float = 0.1  # share of the updates before the peak; linear decay to 0 after it
    max_grad_norm: float = 1.0
    trusted_share: float = 0.25  # at least this share of every batch is gold or human when others are there too
    max_seq_length: int = 384
    doc_stride: int = 128
    checkpoint_every: int = 100  # updates
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        check_windows(self.max_seq_length, self.doc_stride)
        check_choice("head", self.head, HEADS)
        check_choice("device", self.device, DEVICES)
        check_choice("precision", self.precision, PRECISIONS)
        for name in ("epochs", "learning_rate", "head_learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("batch_size", "batch_tokens", "checkpoint_every"):
            check_range(name, getattr(self, name), low=1)
        if self.max_steps is not None:
            check_range("max_steps", self.max_steps, low=1)
        for name in ("weight_decay", "warmup_ratio", "trusted_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0-1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class BuiltinConfig:
    """Size of the built-in encoder (mrc.read.builtin).

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


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One question with the passage that answers it, `context[start:end]`; start = end = -1 where none does.

    `negatives` are passages that do not answer it; they share the question's softmax. `weight` scales its loss
    (pseudo-labels weigh less than 1). `trusted` examples are gold or human.
    """

    id: str
    question: str
    context: str
    start: int
    end: int
    negatives: tuple[str, ...] = ()
    weight: float = 1.0
    trusted: bool = True

    def __post_init__(self) -> None:
        answerable = 0 <= self.start < self.end <= len(self.context)
        if not answerable and (self.start, self.end) != (-1, -1):
            raise ValueError(f"{self.id}: span {self.start}-{self.end} is not in a context of {len(self.context)}")
        if not self.weight > 0:
            raise ValueError(f"{self.id}: weight must be above 0, not {self.weight}")


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training. `loss` is the mean over the last tenth of the updates; `seconds` count this run only.

    `unusable` are the ids of examples whose answer has no token of this tokenizer or fits into no window.
    """

    folder: Path
    hash: str
    examples: int
    steps: int
    seconds: float
    loss: float
    unusable: tuple[str, ...] = ()


def check_windows(max_seq_length: int, doc_stride: int) -> None:
    """Raises: ValueError where a window that gives half its room to the question would not move forward."""
    check_range("doc_stride", doc_stride, low=2)
    room = max_seq_length // 2 - SPECIAL_TOKENS
    if doc_stride >= room:
        raise ValueError(
            f"doc_stride {doc_stride} must be below {room}, half of max_seq_length {max_seq_length} less special tokens"
        )


def check_range(name: str, value: int, *, low: int, high: int | None = None) -> None:
    """Raises: ValueError unless low <= value <= high."""
    if value < low or (high is not None and value > high):
        limit = f"at least {low}" if high is None else f"in {low}-{high}"
        raise ValueError(f"{name} must be {limit}, not {value}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises: ValueError unless value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
