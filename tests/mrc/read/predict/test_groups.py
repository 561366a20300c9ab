"""Reading: order, streaming, equality with exhaustive search, independence of batches."""

import logging
import math
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc.decode import Logits
from mrc.errors import BadCheckpoint, OutOfMemory
from mrc.read.config import ReadConfig
from mrc.read.model.reader import Reader
from mrc.read.predict.adaptive import StoppingRule
from mrc.read.predict.groups import Group, read_groups, read_masses
from mrc.types import Passage
from tests.mrc import tiny
from tests.mrc.read.random_network import RandomNetwork

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


def test_masses_sum_to_at_most_one_and_to_one_with_every_answer_kept(reader):
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
        max_positions = 128

        def stream(self, batches, *, band):
            for batch in batches:
                zeros = np.zeros(batch.ids.shape, np.float32)
                yield batch, Logits(zeros, zeros)

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


def searched(network, group, config, *, biaffine):
    """(text, start, end, passage's number, summed mass of its text) of all answers, and the mass of "no answer"."""
    (question,) = network.windower.questions([group.question], max_seq_length=config.max_seq_length)
    total, null, kept = 0.0, 0.0, []
    for rank, passage in enumerate(group.passages):
        (tokens,) = network.windower.passages([passage.text])
        spans = []
        for window in network.windower.windows(
            question, tokens, max_seq_length=config.max_seq_length, doc_stride=config.doc_stride
        ):
            start, end, *pair = network.window(window.ids, config.max_answer_length)
            null += math.exp(start[window.null] + end[window.null])
            for i in range(window.own_start, window.own_end):
                for j in range(i, min(i + config.max_answer_length, window.first + window.count)):
                    score = float(start[i] + end[j] + (pair[j - i][i] if biaffine else 0))
                    total += math.exp(score)
                    first = tokens.offsets[i + window.token - window.first, 0]
                    last = tokens.offsets[j + window.token - window.first, 1]
                    text = passage.text[first:last]
                    begin = first + len(text) - len(text.lstrip())
                    spans.append((-score, begin, len(text.strip()), rank))
        kept += sorted(span for span in spans if span[2])[: config.n_best_size]
    answers = {}
    for score, begin, length, rank in sorted(kept, key=lambda span: (span[0], span[3], span[1], span[2])):
        text = group.passages[rank].text[begin : begin + length]
        answers.setdefault(text.lower(), []).append((text, begin, begin + length, rank, math.exp(-score)))
    merged = [(*spans[0][:4], sum(span[4] for span in spans) / (total + null)) for spans in answers.values()]
    return sorted(merged, key=lambda answer: -answer[4]), null / (total + null)


WORDS = st.lists(st.sampled_from(["Mira", "the", "mill", "Tarn", "1893", "한빛", "학당", ".", " ", "THE"]), max_size=60)


@settings(max_examples=25, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=3), st.integers(0, 1000), st.booleans(), st.integers(1, 4))
def test_answers_are_those_of_an_exhaustive_search_over_all_windows_of_all_passages(texts, seed, biaffine, longest):
    windower = WINDOWERS["bert"]
    config = ReadConfig(max_seq_length=40, doc_stride=8, max_answer_length=longest, n_best_size=7)
    group = Group("Who founded the mill?", tuple(Passage(f"p{n}", " ".join(words)) for n, words in enumerate(texts)))
    network = RandomNetwork(windower, seed, biaffine=biaffine)
    (found,) = ranked(network, [group], config)
    answers, null = searched(network, group, config, biaffine=biaffine)
    assert found.null_score == pytest.approx(null)
    assert found.read == len(texts)
    assert [answer.score for answer in found.answers] == pytest.approx([answer[4] for answer in answers[:7]])
    spans = {(text, start, end, f"p{rank}") for text, start, end, rank, _ in answers}
    assert {(a.text, a.start, a.end, a.passage_id) for a in found.answers} <= spans
    masses = [answer[4] for answer in answers]
    for place, (one, (text, start, end, rank, mass)) in enumerate(zip(found.answers, answers, strict=False)):
        others = masses[:place] + masses[place + 1 :]
        if all(abs(mass - other) > 1e-9 * mass for other in others):  # equal masses may stand in either order
            assert (one.text, one.start, one.end, one.passage_id) == (text, start, end, f"p{rank}")


WINDOWERS = {}


@pytest.fixture(scope="module", autouse=True)
def windowers(reader):
    WINDOWERS["bert"] = reader.windower


def test_a_larger_pool_needs_no_more_memory(reader):
    class Zeros(RandomNetwork):
        def stream(self, batches, *, band):
            for batch in batches:
                zeros = np.zeros(batch.ids.shape, np.float32)
                yield batch, Logits(zeros, zeros)

    def peak(count):
        groups = (Group(f"Who {number % 50}?", (Passage("p", TEXTS[0]),)) for number in range(count))
        tracemalloc.start()
        try:
            for _ in read_groups(Zeros(reader.windower, 0), groups, config=config, normalize=str.lower):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    config = replace(CONFIG, chunk_size=50)
    peak(50)  # what is loaded once
    assert peak(600) < peak(100) * 1.1 + 2**18


NEVER = StoppingRule((1.0, 1.0, 1.0), risk=0.01, questions=0, changed=0, passages=1.0)
ALWAYS = StoppingRule((-1.0, -1.0, -1.0), risk=0.5, questions=0, changed=0, passages=0.3)


def test_a_rule_that_never_stops_gives_the_same_answers_in_waves(reader):
    groups = [group(number) for number in range(9)]
    network = RandomNetwork(reader.windower, 3)
    assert ranked(network, groups) == list(
        read_groups(network, groups, config=CONFIG, normalize=str.lower, stopping=NEVER)
    )


def test_a_rule_that_stops_equals_reading_a_shorter_list(reader):
    groups = [group(number) for number in range(9)]
    network = RandomNetwork(reader.windower, 3)
    found = list(read_groups(network, groups, config=CONFIG, normalize=str.lower, stopping=ALWAYS))
    assert [answers.read for answers in found] == [min(1, number % 5) for number in range(9)]
    assert found == ranked(network, [replace(one, passages=one.passages[:1]) for one in groups])


def test_a_question_with_more_passages_than_the_rule_was_fitted_on_is_read_completely(reader):
    of_three = replace(ALWAYS, thresholds=(-1.0, -1.0))
    passages = tuple(Passage(f"p{rank}", TEXTS[rank % 2]) for rank in range(5))
    groups = [Group("Who?", passages[:count]) for count in range(6)]
    network = RandomNetwork(reader.windower, 3)
    found = list(read_groups(network, groups, config=CONFIG, normalize=str.lower, stopping=of_three))
    assert [answers.read for answers in found] == [0, 1, 1, 1, 4, 5]
    assert found[4:] == ranked(network, groups[4:])


def test_masses_equal_those_of_reading_one_more_passage_each_time(reader):
    network = RandomNetwork(reader.windower, 5)
    config = replace(CONFIG, n_best_size=50)
    groups = [group(number) for number in range(1, 5)]
    for one, held in zip(groups, read_masses(network, groups, config=config, normalize=str.lower), strict=True):
        for count in range(1, len(one.passages) + 1):
            (answers,) = ranked(network, [replace(one, passages=one.passages[:count])], config)
            scores = [answer.score for answer in answers.answers]
            assert held.answer[count - 1] == answers.answers[0].text.lower()
            assert held.margins[count - 1] == pytest.approx(scores[0] - scores[1])


def test_spans_are_moved_before_equal_texts_merge(reader):
    passages = (Passage("a", "the mill"), Passage("b", "of mill"))

    def without_first_word(question, passage, start, end):
        assert question == "Who?"
        return (passage.text.index("mill"), end) if end == len(passage.text) else (start, end)

    config = replace(CONFIG, n_best_size=50)
    network = RandomNetwork(reader.windower, 1)
    (plain,) = ranked(network, [Group("Who?", passages)], config)
    (moved,) = read_groups(
        network, [Group("Who?", passages)], config=config, normalize=str.lower, refine=without_first_word
    )
    scores = {answer.text: answer.score for answer in plain.answers}
    assert {answer.text for answer in moved.answers} == {"the", "of", "mill"}
    merged = next(answer for answer in moved.answers if answer.text == "mill")
    assert merged.score == pytest.approx(scores["mill"] + scores["the mill"] + scores["of mill"])
    for answer in moved.answers:
        text = next(passage.text for passage in passages if passage.id == answer.passage_id)
        assert text[answer.start : answer.end] == answer.text


class Cramped(RandomNetwork):
    """Runs out of memory for batches of more than so many tokens."""

    def __init__(self, windower, room, error):
        super().__init__(windower, 3)
        self._room, self._error = room, error

    def stream(self, batches, *, band):
        for found in super().stream(batches, band=band):
            if found[0].ids.size > self._room:
                raise self._error
            yield found


class Ahead(Cramped):
    """Takes all batches, as several networks that are averaged do, before it gives the first."""

    def stream(self, batches, *, band):
        for batch in (taken := list(batches)):
            if batch.ids.size > self._room:
                raise self._error
        yield from RandomNetwork.stream(self, taken, band=band)


NO_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 9 bytes")


def test_the_batch_that_did_not_fit_may_be_one_taken_ahead(reader, caplog):
    # A window of 64 tokens is a batch of its own and fits; of shorter ones there are several in a batch, and too many.
    long, short = Passage("long", "the mill " * 27), Passage("short", TEXTS[0])
    groups = [Group("Who?", (passage,)) for passage in (long, *[short] * 6)]
    config = replace(CONFIG, chunk_size=10, batch_tokens=100)
    expected = RandomNetwork(reader.windower, 3)
    answers = ranked(expected, groups, config)
    sizes = [rows * width for rows, width in expected.batches]
    assert (expected.batches[0], sizes[1] > 64) == ((1, 64), True)
    with caplog.at_level(logging.WARNING):
        assert ranked(Ahead(reader.windower, 64, NO_MEMORY), groups, config) == answers
    assert f"forward passes of {sizes[1] // 2} tokens from now on" in caplog.text
    with pytest.raises(OutOfMemory, match="one window of 64 tokens does not fit"):
        ranked(Ahead(reader.windower, 20, NO_MEMORY), groups, config)


@pytest.mark.parametrize("error", [NO_MEMORY, MemoryError()])
def test_where_memory_runs_out_batches_stay_halved(reader, caplog, error):
    groups = [group(3) for _ in range(20)]
    config = replace(CONFIG, chunk_size=10, batch_tokens=1000)
    network = Cramped(reader.windower, 300, error)
    with caplog.at_level(logging.WARNING):
        found = ranked(network, groups, config)
    assert found == ranked(RandomNetwork(reader.windower, 3), groups, config)
    halvings = [record.getMessage() for record in caplog.records if "out of memory" in record.getMessage()]
    assert (
        len(halvings) == 2
    )  # 15 windows of 64 tokens, 7 and then 3: the second chunk begins with what the first learned
    assert "forward passes of 224 tokens from now on" in halvings[1]


def test_a_window_too_large_for_memory_gives_one_clear_line(reader):
    with pytest.raises(OutOfMemory, match=r"one window of 64 tokens does not fit into memory; lower max_seq_length"):
        ranked(Cramped(reader.windower, 10, NO_MEMORY), [group(3)], replace(CONFIG, batch_tokens=64))


def test_other_errors_of_a_network_pass_through(reader):
    with pytest.raises(RuntimeError, match="shapes"):
        ranked(Cramped(reader.windower, 10, RuntimeError("shapes do not fit")), [group(3)])


def test_windows_longer_than_the_network_are_refused(reader):
    short = SimpleNamespace(windower=reader.windower, max_positions=32)
    with pytest.raises(BadCheckpoint, match="max_seq_length 64 is more than the model's 32 positions"):
        ranked(short, [group(1)])


def test_passages_without_a_token_give_all_the_mass_to_no_answer(reader):
    (found,) = ranked(reader, [Group("Who?", (Passage("a", ""), Passage("b", " \n")))])
    assert found.answers == ()
    assert found.null_score == pytest.approx(1)
    assert found.read == 2
    (found,) = read_groups(
        reader, [Group("Who?", (Passage("a", ""),))], config=CONFIG, normalize=str.lower, stopping=NEVER
    )
    assert found.answers == ()


# --- priors of passages -----------------------------------------------------------------------------


def test_a_prior_multiplies_the_odds_of_a_passage_and_changes_nothing_within_it(reader):
    passages = (Passage("a", "Mira Oland"), Passage("b", "the mill of Tarn"))
    config = replace(CONFIG, n_best_size=50)
    (plain,) = ranked(reader, [Group("Who?", passages)], config)
    (raised,) = ranked(reader, [Group("Who?", passages, (0.0, 2.0))], config)
    before, after = ({(a.passage_id, a.start, a.end): a.probability for a in each.answers} for each in (plain, raised))
    assert before.keys() == after.keys()
    lifts = {key: math.log(after[key] / before[key]) for key in before}
    of_a, of_b = ([lift for (passage, *_), lift in lifts.items() if passage == name] for name in "ab")
    assert np.ptp(of_a) == pytest.approx(0, abs=1e-6)
    assert np.ptp(of_b) == pytest.approx(0, abs=1e-6)
    assert of_b[0] - of_a[0] == pytest.approx(2, abs=1e-6)
    assert sum(a.score for a in raised.answers) + raised.null_score == pytest.approx(1)


def test_equal_priors_change_no_probability(reader):
    passages = (Passage("a", "Mira Oland"), Passage("b", "the mill of Tarn"))
    (plain,) = ranked(reader, [Group("Who?", passages)])
    (raised,) = ranked(reader, [Group("Who?", passages, (3.0, 3.0))])
    assert [a.text for a in raised.answers] == [a.text for a in plain.answers]
    assert [a.score for a in raised.answers] == pytest.approx([a.score for a in plain.answers])


def test_questions_with_and_without_priors_are_read_together(reader):
    passages = (Passage("a", "Mira Oland"), Passage("b", "the mill of Tarn"))
    groups = [Group("Who?", passages), Group("Who?", passages, (0.0, 5.0)), Group("Who?", ())]
    plain, raised, nothing = ranked(reader, groups, replace(CONFIG, chunk_size=10))
    assert plain.answers == ranked(reader, groups[:1])[0].answers
    assert raised.answers[0].passage_id == "b"
    assert nothing.answers == ()


def test_a_prior_for_each_passage_is_required():
    with pytest.raises(ValueError, match="1 priors for 2 passages"):
        Group("Who?", (Passage("a", "x"), Passage("b", "y")), (1.0,))
