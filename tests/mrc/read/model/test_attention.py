"""Packed attention computes what padded attention does, in answers and in gradients."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mrc.encoder.compute import attention_for
from mrc.read.model.attention import ROW_STEP, attend, dropout_factors, packed_row
from mrc.read.model.loading import load_model
from tests.mrc import tiny

CPU = torch.device("cpu")
LENGTHS = (30, 17, 30, 1, 9)


def batch(rows, *, seed=0):
    """ids, types, attention, match_levels of windows of these lengths; text pieces only."""
    generator = torch.Generator().manual_seed(seed)
    attention = (torch.arange(max(rows))[None, :] < torch.tensor(rows)[:, None]).long()
    ids = torch.randint(5, 60, attention.shape, generator=generator) * attention
    types = torch.randint(0, 2, attention.shape, generator=generator) * attention
    return ids, types, attention, torch.zeros_like(ids)


def pair(folder, monkeypatch, **options):
    """The same network padded and packed; the tiny ones are too narrow to be packed by themselves."""
    options = {"device": CPU, "dtype": torch.float32, "head": "linear", **options}
    padded = load_model(folder, **options)
    monkeypatch.setattr("mrc.encoder.compute.BF16_PAYS_FROM", 0)
    packed = load_model(folder, **options)
    assert (padded.config._attn_implementation, packed.config._attn_implementation) == ("eager", "packed")
    return padded.eval(), packed.eval()


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, partial(tiny.roberta, pad=0), tiny.electra])
@pytest.mark.parametrize("lengths", [LENGTHS, (ROW_STEP,), (5,)])
def test_packed_logits_equal_padded_ones(make, lengths, tmp_path, monkeypatch):
    padded, packed = pair(make(tmp_path / "model"), monkeypatch)
    inputs = batch(lengths)
    inside = inputs[2].bool()
    with torch.inference_mode():
        expected, found = padded(*inputs), packed(*inputs)
    np.testing.assert_allclose(found.start[inside], expected.start[inside], atol=1e-5)
    np.testing.assert_allclose(found.end[inside], expected.end[inside], atol=1e-5)
    assert found.start[inside].std() > 1e-3  # else anything would do


def test_an_encoder_with_fewer_positions_than_the_padding_of_a_row_is_supported(tmp_path, monkeypatch):
    padded, packed = pair(tiny.bert(tmp_path / "model", max_position_embeddings=40), monkeypatch)
    inputs = batch((10,))  # filled up with 54
    with torch.inference_mode():
        np.testing.assert_allclose(packed(*inputs).start, padded(*inputs).start, atol=1e-5)


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.electra])
def test_packed_gradients_equal_padded_ones(make, tmp_path, monkeypatch):
    padded, packed = pair(make(tmp_path / "model"), monkeypatch)
    inputs = batch(LENGTHS)
    inside = inputs[2].bool()
    for model in (padded, packed):
        scores = model(*inputs)
        (scores.start[inside].sin().sum() + scores.end[inside].cos().sum()).backward()
    grads = {name: value.grad for name, value in packed.named_parameters()}
    assert all(torch.isfinite(grad).all() for grad in grads.values())
    for name, value in padded.named_parameters():
        np.testing.assert_allclose(grads[name], value.grad, atol=1e-4, err_msg=name)


def test_recomputed_activations_give_the_same_gradients(tmp_path, monkeypatch):
    _, packed = pair(tiny.bert(tmp_path / "model"), monkeypatch)
    grads = []
    for _ in range(2):
        packed.train()
        torch.manual_seed(7)  # dropout is on, and is drawn again in the same way
        packed(*batch(LENGTHS)).start.sum().backward()
        grads.append([value.grad for value in packed.encoder.parameters() if value.grad is not None])
        packed.zero_grad(set_to_none=True)
        packed.encoder.activation_checkpointing_enable()
    for stored, computed in zip(*grads, strict=True):
        np.testing.assert_allclose(computed, stored, atol=1e-6)


def attention_of(query, key, value, bounds, *, dropout=0.0):
    return attend(nn.Module(), query, key, value, None, cu_seq_lens_q=bounds, scaling=0.5, dropout=dropout)[0]


def parts(*, heads=2, size=3, dtype=torch.float64, length=9):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(1, heads, length, size, dtype=dtype, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_gradient_equals_finite_differences(dropout):
    def once(query, key, value):
        torch.manual_seed(3)  # the same dropout at every call
        return attention_of(query, key, value, [0, 4, 5, 9], dropout=dropout)

    assert torch.autograd.gradcheck(once, [part.requires_grad_() for part in parts()])


def test_windows_do_not_attend_to_each_other():
    query, key, value = parts(dtype=torch.float32)
    together = attention_of(query, key, value, [0, 4, 9])
    key[:, :, 4:], value[:, :, 4:] = 100.0, -100.0
    changed = attention_of(query, key, value, [0, 4, 9])
    assert torch.equal(together[:, :4], changed[:, :4])
    assert not torch.equal(together[:, 4:], changed[:, 4:])


def bfloat16_and_float32(*, scale):
    """(output, gradients of query, key, value) in both precisions; the greatest score is about 7 * scale."""
    query, key, value = parts(size=16, length=24, dtype=torch.float32)
    generator = torch.Generator().manual_seed(2)
    seen = torch.randn(1, 24, 2, 16, generator=generator)
    exact = [(part * factor).to(torch.bfloat16) for part, factor in ((query, scale), (key, 1.0), (value, 3.0))]
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        leaves = [part.to(dtype, copy=True).requires_grad_() for part in exact]
        output = attention_of(*leaves, [0, 11, 24])
        output.backward(seen.to(dtype))
        found.append([output.detach().float(), *(leaf.grad.float() for leaf in leaves)])
        with torch.inference_mode():
            assert torch.equal(attention_of(*leaves, [0, 11, 24]), output)
    peak = float((exact[0].float()[0] @ exact[1].float()[0].transpose(1, 2)).max()) * 0.5
    return peak, *found


@pytest.mark.parametrize(
    ("scale", "low", "high", "apart"), [(1.0, 0, 20, 0.02), (12.0, 87, 88.7, 0.1), (50.0, 300, 400, 0.3)]
)
def test_bfloat16_is_close_to_float32_even_where_exponentials_overflow(scale, low, high, apart):
    peak, near, exact = bfloat16_and_float32(scale=scale)
    assert low < peak < high  # exp(88) is a number, its product with a value of 3 is none; exp(89) is none
    for found, expected in zip(near, exact, strict=True):
        assert torch.isfinite(found).all()
        assert (found - expected).norm() < apart * expected.norm()


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(dropout):
    torch.manual_seed(0)
    factors = dropout_factors(torch.empty(3, 101, 331), dropout)
    lost, count = int((factors == 0).sum()), factors.numel()
    assert abs(lost / count - dropout) < 4 * math.sqrt(dropout * (1 - dropout) / count)  # standard errors
    assert factors.unique().tolist() == pytest.approx([0, 1 / (1 - dropout)], rel=1e-4)
    torch.manual_seed(0)
    assert torch.equal(dropout_factors(torch.empty(3, 101, 331), dropout), factors)


def test_dropout_layers_of_a_packed_encoder_drop_only_in_training(tmp_path, monkeypatch):
    padded, packed = pair(tiny.bert(tmp_path / "model", hidden_dropout_prob=0.5), monkeypatch)
    layers = [module for module in packed.encoder.modules() if isinstance(module, nn.Dropout)]
    assert len(layers) == sum(isinstance(module, nn.Dropout) for module in padded.encoder.modules())
    values = torch.ones(100, 100)
    last = packed.encoder.encoder.layer[-1].output.dropout
    assert torch.equal(last(values), values)
    packed.train()
    assert last(values).unique().tolist() == [0, 2]
    assert type(last) is not nn.Dropout
    assert packed.weights().keys() == padded.weights().keys()


def test_a_row_contains_every_window_and_is_padded_to_a_multiple():
    _, _, attention, _ = batch((3, 5, 2))
    row = packed_row(attention)
    assert row.bounds == [0, 3, 8, 10, ROW_STEP]
    assert row.places.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1, *[0] * (ROW_STEP - 10)]
    values = torch.arange(1, 16).view(3, 5)
    filled = row.fill(values, 99)
    assert filled.tolist() == [[1, 2, 3, 6, 7, 8, 9, 10, 11, 12, *[99] * (ROW_STEP - 10)]]
    assert torch.equal(row.spread(filled[0][:, None])[..., 0], values * attention)
    assert packed_row(torch.ones(2, ROW_STEP, dtype=torch.long)).bounds == [0, ROW_STEP, 2 * ROW_STEP]


@pytest.mark.parametrize(
    ("kind", "width", "device", "expected"),
    [
        ("bert", 384, "cpu", "packed"),
        ("electra", 256, "cpu", "packed"),
        ("bert", 128, "cpu", "eager"),
        ("distilbert", 768, "cpu", "eager"),
        ("bert", 384, "cuda", None),
    ],
)
def test_wide_encoders_of_supported_kinds_are_packed_on_a_cpu(kind, width, device, expected):
    config = SimpleNamespace(model_type=kind, hidden_size=width)
    assert attention_for(config, torch.device(device)) == expected


def test_a_saved_configuration_does_not_name_the_attention(tmp_path, monkeypatch):
    _, packed = pair(tiny.bert(tmp_path / "model"), monkeypatch)
    packed.save(tmp_path / "saved", tiny.wordpiece())
    assert "packed" not in (tmp_path / "saved" / "config.json").read_text()
    assert "attn_implementation" not in (tmp_path / "saved" / "config.json").read_text()
