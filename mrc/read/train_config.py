"""Settings and plain values of training; imports neither torch nor transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.read.config import ReadConfig, WindowConfig, check_choice, check_range

HEADS: Final = ("linear", "cnn", "lstm", "biaffine")
NEW_HEAD: Final = "cnn"  # of a start that has none
EXACT_MATCH_FEATURES: Final = ("none", "words", "stems", "morphemes")
BALANCES: Final = ("none", "weights", "repeats", "both")
MAX_RL_WEIGHT: Final = 0.1
LONGEST_SPAN: Final = 30  # tokens of a span that takes part in a softmax over spans; more where the right one has more

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How a reader is trained.

    Raises: ValueError for a value out of range.
    """

    head: str = "auto"  # span scorer: linear, cnn, lstm or biaffine; auto: that of the start, cnn where it has none
    exact_match_features: str = "none"  # words, stems, morphemes: mark those that question and passage share
    epochs: float = 4.0  # passes over the examples; ignored when max_steps is given
    max_steps: int | None = None  # updates, whatever the number of examples: an equal budget for unequal data
    batch_size: int = 16  # questions of one update, each with all windows of its passages
    batch_tokens: int = 2048  # padded tokens of one forward pass; an update accumulates gradients over several
    learning_rate: float = 5e-5  # peak, encoder; small encoders bear 1e-4, the built-in one 1e-3
    head_learning_rate: float = 5e-4  # peak, head
    weight_decay: float = 0.01  # not on biases and normalisation layers
    warmup_ratio: float = 0.1  # share of the updates before the peak; linear decay to 0 after it
    max_grad_norm: float = 1.0
    human_labelled_share: float = 0.25  # at least this share of every batch is gold or human when others are there too
    checkpoint_every: int = 100  # updates
    attention_dropout: float | None = None  # none: as the checkpoint has it; 0 trains about a seventh faster
    question_dropout: float = 0.0  # share of the question's words masked in training
    soft_spans: float = 0.0  # share of the target that goes to spans that overlap the right one
    distill_weight: float = 0.0  # share of the teachers' probabilities in the loss of an example that has any
    distill_temperature: float = 2.0  # flattens teacher and student alike
    balance: str = "none"  # weights, repeats, both: keep the pool's mix of question types and answer lengths
    gold_epochs: float = 0.0  # after the main ones, over gold and human examples alone, without masking
    layer_decay: float = 1.0  # learning rate of each encoder layer over that of the layer above it
    checkpoint_activations: bool = False  # compute activations twice: far less memory, a quarter slower
    early_stopping_patience: int = 0  # evaluations without a better dev score before a phase ends; 0: never
    evaluate_every: float = 1.0  # epochs between two evaluations on dev

    def __post_init__(self) -> None:
        check_choice("head", self.head, ("auto", *HEADS))
        check_choice("exact_match_features", self.exact_match_features, EXACT_MATCH_FEATURES)
        check_choice("balance", self.balance, BALANCES)
        for name in ("epochs", "learning_rate", "head_learning_rate", "max_grad_norm", "distill_temperature",
                     "evaluate_every"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("batch_size", "batch_tokens", "checkpoint_every"):
            check_range(name, getattr(self, name), low=1)
        if self.max_steps is not None:
            check_range("max_steps", self.max_steps, low=1)
        for name in ("gold_epochs", "early_stopping_patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        for name in ("weight_decay", "warmup_ratio", "human_labelled_share", "distill_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0-1, not {getattr(self, name)}")
        for name in ("question_dropout", "soft_spans", "attention_dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be above 0 and at most 1, not {self.layer_decay}")


@dataclass(frozen=True, slots=True)
class ExperimentalTrainConfig:
    """Methods of training that gained nothing in our measurements.

    Raises: ValueError for a value out of range.
    """

    token_masking: float = 0.0  # share of the passage's words masked in training; never of the answer
    span_masking: float = 0.0  # the same in runs of words
    rl_epochs: float = 0.0  # at the end, rewarded by F1, over gold and human examples alone
    rl_weight: float = 0.1  # share of the reward in the loss of those epochs
    rl_samples: int = 4  # spans sampled for each question and update
    morphemes: bool = False  # split Korean words at morphemes before they become word pieces
    processes: int = 1  # training processes; 0: one for each GPU

    def __post_init__(self) -> None:
        check_range("rl_samples", self.rl_samples, low=1)
        for name in ("rl_epochs", "processes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        for name in ("token_masking", "span_masking"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if not 0 < self.rl_weight <= MAX_RL_WEIGHT:
            raise ValueError(f"rl_weight must be above 0 and at most {MAX_RL_WEIGHT}, not {self.rl_weight}")


@dataclass(frozen=True, slots=True)
class TrainConfig(TrainSettings):
    """All settings that a training depends on: its own, the windows it trains on, and the experimental ones."""

    windows: WindowConfig = field(default_factory=WindowConfig)
    experimental: ExperimentalTrainConfig = field(default_factory=ExperimentalTrainConfig)

    @property
    def reading(self) -> ReadConfig:
        """How teachers and dev are read in training: in the windows of the training."""
        windows = self.windows
        return ReadConfig(
            max_seq_length=windows.max_seq_length,
            doc_stride=windows.doc_stride,
            max_answer_length=min(LONGEST_SPAN, windows.doc_stride // 2),
        )


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """How the starting checkpoint is prepared on the corpus, without labels. Both epochs 0: it is not.

    Raises: ValueError for a value out of range.
    """

    mlm_epochs: float = 0.0  # passes over the passages, as a masked language model
    recurring_span_epochs: float = (
        0.0  # passes over questions made of sentences that share a span with another sentence
    )
    recurring_span_examples: int = 4000  # such questions at most
    mask_share: float = 0.15  # of a passage's pieces, masked
    learning_rate: float = 1e-4  # peak
    batch_size: int = 16  # passages or questions of one update

    def __post_init__(self) -> None:
        for name in ("mlm_epochs", "recurring_span_epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        for name in ("recurring_span_examples", "batch_size"):
            check_range(name, getattr(self, name), low=1)
        if not 0 < self.mask_share < 1:
            raise ValueError(f"mask_share must be above 0 and below 1, not {self.mask_share}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")

    @property
    def on(self) -> bool:
        return self.mlm_epochs > 0 or self.recurring_span_epochs > 0


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One question with the passage that answers it, `context[start:end]`; start = end = -1 where none does.

    `negatives` are passages that do not answer it; they share the question's softmax. `weight` scales its loss
    (pseudo-labels weigh less than 1). `trusted` examples are gold or human. `golds` are all texts that count as right
    (for the reward; none: the span's text), `also` further right spans of the same context.
    """

    id: str
    question: str
    context: str
    start: int
    end: int
    negatives: tuple[str, ...] = ()
    weight: float = 1.0
    human_labelled: bool = True
    golds: tuple[str, ...] = ()
    also: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        answerable = 0 <= self.start < self.end <= len(self.context)
        if not answerable and (self.start, self.end) != (-1, -1):
            raise ValueError(f"{self.id}: span {self.start}-{self.end} is not in a context of {len(self.context)}")
        if not all(0 <= start < end <= len(self.context) for start, end in self.also):
            raise ValueError(f"{self.id}: a span of {self.also} is not in a context of {len(self.context)}")
        if not self.weight > 0:
            raise ValueError(f"{self.id}: weight must be above 0, not {self.weight}")


@dataclass(frozen=True, slots=True)
class DevExample:
    """A question that training is watched by: read in `context`, marked against `answers` (none: impossible)."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PassageTarget:
    """What a teacher believes of one passage: shares of one softmax over all passages of the question.

    `starts` (S,) code points at which a span starts, `start_mass` (S,) their shares; `ends` (E,), exclusive, and
    `end_mass` likewise; `null_start`, `null_end`: the shares of "no answer" in this passage.
    """

    starts: Ints
    start_mass: Floats
    ends: Ints
    end_mass: Floats
    null_start: float
    null_end: float


@dataclass(frozen=True, slots=True, eq=False)
class SoftTarget:
    """A teacher's belief about one example, passage by passage: the context first, then the negatives."""

    passages: tuple[PassageTarget, ...]


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
