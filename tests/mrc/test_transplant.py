"""A transplanted vocabulary: the same encoder, other pieces that begin as means of the old ones."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from mrc.read.config import ReadConfig
from mrc.read.data.tokens import pair_template
from mrc.read.data.windows import Windower
from mrc.read.model.network import load_model
from mrc.read.model.reader import Reader
from mrc.read.pretrain.pretraining import pretrain
from mrc.read.pretrain.vocab_transfer import transplant
from mrc.read.train_config import PretrainConfig
from tests.mrc import tiny

TEXTS = [f"{text} The old mill number {number} burned down." for number, text in enumerate(tiny.TEXTS * 4)]
SHORT = ReadConfig(max_seq_length=96, doc_stride=24, max_answer_length=8)


@pytest.fixture(scope="module", params=["bert", "roberta"])
def pair(request, tmp_path_factory):
    """A start and what a transplant makes of it."""
    home = tmp_path_factory.mktemp(request.param)
    start = getattr(tiny, request.param)(home / "start")
    return start, transplant(start, TEXTS, home / "new", pieces=120)


def vectors(folder):
    return AutoModelForQuestionAnswering.from_pretrained(folder).base_model.get_input_embeddings().weight.detach()


def test_every_piece_begins_as_the_mean_of_its_old_pieces(pair):
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


def test_all_other_weights_stay(pair):
    one, other = (AutoModelForQuestionAnswering.from_pretrained(each).base_model.state_dict() for each in pair)
    assert one.keys() == other.keys()
    changed = [name for name in one if one[name].shape != other[name].shape or not torch.equal(one[name], other[name])]
    assert changed == ["embeddings.word_embeddings.weight"]


def test_pairs_are_set_as_before_and_tokens_lie_in_the_text(pair):
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


def test_it_takes_stage_0_and_reads(tmp_path):
    folder = transplant(tiny.bert(tmp_path / "start"), TEXTS, tmp_path / "new", pieces=120)
    config = PretrainConfig(mlm_epochs=1, learning_rate=1e-3)
    ready = pretrain(folder, TEXTS, tmp_path / "ready", config=config, seed=0)
    cpu = torch.device("cpu")
    model = load_model(ready, device=cpu, dtype=torch.float32, head="linear")  # with a new head
    reader = Reader(model, AutoTokenizer.from_pretrained(ready), device=cpu)
    (found,) = reader.answer([("Who founded the mill?", TEXTS[0])], SHORT)
    assert found.answers
    assert all(answer.text in TEXTS[0] for answer in found.answers)


def test_no_texts_and_a_folder_that_is_there_are_refused(pair, tmp_path):
    with pytest.raises(ValueError, match="needs texts"):
        transplant(pair[0], [" "], tmp_path / "none", pieces=50)
    with pytest.raises(FileExistsError):
        transplant(pair[0], TEXTS, pair[1], pieces=50)
