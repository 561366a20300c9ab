"""Reading streams, keeps its order, and says the same however questions are batched."""

from dataclasses import replace

import numpy as np
import pytest

from mrc.read.config import ReadConfig
from mrc.read.model import Reader
from mrc.read.predict import Group, read_groups
from mrc.types import Passage
from tests.mrc import tiny

CONFIG = ReadConfig(max_seq_length=64, doc_stride=16, max_answer_length=4, n_best_size=5, chunk_size=2)
TEXTS = ("Mira Oland founded the mill of Tarn in 1893. ", "한빛 학당은 1921년에 문을 열었다. ", "the mill " * 70, "")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader.load(tiny.bert(tmp_path_factory.mktemp("start") / "bert"), precision="fp32")


def group(number):
    passages = tuple(Passage(f"p{rank}", text) for rank, text in enumerate(TEXTS))
    return Group(f"Who founded the mill {number}?", passages[: number % 5])


def ranked(reader, groups, config=CONFIG):
    return list(read_groups(reader, groups, config=config, normalize=str.lower))


def test_batches_and_chunks_do_not_change_the_answers(reader):
    groups = [group(number) for number in range(9)]
    expected = ranked(reader, groups, replace(CONFIG, batch_tokens=1, chunk_size=1))
    for config in (CONFIG, replace(CONFIG, batch_tokens=10_000, chunk_size=100)):
        for found, alone in zip(ranked(reader, groups, config), expected, strict=True):
            assert [answer.text for answer in found.answers] == [answer.text for answer in alone.answers]
            assert [answer.score for answer in found.answers] == pytest.approx(
                [a.score for a in alone.answers], rel=1e-4
            )
            assert found.null_score == pytest.approx(alone.null_score, rel=1e-4)


def test_equal_input_gives_equal_bits(reader):
    groups = [group(number) for number in range(5)]
    assert ranked(reader, groups) == ranked(reader, groups)


def test_questions_are_taken_a_chunk_at_a_time(reader):
    taken = []

    def source():
        for number in range(10):
            taken.append(number)
            yield group(number)

    stream = read_groups(reader, source(), config=CONFIG, normalize=str.lower)
    assert taken == []
    next(stream)
    assert taken == [0, 1]
    next(stream)
    next(stream)
    assert taken == [0, 1, 2, 3]


def test_masses_over_all_passages_are_at_most_one_and_all_of_it_with_every_answer_kept(reader):
    passages = (Passage("a", "Mira Oland"), Passage("b", "the mill of Tarn"))
    config = replace(CONFIG, n_best_size=50)
    (found,) = ranked(reader, [Group("Who?", passages)], config)
    assert sum(answer.score for answer in found.answers) + found.null_score == pytest.approx(1)
    (few,) = ranked(reader, [Group("Who?", passages)], replace(CONFIG, n_best_size=2))
    assert len(few.answers) == 2
    assert sum(answer.score for answer in few.answers) + few.null_score < 1
    assert few.answers == found.answers[:2]


def test_a_span_of_a_long_passage_is_counted_once(reader):
    class Flat:
        """Logits of 0 everywhere: every span weighs 1."""

        windower = reader.windower
        max_seq_length = 128

        def logits(self, batch):
            zeros = np.zeros(batch.ids.shape, np.float32)
            return zeros, zeros

    tokens, longest = len(reader.windower.passages([TEXTS[2]])[0].ids), CONFIG.max_answer_length
    spans = sum(min(longest, tokens - start) for start in range(tokens))
    windows = len(
        reader.windower.windows(
            reader.windower.questions(["Who?"], max_seq_length=64)[0],
            reader.windower.passages([TEXTS[2]])[0],
            max_seq_length=64,
            doc_stride=16,
        )
    )
    (found,) = ranked(Flat(), [Group("Who?", (Passage("p", TEXTS[2]),))])
    assert windows > 2
    assert found.null_score == pytest.approx(windows / (spans + windows))


def test_a_question_without_passages_has_no_answer(reader):
    (found,) = ranked(reader, [group(0)])
    assert found.answers == ()
    assert found.null_score == 1


def test_byte_level_tokens_give_answers_without_outer_white_space(tmp_path):
    reader = Reader.load(tiny.roberta(tmp_path / "roberta"))
    text = "  Mira Oland \r\n 한빛 👩‍🚀  "
    config = replace(CONFIG, n_best_size=100)
    (found,) = ranked(reader, [Group("Who?", (Passage("p", text),))], config)
    assert found.answers
    for answer in found.answers:
        assert text[answer.start : answer.end] == answer.text == answer.text.strip() != ""
