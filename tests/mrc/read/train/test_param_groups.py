"""Learning rates by depth."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AlbertConfig, AlbertModel

from mrc.read.data.windows import MATCH_TYPES_KEY
from mrc.read.model.heads import new_head
from mrc.read.model.loading import load_model
from mrc.read.model.network import SpanModel
from mrc.read.train.param_groups import default_rate, param_groups
from tests.mrc import tiny
from tests.mrc.read.train.examples import CONFIG

RATES = replace(CONFIG, learning_rate=1e-3, head_learning_rate=5e-3)


def rates(model, config):
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = param_groups(model, config)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(named)  # every weight, once
    return {named[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}


@pytest.mark.parametrize("kind", [tiny.bert, tiny.roberta, tiny.distilbert])
def test_each_layer_has_the_rate_of_the_one_above_times_the_decay(kind, tmp_path):
    folder = kind(tmp_path / "start")
    model = load_model(
        folder, device=torch.device("cpu"), dtype=torch.float32, head="linear", exact_match_features="words", seed=0
    )
    found = rates(model, replace(RATES, layer_decay=0.5))
    assert len({rate for name, rate in found.items() if ".0." in name}) == 1
    for name, rate in found.items():
        below = 2 if "embeddings" in name else 1 if "layer.0." in name else 0
        expected = 1e-3 * 0.5**below if name.startswith("encoder.") else 5e-3
        assert rate == pytest.approx(expected), name
    assert {name: rate for name, rate in rates(model, RATES).items() if name.startswith("encoder.")} == {
        name: 1e-3 for name in found if name.startswith("encoder.")
    }


def test_an_encoder_whose_layers_have_unknown_names_has_one_rate_and_the_log_says_so(caplog):
    encoder = AlbertModel(AlbertConfig(vocab_size=8, embedding_size=4, hidden_size=4, num_attention_heads=1))
    head = new_head("linear", 4, seed=0)
    model = SpanModel(encoder, head, prefix="albert.", architecture="AlbertForQuestionAnswering", head_name="linear")
    found = rates(model, replace(RATES, layer_decay=0.5))
    assert {rate for name, rate in found.items() if name.startswith("encoder.")} == {1e-3}
    assert "layer_decay 0.5: the encoder has no layers by a known name" in caplog.text


@pytest.mark.parametrize(
    ("config", "rate"),
    [
        ({"hidden_size": 768}, 5e-5),
        ({"hidden_size": 385}, 5e-5),
        ({"hidden_size": 384}, 1e-4),
        ({}, 5e-5),
        ({"hidden_size": 768, MATCH_TYPES_KEY: True}, 1e-3),
    ],
)
def test_without_a_rate_in_the_settings_the_kind_of_encoder_decides(config, rate):
    assert default_rate(SimpleNamespace(**config)) == rate


def test_the_rate_of_the_settings_goes_first(tmp_path):
    folder = tiny.bert(tmp_path / "start")
    model = load_model(folder, device=torch.device("cpu"), dtype=torch.float32, head="linear", seed=0)
    assert set(rates(model, replace(RATES, learning_rate=None)).values()) == {1e-4, 5e-3}
    assert set(rates(model, RATES).values()) == {1e-3, 5e-3}
