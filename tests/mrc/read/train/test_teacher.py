"""Soft targets: probabilities on characters that sum to one, for all tokenizers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc.decode import Logits
from mrc.ranking import Candidate
from mrc.read.config import ReadConfig, WindowConfig
from mrc.read.data.targets import on_tokens
from mrc.read.model.reader import Reader
from mrc.read.train.teacher import soft_targets
from mrc.read.train.trainer import train
from mrc.read.train_config import TrainConfig, TrainingExample
from mrc.voting import span_probs
from tests.mrc import tiny
from tests.mrc.read.random_network import RandomNetwork

CONFIG = ReadConfig(max_seq_length=48, doc_stride=12, max_answer_length=4, chunk_size=2)
TEXTS = st.text(st.sampled_from("Mira Oland1893. 한빛학당은\u3000👩‍🚀 é"), max_size=90)
READERS = {}


@pytest.fixture(scope="module", autouse=True)
def readers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers")
    for name in ("bert", "roberta"):
        READERS[name] = Reader.load(getattr(tiny, name)(folder / name), precision="fp32")
    return READERS


def example(context, *negatives, key="1"):
    return TrainingExample(key, "Who?", context, -1, -1, negatives=negatives)


def sums(target):
    starts = sum(own.start_mass.sum() + own.null_start for own in target.passages)
    return starts, sum(own.end_mass.sum() + own.null_end for own in target.passages)


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3), st.floats(0.5, 5))
def test_each_side_of_a_target_sums_to_one_on_characters_and_on_any_students_tokens(texts, temperature):
    teachers = list(READERS.values())
    (target,) = soft_targets(teachers, [example(*texts)], config=CONFIG, temperature=temperature)
    assert sums(target) == pytest.approx((1, 1))
    for student in teachers:
        tokens = student.windower.passages(texts)
        placed = [on_tokens(own, cut) for own, cut in zip(target.passages, tokens, strict=True)]
        assert sum(own.start.sum() + own.null_start for own in placed) == pytest.approx(1)
        assert sum(own.end.sum() + own.null_end for own in placed) == pytest.approx(1)


def test_targets_of_one_teacher_are_its_softmax_at_the_temperature(readers):
    text, negative, temperature = "Mira Oland founded the mill.", "Tarn", 2.0
    windower = readers["bert"].windower
    (target,) = soft_targets([readers["bert"]], [example(text, negative)], config=CONFIG, temperature=temperature)
    (question,) = windower.questions(["Who?"], max_seq_length=48)
    parts = []
    for passage in windower.passages([text, negative]):
        (window,) = windower.windows(question, passage, max_seq_length=48, doc_stride=12)
        logits = readers["bert"].logits(batch_of(window, windower), band=4)
        inside = slice(window.first, window.first + window.count)
        parts.append([np.append(side[0, inside], side[0, window.null]) for side in (logits.start, logits.end)])
    for side, masses in ((0, ("start_mass", "null_start")), (1, ("end_mass", "null_end"))):
        weights = [np.exp(part[side] / temperature) for part in parts]
        total = sum(weight.sum() for weight in weights)
        for weight, own in zip(weights, target.passages, strict=True):
            found = np.append(getattr(own, masses[0]), getattr(own, masses[1]))
            assert found == pytest.approx(weight / total, rel=1e-4)


def batch_of(window, windower):
    from mrc.read.data.windows import collate

    return collate([window], pad_id=windower.pad_id)


def test_targets_of_several_teachers_are_their_mean(readers):
    one, other = (soft_targets([own], [example("Mira")], config=CONFIG, temperature=1.0)[0] for own in readers.values())
    (both,) = soft_targets(list(readers.values()), [example("Mira")], config=CONFIG, temperature=1.0)
    assert both.passages[0].null_start == pytest.approx((one.passages[0].null_start + other.passages[0].null_start) / 2)
    first = [
        dict(zip(own.passages[0].starts.tolist(), own.passages[0].start_mass, strict=True))
        for own in (one, other, both)
    ]
    for place, share in first[2].items():
        assert share == pytest.approx((first[0].get(place, 0.0) + first[1].get(place, 0.0)) / 2)


class Biaffine:
    """A head whose only spans of any mass are the first word and the second, never both."""

    max_positions = 48

    def __init__(self, windower):
        self.windower = windower

    def stream(self, batches, *, band):
        for batch in batches:
            shape = batch.ids.shape
            pair = np.full((*shape, band), -40, np.float32)
            pair[:, :, 0] = 3.0
            zeros = np.zeros(shape, np.float32)
            yield batch, Logits(zeros, zeros, pair)


def test_targets_of_a_biaffine_head_are_the_marginals_of_its_spans(readers):
    # two spans of mass e^3 and "no answer" of mass 1
    windower = readers["bert"].windower
    text = "in Tarn"
    assert len(windower.passages([text])[0].ids) == 2
    (target,) = soft_targets([Biaffine(windower)], [example(text)], config=CONFIG, temperature=1.0)
    share = math.exp(3) / (2 * math.exp(3) + 1)
    assert target.passages[0].start_mass == pytest.approx([share, share])
    assert target.passages[0].end_mass == pytest.approx([share, share])
    assert target.passages[0].null_start == pytest.approx(1 - 2 * share)


def test_marginals_of_a_biaffine_head_are_over_all_windows_of_a_passage(readers):
    windower = readers["bert"].windower
    context = "the mill of Tarn " * 12
    network = RandomNetwork(windower, 0, biaffine=True)
    (question,) = windower.questions(["Who?"], max_seq_length=48)
    (tokens,) = windower.passages([context])
    windows = windower.windows(question, tokens, max_seq_length=48, doc_stride=12)
    assert len(windows) > 1
    starts, ends, null = np.zeros(len(tokens.ids)), np.zeros(len(tokens.ids)), 0.0
    for window in windows:
        start, end, *pair = network.window(window.ids, 4)
        null += math.exp(start[window.null] + end[window.null])
        for i in range(window.own_start, window.own_end):
            for j in range(i, min(i + 4, window.first + window.count)):
                mass = math.exp(start[i] + end[j] + pair[j - i][i])
                starts[i + window.token - window.first] += mass
                ends[j + window.token - window.first] += mass
    (target,) = soft_targets([network], [example(context)], config=CONFIG, temperature=1.0)
    total = starts.sum() + null
    assert target.passages[0].start_mass == pytest.approx(starts / total, rel=1e-5)
    assert target.passages[0].end_mass == pytest.approx(ends / total, rel=1e-5)
    assert target.passages[0].null_end == pytest.approx(null / total)


def test_targets_come_in_the_order_of_the_examples(readers):
    examples = [example(text, key=text) for text in ("Mira", "Oland founded", "the mill of Tarn", "1893", "학당")]
    found = soft_targets([readers["bert"]], examples, config=CONFIG, temperature=1.0)
    for own, target in zip(examples, found, strict=True):
        (alone,) = soft_targets([readers["bert"]], [own], config=CONFIG, temperature=1.0)
        assert target.passages[0].start_mass == pytest.approx(alone.passages[0].start_mass, rel=1e-4)
        assert target.passages[0].ends.max() <= len(own.context)


@pytest.mark.parametrize(("members", "temperature", "complaint"), [([], 1.0, "one teacher"), ([None], 0, "above 0")])
def test_no_teachers_and_temperatures_not_above_0_are_refused(members, temperature, complaint):
    with pytest.raises(ValueError, match=complaint):
        soft_targets(members, [], config=CONFIG, temperature=temperature)


NAMES = ("Mira", "Oland", "Tarn", "한빛", "가람", "the mill", "학당")


def taught_examples(first, last):
    """Questions whose gold answer is the year, of which the teachers know nothing."""
    found = []
    for number in range(first, last):
        name, other = NAMES[number % 7], NAMES[(number * 3 + 1) % 7]
        context = f"{name} founded {other} in {1893 + number}. The mill stands in {name}."
        start = context.index(str(1893 + number))
        found.append(TrainingExample(str(number), f"Who founded {other}?", context, start, start + 4))
    return found


def divergence(teacher, student):
    """Mean over questions of the KL divergence of the student's starts from the teachers', in nats."""
    total = 0.0
    for own, other in zip(teacher, student, strict=True):
        for one, two in zip(own.passages, other.passages, strict=True):
            assert one.starts.tolist() == two.starts.tolist()
            total += float(np.sum(one.start_mass * np.log(one.start_mass / two.start_mass)))
            total += one.null_start * math.log(one.null_start / two.null_start)
    return total / len(teacher)


def student_of(teachers, start, folder, *, share):
    """A reader trained on 40 questions, of which the teachers give this share of the loss."""
    config = TrainConfig(
        max_steps=20,
        batch_size=8,
        learning_rate=3e-3,
        head_learning_rate=3e-3,
        windows=WindowConfig(48, 12),
        distill_weight=share,
        distill_temperature=1.0,
    )
    more = {"config": config, "seed": 0, "teachers": teachers, "precision": "fp32"}
    train(taught_examples(0, 40), start=start, folder=folder, **more)
    return Reader.load(folder, precision="fp32")


def test_a_student_gets_closer_to_its_teachers_than_one_trained_on_labels_alone(tmp_path):
    teachers = [
        Reader.load(tiny.bert(tmp_path / f"teacher{seed}", seed=seed, initializer_range=0.2), precision="fp32")
        for seed in (1, 2)
    ]
    start = tiny.bert(tmp_path / "start")
    held_out = taught_examples(40, 60)
    wanted = soft_targets(teachers, held_out, config=CONFIG, temperature=1.0)
    found = {}
    for share in (0.0, 1.0):
        student = student_of(teachers, start, tmp_path / f"student{share}", share=share)
        found[share] = divergence(wanted, soft_targets([student], held_out, config=CONFIG, temperature=1.0))
    assert found[1.0] < found[0.0] / 2


class Stored:
    """Answers each question with the name at the start of its passage, but the first one not at all."""

    fingerprint = "stored"

    def char_probs(self, groups, *, temperature=1.0):
        return [self.one(group, temperature) for group in groups]

    def one(self, group, temperature):
        if group.question == taught_examples(0, 1)[0].question:
            return None
        name = group.passages[0].text.split(" founded")[0]
        span = Candidate(name, group.passages[0].id, 0, 0, len(name), math.log(0.9) / temperature)
        return span_probs(group.passages, [span], null=0.1 ** (1 / temperature))


def test_stored_answers_teach_what_no_label_says(tmp_path):
    start, held_out = tiny.bert(tmp_path / "start"), taught_examples(40, 60)
    (none, target) = soft_targets([Stored()], taught_examples(0, 2), config=CONFIG, temperature=2.0)
    assert none is None
    assert target.passages[0].start_mass == pytest.approx([math.sqrt(0.9) / (math.sqrt(0.9) + math.sqrt(0.1))])
    found = {}
    for share in (0.0, 1.0):
        student = student_of([Stored()], start, tmp_path / f"student{share}", share=share)
        answers = soft_targets([student], held_out, config=CONFIG, temperature=1.0)
        found[share] = float(
            np.mean([own.passages[0].start_mass[own.passages[0].starts == 0].sum() for own in answers])
        )
    assert found[1.0] > 2 * found[0.0]  # all labels are years
