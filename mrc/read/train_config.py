"""Settings and plain values of training; imports neither torch nor transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mrc.read.config import ReadConfig, WindowConfig
from mrc.settings import check_settings, setting

HEADS: Final = ("linear", "cnn", "lstm", "biaffine")
NEW_HEAD: Final = "cnn"  # of a start that has none
EXACT_MATCH_FEATURES: Final = ("none", "words", "stems", "morphemes")
GOLDS: Final = ("all", "first")
BALANCES: Final = ("none", "weights", "repeats", "both")
MAX_RL_WEIGHT: Final = 0.1
LONGEST_SPAN: Final = 30  # tokens of a span that takes part in a softmax over spans; more where the right one has more

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How a reader is trained.

    Raises: ValueError for a value out of range.
    """

    head: str = setting(
        "auto", "span scorer on the encoder; auto: that of the starting checkpoint, cnn where it has none",
        choices=("auto", *HEADS), shown=True,
    )  # fmt: skip
    exact_match_features: str = setting(
        "none", "mark the passage's words, stems or morphemes that the question has too", choices=EXACT_MATCH_FEATURES
    )
    epochs: float = setting(
        4.0, "over gold and human labels; ignored when max_steps is given", unit="epochs", above=0, shown=True
    )
    pseudo_epochs: float = setting(
        2.0, "over pseudo-labels beside them; with max_steps only their share of the updates", unit="epochs", above=0
    )
    max_steps: int | None = setting(
        None, "in all, for equal cost on unequal data; none: by epochs",
        unit="updates", low=1, shown=True,
    )  # fmt: skip
    batch_size: int = setting(
        16, "of one update, each with all windows of its passages", unit="questions", low=1, shown=True
    )
    batch_tokens: int = setting(
        2048, "of one forward pass, padding included; bounds memory: an update sums several passes",
        unit="tokens", low=1,
    )  # fmt: skip
    learning_rate: float | None = setting(
        None, "peak learning rate of the encoder; none: 1e-3 for the built-in one, 1e-4 up to width 384, else 5e-5",
        above=0, shown=True,
    )  # fmt: skip
    head_learning_rate: float = setting(
        5e-4, "peak learning rate of the head, which starts untrained and takes more", above=0, shown=True
    )
    weight_decay: float = setting(0.01, "of AdamW; not on biases and normalisation layers", low=0, high=1)
    warmup_ratio: float = setting(
        0.1, "of the updates before the peak learning rate; linear decay to 0 after it", unit="share", low=0, high=1
    )
    max_grad_norm: float = setting(1.0, "to which longer gradients are scaled down", unit="L2 norm", above=0)
    human_labelled_share: float = setting(
        0.25,
        "of each batch, at least, that is gold or human where pseudo-labels train too",
        unit="share",
        low=0,
        high=1,
    )
    checkpoint_every: int = setting(
        100, "between checkpoints: a killed training repeats at most so many", unit="updates", low=1
    )
    attention_dropout: float | None = setting(
        None,
        "of attention weights dropped; none: as the checkpoint has it; 0 trains a seventh faster",
        unit="share",
        low=0,
        below=1,
    )
    question_dropout: float = setting(0.0, "of the question's words masked in training", unit="share", low=0, below=1)
    golds: str = setting(
        "all", "spans that count as right where people gave several answers; first: only the most frequent one",
        choices=GOLDS,
    )  # fmt: skip
    soft_spans: float = setting(
        0.0, "of the target probability given to spans that overlap the right one", unit="share", low=0, below=1
    )
    distill_weight: float = setting(
        0.0, "of the loss given to the teachers' probabilities, on examples that have any", unit="share", low=0, high=1
    )
    distill_temperature: float = setting(
        2.0, "divides the scores of teachers and student; above 1 flattens their distributions", above=0
    )
    balance: str = setting(
        "none", "keep the pool's mix of question types and answer lengths, by weights, by repeats or by both",
        choices=BALANCES,
    )  # fmt: skip
    gold_epochs: float = setting(
        0.0, "after the main ones, over gold and human labels alone, without masking", unit="epochs", low=0
    )
    average: float = setting(
        0.0, "of the updates, at the end, after which the weights are averaged; 0: those of the last one are kept",
        unit="share", low=0, high=1,
    )  # fmt: skip
    layer_decay: float = setting(
        1.0, "learning rate of each encoder layer over that of the layer above it", above=0, high=1
    )
    checkpoint_activations: bool = setting(False, "compute activations twice: far less memory, a quarter slower")
    early_stopping_patience: int = setting(
        0, "on dev without a better score before a phase ends; 0: it never ends early",
        unit="evaluations", low=0, shown=True,
    )  # fmt: skip
    evaluate_every: float = setting(1.0, "between two evaluations on dev", unit="epochs", above=0)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.average and self.early_stopping_patience:
            raise ValueError(
                "average and early_stopping_patience exclude each other: one keeps the mean of the last weights, the "
                "other the best ones on dev; set one of them to 0"
            )


@dataclass(frozen=True, slots=True)
class ExperimentalTrainConfig:
    """Methods of training that gained nothing in our measurements.

    Raises: ValueError for a value out of range.
    """

    token_masking: float = setting(
        0.0, "of the passage's words masked in training, never of the answer", unit="share", low=0, below=1
    )
    span_masking: float = setting(
        0.0, "of the passage's words masked in training, in runs", unit="share", low=0, below=1
    )
    rl_epochs: float = setting(0.0, "at the end with F1 as reward, over gold and human labels", unit="epochs", low=0)
    rl_weight: float = setting(
        0.1, "of the reward in the loss of those epochs", unit="share", above=0, high=MAX_RL_WEIGHT
    )
    rl_samples: int = setting(4, "sampled for each question and update", unit="spans", low=1)
    morphemes: bool = setting(False, "split Korean words at morphemes before word pieces; needs the extra ko")
    processes: int = setting(1, "that train together; 0: one for each GPU", unit="processes", low=0)

    def __post_init__(self) -> None:
        check_settings(self)


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

    mlm_epochs: float = setting(0.0, "of masked language modelling over the passages", unit="epochs", low=0)
    recurring_span_epochs: float = setting(
        0.0, "of selecting the span that two sentences of a passage share", unit="epochs", low=0
    )
    recurring_span_examples: int = setting(4000, "of that kind, at most", unit="questions", low=1)
    mask_share: float = setting(0.15, "of a passage's word pieces masked", unit="share", above=0, below=1)
    learning_rate: float | None = setting(
        None, "peak learning rate; none: 1e-3 for the built-in encoder, else 1e-4", above=0
    )
    batch_size: int = setting(16, "of one update", unit="passages or questions", low=1)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def on(self) -> bool:
        return self.mlm_epochs > 0 or self.recurring_span_epochs > 0


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One question with the passage that answers it, `context[start:end]`; start = end = -1 where none does.

    `negatives` are passages that do not answer it; they share the question's softmax. `weight` scales its loss
    (pseudo-labels weigh less than 1). `human_labelled`: gold or human, not pseudo. `golds` are all texts that count as
    right (for the reward; empty: the span's text), `also` further right spans of the same context. `priors`: what every
    span gains by its passage, the context first, in nats, as in reading; empty: nothing.
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
    priors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        answerable = 0 <= self.start < self.end <= len(self.context)
        if not answerable and (self.start, self.end) != (-1, -1):
            raise ValueError(f"{self.id}: span {self.start}-{self.end} is not in a context of {len(self.context)}")
        if not all(0 <= start < end <= len(self.context) for start, end in self.also):
            raise ValueError(f"{self.id}: a span of {self.also} is not in a context of {len(self.context)}")
        if self.priors and len(self.priors) != 1 + len(self.negatives):
            raise ValueError(f"{self.id}: {len(self.priors)} priors for {1 + len(self.negatives)} passages")
        if not self.weight > 0:
            raise ValueError(f"{self.id}: weight must be above 0, not {self.weight}")


@dataclass(frozen=True, slots=True)
class DevExample:
    """A dev question for early stopping: read in `context`, scored against `answers` (empty: impossible)."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PassageTarget:
    """A teacher's probabilities for one passage, from a softmax over all passages of the question.

    `starts` (S,) code points at which a span starts, `start_mass` (S,) their probabilities; `ends` (E,), exclusive, and
    `end_mass` likewise; `null_start`, `null_end`: the probabilities of "no answer" in this passage.
    """

    starts: Ints
    start_mass: Floats
    ends: Ints
    end_mass: Floats
    null_start: float
    null_end: float


@dataclass(frozen=True, slots=True, eq=False)
class SoftTarget:
    """A teacher's probabilities for one example, passage by passage: the context first, then the negatives."""

    passages: tuple[PassageTarget, ...]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training. `loss` is the mean over the last tenth of the updates; `seconds` include those before an
    interruption.

    `unusable` are the ids of examples whose answer has no token of this tokenizer or fits into no window.
    """

    folder: Path
    hash: str
    examples: int
    steps: int
    seconds: float
    loss: float
    unusable: tuple[str, ...] = ()
