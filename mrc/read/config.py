"""Settings of reading; the module imports neither torch nor transformers, so that settings can be checked without them.

The settings of training are in `mrc.read.train_config`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from mrc.postprocess import RULES
from mrc.settings import check_settings, setting

BACKENDS: Final = ("torch", "onnx")
SPECIAL_TOKENS: Final = 8  # room kept for [CLS], [SEP] and their like when window sizes are checked


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How a passage is split into windows. Lengths are in tokens.

    Raises: ValueError where windows could miss or double a span.
    """

    max_seq_length: int = setting(
        384, "of one window: question, passage, special tokens; at most the encoder's positions",
        unit="tokens", shown=True,
    )  # fmt: skip
    doc_stride: int = setting(
        128, "shared by neighbouring windows, so that no answer is cut", unit="tokens", low=2, shown=True
    )

    def __post_init__(self) -> None:
        check_settings(self)
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

    max_answer_length: int = setting(
        30, "of the longest answer considered; doc_stride, at least twice as long, grows with it where it is not set",
        unit="tokens", low=1, shown=True,
    )  # fmt: skip
    n_best_size: int = setting(
        20, "kept for a question, after equal texts were merged", unit="answers", low=1, high=1000
    )
    batch_tokens: int = setting(
        2048, "of one forward pass, padding included; small batches fit the caches of a CPU", unit="tokens", low=1
    )
    chunk_size: int = setting(512, "read together, sorted by length", unit="questions", low=1)
    null_score_diff_threshold: float | None = setting(
        None, "by which 'no answer' must beat the best answer; none: tuned on dev, else 0", unit="nats", shown=True
    )
    rules: tuple[str, ...] = setting(
        ("auto",), "post-processing of answers; auto: the rules that help on dev; []: none",
        choices=("auto", *RULES), shown=True,
    )  # fmt: skip
    backend: str = setting("torch", "onnx: ONNX Runtime in fp32, faster on a CPU without bf16", choices=BACKENDS)

    def __post_init__(self) -> None:
        WindowConfig.__post_init__(self)  # super() does not know a class remade with slots
        if self.max_answer_length > self.doc_stride // 2:
            half = self.doc_stride // 2
            raise ValueError(
                f"max_answer_length must be at most {half}, half of doc_stride, not {self.max_answer_length}"
            )
        if "auto" in self.rules and len(self.rules) > 1:
            raise ValueError(f"rules must be auto alone or a list of rules, not {', '.join(self.rules)}")

    @property
    def windows(self) -> WindowConfig:
        """How passages are split into windows, without the rest."""
        return WindowConfig(self.max_seq_length, self.doc_stride)

    def fitted(self, positions: int) -> Self:
        """The same settings with windows, stride and answers shortened to an encoder of this many positions.

        Windows share at most a third of their tokens, or as much as they do before.
        """
        if self.max_seq_length <= positions:
            return self
        share = max(positions // 3, positions * self.doc_stride // self.max_seq_length)
        stride = min(self.doc_stride, share, positions // 2 - SPECIAL_TOKENS - 1)
        longest = min(self.max_answer_length, stride // 2)
        return replace(self, max_seq_length=positions, doc_stride=stride, max_answer_length=longest)


def longest_answer(positions: int) -> int:
    """The largest max_answer_length, in tokens, with windows of this many."""
    return (positions // 2 - SPECIAL_TOKENS - 1) // 2


def grown(max_answer_length: int) -> dict[str, int]:
    """The smallest settings of windows, from the defaults up, that take answers of this length."""
    default = ReadConfig()
    stride = max(default.doc_stride, 2 * max_answer_length)
    length = max(default.max_seq_length, 2 * (stride + SPECIAL_TOKENS + 1))
    return {"doc_stride": stride, "max_seq_length": length}


@dataclass(frozen=True, slots=True)
class BuiltinConfig:
    """Size of the built-in encoder (mrc.read.model.builtin).

    Raises: ValueError for a value out of range.
    """

    vocab_size: int = setting(4000, "in its vocabulary, made from the passages", unit="word pieces", low=1)
    layers: int = setting(2, "of the Transformer", unit="layers", low=1)
    hidden_size: int = setting(128, "of a token's vector; a multiple of twice the heads", unit="dimensions", low=1)
    heads: int = setting(4, "in each layer", unit="attention heads", low=1)
    positions: int = setting(384, "of the longest window; read.max_seq_length may not be longer", unit="tokens", low=1)
    dropout: float = setting(0.1, "of activations dropped in training", unit="share", low=0, below=1)
    common_share: float = setting(
        0.2,
        "of the texts above which a piece does not count as shared by question and passage",
        unit="share",
        above=0,
        high=1,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of twice the heads, {2 * self.heads}")
