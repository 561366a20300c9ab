"""ONNX Runtime as backend of a reader's network: float32 on the CPU, faster than torch without bfloat16.

A network is exported once into the user's cache, under its fingerprint and the versions of the libraries; the last used
exports are kept. A new export is compared with torch on random windows, and the difference is logged; a cached export
is compared on a few windows, and replaced where it differs.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from torch import Tensor, nn

from mrc.encoder.compute import sorted_batches
from mrc.errors import BadCheckpoint, MissingExtra, NoDevice, writing
from mrc.read.data.exact_match import MATCH_LEVELS
from mrc.read.model.heads import Scores
from mrc.read.model.network import Inputs, SpanModel
from mrc.removal import remove_folder

log = logging.getLogger(__name__)

Network = Callable[[Tensor, Tensor, Tensor, Tensor], Scores]

INPUTS: Final = ("ids", "types", "attention", "match_levels")
OUTPUTS: Final = ("start", "end", "left", "right")
NEEDED: Final = ("onnx", "onnxruntime", "onnxscript")
FILE: Final = "network.onnx"
DRAFT: Final = "tmp"  # prefix of the names of unfinished exports
VERSION: Final = 1  # of the export; increase it to ignore older exports
KEPT: Final = 8  # exported networks
ABANDONED: Final = 24 * 3600  # seconds after which an unfinished export belongs to a dead process
COMPARED, COMPARED_AGAIN = 200, 4  # windows, of a new and of a cached export
SHORTEST, LONGEST = 16, 128  # tokens of them
BUDGET: Final = 2048  # tokens of their batches
TOLERANCE: Final = 1e-3  # largest difference of two logits due to rounding


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How two networks differ: the largest difference of a logit, and the windows with another best start or end."""

    windows: int
    logit: float
    answers: int


def check_onnx(device: torch.device, precision: str) -> None:
    """Raises: MissingExtra without ONNX Runtime; NoDevice for anything but float32 on the CPU."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise MissingExtra(f'reading by ONNX Runtime needs {", ".join(missing)}: pip install "labeler[onnx]"')
    if device.type != "cpu" or precision == "bf16":
        raise NoDevice("ONNX Runtime reads in float32 on the CPU: set device cpu and precision fp32, or backend torch")


def onnx_network(model: SpanModel, *, key: str, source: str | Path) -> Network:
    """The network in ONNX Runtime, one thread per call. `key` is the reader's fingerprint; messages name the `source`.

    Raises: BadCheckpoint where it cannot be exported, or where the export computes something else.
    """
    import onnxruntime

    if model.kind.alone or model.kind.global_question or model.kind.text_to_text:
        raise BadCheckpoint(f"{source}: ONNX cannot express how {model.config.model_type} is read; set backend torch")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labeler" / "onnx"
    versions = (torch.__version__, transformers.__version__, onnxruntime.__version__)
    folder = cache / "-".join((key[:32], str(VERSION), *versions))
    network = _kept(folder, model, source) if folder.is_dir() else None
    if network is None:
        with writing(folder):
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=DRAFT) as place:
                draft = Path(place) / "draft"
                draft.mkdir()
                _export(model, draft / FILE, source)
                network = _OnnxNetwork(draft / FILE)
                _check(network, model, source, count=COMPARED)
                _keep(draft, folder)
    _prune(cache, now=time.time())
    return network


def _kept(folder: Path, model: SpanModel, source: str | Path) -> Network | None:
    """The network of a cache folder; the folder is removed if it is unreadable or computes something else."""
    try:
        network = _OnnxNetwork(folder / FILE)
        _check(network, model, source, count=COMPARED_AGAIN)
        os.utime(folder)
    except _failures() as error:
        log.warning("%s: broken (%s); exporting it again", folder, " ".join(str(error).split())[:200])
        remove_folder(folder, root=folder.parent)
        return None
    return network


def _failures() -> tuple[type[Exception], ...]:
    """Exceptions of a broken export; those of ONNX Runtime have no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state

    kinds = [kind for kind in vars(onnxruntime_pybind11_state).values() if isinstance(kind, type)]
    return BadCheckpoint, OSError, RuntimeError, ValueError, *(kind for kind in kinds if issubclass(kind, Exception))


def _keep(draft: Path, folder: Path) -> None:
    """Rename the draft to its final name, unless another process was faster."""
    try:
        draft.replace(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _prune(cache: Path, *, now: float) -> None:
    """Remove all but the last used exports, and unfinished ones of dead processes."""
    used: list[tuple[float, Path]] = []
    for path in cache.iterdir():
        with suppress(OSError):  # another process may prune as well
            used.append((path.stat().st_mtime, path))
    drafts = [path for when, path in used if path.name.startswith(DRAFT) and now - when > ABANDONED]
    exports = sorted(((when, path) for when, path in used if not path.name.startswith(DRAFT)), reverse=True)
    for path in [*drafts, *(path for _, path in exports[KEPT:])]:
        remove_folder(path, root=path.parent)


class _OnnxNetwork:
    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [part.name for part in self._session.get_inputs()]
        self._outputs = [part.name for part in self._session.get_outputs()]

    def __call__(self, ids: Tensor, types: Tensor, attention: Tensor, match_levels: Tensor) -> Scores:
        given = dict(zip(INPUTS, (ids, types, attention, match_levels), strict=True))
        found = self._session.run(self._outputs, {name: given[name].numpy() for name in self._inputs})
        return Scores(**{name: torch.from_numpy(part) for name, part in zip(self._outputs, found, strict=True)})


class _Flat(nn.Module):
    """A network that returns its scores as a tuple, without those that are None."""

    def __init__(self, model: SpanModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, types: Tensor, attention: Tensor, match_levels: Tensor) -> tuple[Tensor, ...]:
        scores: Scores = self.model(ids, types, attention, match_levels)
        return tuple(part for name in OUTPUTS if (part := getattr(scores, name)) is not None)


def _export(model: SpanModel, path: Path, source: str | Path) -> None:
    encoder: Any = model.encoder
    encoder.set_attn_implementation("eager")  # the packed attention takes a list, which cannot be an input
    flat, example = _Flat(model), next(_random_windows(model, count=2))
    with torch.inference_mode():
        outputs = OUTPUTS[: len(flat.forward(*example))]
    both = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    options: dict[str, Any] = {
        "input_names": INPUTS,
        "output_names": outputs,
        "dynamic_shapes": (both,) * len(INPUTS),
    }
    try:
        with _quiet():
            torch.onnx.export(flat, example, path, dynamo=True, verbose=False, **options)
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise BadCheckpoint(
            f"{source}: ONNX cannot express its {type(model.encoder).__name__} with a {type(model.head).__name__}; "
            "set backend torch"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings about axis names, optional packages and later versions."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        registry.setLevel(level)


def _check(network: Network, model: SpanModel, source: str | Path, *, count: int) -> None:
    """Raises: BadCheckpoint where logits of this many random windows differ by more than `TOLERANCE`."""
    found = disagreement(network, model, _random_windows(model, count=count))
    log.info(
        "%s: ONNX Runtime against torch, %d windows: logits differ by up to %.1g, answers in %d",
        source,
        found.windows,
        found.logit,
        found.answers,
    )
    if not found.logit <= TOLERANCE:
        raise BadCheckpoint(f"{source}: ONNX Runtime's logits differ by up to {found.logit:.2g}; set backend torch")


def disagreement(network: Network, other: Network, inputs: Iterator[Inputs]) -> Disagreement:
    """How much the two differ over these windows, ignoring padding; NaN where one gives NaN."""
    windows, answers, largest = 0, 0, torch.zeros(())
    for batch in inputs:
        outside = ~batch[2].bool()
        with torch.inference_mode():
            pair = [network(*batch), other(*batch)]
        wrong = torch.zeros(len(outside), dtype=torch.bool)
        for name in OUTPUTS:
            one, two = (getattr(scores, name) for scores in pair)
            if one is None or two is None:
                continue
            largest = torch.maximum(largest, (one - two)[~outside].abs().max())  # which keeps NaN
            if one.dim() == 2:
                best = [part.masked_fill(outside, -torch.inf).argmax(dim=1) for part in (one, two)]
                wrong |= best[0] != best[1]
        windows, answers = windows + len(wrong), answers + int(wrong.sum())
    return Disagreement(windows, float(largest), answers)


def _random_windows(model: SpanModel, *, count: int) -> Iterator[Inputs]:
    """Batches of `count` windows of random pieces, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    config: Any = model.config
    pad, kinds = int(config.pad_token_id or 0), int(getattr(config, "type_vocab_size", 0) or 1)
    longest = min(LONGEST, model.max_positions)
    lengths = torch.randint(min(SHORTEST, longest), longest + 1, (count,), generator=generator)
    for rows in sorted_batches(lengths.tolist(), budget=BUDGET):
        attention = (torch.arange(int(lengths[rows].max()))[None, :] < lengths[rows, None]).long()
        ids, types, match_levels = (
            torch.randint(0, limit, attention.shape, generator=generator) * attention
            for limit in (config.vocab_size, kinds, MATCH_LEVELS)
        )
        ids = torch.where(ids == pad, (pad + 1) % config.vocab_size, ids)  # no padding inside a window
        yield torch.where(attention.bool(), ids, pad), types, attention, match_levels
