"""Tokenizers of many arrangements, trained on a few texts: with pieces of single letters, so that no piece is longer
than a gold answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Final

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL: Final = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
Make = Callable[[Sequence[str]], Any]


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as a checkpoint has it."""
    names = ("bos_token", "pad_token", "sep_token", "unk_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token="<s>", **dict(zip(names, SPECIAL, strict=True))
    )


def byte_level(before: Sequence[Any], *, prefix: bool, trim: bool, roberta: bool = True) -> Make:
    """A byte-level BPE behind other pre-tokenizers. `prefix`: a space is added before each of their pieces."""

    def make(texts: Sequence[str]) -> Any:
        tokenizer = Tokenizer(models.BPE())
        pieces = [*before, pre_tokenizers.ByteLevel(add_prefix_space=prefix)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pieces) if before else pieces[0]
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(  # a few merges: tokens of the bytes of neighbouring characters
            vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        if roberta:
            ends = ("</s>", 2), ("<s>", 0)
            tokenizer.post_processor = processors.RobertaProcessing(*ends, trim_offsets=trim, add_prefix_space=prefix)
        else:
            tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
        return wrapped(tokenizer)

    return make


def wordpiece(normalizer: Any) -> Make:
    """A WordPiece of letters."""

    def make(texts: Sequence[str]) -> Any:
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=1, special_tokens=SPECIAL, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        return wrapped(tokenizer)

    return make


def unigram(normalizer: Any, pre_tokenizer: Any) -> Make:
    """A Unigram model of letters."""

    def make(texts: Sequence[str]) -> Any:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
        trainer = trainers.UnigramTrainer(
            vocab_size=5000, special_tokens=SPECIAL, unk_token="<unk>", max_piece_length=1, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        return wrapped(tokenizer)

    return make


def metaspace_bpe(*, unknown: bool = True) -> Make:
    """A BPE of letters with its spaces replaced, as Llama's is; without an unknown token it drops other letters."""

    def make(texts: Sequence[str]) -> Any:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if unknown else None))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        trainer = trainers.BpeTrainer(vocab_size=1, special_tokens=SPECIAL, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        return wrapped(tokenizer)

    return make


def _byte_levels() -> dict[str, Make]:
    words, spaces = pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit()
    marks, digits = pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True)
    before: dict[str, tuple[list[Any], bool, bool]] = {
        "gpt": ([], False, True),
        "roberta": ([], True, True),
        "words": ([words], True, True),
        "words no prefix": ([words], False, True),
        "spaces": ([spaces], True, False),
        "punctuation": ([marks], True, False),
        "digits": ([digits], False, False),
        "words and digits": ([words, digits], True, True),
    }
    return {
        f"bytes, {name}, {'trimmed' if trim else 'untrimmed'}": byte_level(
            parts, prefix=prefix, trim=trim, roberta=roberta
        )
        for (name, (parts, prefix, roberta)), trim in product(before.items(), (True, False))
    }


def _wordpieces() -> dict[str, Make]:
    return {
        f"wordpiece, {'uncased' if lower else 'cased'}, strip_accents {strip}": wordpiece(
            normalizers.BertNormalizer(lowercase=lower, strip_accents=strip)
        )
        for lower, strip in product((True, False), (True, False, None))
    }


def _unigrams() -> dict[str, Make]:
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    found = {
        f"unigram NFKC, metaspace {scheme}": unigram(
            normalizers.NFKC(), pre_tokenizers.Metaspace(prepend_scheme=scheme)
        )
        for scheme in ("always", "never", "first")
    }
    nmt = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), spaces])
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    plain = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    return found | {
        "unigram NMT NFKC": unigram(nmt, split),
        "unigram NFD, no accents": unigram(plain, pre_tokenizers.Metaspace()),
    }


DROPPED: Final = "년()"
TOKENIZERS: Final[dict[str, Make]] = {
    **_byte_levels(),
    **_wordpieces(),
    **_unigrams(),
    "metaspace BPE": metaspace_bpe(),
    "wordpiece that drops characters": wordpiece(
        normalizers.Sequence(
            [*(normalizers.Replace(each, "") for each in DROPPED), normalizers.BertNormalizer(lowercase=False)]
        )
    ),
}
