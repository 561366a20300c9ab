"""Heads: one interface, padding is ignored, and each can memorise examples."""

import numpy as np
import pytest
import torch
from torch import nn

from mrc.read.model.heads import HEADS, Scores, new_head, pair_band

HIDDEN = 16


def batch(lengths, seed=0, size=HIDDEN):
    """Hidden states of windows of these lengths, and which positions are no padding."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    inside = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), longest, size, generator=generator), inside


def parts(scores):
    return [part for part in (scores.start, scores.end, scores.left, scores.right) if part is not None]


@pytest.fixture(params=sorted(HEADS))
def head(request):
    fresh = new_head(request.param, HIDDEN, seed=3)
    with torch.no_grad():
        for parameter in fresh.parameters():  # weights at which a leak would show
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)))
    return fresh


def test_padding_and_other_windows_do_not_change_scores(head):
    hidden, inside = batch([7, 12, 3])
    together = parts(head(hidden, inside))
    other = hidden.clone()
    other[~inside] = 1e3
    other[1] = 17.0
    for before, after in zip(together, parts(head(other, inside)), strict=True):
        for row, length in ((0, 7), (2, 3)):
            torch.testing.assert_close(after[row, :length], before[row, :length], rtol=1e-5, atol=1e-5)
    alone = parts(head(hidden[2:, :3], inside[2:, :3]))
    for one, many in zip(alone, together, strict=True):
        torch.testing.assert_close(one[0], many[2, :3], rtol=1e-5, atol=1e-5)


def test_a_head_is_saved_and_loaded_by_its_weights(head):
    name = next(name for name, kind in HEADS.items() if type(head) is kind)
    copy = new_head(name, HIDDEN, seed=9)
    copy.load_state_dict(head.state_dict())
    hidden, inside = batch([5, 9])
    for one, other in zip(parts(head(hidden, inside)), parts(copy(hidden, inside)), strict=True):
        assert torch.equal(one, other)


def test_equal_seeds_give_equal_new_weights_and_do_not_use_the_global_generator(head):
    name = next(name for name, kind in HEADS.items() if type(head) is kind)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, two, other = (new_head(name, HIDDEN, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["qa_outputs.weight"], other["qa_outputs.weight"])
    assert one["qa_outputs.weight"].std() < 0.05


@pytest.mark.parametrize("name", ["cnn", "lstm"])
def test_heads_with_context_compute_in_float32_under_autocast(name):
    head = new_head(name, HIDDEN, seed=0)
    hidden, inside = batch([6, 4])
    with torch.autocast("cpu", torch.bfloat16):
        low = head(hidden.bfloat16(), inside)
    assert low.start.dtype is torch.float32
    torch.testing.assert_close(low.start, head(hidden.bfloat16().float(), inside).start)


@pytest.mark.parametrize("name", ["cnn", "lstm"])
def test_heads_with_context_use_neighbouring_tokens(name):
    head = new_head(name, HIDDEN, seed=0)
    hidden, inside = batch([8])
    moved = hidden.clone()
    moved[0, 4] += 5
    assert not torch.equal(head(hidden, inside).start[0, 3], head(moved, inside).start[0, 3])
    linear = new_head("linear", HIDDEN, seed=0)
    assert torch.equal(linear(hidden, inside).start[0, 3], linear(moved, inside).start[0, 3])


def spans(scores, width):
    """(B, T * width) scores of all spans of at most `width` tokens."""
    starts, ends = scores.start[:, :, None], nn.functional.pad(scores.end, (0, width - 1), value=-1e9)
    table = starts + ends.unfold(1, width, 1)
    if scores.left is not None:
        table = table + pair_band(scores.left, scores.right, width).clamp(min=-1e9)
    return table.flatten(1)


def fit(head, hidden, inside, right, *, width):
    """(B, T * width) chances of all spans after the head is trained towards `right`, numbers or shares of spans."""
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(150):
        loss = nn.functional.cross_entropy(spans(head(hidden, inside), width), right)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return spans(head(hidden, inside), width).softmax(dim=1).detach()


@pytest.mark.parametrize("name", sorted(HEADS))
def test_each_head_memorises_eight_examples(name):
    hidden, inside = batch([10] * 8, size=96)
    rng = np.random.default_rng(0)
    right = torch.tensor(rng.integers(0, 8, size=8) * 3 + rng.integers(0, 3, size=8))  # start * width + length - 1
    chances = fit(new_head(name, 96, seed=0), hidden, inside, right, width=3)
    assert torch.equal(chances.argmax(dim=1), right)


def test_the_biaffine_head_learns_which_start_belongs_to_which_end():
    # Right: tokens 0-2 and 1-3. Independent scores give the wrong pairings 0-3 and 1-2 together as much as these:
    # s0 + e2 + s1 + e3 = s0 + e3 + s1 + e2, so the right ones hold at most half of the chance.
    hidden, inside = batch([4])
    right = torch.zeros(1, 4 * 4)
    right[0, 0 * 4 + 2] = right[0, 1 * 4 + 2] = 0.5
    chance = {
        name: float(fit(new_head(name, HIDDEN, seed=0), hidden, inside, right, width=4)[right > 0].sum())
        for name in ("linear", "biaffine")
    }
    assert chance["linear"] < 0.51
    assert chance["biaffine"] > 0.95


def test_the_band_of_pairs_has_products_and_minus_infinity_past_the_end():
    left, right = torch.randn(2, 2, 5, 3, generator=torch.Generator().manual_seed(0))
    band = pair_band(left, right, 3)
    assert band.shape == (2, 5, 3)
    for row in range(2):
        for start in range(5):
            for reach in range(3):
                expected = left[row, start] @ right[row, start + reach] if start + reach < 5 else -torch.inf
                torch.testing.assert_close(band[row, start, reach], torch.as_tensor(expected))
    assert pair_band(left, right, 9)[0, 4].tolist()[1:] == [-np.inf] * 8


def test_scores_without_a_pair_have_no_left_and_right():
    hidden, inside = batch([4])
    assert new_head("linear", HIDDEN, seed=0)(hidden, inside).left is None
    biaffine = new_head("biaffine", HIDDEN, seed=0)(hidden, inside)
    assert isinstance(biaffine, Scores)
    assert biaffine.left.shape == biaffine.right.shape == (1, 4, 64)
