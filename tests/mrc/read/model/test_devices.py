"""What a GPU does, without one: on the device `meta`, which computes shapes and types alone, an operation fails that
meets a tensor of another device.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from mrc.encoder import compute
from mrc.encoder.compute import pick_dtype
from mrc.read.model.heads import HEADS, pair_band
from mrc.read.model.loading import load_model
from mrc.retrieve.dense import encoder as dense
from tests.mrc import tiny
from tests.mrc.read.model.test_attention import batch

META = torch.device("meta")


@pytest.fixture(autouse=True)
def _what_meta_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, which transformers looks for in a mask to find padding, and automatic precision."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr("transformers.masking_utils._ignore_bidirectional_mask_sdpa", lambda *_: False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("head", sorted(HEADS.keys() - {"lstm"}))  # an LSTM needs the values of lengths
@pytest.mark.parametrize("make", [tiny.bert, tiny.electra])
def test_a_forward_pass_stays_on_its_device_and_scores_are_float32(
    make: Any, head: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = load_model(make(tmp_path / "model"), device=META, dtype=dtype, head=head).eval()
    with torch.inference_mode():
        scores = model(*(tensor.to(META) for tensor in batch([5, 9])))
    assert next(model.encoder.parameters()).dtype is dtype
    for found in (scores.start, scores.end):
        assert (found.device, found.dtype, found.shape) == (META, torch.float32, (2, 9))
    if head == "biaffine":
        assert pair_band(scores.left, scores.right, 4).device == META


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_bi_encoder_puts_its_inputs_on_its_device(pooling: str, encoder: Path) -> None:
    loaded = dense.BiEncoder.load(dense.DenseConfig(model=str(encoder), pooling=pooling), device="cpu")  # type: ignore[arg-type]
    moved = dense.BiEncoder(loaded.encoding, loaded.model.to(META), loaded.tokenizer, device=META)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):  # only the vectors come back
        moved._forward([[2, 5, 3], [2, 5, 6, 7, 3]])


@pytest.mark.parametrize(
    ("precision", "hidden_size", "bf16", "expected"),
    [
        ("auto", 32, True, torch.bfloat16),  # on a GPU whatever the width
        ("auto", 768, False, torch.float32),
        ("fp32", 768, True, torch.float32),
        ("bf16", 32, False, torch.bfloat16),
    ],
)
def test_a_gpu_computes_in_bf16_where_it_is_fast(
    precision: str, hidden_size: int, bf16: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    gpu = torch.device("cuda")
    assert compute.has_bf16(gpu) == bf16
    assert pick_dtype(precision, device=gpu, hidden_size=hidden_size) is expected
