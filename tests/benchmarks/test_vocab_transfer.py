"""Vocabulary transfer: the same encoder with new pieces that start as means of the old ones."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from benchmarks.vocab_transfer import transfer_vocabulary
from mrc.read.config import ReadConfig
from mrc.read.data.tokens import pair_template
from mrc.read.data.windows import Windower
from mrc.read.model.heads import HEADS
from mrc.read.model.loading import load_model
from mrc.read.model.reader import Reader
from mrc.read.pretrain.pretraining import pretrain
from mrc.read.train_config import PretrainConfig
from tests.mrc import tiny

TEXTS = [f"{text} The old mill number {number} burned down." for number, text in enumerate(tiny.TEXTS * 4)]
SHORT = ReadConfig(max_seq_length=96, doc_stride=24, max_answer_length=8)


@pytest.fixture(scope="module", params=["bert", "roberta"])
def pair(request, tmp_path_factory):
    """A checkpoint and the same with a new vocabulary."""
    home = tmp_path_factory.mktemp(request.param)
    start = getattr(tiny, request.param)(home / "start")
    return start, transfer_vocabulary(start, TEXTS, home / "new", pieces=120)


def vectors(folder):
    return AutoModelForQuestionAnswering.from_pretrained(folder).base_model.get_input_embeddings().weight.detach()


def test_every_piece_starts_as_the_mean_of_its_old_pieces(pair):
    start, folder = pair
    old, new = AutoTokenizer.from_pretrained(start), AutoTokenizer.from_pretrained(folder)
    before, after = vectors(start), vectors(folder)
    assert len(after) == len(new) <= 120
    whole = [piece for piece in new.get_vocab() if piece.startswith("▁") and len(piece) > 2]
    assert whole
    for piece in whole:
        ids = [index for index in old(piece[1:], add_special_tokens=False)["input_ids"] if index != old.unk_token_id]
        torch.testing.assert_close(after[new.convert_tokens_to_ids(piece)], before[ids].mean(dim=0))
    for token in old.all_special_tokens:
        assert torch.equal(after[new.convert_tokens_to_ids(token)], before[old.convert_tokens_to_ids(token)])


def test_all_other_weights_are_unchanged(pair):
    one, other = (AutoModelForQuestionAnswering.from_pretrained(each).base_model.state_dict() for each in pair)
    assert one.keys() == other.keys()
    changed = [name for name in one if one[name].shape != other[name].shape or not torch.equal(one[name], other[name])]
    assert changed == ["embeddings.word_embeddings.weight"]


def test_pairs_are_encoded_as_before_and_offsets_cover_the_text(pair):
    old, new = (AutoTokenizer.from_pretrained(each) for each in pair)
    before, after = pair_template(old), pair_template(new)
    for part in ("prefix", "middle", "suffix"):
        assert old.convert_ids_to_tokens(getattr(before, part)) == new.convert_ids_to_tokens(getattr(after, part))
    assert before.types == after.types
    assert old.pad_token_id == new.pad_token_id
    text = "Mira (of Tarn) built the mill, in 1893."
    (tokens,) = Windower(new).passages([text])
    covered = {at for start_, end in tokens.offsets for at in range(start_, end)}
    assert covered >= {at for at, character in enumerate(text) if not character.isspace()}
    assert np.all(np.diff(tokens.offsets[:, 0]) >= 0)
    assert Windower(old).tokenizer_key != Windower(new).tokenizer_key


def test_the_checkpoint_can_be_pretrained_and_then_read_with(tmp_path):
    folder = transfer_vocabulary(tiny.bert(tmp_path / "start"), TEXTS, tmp_path / "new", pieces=120)
    config = PretrainConfig(mlm_epochs=1, learning_rate=1e-3)
    ready = pretrain(folder, TEXTS, tmp_path / "ready", config=config, seed=0)
    cpu = torch.device("cpu")
    model = load_model(ready, device=cpu, dtype=torch.float32, head="linear")  # with a new head
    reader = Reader(model, AutoTokenizer.from_pretrained(ready), device=cpu)
    (found,) = reader.answer([("Who founded the mill?", TEXTS[0])], SHORT)
    assert found.answers
    assert all(answer.text in TEXTS[0] for answer in found.answers)


def test_the_head_and_the_exact_match_embedding_of_a_reader_are_dropped(tmp_path):
    cpu = {"device": torch.device("cpu"), "dtype": torch.float32}
    start = tiny.bert(tmp_path / "start")
    trained = load_model(start, head="lstm", exact_match_features="words", **cpu)
    trained.save(tmp_path / "reader", AutoTokenizer.from_pretrained(start))
    folder = transfer_vocabulary(tmp_path / "reader", TEXTS, tmp_path / "new", pieces=90)
    assert isinstance(load_model(folder, head="auto", **cpu).head, HEADS["cnn"])


def test_no_texts_or_an_existing_folder_are_refused(pair, tmp_path):
    with pytest.raises(ValueError, match="needs texts"):
        transfer_vocabulary(pair[0], [" "], tmp_path / "none", pieces=50)
    with pytest.raises(FileExistsError):
        transfer_vocabulary(pair[0], TEXTS, pair[1], pieces=50)
