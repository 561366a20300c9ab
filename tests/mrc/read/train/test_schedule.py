"""The schedule: questions, phase and learning rate of every update."""

from collections import Counter

import numpy as np
import pytest

from mrc.read.train.schedule import plan
from mrc.read.train_config import TrainConfig
from tests.mrc.read.train.examples import changed

CONFIG = TrainConfig(max_steps=6, batch_size=8)


def batches(flags, config, *, seed=0, answered=None, repeats=None):
    updates = plan(flags, answered or [True] * len(flags), config, seed=seed, repeats=repeats).updates
    return [update.numbers for update in updates]


@pytest.mark.parametrize(("human_labelled", "others"), [(10, 0), (0, 10), (3, 100), (50, 50), (100, 3), (1, 1)])
def test_each_epoch_has_all_examples_and_every_batch_enough_human_labelled_ones(human_labelled, others):
    flags = [True] * human_labelled + [False] * others
    config = changed(CONFIG, max_steps=None, epochs=1, pseudo_epochs=1)
    found = batches(flags, config)
    assert {number for batch in found for number in batch} == set(range(len(flags)))
    assert all(0 < len(batch) <= 8 for batch in found)
    untrusted = [number for batch in found for number in batch if not flags[number]]
    assert others <= len(untrusted) < others + 8, "the last batch is filled up"
    if human_labelled and others:
        assert all(sum(flags[number] for number in batch) >= len(batch) / 4 for batch in found)


@pytest.mark.parametrize(("human_labelled", "others"), [(400, 400), (400, 1000), (400, 100)])
def test_trusted_and_pseudo_labels_have_their_own_numbers_of_passes(human_labelled, others):
    flags = [True] * human_labelled + [False] * others
    found = batches(flags, changed(CONFIG, max_steps=None, epochs=4, pseudo_epochs=2))
    counts = Counter(number < human_labelled for batch in found for number in batch)
    assert counts[True] / human_labelled == pytest.approx(4, abs=0.05)
    assert counts[False] / others == pytest.approx(2, abs=0.1)
    seen = Counter(number for batch in found for number in batch)
    assert {seen[number] for number in range(human_labelled)} <= {3, 4, 5}, "all are passed over alike"
    assert len({len(batch) for batch in found}) == 1
    shares = [sum(number < human_labelled for number in batch) for batch in found]
    assert max(shares) - min(shares) <= 1, "every batch has the same mixture"


@pytest.mark.parametrize(("steps", "others", "passes"), [(100, 10_000, 2.0), (25, 10_000, 1.5), (600, 100, 32.0)])
def test_a_fixed_number_of_updates_shows_trusted_labels_twice_if_three_quarters_allow(steps, others, passes):
    """100 updates of 8 hold 800 examples: 2 x 100 are trusted. 25 hold 200, of which three quarters are 150 = 1.5 x
    100. 600 hold 4,800: in the proportion of 4 x 100 to 2 x 100, two thirds are 3,200 = 32 x 100."""
    found = batches([True] * 100 + [False] * others, changed(CONFIG, max_steps=steps, human_labelled_share=0.0))
    assert len(found) == steps
    trusted = sum(number < 100 for batch in found for number in batch)
    assert trusted / 100 == pytest.approx(passes, abs=0.01)


def test_single_examples_an_update_are_still_of_both_kinds():
    found = batches([True] * 10 + [False] * 10, changed(CONFIG, max_steps=30, batch_size=1))
    assert {len(batch) for batch in found} == {1}
    assert {batch[0] < 10 for batch in found} == {True, False}


@pytest.mark.parametrize(("share", "least"), [(0.0, 1), (0.25, 2), (0.5, 4), (0.7, 6), (1.0, 7)])
def test_human_labelled_examples_fill_their_share_of_every_batch(share, least):
    found = batches([True] * 3 + [False] * 100, changed(CONFIG, max_steps=None, epochs=1, human_labelled_share=share))
    # of 8; one place is left for the others
    assert {sum(number < 3 for number in batch) for batch in found} == {least}


def test_max_steps_is_an_equal_budget_for_unequal_data():
    for count in (3, 30, 300):
        found = batches([True] * count, changed(CONFIG, max_steps=17))
        assert len(found) == 17
        assert found == batches([True] * count, changed(CONFIG, max_steps=17))
        assert found != batches([True] * count, changed(CONFIG, max_steps=17), seed=1)
    assert len(batches([True] * 80, changed(CONFIG, max_steps=None, epochs=2.5))) == 25


def test_the_rate_rises_and_falls_in_the_main_phase_and_falls_from_a_tenth_after_it():
    config = changed(CONFIG, max_steps=4, warmup_ratio=0.25, gold_epochs=2, rl_epochs=1)
    updates = plan([True] * 10, [True] * 8 + [False] * 2, config, seed=0).updates
    assert [update.phase for update in updates] == ["main"] * 4 + ["gold"] * 4 + ["rl"]
    shares = [update.rate_share for update in updates]
    # one update of warm-up: (1 + 0) / (1 + 1), then 3/3, 2/3, 1/3; then a tenth of 4/4, 3/4, 2/4, 1/4; then of 1/1
    assert shares == pytest.approx([1 / 2, 1, 2 / 3, 1 / 3, 0.1, 0.075, 0.05, 0.025, 0.1])


def test_the_later_phases_have_human_labelled_examples_and_the_last_only_answered_ones():
    human_labelled = [True, False] * 10
    answered = [True] * 10 + [False] * 10
    config = changed(CONFIG, gold_epochs=1, rl_epochs=2)
    updates = plan(human_labelled, answered, config, seed=0).updates
    seen = {
        phase: Counter(number for update in updates if update.phase == phase for number in update.numbers)
        for phase in ("gold", "rl")
    }
    assert seen["gold"] == dict.fromkeys(range(0, 20, 2), 1)
    assert seen["rl"] == dict.fromkeys(range(0, 10, 2), 2)


def test_without_later_epochs_or_human_labelled_examples_there_is_only_the_main_phase():
    plain = plan([False] * 20, [True] * 20, CONFIG, seed=0)
    assert plan([False] * 20, [True] * 20, changed(CONFIG, gold_epochs=1, rl_epochs=1), seed=0) == plain
    main = plan([True] * 20, [True] * 20, CONFIG, seed=0).updates
    assert plan([True] * 20, [True] * 20, changed(CONFIG, gold_epochs=1), seed=0).updates[:6] == main


def test_repeated_examples_occur_as_often_as_requested_in_each_epoch():
    found = batches([True] * 20, changed(CONFIG, max_steps=None, epochs=2), repeats=np.array([3, 2] + [1] * 18))
    counts = Counter(number for batch in found for number in batch)
    assert counts == {0: 6, 1: 4} | dict.fromkeys(range(2, 20), 2)


@pytest.mark.parametrize(("every", "expected"), [(1.0, 3), (0.5, 2), (0.1, 1), (2.0, 6)])
def test_evaluations_are_counted_in_epochs_of_the_main_phase(every, expected):
    # 20 examples in batches of 8: 3 updates an epoch
    config = changed(CONFIG, max_steps=None, epochs=2, evaluate_every=every)
    assert plan([True] * 20, [True] * 20, config, seed=0).evaluate_every == expected
