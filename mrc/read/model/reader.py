"""`Reader`, which answers questions with the network of one checkpoint; its fingerprint and a folder's hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import torch

from mrc.decode import Logits
from mrc.encoder.compute import one_thread_workers, pick_device, pick_dtype
from mrc.encoder.files import check_folder
from mrc.encoder.loading import NO_SURROGATES, check_tokenizer, load_config, load_tokenizer
from mrc.errors import BadCheckpoint
from mrc.metrics import Metric, check_metric, normalize_answer
from mrc.ranking import Ranked
from mrc.read.config import ReadConfig
from mrc.read.data.exact_match import ExactMatch
from mrc.read.data.morphemes import kiwi_cuts
from mrc.read.data.prefetch import prefetch
from mrc.read.data.windows import (
    FEATURES_KEY,
    MATCH_IGNORED_KEY,
    MATCH_TYPES_KEY,
    MORPHEMES_KEY,
    WINDOWS_KEY,
    Batch,
    Windower,
)
from mrc.read.model.architectures import architecture_of
from mrc.read.model.backends import Network, check_onnx, onnx_network
from mrc.read.model.heads import pair_band
from mrc.read.model.loading import load_model
from mrc.read.model.network import HEAD_KEY, Inputs, SpanModel, to_tensors
from mrc.read.predict.adaptive import StoppingRule
from mrc.read.predict.groups import Group, Normalize, Refine, read_groups
from mrc.text import passage_id, question_id
from mrc.types import Passage, Prediction

RECORD_FILE: Final = "training.json"  # how the folder was made; not part of the model's hash
HASHED_SUFFIXES: Final = (".safetensors", ".bin", ".json", ".txt", ".model")
UNHASHED: Final = frozenset(  # keys of a configuration that change no score: names, versions, default lengths
    {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", HEAD_KEY, WINDOWS_KEY}
)
AHEAD: Final = 2  # batches prepared beyond those that workers compute
GPU_WORKERS: Final = 2  # one queues its batch while the other fetches its results


class Reader:
    """Answers questions from passages with one checkpoint on one device."""

    def __init__(
        self, model: SpanModel, tokenizer: Any, *, device: torch.device, source: str | Path = "in memory"
    ) -> None:
        self._model = model.eval()
        self._network: Network = self._model
        self._tokenizer = tokenizer
        self._device = device
        self._source = source
        self.windower = windower_of(tokenizer, model.config, source)

    @classmethod
    def load(cls, source: str | Path, *, device: str = "auto", precision: str = "auto", backend: str = "torch") -> Self:
        """Load a reader from a folder or a Hugging Face hub name; the backend is "torch" or "onnx".

        Raises: BadCheckpoint if there is no usable model or no fast tokenizer, the two do not belong together, the
        model has no question-answering head, or ONNX cannot express it; MissingExtra without ONNX Runtime; NoDevice.
        """
        if backend == "onnx":
            check_onnx(pick_device(device), precision)
            precision = "fp32"
        config, chosen = load_config(source), pick_device(device)
        architecture_of(config, source)
        tokenizer = load_tokenizer(source)
        model = load_model(
            source,
            device=chosen,
            dtype=pick_dtype(precision, device=chosen, hidden_size=int(getattr(config, "hidden_size", 0))),
            head=getattr(config, HEAD_KEY, "linear"),
            exact_match_features=getattr(config, FEATURES_KEY, "none"),
            morphemes=hasattr(config, MORPHEMES_KEY),
            fresh_head=False,
        )
        check_tokenizer(tokenizer, model.encoder, source)
        reader = cls(model, tokenizer, device=chosen, source=source)
        if backend == "onnx":
            reader._network = onnx_network(model, key=reader.fingerprint, source=source)
        return reader

    def __repr__(self) -> str:
        lengths = self.default_config.windows
        return (
            f"Reader({str(self._source)!r}, head={self._model.head_name}, device={self._device}, "
            f"precision={self.precision}, max_seq_length={lengths.max_seq_length}, doc_stride={lengths.doc_stride})"
        )

    @property
    def max_positions(self) -> int:
        """Tokens that the encoder has positions for: the longest possible window."""
        return self._model.max_positions

    @property
    def default_config(self) -> ReadConfig:
        """The windows that the reader was trained with, if its checkpoint says so, else the defaults, shortened to the
        encoder's positions."""
        config, stored = ReadConfig(), getattr(self._model.config, WINDOWS_KEY, None)
        if stored:
            longest = min(config.max_answer_length, stored["doc_stride"] // 2)
            config = replace(config, **stored, max_answer_length=longest)
        return config.fitted(self.max_positions)

    @property
    def precision(self) -> str:
        """The precision in which the encoder computes, "bf16" or "fp32"."""
        return "bf16" if next(self._model.encoder.parameters()).dtype is torch.bfloat16 else "fp32"

    @property
    def fingerprint(self) -> str:
        """sha256 hex of weights, architecture and how texts become windows: equal readers give equal scores."""
        digest = hashlib.sha256(repr(self.windower.windows_key).encode())
        settings = {name: value for name, value in self._model.config.to_diff_dict().items() if name not in UNHASHED}
        digest.update(f"\0{type(self._model.head).__name__}\0".encode())
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
        for name, value in sorted(self._model.weights().items()):
            digest.update(f"\0{name}\0{value.dtype}".encode())
            digest.update(value.flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write a checkpoint folder, in the precision that the weights were loaded in."""
        self._model.save(Path(folder), self._tokenizer)

    def logits(self, batch: Batch, *, band: int) -> Logits:
        """The logits of a batch; the pair term of a biaffine head is that of spans of at most `band` tokens."""
        return self._compute(to_tensors(batch, self._device), band)

    def stream(self, batches: Iterable[Batch], *, band: int) -> Generator[tuple[Batch, Logits]]:
        """Each batch with its logits, in order, computed ahead by as many workers as torch has threads.

        A worker computes whole batches in one thread, so the bits do not depend on the number of workers. Until the
        iterator is exhausted or closed, torch computes with one thread everywhere: exhaust it before other work.
        """
        device = self._device
        with one_thread_workers() as threads:
            yield from prefetch(
                batches,
                partial(to_tensors, device=device),
                partial(self._compute, band=band),
                workers=threads if device.type == "cpu" else GPU_WORKERS,
                ahead=AHEAD,
            )

    def _compute(self, tensors: Inputs, band: int) -> Logits:
        with torch.inference_mode():
            scores = self._network(*tensors)
            pair = None
            if scores.left is not None and scores.right is not None:
                pair = pair_band(scores.left, scores.right, band).float().cpu().numpy()
        return Logits(scores.start.float().cpu().numpy(), scores.end.float().cpu().numpy(), pair)

    def read(
        self,
        groups: Iterable[Group],
        *,
        config: ReadConfig,
        normalize: Normalize,
        refine: Refine | None = None,
        stopping: StoppingRule | None = None,
    ) -> Iterator[Ranked]:
        """The ranked answers of each group, in order; see `mrc.read.predict.groups.read_groups`."""
        return read_groups(self, groups, config=config, normalize=normalize, refine=refine, stopping=stopping)

    def answer(
        self, pairs: Sequence[tuple[str, str]], config: ReadConfig | None = None, *, metric: Metric = "squad"
    ) -> list[Prediction]:
        """One prediction for each (question, passage) pair: `answers[0].text` is the best answer. For notebooks.

        Without a `config` the reader's own lengths are used (`default_config`).

        Raises: TypeError for anything but pairs of strings; ValueError for an unknown metric.
        """
        pairs, normalize = _checked_pairs(pairs), normalizer(metric)
        clean = [(question.translate(NO_SURROGATES), context.translate(NO_SURROGATES)) for question, context in pairs]
        passages = [Passage(passage_id(known), context) for (_, known), (_, context) in zip(clean, pairs, strict=True)]
        groups = [Group(question, (passage,)) for (question, _), passage in zip(pairs, passages, strict=True)]
        ids = [question_id(question, context) for question, context in clean]
        found = self.read(groups, config=config or self.default_config, normalize=normalize)
        return [Prediction(key, ranked.answers, ranked.null_score, ()) for key, ranked in zip(ids, found, strict=True)]


def _checked_pairs(pairs: Any) -> list[tuple[str, str]]:
    if isinstance(pairs, (str, bytes, dict)):
        raise TypeError(f"answer takes a list of (question, passage) pairs, not a {type(pairs).__name__}")
    listed = list(pairs)
    for pair in listed:
        if not isinstance(pair, (tuple, list)) or [type(text) for text in pair] != [str, str]:
            raise TypeError(f"answer takes (question, passage) pairs of two strings, not {_shown(pair)}")
    return [(question, passage) for question, passage in listed]


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else f'{text[:60]}…'}"


def windower_of(tokenizer: Any, config: Any, source: str | Path) -> Windower:
    """The windower that a checkpoint's config.json asks for: token types, exact-match features, morphemes.

    Raises: MissingExtra where kiwi is needed and not installed; BadCheckpoint for token types that the network lacks.
    """
    kind, types = getattr(config, FEATURES_KEY, None), int(getattr(config, "type_vocab_size", 0) or 0)
    try:
        windower = Windower(
            tokenizer,
            exact_match_types=bool(getattr(config, MATCH_TYPES_KEY, False)),
            ignored=getattr(config, MATCH_IGNORED_KEY, ()),
            exact_match=ExactMatch(kind) if kind else None,
            cuts=kiwi_cuts if hasattr(config, MORPHEMES_KEY) else None,
        )
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{source}: {error}") from error
    if 1 < types < windower.token_types:
        raise BadCheckpoint(
            f"{source}: the windows have {windower.token_types} token types, the model {types}: they do not belong "
            "together; copy both from one place"
        )
    return windower


def normalizer(metric: Metric) -> Callable[[str], str]:
    """The form in which answer texts are compared; texts of equal form are one answer. Raises ValueError."""
    return partial(normalize_answer, metric=check_metric(metric))


def model_hash(folder: str | Path) -> str:
    """sha256 hex over names and bytes of a checkpoint's weights, configuration and tokenizer files, in name order.

    Raises: BadCheckpoint if the folder holds no config.json.
    """
    if not (Path(folder) / "config.json").is_file():
        raise BadCheckpoint(f"{folder}: no config.json, so this folder is no model; give a folder that holds one")
    check_folder(Path(folder))
    digest = hashlib.sha256()
    files = [path for path in Path(folder).iterdir() if path.suffix in HASHED_SUFFIXES and path.name != RECORD_FILE]
    for path in sorted(files):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
