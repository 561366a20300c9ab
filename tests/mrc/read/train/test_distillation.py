"""Distillation: teachers' probabilities on a student's tokens, their storage, and their effect."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.read.config import ReadConfig
from mrc.read.data.targets import on_tokens
from mrc.read.data.windows import Windower
from mrc.read.model.reader import Reader
from mrc.read.train.distillation import distilled_numbers, read_targets, teacher_probs, write_targets
from mrc.read.train.teacher import soft_targets
from mrc.read.train.trainer import train
from mrc.read.train_config import PassageTarget, SoftTarget
from tests.mrc import tiny
from tests.mrc.read.train.examples import CONFIG, batch_of, example, impossible

EXAMPLES = [example(number, human_labelled=number < 4) for number in range(8)]
STUDENT = replace(CONFIG, batch_size=4, distill_weight=0.5)


def words(text, tokenizer):
    (found,) = Windower(tokenizer).passages([text])
    return found


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers")
    config = replace(CONFIG, max_steps=60, batch_size=8, learning_rate=3e-3, head_learning_rate=1e-2)
    labelled = [replace(item, human_labelled=True) for item in EXAMPLES]
    for seed, kind in enumerate((tiny.bert, tiny.roberta)):
        start = kind(folder / f"start-{seed}")
        train(labelled, start=start, config=config, seed=seed, folder=folder / f"reader-{seed}")
    return [Reader.load(folder / f"reader-{seed}", device="cpu") for seed in range(2)]


def target(starts, ends, *, null=0.1):
    shares = [np.full(len(side), (1 - null) / len(side)) for side in (starts, ends)]
    return PassageTarget(np.array(starts), shares[0], np.array(ends), shares[1], null, null)


def test_a_boundary_goes_to_the_token_that_contains_it_else_to_a_neighbour():
    text = "Tarn  ,  mill"  # tokens 0-4, 6-7, 9-13
    tokens = words(text, tiny.wordpiece())
    assert tokens.offsets.tolist() == [[0, 4], [6, 7], [9, 13]]
    found = on_tokens(target([0, 5, 6, 13], [1, 4, 5, 9], null=0.2), tokens)
    assert found.start == pytest.approx([0.2, 0.4, 0.2])  # 5 is before the comma; 13 behind all: the last token
    assert found.end == pytest.approx([0.6, 0.2, 0])  # 1, 4 and 5 end at the first word or just behind it
    assert found.null_start + found.start.sum() == pytest.approx(1)


@given(st.data())
def test_probabilities_on_a_students_tokens_keep_their_sum(data):
    text = "Mira Oland founded the mill of Tarn in 1893. 한빛 학당은 문을 열었다."
    tokens = words(text, data.draw(st.sampled_from([tiny.wordpiece(), tiny.byte_level()])))
    places = st.lists(st.integers(0, len(text)), min_size=1, max_size=6, unique=True).map(sorted)
    found = on_tokens(target(data.draw(places), data.draw(places)), tokens)
    assert found.start.sum() + found.null_start == pytest.approx(1)
    assert found.end.sum() + found.null_end == pytest.approx(1)


def test_a_passage_without_tokens_has_only_no_answer():
    found = on_tokens(target([0], [1]), words("", tiny.wordpiece()))
    assert (len(found.start), found.null_start, found.null_end) == (0, 1.0, 1.0)


@pytest.mark.parametrize("which", [0, 1, slice(0, 2)])
def test_targets_on_windows_sum_to_1_for_each_question_and_are_in_the_owning_windows(which, teachers):
    examples = [example(0, negatives=("mill " * 90,)), impossible(1), example(2)]
    members = [teachers[which]] if isinstance(which, int) else teachers[which]
    targets = soft_targets(
        members, examples, config=ReadConfig(max_seq_length=96, doc_stride=16, max_answer_length=8), temperature=2.0
    )
    (batch,) = batch_of(examples, soft=targets, batch_tokens=10**6)
    owned = batch.batch.starts.copy()
    owned[np.arange(len(owned)), batch.batch.null] = True
    assert max(batch.sizes) > 2
    for side in (batch.soft_targets.start, batch.soft_targets.end):
        assert (side[~owned] == 0).all()
        assert [side[rows].sum() for rows in batch.rows()] == pytest.approx([1, 1, 1])


def test_questions_without_a_teacher_are_marked():
    targets = SoftTarget((target([0], [4]),))
    (batch,) = batch_of([example(0), example(2), example(4)], soft=[None, targets, None])
    read = {item.golds: bool(flag) for item, flag in zip(batch.items, batch.soft_targets.has_teacher, strict=True)}
    assert read == {("Mira Oland",): False, ("the mill",): True, ("1893",): False}


def test_stored_targets_are_read_back_only_for_the_same_training(tmp_path):
    path = tmp_path / "targets.npz"
    targets = [SoftTarget((target([0, 2], [3]), target([1], [5, 6], null=0.5))), SoftTarget(()), None]
    write_targets(path, targets, "one")
    back = read_targets(path, "one")
    assert [each and len(each.passages) for each in back] == [2, 0, None]
    for one, other in zip(targets[0].passages, back[0].passages, strict=True):
        for name in ("starts", "start_mass", "ends", "end_mass"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        assert (one.null_start, one.null_end) == (other.null_start, other.null_end)
    assert read_targets(path, "other") is None
    assert read_targets(tmp_path / "none.npz", "one") is None


def test_teachers_read_all_examples_or_only_pseudo_labelled_ones():
    assert distilled_numbers(EXAMPLES, human_labelled=True) == list(range(8))
    assert distilled_numbers(EXAMPLES, human_labelled=False) == [4, 5, 6, 7]
    assert distilled_numbers(EXAMPLES[:3], human_labelled=False) == []


def test_without_pseudo_labelled_examples_nothing_is_distilled_and_the_log_says_so(teachers, tmp_path, caplog):
    more = {"start": tiny.bert(tmp_path / "start"), "seed": 0, "config": replace(STUDENT, max_steps=2)}

    def reader(name, **others):
        return train(EXAMPLES[:4], folder=tmp_path / name, **more | others).hash

    alone = reader("alone")
    assert reader("all", teachers=teachers[:1]) != alone
    assert "nothing is distilled" not in caplog.text
    assert reader("unsure", teachers=teachers[:1], distill_human_labelled=False) == alone
    assert "all examples are human-labelled: nothing is distilled" in caplog.text


def test_human_labelled_examples_use_only_their_labels_where_they_are_not_distilled(teachers, tmp_path):
    more = {"start": tiny.bert(tmp_path / "start"), "seed": 0, "config": STUDENT, "teachers": teachers[:1]}
    every, some = (
        train(EXAMPLES, folder=tmp_path / str(flag), distill_human_labelled=flag, **more) for flag in (True, False)
    )
    assert every.hash != some.hash
    records = [json.loads((each.folder / "training.json").read_text())["fingerprint"] for each in (every, some)]
    assert records[0] != records[1]


def test_an_example_has_the_probabilities_of_the_teacher_named_for_it(teachers, tmp_path):
    mine = {item.id: number % 2 for number, item in enumerate(EXAMPLES[:6])}  # the last two are read by both
    given = {"config": STUDENT, "human_labelled": True, "fingerprint": "one"}
    found = teacher_probs(teachers, EXAMPLES, teacher_of=mine, partial=tmp_path / "mine", **given)
    alone = [
        teacher_probs([teacher], EXAMPLES, teacher_of={}, partial=tmp_path / teacher.fingerprint, **given)
        for teacher in teachers
    ]
    both = teacher_probs(teachers, EXAMPLES, teacher_of={}, partial=tmp_path / "both", **given)
    for number, target in enumerate(found):
        wanted = alone[number % 2][number] if number < 6 else both[number]
        assert target.passages[0].start_mass == pytest.approx(wanted.passages[0].start_mass, abs=1e-5)
    again = teacher_probs((), EXAMPLES, teacher_of=mine, partial=tmp_path / "mine", **given)
    assert [each.passages[0].null_start for each in again] == [each.passages[0].null_start for each in found]


def divergence(members, reader, examples):
    """Mean KL divergence of a reader's starts from the members', on the tokens of a byte-level tokenizer."""
    config = ReadConfig(max_seq_length=96, doc_stride=16, max_answer_length=8)
    sides = (soft_targets(side, examples, config=config, temperature=1.0) for side in (members, [reader]))
    divergences = []
    for item, wanted, found in zip(examples, *sides, strict=True):
        tokens = words(item.context, tiny.byte_level())
        one, other = (on_tokens(side.passages[0], tokens).start for side in (wanted, found))
        divergences.append(np.sum(one * np.log((one + 1e-9) / (other + 1e-9))))
    return np.mean(divergences)


def test_a_distilled_student_is_closer_to_its_teachers_than_one_trained_on_labels_alone(teachers, tmp_path):
    start = tiny.roberta(tmp_path / "start", seed=9)
    wrong = [item if item.human_labelled else replace(item, start=0, end=8) for item in EXAMPLES]  # "The mill"
    config = replace(STUDENT, max_steps=50, learning_rate=2e-3, head_learning_rate=1e-2, distill_temperature=1.0)
    held_out = [example(number) for number in range(12, 16)]
    far, near = (
        train(
            wrong,
            start=start,
            config=replace(config, distill_weight=weight),
            seed=0,
            folder=tmp_path / str(weight),
            teachers=teachers,
        )
        for weight in (0.0, 0.9)
    )
    for examples in (EXAMPLES[4:], held_out):
        distance = [divergence(teachers, Reader.load(each.folder, device="cpu"), examples) for each in (near, far)]
        assert distance[0] < distance[1] / 2


def test_a_resumed_training_does_not_run_its_teachers_again(teachers, tmp_path, monkeypatch):
    start = tiny.bert(tmp_path / "start")
    more = {"start": start, "config": STUDENT, "seed": 0, "teachers": teachers[:1]}
    whole = train(EXAMPLES, folder=tmp_path / "whole", **more)

    def interrupt(step, total, loss, seconds_left):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(EXAMPLES, folder=tmp_path / "stopped", progress=interrupt, **more)
    monkeypatch.setattr("mrc.read.train.teacher.soft_targets", lambda *_, **__: pytest.fail("read again"))
    assert train(EXAMPLES, folder=tmp_path / "stopped", **more).hash == whole.hash
    monkeypatch.undo()
    other = train(EXAMPLES, folder=tmp_path / "other", **more | {"teachers": teachers[1:]})
    assert other.hash != whole.hash
    assert (
        json.loads((other.folder / "training.json").read_text())["fingerprint"]
        != json.loads((whole.folder / "training.json").read_text())["fingerprint"]
    )
