"""Ensembles and cascades: votes, members, and when the large reader is used."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mrc.ensemble import BLOCK, Cascade, Ensemble
from mrc.errors import MembersDisagree
from mrc.ranking import Candidate, Ranked
from mrc.read.config import ReadConfig, WindowConfig
from mrc.read.data.tokens import Tokens
from mrc.read.model.reader import Reader
from mrc.read.predict.adaptive import StoppingRule
from mrc.read.predict.groups import Group, read_groups
from mrc.types import Answer, Passage
from mrc.voting import span_probs
from tests.mrc import tiny
from tests.mrc.read.random_network import RandomNetwork

CONFIG = ReadConfig(max_seq_length=128, doc_stride=16, max_answer_length=4, n_best_size=5, chunk_size=2)
TEXTS = (
    "Mira Oland founded the mill of Tarn in 1893.",
    "한빛 학당은 1921년에 문을 열었다.",
    "",
    "The mill 👩‍🚀 stands in Tarn: 한빛.",
)
GROUPS = [
    Group(question, tuple(Passage(f"p{n}", TEXTS[n]) for n in numbers))
    for question, numbers in (
        ("Who founded the mill?", (0, 2, 3)),
        ("Where?", ()),
        ("누가 세웠는가?", (1,)),
        ("What?", (2,)),
        ("When?", (3, 0, 1)),
    )
]


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    """Two with one tokenizer and different weights, one with another tokenizer."""
    folder = tmp_path_factory.mktemp("members")
    tiny.bert(folder / "bert", initializer_range=0.3)
    tiny.bert(folder / "other", seed=1, initializer_range=0.3)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "bert" / name, folder / "other" / name)
    tiny.roberta(folder / "roberta")
    return [Reader.load(folder / name, precision="fp32") for name in ("bert", "other", "roberta")]


def read(reader, groups=GROUPS, config=CONFIG, **options):
    return list(reader.read(groups, config=config, normalize=str.lower, **options))


class Windowed(RandomNetwork):
    """Pair terms of spans past the end of the window are -inf, as of a biaffine head."""

    def window(self, ids, band):
        logits = super().window(ids, band)
        for reach, pairs in enumerate(logits[2:]):
            pairs[len(ids) - reach :] = -np.inf
        return logits


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert [(a.text, a.passage_id, a.start) for a in one.answers] == [
            (a.text, a.passage_id, a.start) for a in other.answers
        ]
        assert [a.score for a in one.answers] == pytest.approx([a.score for a in other.answers], rel=1e-5)
        assert (one.null_score, one.start_entropy, one.end_entropy) == pytest.approx(
            (other.null_score, other.start_entropy, other.end_entropy), rel=1e-4
        )
        assert (one.support, one.read) == (other.support, other.read)


@pytest.mark.parametrize("vote", ["characters", "logits"])
def test_a_single_member_and_two_copies_answer_like_the_reader(readers, vote):
    alone = read(readers[0])
    same(read(Ensemble(readers[:1], vote=vote)), alone)
    same(read(Ensemble([readers[0], readers[0]], vote=vote)), alone)
    same(read(Ensemble(readers[:2], vote=vote, weights=(3, 0))), alone)


def test_copies_of_a_reader_do_not_change_a_hard_vote(readers):
    alone = read(readers[0])
    voted = read(Ensemble([readers[0], readers[0]], vote="hard"))
    assert [[a.text for a in own.answers] for own in voted] == [[a.text for a in own.answers[:1]] for own in alone]


def test_averaged_logits_are_the_mean_of_the_members(readers, monkeypatch):
    # The softmax of a mean of logits is the geometric mean of the softmaxes: spans of one passage, renormalised.
    config = replace(CONFIG, n_best_size=500)
    group = [Group("Who?", (Passage("p", "Mira Oland"),))]
    one, other, both = (read(own, group, config)[0] for own in (*readers[:2], Ensemble(readers[:2], vote="logits")))
    texts = [answer.text for answer in both.answers]
    shares = [
        np.array([next(a.score for a in own.answers if a.text == text) for text in texts] + [own.null_score])
        for own in (one, other)
    ]
    mean = np.sqrt(shares[0] * shares[1])
    assert [a.score for a in both.answers] + [both.null_score] == pytest.approx(mean / mean.sum(), rel=1e-4)


def test_pair_terms_are_averaged_and_missing_ones_count_as_zeros(readers):
    windower = readers[0].windower

    class Mean(RandomNetwork):
        def window(self, ids, band):
            biaffine, plain = (RandomNetwork(windower, seed).window(ids, band) for seed in (1, 2))
            plain[2:] = 0
            return (biaffine + 3 * plain) / 4

    members = [RandomNetwork(windower, 1, biaffine=True), RandomNetwork(windower, 2)]
    for order in (slice(None), slice(None, None, -1)):
        ensemble = Ensemble(members[order], vote="logits", weights=(1, 3)[order])
        same(
            read(ensemble),
            list(read_groups(Mean(windower, 0, biaffine=True), GROUPS, config=CONFIG, normalize=str.lower)),
        )


@pytest.mark.parametrize("vote", ["characters", "logits"])
@pytest.mark.parametrize("weights", [(3, 0), (1, 1e-60)])
def test_a_member_of_weight_zero_is_not_read(readers, vote, weights):
    windower = readers[0].windower
    members = [Windowed(windower, 1, biaffine=True), Windowed(windower, 2, biaffine=True)]
    found = read(Ensemble(members, vote=vote, weights=weights))
    assert found == read(Ensemble(members[:1], vote=vote))
    assert members[0].batches
    assert members[1].batches == []
    assert all(np.isfinite([own.null_score, *(answer.probability for answer in own.answers)]).all() for own in found)


def test_a_biaffine_head_votes_with_the_marginals_of_its_spans(readers):
    # The marginals of a head whose pair term is 0 are those of its starts and ends: it votes as without the term.
    windower = readers[0].windower

    class Unpaired(RandomNetwork):
        def window(self, ids, band):
            logits = super().window(ids, band)
            logits[2:] = 0
            return logits

    group = [Group("Who?", (Passage("p", "Mira Oland"),))]
    config = replace(CONFIG, n_best_size=50)
    (found,) = read(Ensemble([Unpaired(windower, 1, biaffine=True)]), group, config)
    (plain,) = read_groups(RandomNetwork(windower, 1), group, config=config, normalize=str.lower)
    assert sum(answer.score for answer in found.answers) + found.null_score == pytest.approx(1)
    assert found.answers[0].text == plain.answers[0].text


def test_more_batches_than_one_block_keep_their_order(readers):
    groups = [Group(f"Who {number}?", (Passage("p", TEXTS[number % 2]),)) for number in range(BLOCK + 5)]
    config = replace(CONFIG, batch_tokens=1, chunk_size=100)
    same(read(Ensemble([readers[0]] * 2, vote="logits"), groups, config), read(readers[0], groups, config))


def test_several_readers_use_the_lengths_that_all_have_positions_for_and_are_shown_in_one_line(readers):
    ensemble = Ensemble([readers[0], readers[2]], names=("bert", "roberta"))
    cascade = Cascade(ensemble, readers[0], low=0.2, high=0.7)
    for several in (ensemble, cascade):
        assert several.default_config.windows == WindowConfig(128, 42)
    assert repr(ensemble) == "Ensemble(2 readers: bert, roberta; vote=characters)"
    assert repr(cascade) == f"Cascade({ensemble!r}, {readers[0]!r} for scores in 0.2-0.7)"


def test_readers_of_different_tokenizers_vote_on_characters_only(readers):
    found = read(Ensemble([readers[0], readers[2]]))
    for group, own in zip(GROUPS, found, strict=True):
        texts = {passage.id: passage.text for passage in group.passages}
        assert own.read == len(texts)
        for answer in own.answers:
            assert texts[answer.passage_id][answer.start : answer.end] == answer.text == answer.text.strip() != ""
        assert sum(answer.score for answer in own.answers) + own.null_score <= 1 + 1e-9
    assert found[1] == Ranked((), 1.0, (), 0.0, 0.0, 0)
    assert found[3].answers == ()
    assert found[3].null_score == pytest.approx(1)
    with pytest.raises(MembersDisagree, match="roberta tokenizes texts otherwise than bert"):
        Ensemble([readers[0], readers[2]], vote="logits", names=("bert", "roberta"))


def test_post_processing_applies_to_the_spans_of_a_vote(readers):
    def all_of_it(question, passage, start, end):
        return 0, len(passage.text)

    found = read(Ensemble([readers[0], readers[2]]), refine=all_of_it)
    assert {answer.text for own in found for answer in own.answers} == set(TEXTS) - {""}


def test_a_reader_whose_tokenizer_changes_the_text_is_named(readers, monkeypatch):
    windower = readers[2].windower
    true = windower.passages

    def longer(texts):
        return [
            Tokens(own.ids, own.offsets + 1, *(getattr(own, name) for name in Tokens.__slots__[2:]))
            for own in true(texts)
        ]

    monkeypatch.setattr(windower, "passages", longer)
    with pytest.raises(MembersDisagree, match=r"models/b reads passage p0 as 45 characters, the text has 44: its tok"):
        read(Ensemble([readers[0], readers[2]], names=("models/a", "models/b")))


NEVER = StoppingRule((1.0, 1.0), risk=0.01, questions=0, changed=0, passages=1.0)


def test_only_averaged_logits_are_read_under_a_stopping_rule(readers):
    ensemble = Ensemble(readers[:2], vote="logits")
    same(read(ensemble, stopping=NEVER), read(ensemble))
    for vote in ("characters", "hard"):
        with pytest.raises(ValueError, match="reads all passages"):
            read(Ensemble(readers[:2], vote=vote), stopping=NEVER)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"vote": "loud"}, "vote must be one of characters, logits, hard, not 'loud'"),
        ({"weights": (1,)}, "weights must be 2 numbers"),
        ({"weights": (0, 0)}, "not all 0"),
        ({"weights": (1, -1)}, "of at least 0"),
        ({"weights": (1, float("nan"))}, "weights must be 2 numbers"),
        ({"weights": (1e308, 1e308)}, "weights must be 2 numbers"),
        ({"vote": "hard", "weights": (1, 1)}, "not hard"),
    ],
)
def test_an_unknown_vote_or_weights_that_do_not_fit_are_refused(readers, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        Ensemble(readers[:2], **options)


def test_the_longest_window_of_an_ensemble_is_the_shortest_of_its_members(readers):
    assert Ensemble(readers).max_positions == min(reader.max_positions for reader in readers)
    with pytest.raises(ValueError, match="needs a member"):
        Ensemble([])


class Fixed:
    """Answers every question with its own text at the score it names, and records the questions."""

    max_positions = 64

    def __init__(self, name):
        self._name = name
        self.asked = []

    def read(self, groups, *, config, normalize, refine=None, stopping=None):
        for group in groups:
            self.asked.append(group.question)
            score = float(group.question)
            answers = (Answer(self._name, "p", 0, 1, score, score),) if score else ()
            yield Ranked(answers, 1 - score, (1,) * len(answers), 0.0, 0.0, 1)


SCORES = ("0.9", "0.2", "0", "0.5", "0.7", "1")


@pytest.mark.parametrize(
    ("low", "high", "uncertain"),
    [
        (0, 1, SCORES),
        (0.5, 0.5, ()),
        (1, 1, ()),
        (0.2, 0.7, ("0.2", "0.5", "0.7")),
        (0, 0.5, ("0.2", "0", "0.5")),
    ],
)
def test_the_large_reader_is_used_only_in_the_band(low, high, uncertain):
    small, large = Fixed("small"), Fixed("large")
    found = read(Cascade(small, large, low=low, high=high), [Group(score, ()) for score in SCORES])
    assert tuple(small.asked) == SCORES
    assert tuple(large.asked) == uncertain
    said = {"small", "large"} if 0 < len(set(uncertain) - {"0"}) < 5 else {"large" if uncertain else "small"}
    assert {own.answers[0].text for own in found if own.answers} == said
    for score, own in zip(SCORES, found, strict=True):
        assert not own.answers or own.answers[0].text == ("large" if score in uncertain else "small")


@pytest.mark.parametrize("band", [(-0.1, 0.5), (0.7, 0.2), (0, 1.1)])
def test_a_band_outside_the_scores_is_refused(band):
    with pytest.raises(ValueError, match="the band must be two scores within 0-1"):
        Cascade(Fixed("small"), Fixed("large"), low=band[0], high=band[1])


def test_a_cascade_equals_the_large_or_the_small_reader_at_the_extremes(readers):
    same(read(Cascade(readers[0], readers[2], low=0, high=1)), read(readers[2]))
    same(read(Cascade(readers[0], readers[2], low=0, high=0)), read(readers[0]))
    assert Cascade(readers[0], Ensemble(readers), low=0, high=1).max_positions == 128


MILL = (TEXTS[0].index("mill"), TEXTS[0].index("mill") + len("mill"))


class Stored:
    """An answer to the first question alone."""

    max_positions = 1 << 30
    windower = None
    default_config = CONFIG

    def __init__(self, mass):
        self.mass = mass

    def spans(self, group):
        known = group.question == GROUPS[0].question
        return [Candidate("mill", "p0", 0, *MILL, math.log(self.mass))] if known else []

    def char_probs(self, groups, *, temperature=1.0):
        return [
            span_probs(group.passages, found, null=1 - self.mass) if (found := self.spans(group)) else None
            for group in groups
        ]

    def read(self, groups, *, config, normalize, refine=None, stopping=None):
        for group in groups:
            found = [Answer("mill", "p0", *MILL, self.mass, self.mass)] if self.spans(group) else []
            yield Ranked(tuple(found), 1 - self.mass * bool(found), (1,) * len(found), 0.0, 0.0, len(group.passages))


@pytest.mark.parametrize("vote", ["characters", "hard"])
def test_stored_answers_vote_where_there_are_any(readers, vote):
    alone, both = read(Ensemble(readers[:1], vote=vote)), read(Ensemble([readers[0], Stored(0.9)], vote=vote))
    same(both[1:], alone[1:])  # it says nothing of these
    assert "mill" not in [answer.text for answer in alone[0].answers[:1]]
    scores = {answer.text: answer.score for answer in both[0].answers}
    assert scores["mill"] == max(scores.values()) if vote == "characters" else 0 < scores["mill"] < 0.9
    assert alone[0].answers[0].text in scores or vote == "characters"


def test_stored_answers_have_no_logits_to_vote_with(readers):
    with pytest.raises(MembersDisagree, match="stored has answers but no logits"):
        Ensemble([readers[0], Stored(0.9)], vote="logits", names=("reader", "stored"))
