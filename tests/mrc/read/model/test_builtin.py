"""The built-in encoder: an ordinary checkpoint that a few examples can train."""

import numpy as np
import pytest
from transformers import AutoModel, AutoModelForQuestionAnswering, AutoTokenizer

from mrc.read.config import ReadConfig, WindowConfig
from mrc.read.data.windows import TOKEN_TYPES, Windower
from mrc.read.model.builtin import BuiltinConfig, build_builtin, piece_vectors, sinusoids
from mrc.read.model.reader import Reader, model_hash
from mrc.read.train.trainer import train
from mrc.read.train_config import TrainConfig, TrainingExample

SMALL = BuiltinConfig(vocab_size=500, hidden_size=64, positions=128)
PEOPLE = ("Mira Oland", "Sunni Verr", "Tove Alm", "Ansa Bree", "Ludo Quill", "Ilse Marn")
PLACES = ("Tarn", "Norden", "Hollow", "Ember", "Vale", "Crook", "Aster", "Fenn")
THINGS = ("mill", "guild", "school", "bridge", "tower")


def passages():
    """Each names two places of one thing, and for each its founder and its year."""
    rng = np.random.default_rng(0)
    for number in range(60):
        thing, (one, two) = THINGS[number % len(THINGS)], rng.choice(PLACES, size=2, replace=False)
        text, facts = "", []
        for place in (one, two):
            person, year = PEOPLE[rng.integers(len(PEOPLE))], str(rng.integers(1500, 1999))
            text += f"The {thing} of {place} was founded by {person}. The {thing} of {place} opened in {year}. "
            facts += [
                (f"Who founded the {thing} of {place}?", person),
                (f"When did the {thing} of {place} open?", year),
            ]
        yield number, text, facts


def examples():
    for number, text, facts in passages():
        at = 0
        for order, (question, answer) in enumerate(facts):
            at = text.index(answer, at)
            yield TrainingExample(f"{number}-{order}", question, text, at, at + len(answer))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    texts = [text for _, text, _ in passages()] + [item.question for item in examples()]
    return build_builtin(texts, tmp_path_factory.mktemp("start") / "builtin", seed=0, config=SMALL)


def test_a_trained_reader_answers_questions_on_unseen_passages(folder, tmp_path):
    items = list(examples())
    known, new = items[:160], items[160:]
    config = TrainConfig(
        max_steps=120, batch_size=16, learning_rate=2e-3, head_learning_rate=2e-3, windows=WindowConfig(128, 32)
    )
    result = train(known, start=folder, config=config, seed=0, folder=tmp_path / "reader")
    read = ReadConfig(max_seq_length=128, doc_stride=32, max_answer_length=8)
    found = Reader.load(result.folder).answer([(item.question, item.context) for item in new], read)
    right = [
        prediction.answers[0].text == item.context[item.start : item.end]
        for prediction, item in zip(found, new, strict=True)
    ]
    assert np.mean(right) > 0.6  # one of the four answers of a passage by chance: 0.25 at most


def test_the_folder_is_an_ordinary_checkpoint_of_an_encoder(folder):
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert tokenizer("Tarn", "Norden")["token_type_ids"][-1] == 1
    assert model.config.type_vocab_size == TOKEN_TYPES == 24
    assert model.config.labeler_exact_match_types is True


def test_transformers_refuses_to_read_with_it_because_it_would_not_mark_shared_words(folder):
    with pytest.raises(RuntimeError, match=r"(?i)mismatch"):
        AutoModelForQuestionAnswering.from_pretrained(folder)


def test_equal_texts_and_seed_give_equal_bits(tmp_path):
    texts = [text for _, text, _ in passages()]
    hashes = [
        model_hash(build_builtin(texts, tmp_path / name, seed=seed, config=SMALL))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_korean_endings_are_separate_pieces(tmp_path):
    texts = ["한빛 학당은 1921년에 가람이 세웠다."] * 3 + ["가람은 한빛 학당을 떠났다. 나이는 많다."] * 3
    folder = build_builtin(texts, tmp_path / "ko", seed=0, config=SMALL)
    text = "한빛 학당은 1921년에 가람이 나이"
    (tokens,) = Windower(AutoTokenizer.from_pretrained(folder)).passages([text])
    ends = {int(end) for _, end in tokens.offsets}
    for answer in ("학당", "1921년", "가람", "나이"):
        assert text.index(answer) + len(answer) in ends
    assert text.rindex("이") not in {int(start) for start, _ in tokens.offsets}  # one syllable before it is no stem


def test_texts_without_a_word_and_an_existing_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="needs texts"):
        build_builtin(["", " \n"], tmp_path / "none", seed=0)
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError):
        build_builtin(["Tarn"], tmp_path / "there", seed=0)


@pytest.mark.parametrize("change", [{"layers": 0}, {"heads": 3}, {"dropout": 1.0}, {"common_share": 0.0}])
def test_sizes_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match="must be"):
        BuiltinConfig(**change)


def test_pieces_with_similar_neighbours_have_similar_vectors():
    # 1 and 2 stand between 3 and 4, and 5 between 6 and 7; 8 never occurs
    texts = [np.array(row) for row in ([3, 1, 4], [3, 2, 4], [6, 5, 7])] * 4
    vectors = piece_vectors(texts, pieces=9, size=6, rng=np.random.default_rng(0))
    cosine = vectors @ vectors.T / 6
    assert cosine[1, 2] == pytest.approx(1, abs=1e-5)
    assert abs(cosine[1, 5]) < 1e-5
    np.testing.assert_allclose((vectors[1:8] ** 2).mean(axis=1), 1, rtol=1e-5)


def test_sinusoids_of_the_first_position_are_0_and_1():
    assert sinusoids(3, 4)[0].tolist() == [0, 0, 1, 1]
    assert sinusoids(3, 4)[1, 1] == pytest.approx(np.sin(1 / 100))
