"""Tiny checkpoints with random weights, made in well under a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    ElectraConfig,
    ElectraForQuestionAnswering,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForQuestionAnswering,
)

TEXTS = (
    "Mira Oland founded the mill of Tarn in 1893. The mill stands in Tarn. Who founded the mill?",
    "한빛 학당은 1921년에 문을 열었다. 누가 학당을 세웠는가? 가람 선생이 세웠다.",
)

INPUTS = ["input_ids", "token_type_ids", "attention_mask"]


def bert(folder: Path, *, seed: int = 0, types: int = 2, **config: Any) -> Path:
    """A BERT of two narrow layers with token types, and its tokenizer."""
    tokenizer = wordpiece()
    settings = BertConfig(**{"type_vocab_size": types, "vocab_size": len(tokenizer), **_size(), **config})
    return _save(folder, BertForQuestionAnswering, settings, tokenizer, seed)


def cross_encoder(folder: Path, *, seed: int = 0, outputs: int = 1) -> Path:
    """A BERT that scores pairs of texts. Its weights are wide enough for scores to differ."""
    tokenizer = wordpiece()
    settings = BertConfig(vocab_size=len(tokenizer), num_labels=outputs, initializer_range=0.5, **_size())
    return _save(folder, BertForSequenceClassification, settings, tokenizer, seed)


def roberta(folder: Path, *, seed: int = 0, kind: Any = RobertaForQuestionAnswering, pad: int = 1) -> Path:
    """A RoBERTa: byte-level pieces, <s> q </s></s> p </s>, no token types, positions from behind its padding index."""
    tokenizer = byte_level()
    settings = RobertaConfig(
        vocab_size=len(tokenizer),
        type_vocab_size=1,
        pad_token_id=pad,
        bos_token_id=0,
        eos_token_id=2,
        **_size(),
    )
    return _save(folder, kind, settings, tokenizer, seed)


def electra(folder: Path, *, seed: int = 0, kind: Any = ElectraForQuestionAnswering) -> Path:
    """An ELECTRA, whose embeddings are narrower than its layers."""
    tokenizer = wordpiece()
    settings = ElectraConfig(vocab_size=len(tokenizer), embedding_size=16, **_size())
    return _save(folder, kind, settings, tokenizer, seed)


def distilbert(folder: Path, *, seed: int = 0, kind: Any = DistilBertForQuestionAnswering) -> Path:
    """A DistilBERT, whose encoder takes no token types."""
    tokenizer = wordpiece()
    settings = DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, hidden_dim=64, n_layers=2, n_heads=2, max_position_embeddings=128
    )
    return _save(folder, kind, settings, tokenizer, seed)


def wordpiece() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, model_input_names=INPUTS, **names)


def byte_level() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=128,
        cls_token="<s>",
        bos_token="<s>",
        sep_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


def _size() -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 130,
    }


def _save(folder: Path, kind: Any, config: Any, tokenizer: PreTrainedTokenizerFast, seed: int) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
